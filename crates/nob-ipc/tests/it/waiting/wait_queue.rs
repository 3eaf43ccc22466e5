//! Who gets a message when several wait: in the kernel's line without a timeout, beside it with one.

use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Direction, MessageQueue};
use nob_ipc_testing::{Unique, Waiter, watchdog};

use crate::support::new_queue;

/// M26, M52: who waits in the kernel is served in the order of arrival, each once.
#[test]
fn receivers_stand_in_line() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    thread::scope(|scope| {
        let receivers: Vec<_> = (0..4)
            .map(|_| Waiter::start_in(scope, libc::SYS_mq_timedreceive, || queue.receive()))
            .collect();
        for message in [b"1", b"2", b"3", b"4"] {
            queue.send(message, 0).expect("somebody takes it");
        }
        for (receiver, message) in receivers.into_iter().zip([b"1", b"2", b"3", b"4"]) {
            assert_eq!(receiver.join().expect("a message").0, message);
        }
    });
    assert_eq!(queue.current_messages().expect("a number"), 0);
}

/// M26: and so are senders, whatever their priority.
#[test]
fn senders_stand_in_line() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    queue.send(b"0", 0).expect("there is room");
    thread::scope(|scope| {
        let senders: Vec<_> = [(b"1", 0), (b"2", 9), (b"3", 5)]
            .map(|(message, priority)| {
                let queue = &queue;
                let send = move || queue.send(message, priority);
                Waiter::start_in(scope, libc::SYS_mq_timedsend, send)
            })
            .into();
        let order = [(); 4].map(|()| queue.receive().expect("a message").0[0]);
        assert_eq!(&order, b"0123");
        for sender in senders {
            sender.join().expect("it was sent");
        }
    });
}

/// M37, M42: without a timeout a message is handed over directly: it never is in the queue, and
/// who asked to be notified does not hear of it.
#[test]
fn direct_hand_over() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    let watch = queue.watch().expect("an answer").expect("nobody else is registered");
    for deadline in [Deadline::NEVER, Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL)] {
        thread::scope(|scope| {
            let receiver = Waiter::start_in(scope, libc::SYS_mq_timedreceive, || {
                nob_ipc::retry_on_interrupt(|| queue.receive_until(&mut [0; 8], deadline))
            });
            queue.send(b"x", 0).expect("somebody takes it");
            assert_eq!(queue.current_messages().expect("a number"), 0);
            assert_eq!(receiver.join().expect("a message").map(|got| got.length), Some(1));
        });
    }
    queue.cancel_notification().expect("it is ours");
    assert!(!watch.wait().expect("an answer"), "it was withdrawn and had not fired");
}

/// M39: who waits with a timeout does not hold back a notification.
#[test]
fn a_timed_receiver_and_a_notification() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    let watch = queue.watch().expect("an answer").expect("nobody else is registered");
    thread::scope(|scope| {
        let receiver = Waiter::start_in(scope, libc::SYS_ppoll, || {
            queue.receive_timeout(Duration::from_secs(3600))
        });
        queue.send(b"x", 0).expect("there is room");
        assert!(watch.wait().expect("a notification"));
        assert!(receiver.join().expect("a message").is_some());
    });
}

/// M31: of several that wait with a timeout one gets the message, and the others go on waiting.
#[test]
fn a_message_that_another_was_quicker_to_take() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    let timeout = Duration::from_millis(300);
    thread::scope(|scope| {
        let receivers = [(); 3].map(|()| {
            Waiter::start_in(scope, libc::SYS_ppoll, || {
                let before = Instant::now();
                let received = queue.receive_timeout(timeout).expect("a wait");
                assert!(received.is_some() || before.elapsed() >= timeout);
                received.is_some()
            })
        });
        queue.send(b"x", 0).expect("there is room");
        let served = receivers.map(Waiter::join).into_iter().filter(|&served| served).count();
        assert_eq!(served, 1);
    });
}

/// M38: who waits in the kernel takes the room before who waits with a timeout sees it.
#[test]
fn room_for_the_one_in_line() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    queue.send(b"0", 0).expect("there is room");
    thread::scope(|scope| {
        let timed = Waiter::start_in(scope, libc::SYS_ppoll, || {
            queue.send_timeout(b"2", 0, Duration::from_secs(3600))
        });
        let in_line = Waiter::start_in(scope, libc::SYS_mq_timedsend, || queue.send(b"1", 0));
        assert_eq!(queue.receive().expect("a message").0, b"0");
        in_line.join().expect("it was sent");
        assert_eq!(queue.current_messages().expect("a number"), 1);
        assert!(!timed.has_ended());
        assert_eq!(queue.receive().expect("a message").0, b"1");
        assert!(timed.join().expect("it was sent"));
    });
    assert_eq!(queue.receive().expect("a message").0, b"2");
}

/// M35, M36: the descriptor can be polled, whatever the direction, and unlinking does not show.
#[test]
fn readiness() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 2, 8);
    let mut options = MessageQueue::options();
    let sender = options.direction(Direction::Send).open(&*name).expect("it is there");
    for (messages, expected) in
        [(0, libc::POLLOUT), (1, libc::POLLIN | libc::POLLOUT), (2, libc::POLLIN)]
    {
        while queue.current_messages().expect("a number") < messages {
            sender.send(b"x", 0).expect("there is room");
        }
        assert_eq!((poll(&queue), poll(&sender)), (expected, expected));
    }
    queue.ownership().unlink().expect("it is ours");
    assert_eq!(poll(&queue), libc::POLLIN);
}

fn poll(queue: &MessageQueue) -> i16 {
    let events = libc::POLLIN | libc::POLLOUT;
    let mut entry = libc::pollfd { fd: queue.as_fd().as_raw_fd(), events, revents: 0 };
    // SAFETY: one valid entry that outlives the call.
    assert_ne!(unsafe { libc::poll(&raw mut entry, 1, 0) }, -1);
    entry.revents
}
