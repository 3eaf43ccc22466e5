//! Who waits for a message, or for room, is woken by other processes; what a batch does with its time.

use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Channel, Deadline, Existence};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, Waiter, hear, say, thread_id, wait_until, wait_until_in,
    watchdog,
};

pub const ROLES: &[Role] =
    &[("channel_waits::sends", sends), ("channel_waits::receives", receives)];

const LONG: Duration = Duration::from_secs(3600);

fn small_channel(name: &str) -> Channel {
    Channel::options()
        .capacity(4096)
        .priorities(2)
        .existence(Existence::Create)
        .open(name)
        .expect("a new channel")
}

/// Sends when told; says when it has.
fn sends(arguments: &Arguments) {
    let channel = Channel::options().open(arguments.text(0)).expect("it is there");
    let message = vec![7; channel.max_message_size()];
    say(thread_id());
    for _ in 0..arguments.number(1) {
        hear();
        channel.send(&message, 0).expect("it is whole");
        say("sent");
    }
}

/// Receives when told; says how much it was.
fn receives(arguments: &Arguments) {
    let channel = Channel::options().open(arguments.text(0)).expect("it is there");
    say(thread_id());
    for _ in 0..arguments.number(1) {
        hear();
        say(channel.receive().expect("it is whole").0.len());
    }
}

/// Both sides sleep in other processes, and are served.
#[test]
fn woken_by_another_process() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = small_channel(&name);
    let mut receiver = Child::start("channel_waits::receives", &[&name, &20]);
    let mut sender = Child::start("channel_waits::sends", &[&name, &20]);
    let thread = |child: &mut Child| child.hear().parse().expect("an id");
    let threads = [thread(&mut receiver), thread(&mut sender)];
    let sleeps = |child: &Child, thread| wait_until_in(child.id(), thread, &[libc::SYS_futex]);
    for round in 0..20 {
        receiver.say("go");
        sleeps(&receiver, threads[0]);
        channel.send(&vec![1; round], 1).expect("there is room");
        receiver.expect(&round.to_string());

        channel.send(b"x", 0).expect("there is room");
        sender.say("go");
        sleeps(&sender, threads[1]);
        assert_eq!(channel.current_messages().expect("it is whole"), 1);
        channel.receive().expect("it is whole");
        sender.expect("sent");
        assert_eq!(channel.receive().expect("it is whole").0.len(), 4080);
    }
    receiver.finish();
    sender.finish();
}

/// Each message wakes one of those who sleep, and all are served in the end.
#[test]
fn many_sleepers() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = small_channel(&name);
    thread::scope(|scope| {
        let receive = || channel.receive_timeout(LONG).expect("it is whole").is_some();
        let mut sleepers: Vec<_> =
            (0..6).map(|_| Waiter::start_in(scope, libc::SYS_futex, receive)).collect();
        while !sleepers.is_empty() {
            channel.send(b"x", 0).expect("there is room");
            wait_until(|| sleepers.iter().any(Waiter::has_ended));
            let ended = sleepers.iter().position(Waiter::has_ended).expect("one has");
            assert!(sleepers.swap_remove(ended).join());
        }
        // A batch wakes as many.
        let sleepers: Vec<_> =
            (0..6).map(|_| Waiter::start_in(scope, libc::SYS_futex, receive)).collect();
        assert_eq!(channel.send_many(&[&b"x"[..]; 6], 1, Deadline::NOW).expect("it is whole"), 6);
        assert!(sleepers.into_iter().all(Waiter::join));
        // Room for all wakes all.
        let full = vec![0; channel.max_message_size()];
        channel.send(&full, 0).expect("there is room");
        let send = || channel.send_timeout(b"x", 0, LONG).expect("it is whole");
        let sleepers: Vec<_> =
            (0..6).map(|_| Waiter::start_in(scope, libc::SYS_futex, send)).collect();
        assert!(channel.try_send(b"x", 1).expect("it is whole"), "that one has room");
        assert_eq!(channel.receive_many(2, Deadline::NOW).expect("it is whole").len(), 2);
        assert!(sleepers.into_iter().all(Waiter::join));
        assert_eq!(channel.current_messages().expect("it is whole"), 6);
    });
}

/// N6: a batch larger than the ring goes through it while somebody receives.
#[test]
fn a_batch_larger_than_the_ring() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = small_channel(&name);
    let messages: Vec<Vec<u8>> = (0..200_u8).map(|number| vec![number; 700]).collect();
    let batch: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    thread::scope(|scope| {
        let sender = scope.spawn(|| channel.send_many(&batch, 0, Deadline::NEVER));
        let mut received = Vec::new();
        while received.len() < messages.len() {
            let more = channel.receive_many(usize::MAX, Deadline::NEVER).expect("it is whole");
            received.extend(more.into_iter().map(|(bytes, _)| bytes));
        }
        assert_eq!(sender.join().expect("it ends").expect("it is whole"), messages.len());
        assert!(received == messages, "in order");
    });
}

/// N6: when the time is over, what was sent is sent.
#[test]
fn a_batch_and_its_time() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = small_channel(&name);
    let message = [7; 1000];
    let batch = [&message[..]; 6];
    let timeout = Duration::from_millis(50);
    let before = Instant::now();
    let sent = channel.send_many(&batch, 0, Deadline::after(timeout)).expect("it is whole");
    assert!(sent == 4 && before.elapsed() >= timeout, "{sent}");
    // The time of a handle that does not block is over at once.
    let other = Channel::options().open(&*name).expect("it is there");
    other.set_blocking(false);
    assert_eq!(other.send_many(&batch, 1, Deadline::NEVER).expect("it is whole"), 4);
    assert_eq!(channel.receive_many(3, Deadline::NOW).expect("it is whole").len(), 3);
    let checked = Deadline::after(timeout).checked_every(Duration::from_millis(1));
    assert_eq!(channel.send_many(&batch, 1, checked).expect("it is whole"), 3);
}

/// What is set to be non-blocking does not go on waiting for long.
#[test]
fn a_waiter_that_must_not_block_any_more() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = small_channel(&name);
    thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_futex, || channel.receive_timeout(LONG));
        channel.set_blocking(false);
        assert!(waiter.join().expect("it is whole").is_none());
    });
    assert!(!channel.is_blocking());
    let other = Channel::options().open(&*name).expect("it is there");
    assert!(other.is_blocking(), "that is of the handle");
}
