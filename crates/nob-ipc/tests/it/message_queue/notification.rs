//! Notifications of a queue's first message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nob_ipc::{Direction, ErrorKind, MessageQueue};
use nob_ipc_testing::{Arguments, Child, Role, Unique, files::Trace, hear, say, signals, watchdog};

use crate::support::{assert_refused, new_queue};

pub const ROLES: &[Role] = &[
    ("notification::register", register),
    ("notification::by_signal", |_| by_signal_role()),
    ("notification::send", send),
    ("notification::opening_and_closing", |_| opening_and_closing_role()),
];

fn link(name: &str) -> MessageQueue {
    MessageQueue::options().open(name).expect("the queue is there")
}

fn watch(queue: &MessageQueue) -> nob_ipc::Watch {
    queue.watch().expect("an answer").expect("no other process is registered")
}

/// M40: once, when the queue is no longer empty.
#[test]
fn once() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    for _ in 0..10 {
        let watch = watch(&queue);
        queue.send(b"1", 0).expect("there is room");
        assert!(watch.wait().expect("a notification"));
        queue.send(b"2", 0).expect("there is room");
        for _ in 0..2 {
            queue.receive().expect("a message");
        }
    }
}

/// M40: a message to a queue that has one already is not told.
#[test]
fn not_when_it_is_not_the_first() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    queue.send(b"1", 0).expect("there is room");
    let watch = watch(&queue);
    queue.send(b"2", 0).expect("there is room");
    queue.cancel_notification().expect("it is ours");
    assert!(!watch.wait().expect("an answer"));
}

/// M43: cancelling is always fine.
#[test]
fn cancelling() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    for _ in 0..1000 {
        queue.cancel_notification().expect("there is none");
    }
    let first = watch(&queue);
    queue.cancel_notification().expect("it is ours");
    assert!(!first.wait().expect("an answer"));
    // Dropping a watch withdraws it too, and is fine after it has fired.
    drop(watch(&queue));
    let last = watch(&queue);
    queue.send(b"x", 0).expect("there is room");
    assert!(last.wait().expect("a notification"));
    drop(last);
    drop(first);
    queue.cancel_notification().expect("there is none");
}

/// M41: a new request of this process replaces the earlier one.
#[test]
fn replacing() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (queue, other) = (new_queue(&name, 4, 8), link(&name));
    let first = watch(&queue);
    let second = watch(&other);
    assert!(!first.wait().expect("an answer"));
    drop(first);
    queue.send(b"x", 0).expect("there is room");
    assert!(second.wait().expect("a notification"));
}

/// M41, M43, M45: one process is registered; it may be asked for, but not taken away, until it dies.
#[test]
fn another_process() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    let mut other = Child::start("notification::register", &[&name]);
    other.expect("registered");
    assert!(queue.watch().expect("an answer").is_none());
    assert!(!queue.notify_by_signal(libc::SIGUSR1).expect("an answer"));
    queue.cancel_notification().expect("another's stays");
    assert!(queue.watch().expect("an answer").is_none());
    other.kill();
    drop(watch(&queue));

    // What it asked for comes, and then the place is free.
    let mut other = Child::start("notification::register", &[&name]);
    other.expect("registered");
    queue.send(b"x", 0).expect("there is room");
    other.expect("notified");
    queue.receive().expect("a message");
    let watch = watch(&queue);
    queue.send(b"x", 0).expect("there is room");
    assert!(watch.wait().expect("a notification"));
    other.say("end");
    other.finish();
}

fn register(arguments: &Arguments) {
    let queue = link(arguments.text(0));
    let watch = watch(&queue);
    say("registered");
    assert!(watch.wait().expect("a notification"));
    say("notified");
    assert_eq!(hear(), "end");
}

/// M44: closing another handle of the same queue ends the kernel's registration, which is renewed.
#[test]
fn closing_another_handle() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    let watch = watch(&queue);
    for direction in [Direction::Both, Direction::Receive, Direction::Send] {
        let mut options = MessageQueue::options();
        drop(options.direction(direction).open(&*name).expect("it is there"));
    }
    let stays = link(&name);
    // Looking whose the name is opens the queue, and closes it again.
    queue.ownership().unlink().expect("it is ours");
    stays.ownership().unlink().expect_err("it is gone");
    queue.send(b"x", 0).expect("there is room");
    assert!(watch.wait().expect("a notification"));
    // After it has fired, nothing is renewed.
    drop(stays);
    assert!(queue.receive().is_ok());
}

/// M44: however often, and also when nobody looks at the watch meanwhile.
#[test]
fn closing_other_handles_often() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    let watch = watch(&queue);
    for _ in 0..2000 {
        drop(link(&name));
    }
    queue.send(b"x", 0).expect("there is room");
    assert!(watch.wait().expect("a notification"));
}

/// Contract 6: closing the handle itself ends its request.
#[test]
fn closing_its_own_handle() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (queue, other) = (new_queue(&name, 4, 8), link(&name));
    let first = watch(&queue);
    drop(queue);
    assert!(!first.wait().expect("an answer"));
    let second = watch(&other);
    drop(first);
    other.send(b"x", 0).expect("there is room");
    assert!(second.wait().expect("a notification"));
}

/// A handle that may only send can ask, too.
#[test]
fn a_sender_can_ask() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    let mut options = MessageQueue::options();
    let sender = options.direction(Direction::Send).open(&*name).expect("it is there");
    let watch = watch(&sender);
    drop(link(&name));
    queue.send(b"x", 0).expect("there is room");
    assert!(watch.wait().expect("a notification"));
}

/// M47: numbers that are no signal.
#[test]
fn numbers_that_are_no_signal() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    // glibc keeps two for itself, which end the process.
    for number in [0, -1, 32, 33, 65, i32::MIN, i32::MAX] {
        let refused = queue.notify_by_signal(number);
        assert_refused(refused, &name, ErrorKind::InvalidArgument, None);
    }
    drop(watch(&queue));
}

/// M46: the signal tells what it is about, and who has sent the message.
#[test]
fn by_signal() {
    let _watchdog = watchdog();
    Child::run("notification::by_signal", &[]);
}

fn by_signal_role() {
    const MESSAGE_QUEUE: i32 = libc::SI_MESGQ;
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    for number in [libc::SIGUSR1, libc::SIGRTMIN() + 1, 64] {
        signals::handle(number, libc::SA_RESTART);
        assert!(queue.notify_by_signal(number).expect("an answer"));
        assert!(queue.notify_by_signal(number).expect("an answer"), "it replaces its own");
        let sender = Child::start("notification::send", &[&name]);
        let pid = sender.id();
        sender.finish();
        while signals::handled(number) == 0 {
            thread::yield_now();
        }
        assert_eq!(signals::origin(number), (MESSAGE_QUEUE, pid));
        queue.send(b"x", 0).expect("there is room");
        assert_eq!(signals::handled(number), 1, "one shot");
        for _ in 0..2 {
            queue.receive().expect("a message");
        }
    }
    // A watch in place of a signal, and the other way round.
    let number = libc::SIGUSR2;
    signals::handle(number, libc::SA_RESTART);
    assert!(queue.notify_by_signal(number).expect("an answer"));
    let watch = watch(&queue);
    queue.send(b"x", 0).expect("there is room");
    assert!(watch.wait().expect("a notification"));
    assert_eq!(signals::handled(number), 0);
}

fn send(arguments: &Arguments) {
    link(arguments.text(0)).send(b"x", 0).expect("there is room");
}

/// M44: other threads open and close handles of the queue all the time; no notification is lost.
#[test]
fn opening_and_closing() {
    let _watchdog = watchdog();
    Child::run("notification::opening_and_closing", &[]);
}

fn opening_and_closing_role() {
    const ROUNDS: u32 = 3000;
    let name = Unique::new();
    let _queue = new_queue(&name, 4, 8);
    let (report, reports) = mpsc::channel();
    // Threads that hang cannot be joined: the role ends without them.
    let watcher = link(&name);
    thread::spawn(move || {
        for _ in 0..ROUNDS {
            let watch = watch(&watcher);
            watcher.send(b"x", 0).expect("there is room");
            let notified = watch.wait().expect("an answer");
            watcher.receive().expect("a message");
            report.send(notified).expect("the test listens");
        }
    });
    let done = Arc::new(AtomicBool::new(false));
    let closers = [(); 2].map(|()| {
        let (name, done) = (name.to_string(), Arc::clone(&done));
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                drop(link(&name));
            }
        })
    });
    for round in 0..ROUNDS {
        match reports.recv_timeout(Duration::from_secs(10)) {
            Ok(notified) => assert!(notified, "told in round {round} that it cannot come any more"),
            Err(RecvTimeoutError::Timeout) => panic!("not notified in round {round}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the watcher failed in round {round}"),
        }
    }
    done.store(true, Ordering::Relaxed);
    for closer in closers {
        closer.join().expect("no panic");
    }
}

/// A watch takes one descriptor, and gives it back.
#[test]
fn no_descriptor_is_left() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 4, 8);
    let other = link(&name);
    for _ in 0..50 {
        drop(watch(&queue));
        drop(watch(&other));
    }
    let trace = Trace::of_open(&queue);
    // Each handle has one that waits, and one that does not.
    assert_eq!(trace.descriptors(), 4);
    drop((queue, other));
    assert_eq!(trace.descriptors(), 0);
}
