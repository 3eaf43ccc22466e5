//! The bell, which a signal handler rings.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use nob_ipc::{Bell, Existence, MessageQueue, Patience, is_only_thread};

use crate::support::{Unique, Waiter, signal, watchdog};

const ROUNDS: u32 = 3000;

/// A signal of this test alone.
fn signal_number() -> i32 {
    libc::SIGRTMIN() + 3
}

static BELL: AtomicI32 = AtomicI32::new(-1);

extern "C" fn ring(signal: libc::c_int) {
    let byte = signal.to_ne_bytes()[if cfg!(target_endian = "little") { 0 } else { 3 }];
    // SAFETY: `write` may be called in a signal handler; `byte` is readable.
    unsafe { libc::write(BELL.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}

fn queue(name: &str) -> MessageQueue {
    MessageQueue::options()
        .max_messages(1)
        .max_message_size(8)
        .existence(Existence::Create)
        .open(name)
        .expect("a new queue")
}

/// A signal at every moment around the system call: none is missed.
#[test]
fn no_signal_is_missed() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = queue(&name);
    let bell = Bell::new().expect("there are descriptors");
    BELL.store(bell.as_fd().as_raw_fd(), Ordering::Relaxed);
    signal::handle_with(signal_number(), ring);
    let barrier = Barrier::new(2);
    // SAFETY: it takes nothing, and cannot fail.
    let waiter = unsafe { libc::gettid() };
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                barrier.wait();
                for _ in 0..round % 200 * 10 {
                    std::hint::spin_loop();
                }
                assert!(signal::send_to_thread(waiter, signal_number()));
                barrier.wait();
            }
        });
        for _ in 0..ROUNDS {
            bell.silence().expect("it is a file");
            barrier.wait();
            let end = queue.receive_until(&mut [0; 8], Patience::Unless(&bell));
            assert!(end.expect_err("a signal came").is_interrupted());
            // The signal may have come between the two; now it has.
            barrier.wait();
        }
    });
}

/// It is served in the kernel's line, and a bell that was rung keeps nothing back that is there.
#[test]
fn a_bell_takes_nothing() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = queue(&name);
    let bell = Bell::new().expect("there are descriptors");
    let receive = || {
        let mut buffer = [0; 8];
        let received = queue.receive_until(&mut buffer, Patience::Unless(&bell));
        received.map(|received| buffer[..received.expect("no deadline passes").length].to_vec())
    };
    thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_mq_timedreceive, receive);
        queue.send(b"one", 0).expect("there is room");
        assert_eq!(waiter.join().expect("it was served"), b"one");
    });

    let writer = bell.as_fd().try_clone_to_owned().expect("there are descriptors");
    File::from(writer).write_all(&[1; 40]).expect("it takes as many as come");
    assert!(bell.has_rung());
    assert!(receive().expect_err("it was rung").is_interrupted());
    queue.send(b"two", 0).expect("there is room");
    assert_eq!(receive().expect("it is there"), b"two");
    bell.silence().expect("it is a file");
    assert!(!bell.has_rung());
}

/// It ends where a longer wait would have to be prepared, and is served before.
#[test]
fn a_brief_wait() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = queue(&name);
    let end = queue.receive_until(&mut [0; 8], Patience::Brief);
    assert!(end.expect_err("nobody sends").is_interrupted());
    queue.send(b"one", 0).expect("there is room");
    let received = queue.receive_until(&mut [0; 8], Patience::Brief).expect("it is there");
    assert_eq!(received.map(|received| received.length), Some(3));
    queue.set_blocking(false).expect("it may be set");
    let end = queue.receive_until(&mut [0; 8], Patience::Brief).expect("no error");
    assert_eq!(end, None, "it does not wait at all");
}

#[test]
fn threads_are_counted() {
    thread::scope(|scope| {
        scope.spawn(|| assert!(!is_only_thread()));
    });
}
