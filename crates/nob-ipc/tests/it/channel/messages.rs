//! What is sent and received, and what a channel has room for.

use std::time::Duration;

use nob_ipc::{Channel, Deadline, Direction, ErrorKind, Existence, Received};
use nob_ipc_testing::{Unique, watchdog};

use crate::support::new_channel;

fn with_capacity(name: &str, capacity: u64) -> Channel {
    let mut options = Channel::options();
    options.capacity(capacity).existence(Existence::Create).open(name).expect("a new channel")
}

/// N2: every length up to the room less 16.
#[test]
fn lengths() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = with_capacity(&name, 8192);
    let most = channel.max_message_size();
    assert_eq!((channel.capacity(), most), (8192, 8176));
    let mut buffer = vec![0; most];
    for length in [0, 1, 7, 8, 9, 4095, 4096, most - 1, most] {
        let message: Vec<u8> = (0..=250).cycle().take(length).collect();
        assert!(channel.try_send(&message, 0).expect("it is whole"));
        let received = channel.try_receive(&mut buffer).expect("it is whole");
        assert_eq!(received, Some(Received { length, priority: 0 }));
        assert_eq!(&buffer[..length], message, "{length}");
    }
    let error = channel.try_send(&vec![0; most + 1], 0).expect_err("one more is too many");
    assert_eq!(error.kind(), ErrorKind::TooLong);
    assert!(error.to_string().contains("8177 bytes") && error.to_string().contains("8176"));
}

/// N10: a buffer that is too small leaves the message.
#[test]
fn a_small_buffer() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    channel.send(b"hello", 0).expect("there is room");
    for length in [0, 4] {
        let error = channel.try_receive(&mut vec![0; length]).expect_err("it is too long");
        assert_eq!(error.kind(), ErrorKind::TooLong);
        assert!(error.to_string().contains("has 5 bytes"), "{error}");
    }
    assert_eq!(channel.current_messages().expect("it is whole"), 1);
    assert_eq!(channel.receive().expect("it is whole").0, b"hello");
}

#[test]
fn a_message_begins_at_every_place_of_the_ring() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = with_capacity(&name, 4096);
    let message = |round: usize| vec![u8::try_from(round % 251).expect("small"); round * 37 % 1000];
    let mut buffer = [0; 4080];
    // An empty one would go back to the start.
    channel.send(&message(0), 0).expect("there is room");
    for round in 0..5000 {
        channel.send(&message(round + 1), 0).expect("there is room");
        let received = channel.try_receive(&mut buffer).expect("it is whole").expect("it is there");
        assert_eq!(&buffer[..received.length], message(round));
    }
}

/// An empty channel goes back to the start of its ring, and has room for all that it ever had.
#[test]
fn all_fits_wherever_an_empty_channel_begins() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = with_capacity(&name, 1 << 20);
    let most = channel.max_message_size();
    for round in 0..40_u8 {
        let there_and_back = |length: usize| {
            let message = vec![round; length];
            assert!(channel.try_send(&message, 0).expect("it is whole"));
            assert_eq!(channel.receive().expect("it is whole"), (message, 0));
        };
        there_and_back(1000 + 17_000 * usize::from(round));
        // Each takes 100,008 bytes.
        let messages: Vec<Vec<u8>> = (0..10).map(|number| vec![round + number; 100_000]).collect();
        let batch: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let (single, batch) = batch.split_at(usize::from(round % 10));
        for message in single {
            assert!(channel.try_send(message, 0).expect("it is whole"));
        }
        let sent = channel.send_many(batch, 0, Deadline::NOW).expect("it is whole");
        assert_eq!(sent, batch.len());
        let received = channel.receive_many(20, Deadline::NOW).expect("it is whole");
        assert!(received.iter().map(|(bytes, _)| bytes).eq(&messages), "{round}");
        there_and_back(most);
    }
}

/// N6: a batch becomes visible at once, if there is room for all of it.
#[test]
fn batches() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = with_capacity(&name, 4096);
    let message = [7; 500];
    let batch: Vec<&[u8]> = vec![&message; 20];
    // Each takes 512 bytes.
    assert_eq!(channel.send_many(&batch, 0, Deadline::NOW).expect("it is whole"), 8);
    let short = Deadline::after(Duration::from_millis(20));
    assert_eq!(channel.send_many(&batch, 0, short).expect("it is whole"), 0);
    assert_eq!(channel.receive_many(5, Deadline::NOW).expect("it is whole").len(), 5);
    assert_eq!(channel.send_many(&batch[..3], 0, Deadline::NOW).expect("it is whole"), 3);
    assert_eq!(channel.receive_many(100, Deadline::NOW).expect("it is whole").len(), 6);
    let too_long = [0; 4081];
    let error = channel.send_many(&[b"x", &too_long], 0, Deadline::NOW).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::TooLong);
    assert_eq!(channel.current_messages().expect("it is whole"), 0);
    assert!(channel.receive_many(0, Deadline::NEVER).expect("nothing is asked for").is_empty());
}

/// N11: the highest priority first, and in order within one.
#[test]
fn priorities() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = Channel::options()
        .priorities(Channel::MAX_PRIORITIES)
        .existence(Existence::Create)
        .open(&*name)
        .expect("a new channel");
    for (number, priority) in [(0, 3), (1, 7), (2, 0), (3, 7), (4, 3)] {
        channel.send(&[number], priority).expect("there is room");
    }
    let received = channel.receive_many(9, Deadline::NOW).expect("it is whole");
    let expected = [(1, 7), (3, 7), (0, 3), (4, 3), (2, 0)];
    assert_eq!(received, expected.map(|(number, priority)| (vec![number], priority)));
    let error = channel.send(b"x", 8).expect_err("there is no such");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("priorities"), "{error}");
}

#[test]
fn directions() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let open = |direction| Channel::options().direction(direction).open(&*name).expect("there");
    let (sender, receiver) = (open(Direction::Send), open(Direction::Receive));
    let wrong = |error: nob_ipc::Error| assert_eq!(error.kind(), ErrorKind::WrongDirection);
    wrong(receiver.send(b"x", 0).expect_err("it receives only"));
    wrong(receiver.try_send(b"x", 0).expect_err("it receives only"));
    wrong(sender.receive().expect_err("it sends only"));
    wrong(sender.try_receive(&mut [0; 9]).expect_err("it sends only"));
    sender.send(b"x", 0).expect("there is room");
    wrong(sender.receive().expect_err("it sends only"));
    assert_eq!(receiver.receive().expect("it is whole").0, b"x");
    assert_eq!(channel.current_messages().expect("it is whole"), 0);
}

#[test]
fn without_blocking() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = with_capacity(&name, 4096);
    channel.set_blocking(false);
    assert_eq!(channel.receive().expect_err("nothing is there").raw_os_error(), Some(libc::EAGAIN));
    assert!(channel.receive_timeout(Duration::from_secs(60)).expect("at once").is_none());
    channel.send(&[0; 4080], 0).expect("there is room");
    let full = channel.send(b"x", 0).expect_err("it is full");
    assert_eq!(full.raw_os_error(), Some(libc::EAGAIN));
    assert!(!channel.send_timeout(b"x", 0, Duration::from_secs(60)).expect("at once"));
}
