//! Taking and giving, by threads and handles of one process.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Kind};
use nob_ipc_testing::{Unique, Waiter, files, files::Trace, signals, watchdog};

use crate::support::{OWNED, Owned};

#[test]
fn one_handle_at_a_time() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let one = Owned::create(kind, &name);
        let other = Owned::link(kind, &name);
        assert!(!one.is_taken() && one.holder().is_none());
        for (holder, waiter) in [(&one, &other), (&other, &one)] {
            holder.takes();
            assert!(holder.has_it() && !waiter.has_it());
            assert!(one.is_taken() && other.is_taken());
            assert_eq!(waiter.holder(), Some(std::process::id()));
            assert!(!waiter.tries());
            assert!(!waiter.wait(Deadline::NOW).expect("an answer"));
            waiter.has_nothing_to_give();
            assert!(holder.has_it(), "who has nothing changes nothing");
            holder.gives();
            assert!(!one.is_taken() && !holder.has_it());
            holder.has_nothing_to_give();
        }
        one.assert_told(false);
    }
}

/// Contract 9.6: a second acquisition through the same handle waits.
#[test]
fn the_same_handle_twice() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let handle = Owned::create(kind, &name);
        handle.takes();
        assert!(!handle.tries());
        let short = Deadline::after(Duration::from_millis(20));
        assert!(!handle.wait(short).expect("no signal comes"));
        thread::scope(|scope| {
            let waiter = Waiter::start_in(scope, libc::SYS_futex, || handle.wait(Deadline::NEVER));
            handle.gives();
            assert!(waiter.join().expect("no signal comes"));
        });
        handle.gives();
        handle.has_nothing_to_give();
    }
}

/// L5: the owner is the handle (contract 9.3). A thread may end, and another one may release.
#[test]
fn threads_come_and_go() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let handle = Owned::create(kind, &name);
        let other = Owned::link(kind, &name);
        thread::scope(|scope| {
            let taken = scope.spawn(|| handle.tries());
            assert!(taken.join().expect("no panic"));
            let waiter = Waiter::start_in(scope, libc::SYS_futex, || other.wait(Deadline::NEVER));
            thread::sleep(Duration::from_millis(50));
            assert!(!waiter.has_ended() && handle.has_it(), "the end of a thread changes nothing");
            scope.spawn(|| handle.gives()).join().expect("any thread may");
            assert!(waiter.join().expect("no signal comes"));
        });
        other.assert_told(false);
    }
}

/// Whether the word of a lock says that somebody may be asleep.
fn says_that_somebody_sleeps(name: &str) -> bool {
    let file = fs::File::open(files::file(Kind::Lock, name)).expect("it is ours");
    let mut word = [0; 4];
    file.read_exact_at(&mut word, 64).expect("it is long enough");
    u32::from_ne_bytes(word) >> 31 == 1
}

/// Each release serves one waiter, and the others sleep on.
#[test]
fn waiters_are_served_one_by_one() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let holder = Owned::create(kind, &name);
        holder.takes();
        let handles = [(); 4].map(|()| Owned::link(kind, &name));
        thread::scope(|scope| {
            let mut waiters: Vec<_> = handles
                .iter()
                .map(|handle| {
                    let wait = || handle.wait(Deadline::NEVER);
                    (handle, Waiter::start_in(scope, libc::SYS_futex, wait))
                })
                .collect();
            let mut last = &holder;
            while !waiters.is_empty() {
                last.gives();
                let ended = loop {
                    let ended = waiters.iter().position(|(_, waiter)| waiter.has_ended());
                    match ended {
                        Some(ended) => break ended,
                        None => thread::yield_now(),
                    }
                };
                let (handle, waiter) = waiters.swap_remove(ended);
                assert!(waiter.join().expect("no signal comes"));
                assert!(handle.has_it());
                if kind == Kind::Lock && !waiters.is_empty() {
                    assert!(says_that_somebody_sleeps(&name), "its release would wake nobody");
                }
                thread::sleep(Duration::from_millis(20));
                assert!(!waiters.iter().any(|(_, waiter)| waiter.has_ended()), "two have it");
                last = handle;
            }
        });
    }
}

/// L12: a wait reports a signal, and has taken nothing.
#[test]
fn signals_are_reported() {
    let _watchdog = watchdog();
    signals::handle(libc::SIGUSR1, 0);
    signals::handle(libc::SIGUSR2, libc::SA_RESTART);
    for kind in OWNED {
        let name = Unique::new();
        let holder = Owned::create(kind, &name);
        let waiting = Owned::link(kind, &name);
        for number in [libc::SIGUSR1, libc::SIGUSR2] {
            for deadline in [Deadline::NEVER, Deadline::after(Duration::from_secs(3600))] {
                holder.takes();
                // A wait is not in a system call all the time: a signal that comes between two of its looks
                // is seen by its handler alone.
                let error = thread::scope(|scope| {
                    let waiter =
                        Waiter::start_in(scope, libc::SYS_futex, || waiting.wait(deadline));
                    while !waiter.has_ended() {
                        signals::send_to_thread(waiter.thread, number);
                        thread::sleep(Duration::from_millis(1));
                    }
                    waiter.join().expect_err("a signal came")
                });
                assert!(error.is_signal(), "{error}");
                assert_eq!(error.kind(), ErrorKind::Interrupted);
                assert_eq!(error.raw_os_error(), Some(libc::EINTR));
                holder.gives();
                waiting.has_nothing_to_give();
            }
        }
    }
}

/// L12: a wait lasts as long as it should under a storm of signals, and no longer for ever.
#[test]
fn timeouts_in_a_storm() {
    let _watchdog = watchdog();
    signals::handle(libc::SIGUSR1, 0);
    for kind in OWNED {
        let name = Unique::new();
        let holder = Owned::create(kind, &name);
        holder.takes();
        let waiting = Owned::link(kind, &name);
        let timeout = Duration::from_millis(150);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let waiter = Waiter::start(scope, || {
                let before = Instant::now();
                let deadline = Deadline::after(timeout);
                let taken = nob_ipc::retry_on_interrupt(|| waiting.wait(deadline));
                assert!(!taken.expect("time is up") && before.elapsed() >= timeout);
                done.store(true, Ordering::Relaxed);
            });
            let before = signals::handled(libc::SIGUSR1);
            while !done.load(Ordering::Relaxed)
                && signals::send_to_thread(waiter.thread, libc::SIGUSR1)
            {
                thread::sleep(Duration::from_millis(1));
            }
            waiter.join();
            assert!(signals::handled(libc::SIGUSR1) > before);
        });
        assert!(holder.has_it());
    }
}

/// A handle has one descriptor and two mappings, and gives them back.
#[test]
fn what_a_handle_costs() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let handle = Owned::create(kind, &name);
        let trace = Trace::of(kind, &name);
        assert_eq!((trace.descriptors(), trace.mappings()), (1, 2));
        let other = Owned::link(kind, &name);
        other.takes();
        assert!(!handle.tries());
        assert_eq!((trace.descriptors(), trace.mappings()), (2, 4));
        drop(other);
        handle.takes();
        assert_eq!((trace.descriptors(), trace.mappings()), (1, 2));
        drop(handle);
        assert_eq!((trace.descriptors(), trace.mappings()), (0, 0));
    }
}

/// What is dropped while it is held is free at once, and a lock says so.
#[test]
fn dropped_while_held() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let observer = Owned::create(kind, &name);
        let holder = Owned::link(kind, &name);
        holder.takes();
        thread::scope(|scope| {
            let waiter =
                Waiter::start_in(scope, libc::SYS_futex, || observer.wait(Deadline::NEVER));
            drop(holder);
            assert!(waiter.join().expect("no signal comes"));
        });
        observer.assert_told(true);
        observer.gives();
        let holder = Owned::link(kind, &name);
        holder.takes();
        drop(holder);
        observer.assert_told(true);
        observer.takes();
    }
}
