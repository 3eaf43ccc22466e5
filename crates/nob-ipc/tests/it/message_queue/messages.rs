//! Messages, priorities, directions and attributes of queues.

use std::fs;
use std::ops::ControlFlow;
use std::time::Duration;

use nob_ipc::{Deadline, Direction, ErrorKind, Existence, MessageQueue, Messages, Received};
use nob_ipc_testing::{Unique, watchdog};

use crate::support::{assert_refused, new_queue};

fn link(name: &str, direction: Direction) -> MessageQueue {
    MessageQueue::options().direction(direction).open(name).expect("the queue is there")
}

fn messages(queue: &MessageQueue) -> usize {
    queue.current_messages().expect("a number")
}

/// M1, M2.
#[test]
fn capacities() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 3, 17);
    assert_eq!((queue.max_messages(), queue.max_message_size()), (3, 17));
    let linked = link(&name, Direction::Both);
    assert_eq!((linked.max_messages(), linked.max_message_size()), (3, 17));
    drop(queue);

    let limit = |name: &str| -> usize {
        let path = format!("/proc/sys/fs/mqueue/{name}");
        fs::read_to_string(path).expect("queues have limits").trim().parse().expect("a number")
    };
    let mut options = MessageQueue::options();
    options.existence(Existence::Create);
    let queue = options.max_message_size(8).open(&*name).expect("a new queue");
    assert_eq!(queue.max_messages(), limit("msg_default").min(limit("msg_max")));
    drop(queue);
    let mut options = MessageQueue::options();
    options.existence(Existence::Create);
    let queue = options.max_messages(1).open(&*name).expect("a new queue");
    assert_eq!(queue.max_message_size(), limit("msgsize_default").min(limit("msgsize_max")));
}

/// M17, M19, M53: bytes of every length come back as they were, without a tail of earlier ones.
#[test]
fn messages_are_opaque() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 100);
    let mut buffer = [0xaa; 120];
    for length in (0..=100_u8).rev() {
        let message: Vec<u8> = (0..length).map(|index| index.wrapping_mul(length)).collect();
        assert!(queue.try_send(&message, 0).expect("there is room"));
        buffer.fill(0xaa);
        let received = queue.try_receive(&mut buffer).expect("there is a message");
        assert_eq!(received, Some(Received { length: message.len(), priority: 0 }));
        assert_eq!(buffer[..message.len()], message);
        queue.send(&message, 9).expect("there is room");
        assert_eq!(queue.receive().expect("there is a message"), (message, 9));
    }
}

/// M18.
#[test]
fn a_message_too_long() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 10);
    for full in [false, true] {
        let sent = queue.send_until(&[0; 11], 0, Deadline::NOW);
        let error = assert_refused(sent, &name, ErrorKind::TooLong, Some(libc::EMSGSIZE));
        assert!(error.message().contains("11 bytes") && error.message().contains("10"), "{error}");
        assert_eq!(messages(&queue), usize::from(full));
        if !full {
            queue.send(&[0; 10], 0).expect("just short enough");
        }
    }
}

/// M19: nothing is taken when the buffer could be too small.
#[test]
fn a_buffer_too_short() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 10);
    queue.send(b"short", 0).expect("there is room");
    let received = queue.try_receive(&mut [0; 9]);
    let error = assert_refused(received, &name, ErrorKind::InvalidArgument, None);
    assert!(error.message().contains("9 bytes"), "{error}");
    assert_eq!(messages(&queue), 1);
}

/// M21, M22.
#[test]
fn priorities() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 8, 1);
    for (message, priority) in [(b"a", 0), (b"b", 5), (b"c", MessageQueue::MAX_PRIORITY)] {
        queue.send(message, priority).expect("there is room");
    }
    assert_eq!(queue.receive().expect("a message"), (b"c".to_vec(), 32_767));
    for (message, priority) in [(b"d", 5), (b"e", 0), (b"f", 6), (b"g", 5)] {
        queue.send(message, priority).expect("there is room");
    }
    let order: Vec<u8> = (0..6).map(|_| queue.receive().expect("a message").0[0]).collect();
    assert_eq!(order, b"fbdgae");
    for priority in [MessageQueue::MAX_PRIORITY + 1, u32::MAX] {
        let sent = queue.try_send(b"x", priority);
        let error = assert_refused(sent, &name, ErrorKind::InvalidArgument, None);
        assert!(error.message().contains(&priority.to_string()), "{error}");
    }
    assert_eq!(messages(&queue), 0);
}

/// M11, M12.
#[test]
fn directions() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let both = new_queue(&name, 4, 8);
    let sender = link(&name, Direction::Send);
    let receiver = link(&name, Direction::Receive);
    assert_eq!(sender.direction(), Direction::Send);
    sender.send(b"1", 0).expect("there is room");
    both.send(b"2", 0).expect("there is room");
    assert_eq!(receiver.receive().expect("a message").0, b"1");
    assert_eq!(both.receive().expect("a message").0, b"2");

    let wrong_way = sender.try_receive(&mut [0; 8]);
    assert_refused(wrong_way, &name, ErrorKind::WrongDirection, None);
    assert_refused(sender.receive(), &name, ErrorKind::WrongDirection, None);
    let wrong_way = receiver.try_send(b"x", 0);
    assert_refused(wrong_way, &name, ErrorKind::WrongDirection, None);
    assert_refused(receiver.send(b"x", 0), &name, ErrorKind::WrongDirection, None);
    assert_eq!((messages(&sender), messages(&receiver)), (0, 0));
}

/// M15.
#[test]
fn counting() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 5, 1);
    for round in 1..=5 {
        assert!(queue.try_send(b"", 0).expect("there is room"));
        assert_eq!(messages(&queue), round);
    }
    assert!(!queue.try_send(b"", 9).expect("it is full"));
    assert_eq!(messages(&queue), 5);
    for left in (0..5).rev() {
        queue.receive().expect("a message");
        assert_eq!(messages(&link(&name, Direction::Send)), left);
    }
}

/// M13, M14, M24, M28: a queue that does not block returns at once, whatever the deadline.
#[test]
fn without_blocking() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 1);
    let other = link(&name, Direction::Both);
    assert!(queue.is_blocking().expect("a flag"));
    queue.set_blocking(false).expect("it can be changed");
    assert!(!queue.is_blocking().expect("a flag"));
    assert!(other.is_blocking().expect("a flag"), "the flag belongs to one handle");
    assert_eq!((queue.max_messages(), queue.max_message_size()), (1, 1));

    let long = Duration::from_secs(3600);
    assert_eq!(queue.receive_timeout(long).expect("no wait"), None);
    assert_eq!(queue.receive_until(&mut [0], Deadline::NEVER).expect("no wait"), None);
    assert_refused(queue.receive(), &name, ErrorKind::Other, Some(libc::EAGAIN));
    assert!(queue.send_timeout(b"x", 0, long).expect("there is room"));
    assert!(!queue.send_timeout(b"y", 9, long).expect("no wait"));
    assert!(!queue.send_until(b"y", 9, Deadline::NEVER).expect("no wait"));
    assert_refused(queue.send(b"y", 9), &name, ErrorKind::Other, Some(libc::EAGAIN));
    assert_eq!(other.receive().expect("a message").0, b"x");

    queue.set_blocking(true).expect("it can be changed");
    assert!(queue.is_blocking().expect("a flag"));
    let short = Duration::from_millis(2);
    assert_eq!(queue.receive_timeout(short).expect("a wait"), None);
}

/// M51: messages stay when nobody has the queue open, in their order.
#[test]
fn messages_stay() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 3, 1);
    queue.ownership().set_unlink_on_drop(false).expect("it is ours");
    for (message, priority) in [(b"3", 0), (b"1", 2), (b"2", 2)] {
        queue.send(message, priority).expect("there is room");
    }
    drop(queue);
    let queue = link(&name, Direction::Receive);
    let order = [(); 3].map(|()| queue.receive().expect("a message").0[0]);
    assert_eq!(&order, b"123");
    queue.ownership().unlink().expect("it is ours");
}

/// A batch ends where there is no room, or where a message is refused; what was sent is counted.
#[test]
fn batches_of_messages() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 3);
    let send = |messages: &[&[u8]]| queue.try_send_many(&mut messages.iter().copied(), 5);
    assert_eq!(send(&[]).expect("nothing to send"), 0);
    assert_eq!(send(&[b"one", b"two", b"longer", b"6"]).expect("two were sent"), 2);
    let refused = send(&[b"longer", b"6"]);
    assert_refused(refused, &name, ErrorKind::TooLong, Some(libc::EMSGSIZE));
    assert_eq!(send(&[b"3", b"4", b"5", b"6"]).expect("two were sent"), 2);
    assert_eq!(send(&[b"5"]).expect("there is no room"), 0);

    let mut buffer = [0; 3];
    let mut taken = Vec::new();
    let mut receive = |most, stop: &[u8]| {
        let received = queue.try_receive_many(&mut buffer, most, &mut |message, priority| {
            taken.push((message.to_vec(), priority));
            if message == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        (received.expect("it is open for receiving"), std::mem::take(&mut taken))
    };
    let message = |bytes: &[u8]| (bytes.to_vec(), 5);
    assert_eq!(receive(0, b""), (0, vec![]));
    assert_eq!(receive(1, b""), (1, vec![message(b"one")]));
    assert_eq!(receive(9, b"3"), (2, vec![message(b"two"), message(b"3")]));
    assert_eq!(receive(9, b""), (1, vec![message(b"4")]));
    assert_eq!(receive(9, b""), (0, vec![]));
    let sender = link(&name, Direction::Send);
    let refused = sender.try_receive_many(&mut buffer, 1, &mut |_, _| ControlFlow::Continue(()));
    assert_refused(refused, &name, ErrorKind::WrongDirection, None);
}
