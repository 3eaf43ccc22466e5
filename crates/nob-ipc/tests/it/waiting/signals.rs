//! Signals that come while a thread waits: `SIGUSR1` is handled without `SA_RESTART`, `SIGUSR2`
//! with it.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Channel, Deadline, ErrorKind, Existence, Name, Semaphore, SharedMemory};
use nob_ipc_testing::{Unique, Waiter, files, signals, watchdog};

use crate::support::{new_channel, new_queue, new_semaphore};

const LONG: Duration = Duration::from_secs(3600);

fn install() {
    signals::handle(libc::SIGUSR1, 0);
    signals::handle(libc::SIGUSR2, libc::SA_RESTART);
}

/// S18: a semaphore's wait always reports a signal, and has taken nothing.
#[test]
fn a_semaphore_reports_signals() {
    let _watchdog = watchdog();
    install();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    for number in [libc::SIGUSR1, libc::SIGUSR2] {
        for deadline in [Deadline::NEVER, Deadline::after(LONG)] {
            thread::scope(|scope| {
                let waiter =
                    Waiter::start_in(scope, libc::SYS_futex, || semaphore.acquire_until(deadline));
                waiter.interrupt(number);
                let error = waiter.join().expect_err("a signal came");
                assert!(error.is_signal());
                assert_eq!(error.kind(), ErrorKind::Interrupted);
                assert_eq!(error.raw_os_error(), Some(libc::EINTR));
            });
        }
    }
    semaphore.release().expect("far from the maximum");
    assert!(semaphore.try_acquire(), "an interrupted wait has left nothing behind");
}

/// M32: a queue's wait with a timeout always reports a signal; one without does unless the handler
/// asks for the call to be restarted.
#[test]
fn a_queue_reports_signals() {
    let _watchdog = watchdog();
    install();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    for (number, deadline, system_call) in [
        (libc::SIGUSR1, Deadline::NEVER, libc::SYS_mq_timedreceive),
        (libc::SIGUSR1, Deadline::after(LONG), libc::SYS_ppoll),
        (libc::SIGUSR2, Deadline::after(LONG), libc::SYS_ppoll),
    ] {
        thread::scope(|scope| {
            let waiter =
                Waiter::start_in(scope, system_call, || queue.receive_until(&mut [0; 8], deadline));
            waiter.interrupt(number);
            assert!(waiter.join().expect_err("a signal came").is_signal());
        });
    }
    thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_mq_timedreceive, || {
            queue.receive_until(&mut [0; 8], Deadline::NEVER)
        });
        waiter.interrupt(libc::SIGUSR2);
        waiter.wait_until_in(libc::SYS_mq_timedreceive);
        queue.send(b"served", 0).expect("somebody takes it");
        assert_eq!(waiter.join().expect("no signal is reported").map(|got| got.length), Some(6));
    });
    queue.send(b"full", 0).expect("there is room");
    thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_mq_timedsend, || {
            queue.send_until(b"more", 0, Deadline::NEVER)
        });
        waiter.interrupt(libc::SIGUSR1);
        assert!(waiter.join().expect_err("a signal came").is_interrupted());
    });
    assert_eq!(queue.receive().expect("a message").0, b"full");
    assert_eq!(queue.current_messages().expect("a number"), 0, "nothing was sent");
}

/// A channel's wait always reports a signal, and has sent and taken nothing.
#[test]
fn a_channel_reports_signals() {
    let _watchdog = watchdog();
    install();
    let name = Unique::new();
    let mut options = Channel::options();
    options.max_messages(1).existence(Existence::Create);
    let channel = options.open(&*name).expect("a new channel");
    let calls: [&(dyn Fn(Deadline) -> nob_ipc::Result<bool> + Sync); 3] = [
        &|deadline| Ok(channel.receive_until(&mut [0; 8], deadline)?.is_some()),
        &|deadline| channel.wait_for_message(deadline),
        &|deadline| channel.send_until(b"more", 0, deadline),
    ];
    for (number, call) in calls.into_iter().enumerate() {
        if number == 2 {
            channel.send(b"full", 0).expect("there is room");
        }
        for signal in [libc::SIGUSR1, libc::SIGUSR2] {
            for deadline in [Deadline::NEVER, Deadline::after(LONG)] {
                thread::scope(|scope| {
                    let waiter = Waiter::start_in(scope, libc::SYS_futex, || call(deadline));
                    // Between two sleeps it may look for itself, and a signal is not seen.
                    while !waiter.has_ended() {
                        signals::send_to_thread(waiter.thread, signal);
                        thread::sleep(Duration::from_millis(1));
                    }
                    let error = waiter.join().expect_err("a signal came");
                    assert!(error.is_signal());
                    assert_eq!(error.kind(), ErrorKind::Interrupted);
                    assert_eq!(error.raw_os_error(), Some(libc::EINTR));
                });
            }
        }
    }
    assert_eq!(channel.receive().expect("a message").0, b"full");
    assert_eq!(channel.current_messages().expect("a number"), 0, "nothing was sent");
}

/// S18, M32: calls that take a time instead of a deadline go on, with what is left of it.
#[test]
fn conveniences_go_on() {
    let _watchdog = watchdog();
    install();
    let [semaphore_name, queue_name, channel_name] = [(); 3].map(|()| Unique::new());
    let (semaphore, queue) = (new_semaphore(&semaphore_name, 0), new_queue(&queue_name, 1, 8));
    let channel = new_channel(&channel_name);
    for number in [libc::SIGUSR1, libc::SIGUSR2] {
        thread::scope(|scope| {
            let acquire = Waiter::start_in(scope, libc::SYS_futex, || semaphore.acquire());
            let timed =
                Waiter::start_in(scope, libc::SYS_futex, || semaphore.acquire_timeout(LONG));
            for _ in 0..3 {
                acquire.interrupt(number);
                timed.interrupt(number);
            }
            assert!(!acquire.has_ended() && !timed.has_ended());
            semaphore.release_many(2).expect("far from the maximum");
            acquire.join().expect("a permit");
            assert!(timed.join().expect("a permit"));

            let receive = Waiter::start_in(scope, libc::SYS_mq_timedreceive, || queue.receive());
            receive.interrupt(number);
            queue.send(b"1", 0).expect("somebody takes it");
            assert_eq!(receive.join().expect("a message").0, b"1");
            let timed = Waiter::start_in(scope, libc::SYS_ppoll, || queue.receive_timeout(LONG));
            timed.interrupt(number);
            queue.send(b"2", 0).expect("somebody takes it");
            assert_eq!(timed.join().expect("a message").expect("in time").0, b"2");

            let receive = Waiter::start_in(scope, libc::SYS_futex, || channel.receive());
            let timed = Waiter::start_in(scope, libc::SYS_futex, || channel.receive_timeout(LONG));
            for _ in 0..3 {
                receive.interrupt(number);
                timed.interrupt(number);
            }
            assert!(!receive.has_ended() && !timed.has_ended());
            let full = vec![0; channel.max_message_size()];
            channel.send_many(&[b"3", b"3"], 0, Deadline::NOW).expect("it is whole");
            assert_eq!(receive.join().expect("a message").0, b"3");
            assert_eq!(timed.join().expect("a message").expect("in time").0, b"3");

            channel.send(&full, 0).expect("it is empty");
            let send = Waiter::start_in(scope, libc::SYS_futex, || channel.send(b"4", 0));
            let timed =
                Waiter::start_in(scope, libc::SYS_futex, || channel.send_timeout(b"4", 0, LONG));
            for _ in 0..3 {
                send.interrupt(number);
                timed.interrupt(number);
            }
            assert!(!send.has_ended() && !timed.has_ended());
            channel.receive().expect("it is full");
            send.join().expect("there is room");
            assert!(timed.join().expect("there is room"));
            assert_eq!(channel.receive_many(9, Deadline::NOW).expect("it is whole").len(), 2);
        });
    }
}

/// Sends a signal to the thread about every millisecond until `done`.
fn storm(thread: i32, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) && signals::send_to_thread(thread, libc::SIGUSR1) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// S18: a wait lasts as long as it should under a storm of signals, and no longer for ever.
#[test]
fn timeouts_in_a_storm() {
    let _watchdog = watchdog();
    install();
    let [semaphore_name, queue_name, channel_name] = [(); 3].map(|()| Unique::new());
    let (semaphore, queue) = (new_semaphore(&semaphore_name, 0), new_queue(&queue_name, 1, 8));
    let channel = new_channel(&channel_name);
    let timeout = Duration::from_millis(150);
    let waits: [&(dyn Fn() -> bool + Sync); 3] = [
        &|| semaphore.acquire_timeout(timeout).expect("a wait"),
        &|| queue.receive_timeout(timeout).expect("a wait").is_some(),
        &|| channel.receive_timeout(timeout).expect("a wait").is_some(),
    ];
    for wait in waits {
        let done = AtomicBool::new(false);
        let before = signals::handled(libc::SIGUSR1);
        thread::scope(|scope| {
            let waiter = Waiter::start(scope, || {
                let before = Instant::now();
                assert!(!wait());
                assert!(before.elapsed() >= timeout);
                done.store(true, Ordering::Relaxed);
            });
            storm(waiter.thread, &done);
            waiter.join();
        });
        assert!(signals::handled(libc::SIGUSR1) > before);
    }
}

/// M34: under a storm of signals every message arrives once, in order.
#[test]
fn messages_in_a_storm() {
    const MESSAGES: u32 = 400;
    let _watchdog = watchdog();
    install();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiver = Waiter::start(scope, || {
            for expected in 0..MESSAGES {
                let (message, _) = if expected % 2 == 0 {
                    queue.receive().expect("a message")
                } else {
                    queue.receive_timeout(LONG).expect("a message").expect("in time")
                };
                assert_eq!(message, expected.to_ne_bytes());
            }
            done.store(true, Ordering::Relaxed);
        });
        let sender = Waiter::start(scope, || {
            for number in 0..MESSAGES {
                thread::sleep(Duration::from_micros(300));
                queue.send(&number.to_ne_bytes(), 0).expect("somebody takes it");
            }
        });
        let (thread, done) = (sender.thread, &done);
        scope.spawn(move || storm(thread, done));
        storm(receiver.thread, done);
        sender.join();
        receiver.join();
    });
    assert_eq!(queue.current_messages().expect("a number"), 0);
}

/// What the handler of the next test releases.
static RELEASED: AtomicPtr<Semaphore> = AtomicPtr::new(ptr::null_mut());

extern "C" fn release(_signal: libc::c_int) {
    // SAFETY: the test keeps the semaphore until no signal can come any more.
    if let Some(semaphore) = unsafe { RELEASED.load(Ordering::Acquire).as_ref() } {
        // Far from the maximum; and a handler has nobody to tell.
        let _ = semaphore.release();
    }
}

/// S20: a handler may release the semaphore that its own thread waits for.
#[test]
fn a_handler_that_releases() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    let number = libc::SIGRTMIN() + 3;
    signals::handle_with(number, release);
    RELEASED.store((&raw const semaphore).cast_mut(), Ordering::Release);
    thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_futex, || semaphore.acquire());
        assert!(signals::send_to_thread(waiter.thread, number));
        waiter.join().expect("the handler released it");
    });
    RELEASED.store(ptr::null_mut(), Ordering::Release);
    assert_eq!(semaphore.value(), 0);
}

/// Memory is reserved in steps that a storm of signals delays, and does not prevent.
#[test]
fn reserving_in_a_storm() {
    const SIZE: u64 = 160 << 20;
    let _watchdog = watchdog();
    if files::free_in_shm() < 2 * SIZE {
        eprintln!("skipped: /dev/shm is too small");
        return;
    }
    install();
    let name = Unique::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let creator = Waiter::start(scope, || {
            let checked = Name::new(nob_ipc::Kind::SharedMemory, &*name).expect("a legal name");
            let mut calls = 0;
            let segment = SharedMemory::options()
                .size(SIZE)
                .existence(Existence::Create)
                .open_with(&checked, &mut || {
                    calls += 1;
                    std::ops::ControlFlow::Continue(())
                })
                .expect("there is room");
            done.store(true, Ordering::Relaxed);
            assert_eq!(segment.size().expect("a size"), SIZE);
            calls
        });
        storm(creator.thread, &done);
        assert!(creator.join() >= 2, "it looks up between its steps");
    });
}
