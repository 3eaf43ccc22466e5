//! Messages, attributes and notifications.

use std::cell::Cell;
use std::time::Duration;

use super::traces::unique;
use super::{Case, ERRNOS, Subject, alone, sweep, sweep_with};
use crate::sys::Errno;
use crate::sys::fault::inject;
use crate::{Deadline, MessageQueue, Result, Watch};

const CAPACITY: u32 = 2;

/// A wait tries dozens of times before it sleeps, so not each errno is tried on each.
const WAITING: &[Errno] = &[Errno::INTR, Errno::NOMEM];

const NO_SIGNAL: &[Errno] = ERRNOS.split_at(1).1;

/// A queue with some messages.
fn filled(name: &str, messages: u32) -> MessageQueue {
    let queue = MessageQueue::create(name, CAPACITY);
    fill(&queue, messages);
    queue
}

fn fill(queue: &MessageQueue, messages: u32) {
    while messages_in(queue) > messages {
        queue.receive().expect("a message");
    }
    while messages_in(queue) < messages {
        queue.send(b"before", 0).expect("there is room");
    }
}

fn messages_in(queue: &MessageQueue) -> u32 {
    queue.current_messages().expect("a number").try_into().expect("small queues")
}

/// What comes of an operation on a queue with some messages: another number of them, or none.
fn operate<T>(before: u32, after: u32, run: &dyn Fn(&MessageQueue) -> Result<T>) {
    operate_with(&ERRNOS, before, after, run);
}

fn operate_with<T>(
    errnos: &[Errno],
    before: u32,
    after: u32,
    run: &dyn Fn(&MessageQueue) -> Result<T>,
) {
    sweep_with(
        errnos,
        &Case {
            ground: &|name| filled(name, before),
            run: &|queue| run(queue),
            done: &|queue, _| {
                assert_eq!(messages_in(queue), after);
                fill(queue, before);
            },
            undone: &|queue, _| assert_eq!(messages_in(queue), before),
            goes_on_after_signals: false,
        },
    );
}

/// In time for an end, too late for a beginning.
fn soon() -> Deadline {
    Deadline::after(Duration::from_micros(300))
}

#[test]
fn sending() {
    alone(|| {
        for deadline in [Deadline::NEVER, Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL)] {
            operate(1, 2, &|queue| queue.send_until(b"x", 9, deadline));
        }
        for before in [1, 2] {
            operate_with(NO_SIGNAL, before, 2, &|queue| queue.try_send(b"x", 9));
        }
        operate_with(WAITING, 2, 2, &|queue| queue.send_until(b"x", 9, soon()));
        operate_with(WAITING, 2, 2, &|queue| {
            queue.send_until(b"x", 9, soon().checked_every(Deadline::CHECK_INTERVAL))
        });
    });
}

#[test]
fn receiving() {
    alone(|| {
        for deadline in [Deadline::NEVER, Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL)] {
            operate(1, 0, &|queue| queue.receive_until(&mut [0; 8], deadline));
        }
        for before in [1, 0] {
            operate_with(NO_SIGNAL, before, 0, &|queue| queue.try_receive(&mut [0; 8]));
        }
        operate_with(WAITING, 0, 0, &|queue| queue.receive_until(&mut [0; 8], soon()));
        operate_with(WAITING, 0, 0, &|queue| {
            queue.receive_until(&mut [0; 8], soon().checked_every(Deadline::CHECK_INTERVAL))
        });
    });
}

/// The kernel looks at signals only when it would wait: to a call that does not, that is an answer.
#[test]
fn a_signal_to_a_call_that_does_not_wait() {
    alone(|| {
        let name = unique();
        let queue = filled(&name, 1);
        let (sent, failed) = inject(1, true, Errno::INTR, || queue.try_send(b"x", 9));
        assert!(!sent.expect("an answer") && failed == 1);
        let (received, failed) = inject(1, true, Errno::INTR, || queue.try_receive(&mut [0; 8]));
        assert!(received.expect("an answer").is_none() && failed == 1);
        assert_eq!(messages_in(&queue), 1);
    });
}

/// Signals that never end do not make a wait outlast its time.
#[test]
fn signals_without_end() {
    alone(|| {
        let name = unique();
        let queue = MessageQueue::create(&name, CAPACITY);
        let timeout = Duration::from_millis(2);
        let (received, failed) = inject(2, true, Errno::INTR, || queue.receive_timeout(timeout));
        assert!(received.expect("time is up").is_none() && failed > 0);
        fill(&queue, CAPACITY);
        let (sent, failed) = inject(2, true, Errno::INTR, || queue.send_timeout(b"x", 0, timeout));
        assert!(!sent.expect("time is up") && failed > 0);
    });
}

#[test]
fn attributes() {
    alone(|| {
        operate(1, 1, &MessageQueue::current_messages);
        operate(1, 1, &MessageQueue::is_blocking);
        sweep(&Case {
            ground: &|name| filled(name, 0),
            run: &|queue: &MessageQueue| queue.set_blocking(false),
            done: &|queue, ()| {
                assert!(!queue.is_blocking().expect("a flag"));
                queue.set_blocking(true).expect("it can be changed");
            },
            undone: &|queue, _| assert!(queue.is_blocking().expect("a flag")),
            goes_on_after_signals: false,
        });
    });
}

/// Registering, replacing and withdrawing: an earlier request may be lost, and nothing else.
#[test]
fn notifications() {
    alone(|| {
        operate(0, 0, &MessageQueue::watch);
        operate(0, 0, &MessageQueue::cancel_notification);
        operate(0, 0, &|queue| queue.notify_by_signal(libc::SIGURG));
        sweep(&Case {
            ground: &|name| (watched(name), Cell::new(true)),
            run: &|((queue, _), _)| queue.watch(),
            done: &|((queue, earlier), waiting), watch| {
                if waiting.replace(false) {
                    assert!(!earlier.wait().expect("an answer"), "it was replaced");
                }
                assert_fires(queue, watch.as_ref().expect("nobody else is registered"));
            },
            undone: &|_, _| {},
            goes_on_after_signals: false,
        });
    });
}

/// An empty queue, and a request of this process.
fn watched(name: &str) -> (MessageQueue, Watch) {
    let queue = filled(name, 0);
    let watch = queue.watch().expect("an answer");
    (queue, watch.expect("nobody else is registered"))
}

fn assert_fires(queue: &MessageQueue, watch: &Watch) {
    queue.send(b"x", 0).expect("there is room");
    assert!(watch.wait().expect("a notification"));
    queue.receive().expect("a message");
}

/// Closing a handle never fails, whatever the calls that renew a registration come back with; and
/// afterwards the process can register as before.
#[test]
fn closing() {
    alone(|| {
        sweep(&Case {
            ground: &watched,
            run: &|(queue, _)| {
                let other = MessageQueue::options().open_named(queue.ownership().name())?;
                drop(other);
                Ok(())
            },
            done: &|(queue, _), ()| {
                let again = queue.watch().expect("an answer");
                assert_fires(queue, &again.expect("nobody else is registered"));
            },
            undone: &|_, _| {},
            goes_on_after_signals: false,
        });
    });
}
