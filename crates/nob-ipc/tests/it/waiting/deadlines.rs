//! Waits: until when, and for what.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{
    BoundedSemaphore, Channel, Deadline, Existence, Kind, Lock, LockGuard, MessageQueue, Ownership,
    Result, Semaphore,
};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, Waiter, say, thread_id, wait_until, wait_until_in, watchdog,
};

use crate::support::{Object, new_lock, new_permits, new_queue, new_semaphore};

pub const ROLES: &[Role] = &[("deadlines::wait", wait)];

/// A call that has to wait, until a deadline: what it returns is whether it was served.
type Call<'a> = Box<dyn Fn(Deadline) -> Result<bool> + Send + Sync + 'a>;

/// The seven waits, in vain; each with the system call it sleeps in when it has a timeout, the one
/// when it has none, and what serves it.
struct Waits {
    semaphore: Semaphore,
    empty: MessageQueue,
    full: MessageQueue,
    empty_channel: Channel,
    full_channel: Channel,
    locks: [Lock; 2],
    permits: [BoundedSemaphore; 2],
    names: [Unique; WAITS],
}

const WAITS: usize = 7;

struct Wait<'a> {
    ownership: &'a Ownership,
    call: Call<'a>,
    timed: libc::c_long,
    untimed: libc::c_long,
    serve: Box<dyn Fn() + 'a>,
}

impl Waits {
    fn new() -> Waits {
        let names = [(); WAITS].map(|()| Unique::new());
        let full = new_queue(&names[2], 1, 8);
        full.send(b"x", 0).expect("there is room");
        let channel = |name: &str| {
            Channel::options()
                .max_messages(1)
                .max_message_size(8)
                .existence(Existence::Create)
                .open(name)
                .expect("a new channel")
        };
        let [empty_channel, full_channel] = [&names[3], &names[4]].map(|name| channel(name));
        full_channel.send(b"x", 0).expect("there is room");
        let lock = new_lock(&names[5]);
        lock.acquire().expect("it is new").leak();
        let locks = [lock, Lock::options().open(&*names[5]).expect("it is there")];
        let permits = new_permits(&names[6], 1);
        permits.acquire().expect("it is new");
        let permits = [permits, BoundedSemaphore::options().open(&*names[6]).expect("it is there")];
        Waits {
            semaphore: new_semaphore(&names[0], 0),
            empty: new_queue(&names[1], 1, 8),
            full,
            empty_channel,
            full_channel,
            locks,
            permits,
            names,
        }
    }

    fn each(&self) -> [Wait<'_>; WAITS] {
        [
            Wait {
                ownership: self.semaphore.ownership(),
                call: Box::new(|deadline| self.semaphore.acquire_until(deadline)),
                timed: libc::SYS_futex,
                untimed: libc::SYS_futex,
                serve: Box::new(|| self.semaphore.release().expect("far from the maximum")),
            },
            Wait {
                ownership: self.empty.ownership(),
                call: Box::new(|deadline| {
                    Ok(self.empty.receive_until(&mut [0; 8], deadline)?.is_some())
                }),
                timed: libc::SYS_ppoll,
                untimed: libc::SYS_mq_timedreceive,
                serve: Box::new(|| self.empty.send(b"x", 0).expect("there is room")),
            },
            Wait {
                ownership: self.full.ownership(),
                call: Box::new(|deadline| self.full.send_until(b"x", 0, deadline)),
                timed: libc::SYS_ppoll,
                untimed: libc::SYS_mq_timedsend,
                serve: Box::new(|| drop(self.full.receive().expect("it is full"))),
            },
            Wait {
                ownership: self.empty_channel.ownership(),
                call: Box::new(|deadline| {
                    Ok(self.empty_channel.receive_until(&mut [0; 8], deadline)?.is_some())
                }),
                timed: libc::SYS_futex,
                untimed: libc::SYS_futex,
                serve: Box::new(|| self.empty_channel.send(b"x", 0).expect("there is room")),
            },
            Wait {
                ownership: self.full_channel.ownership(),
                call: Box::new(|deadline| self.full_channel.send_until(b"x", 0, deadline)),
                timed: libc::SYS_futex,
                untimed: libc::SYS_futex,
                serve: Box::new(|| drop(self.full_channel.receive().expect("it is full"))),
            },
            Wait {
                ownership: self.locks[0].ownership(),
                call: Box::new(|deadline| {
                    let guard = self.locks[1].acquire_until(deadline)?;
                    Ok(guard.map(LockGuard::leak).is_some())
                }),
                timed: libc::SYS_futex,
                untimed: libc::SYS_futex,
                // Whichever of the two has it after an earlier wait.
                serve: Box::new(|| {
                    let held = self.locks.iter().find(|lock| lock.is_held());
                    held.expect("one has it").release().expect("it is held");
                }),
            },
            Wait {
                ownership: self.permits[0].ownership(),
                call: Box::new(|deadline| self.permits[1].acquire_until(deadline)),
                timed: libc::SYS_futex,
                untimed: libc::SYS_futex,
                serve: Box::new(|| {
                    let held = self.permits.iter().find(|permits| permits.held() == 1);
                    held.expect("one has it").release().expect("it is held");
                }),
            },
        ]
    }
}

/// S11, M30: never early, on the monotonic clock.
#[test]
fn a_wait_never_ends_early() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    for wait in waits.each() {
        for microseconds in [1, 30, 200, 1_000, 1_700, 10_000, 50_000] {
            let timeout = Duration::from_micros(microseconds);
            let before = Instant::now();
            let deadline = Deadline::after(timeout);
            assert!(!(wait.call)(deadline).expect("no signal comes"));
            assert!(before.elapsed() >= timeout, "{timeout:?}");
            assert!(deadline.has_passed());
        }
    }
    assert_eq!(waits.semaphore.value(), 0);
}

/// S12, S14, M27: without a wait, also with a deadline that has passed.
#[test]
fn nothing_there_and_no_time() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    let passed = Deadline::after(Duration::from_nanos(1));
    for wait in waits.each() {
        for deadline in [
            Deadline::NOW,
            Deadline::after(Duration::ZERO),
            passed,
            passed.checked_every(Deadline::CHECK_INTERVAL),
        ] {
            assert!(!(wait.call)(deadline).expect("no signal comes"));
        }
    }
}

/// S13, M27: what is there is taken, whatever the time.
#[test]
fn what_is_there_is_taken() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    let passed = Deadline::after(Duration::from_nanos(1));
    thread::sleep(Duration::from_millis(1));
    assert!(passed.has_passed());
    let deadlines = [
        Deadline::NOW,
        Deadline::NOW.checked_every(Deadline::CHECK_INTERVAL),
        passed,
        passed.checked_every(Deadline::CHECK_INTERVAL),
        Deadline::NEVER,
        Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL),
        Deadline::after(Duration::MAX),
    ];
    for wait in waits.each() {
        for deadline in deadlines {
            (wait.serve)();
            assert!((wait.call)(deadline).expect("no signal comes"), "{deadline:?}");
        }
    }
}

/// S10, M25: a wait with a timeout and one without are served.
#[test]
fn a_wait_is_served() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    for wait in waits.each() {
        for (deadline, system_call) in [
            (Deadline::NEVER, wait.untimed),
            (Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL), wait.untimed),
            (Deadline::after(Duration::from_secs(3600)), wait.timed),
        ] {
            // An attentive wait may be due to look up just now.
            thread::scope(|scope| {
                let waiter = Waiter::start_in(scope, system_call, || {
                    nob_ipc::retry_on_interrupt(|| (wait.call)(deadline))
                });
                assert!(!waiter.has_ended());
                (wait.serve)();
                assert!(waiter.join().expect("it was served"));
            });
        }
    }
}

/// S6: the value is 0 also while somebody waits.
#[test]
fn the_value_with_a_waiter() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    thread::scope(|scope| {
        let waiters =
            [(); 2].map(|()| Waiter::start_in(scope, libc::SYS_futex, || semaphore.acquire()));
        assert_eq!(semaphore.value(), 0);
        semaphore.release_many(2).expect("far from the maximum");
        for waiter in waiters {
            waiter.join().expect("a permit");
        }
    });
    assert_eq!(semaphore.value(), 0);
}

/// S16: no wait for a semaphore counts on the wall clock, which may be set. (Nor does one for a
/// queue: with a timeout it sleeps in `ppoll`.)
#[test]
fn the_clock_of_a_semaphore() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    for deadline in [Deadline::NEVER, Deadline::after(Duration::from_secs(3600))] {
        thread::scope(|scope| {
            let wait = || semaphore.acquire_until(deadline);
            let waiter = Waiter::start_in(scope, libc::SYS_futex, wait);
            let [_address, operation] = waiter.arguments();
            assert_eq!(operation & i64::from(libc::FUTEX_CLOCK_REALTIME), 0, "{operation:#x}");
            semaphore.release().expect("far from the maximum");
            assert!(waiter.join().expect("it was served"));
        });
    }
}

/// M33, S15: a time that no clock reaches is a long wait, not an error.
#[test]
fn huge_timeouts() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    let seconds =
        [u64::MAX, i64::MAX.unsigned_abs(), i64::MAX.unsigned_abs() / 2, 1 << 55, 1 << 33];
    for wait in waits.each() {
        for seconds in seconds {
            for nanoseconds in [0, 999_999_999] {
                let deadline = Deadline::after(Duration::new(seconds, nanoseconds));
                thread::scope(|scope| {
                    let waiter = Waiter::start(scope, || (wait.call)(deadline));
                    thread::sleep(Duration::from_millis(2));
                    assert!(!waiter.has_ended(), "{seconds} seconds are not over");
                    (wait.serve)();
                    assert!(waiter.join().expect("it was served"));
                });
            }
        }
    }
}

/// An attentive wait reports that it is time to look up, again and again, and ends in time.
#[test]
fn attention() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    thread::scope(|scope| {
        for wait in waits.each() {
            scope.spawn(move || {
                let timeout = Duration::from_secs(1);
                let before = Instant::now();
                let deadline = Deadline::after(timeout).checked_every(Deadline::CHECK_INTERVAL);
                let mut looked_up = 0;
                let served = loop {
                    match (wait.call)(deadline) {
                        Err(error) if error.is_interrupted() => {
                            assert_eq!(error.raw_os_error(), Some(libc::EINTR));
                            assert!(!error.is_signal());
                            looked_up += 1;
                        }
                        end => break end.expect("nothing else is in the way"),
                    }
                };
                assert!(!served && before.elapsed() >= timeout);
                // 0.4 s and 0.8 s after the beginning, unless the machine was very busy.
                assert!(looked_up >= 1, "{looked_up}");

                let forever = (wait.call)(Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL));
                assert!(forever.expect_err("nobody serves it").is_interrupted());
                let short = Deadline::after(Duration::from_millis(20))
                    .checked_every(Deadline::CHECK_INTERVAL);
                assert!(!(wait.call)(short).expect("it ends before it is time to look up"));
            });
        }
    });
}

/// S10: each permit that is released wakes one waiter, and the others sleep on.
#[test]
fn each_release_wakes_one() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    for deadline in [Deadline::NEVER, Deadline::after(Duration::from_secs(3600))] {
        thread::scope(|scope| {
            let mut waiters: Vec<_> = (0..4)
                .map(|_| {
                    Waiter::start_in(scope, libc::SYS_futex, || semaphore.acquire_until(deadline))
                })
                .collect();
            while !waiters.is_empty() {
                semaphore.release().expect("far from the maximum");
                wait_until(|| waiters.iter().any(Waiter::has_ended));
                // The others have not been woken, or sleep again.
                for waiter in waiters.iter().filter(|waiter| !waiter.has_ended()) {
                    waiter.wait_until_in(libc::SYS_futex);
                }
                let ended = waiters.iter().position(Waiter::has_ended).expect("one has");
                assert!(waiters.swap_remove(ended).join().expect("no signal comes"));
                assert!(!waiters.iter().any(Waiter::has_ended), "one permit for two");
                assert_eq!(semaphore.value(), 0);
            }
        });
    }
}

/// A waiter that is stopped and continued waits on, and is served, or comes to the end of its time.
#[test]
fn a_stopped_waiter_goes_on() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    let names = waits.names.each_ref().map(|name| &**name).join(" ");
    let start = |seconds| Child::start("deadlines::wait", &[&seconds, &names]);
    let mut short = start("1");
    let mut long = ["3600", "never"].map(start);
    for child in &mut long {
        for thread in [(); WAITS].map(|()| child.hear().parse().expect("an id")) {
            wait_until_in(child.id(), thread, &SLEEPS);
        }
        child.signal(libc::SIGSTOP);
    }
    for _ in 0..WAITS {
        short.hear();
    }
    short.signal(libc::SIGSTOP);
    thread::sleep(Duration::from_millis(1100));
    for child in long.iter().chain([&short]) {
        child.signal(libc::SIGCONT);
    }
    for _ in 0..WAITS {
        short.expect("too late");
    }
    short.finish();
    for (number, wait) in waits.each().into_iter().enumerate() {
        (wait.serve)();
        // A child passes on what it holds.
        if number < 5 {
            (wait.serve)();
        }
    }
    for mut child in long {
        for _ in 0..WAITS {
            child.expect("served");
        }
        child.finish();
    }
}

const SLEEPS: [libc::c_long; 4] =
    [libc::SYS_futex, libc::SYS_ppoll, libc::SYS_mq_timedreceive, libc::SYS_mq_timedsend];

/// Waits for all at the same time, and tells how each wait ended.
fn wait(arguments: &Arguments) {
    let time = arguments.text(0).parse().ok().map(Duration::from_secs);
    let semaphore = Semaphore::options().open(arguments.text(1)).expect("it is there");
    let empty = MessageQueue::options().open(arguments.text(2)).expect("it is there");
    let full = MessageQueue::options().open(arguments.text(3)).expect("it is there");
    let empty_channel = Channel::options().open(arguments.text(4)).expect("it is there");
    let full_channel = Channel::options().open(arguments.text(5)).expect("it is there");
    let lock = Lock::options().open(arguments.text(6)).expect("it is there");
    let permits = BoundedSemaphore::options().open(arguments.text(7)).expect("it is there");
    let calls: [Call; WAITS] = [
        Box::new(|deadline| semaphore.acquire_until(deadline)),
        Box::new(|deadline| Ok(empty.receive_until(&mut [0; 8], deadline)?.is_some())),
        Box::new(|deadline| full.send_until(b"x", 0, deadline)),
        Box::new(|deadline| Ok(empty_channel.receive_until(&mut [0; 8], deadline)?.is_some())),
        Box::new(|deadline| full_channel.send_until(b"x", 0, deadline)),
        Box::new(|deadline| Ok(lock.acquire_until(deadline)?.is_some())),
        Box::new(|deadline| {
            let taken = permits.acquire_until(deadline)?;
            Ok(taken && permits.release().is_ok())
        }),
    ];
    let all_are_known = Barrier::new(calls.len());
    thread::scope(|scope| {
        for call in calls {
            let all_are_known = &all_are_known;
            scope.spawn(move || {
                say(thread_id());
                all_are_known.wait();
                let deadline = time.map_or(Deadline::NEVER, Deadline::after);
                let served = nob_ipc::retry_on_interrupt(|| call(deadline)).expect("a wait");
                say(if served { "served" } else { "too late" });
            });
        }
    });
}

/// C31: unlinking waits for nobody, and who waits is served all the same.
#[test]
fn unlink_with_a_waiter() {
    let _watchdog = watchdog();
    let waits = Waits::new();
    for wait in waits.each() {
        thread::scope(|scope| {
            let waiter = Waiter::start_in(scope, wait.untimed, || (wait.call)(Deadline::NEVER));
            wait.ownership.unlink().expect("it is ours");
            assert!(!waiter.has_ended(), "unlinking wakes nobody");
            (wait.serve)();
            assert!(waiter.join().expect("it was served"));
        });
    }
}

/// Handles can be used from any thread, all at once.
#[test]
fn handles_are_for_all_threads() {
    fn assert_shared<T: Send + Sync>(_: &T) {}
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        assert_shared(&object);
        assert_shared(object.ownership());
    }
}
