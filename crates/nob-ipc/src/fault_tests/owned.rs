//! Taking, giving, and taking over from the dead: locks and bounded semaphores.

use std::time::Duration;

use super::traces::{Traces, unique};
use super::{Case, ERRNOS, Subject, alone, in_child, sweep};
use crate::sys::fault::inject;
use crate::{BoundedSemaphore, Deadline, Existence, Lock, LockGuard, Permits, Result};

/// A time that is over soon.
fn short() -> Deadline {
    Deadline::after(Duration::from_micros(300))
}

/// A handle, and another one.
struct Ground<T> {
    handle: T,
    other: T,
}

/// What the tests are the same for.
trait Owned: Subject + Permits {
    fn has_it(&self) -> bool;

    fn take(&self) {
        assert!(self.try_acquire().expect("no call fails"));
    }

    fn give(&self) {
        self.release_many(1).expect("it is held");
    }

    /// Takes it, waiting until the deadline.
    fn wait(&self, deadline: Deadline) -> Result<bool> {
        Ok(self.try_acquire()? || self.wait_acquire(deadline)?)
    }
}

impl Owned for Lock {
    fn has_it(&self) -> bool {
        self.is_held()
    }
}

impl Owned for BoundedSemaphore {
    fn has_it(&self) -> bool {
        self.held() > 0
    }
}

impl<T: Owned> Ground<T> {
    fn new(name: &str) -> Ground<T> {
        let handle = T::create(name, 1);
        let other = T::open(name, Existence::Link, 1).expect("it is there");
        Ground { handle, other }
    }

    fn other_has_it(name: &str) -> Ground<T> {
        let ground = Ground::<T>::new(name);
        ground.other.take();
        ground
    }

    /// A process that is dead has it.
    fn left_by_the_dead(name: &str) -> Ground<T> {
        let ground = Ground::new(name);
        ground.leave();
        ground
    }

    fn leave(&self) {
        assert!(in_child(|| self.handle.try_acquire().is_ok_and(|taken| taken)));
    }
}

fn nothing_taken<T: Owned>(ground: &Ground<T>) {
    assert!(!ground.handle.has_it());
}

/// A way to take it.
type Take<'a, T> = &'a dyn Fn(&T) -> Result<bool>;

/// What is free, what somebody has who lives, and what somebody has who died.
fn taking<T: Owned>() {
    let tries: [Take<'_, T>; 3] =
        [&|handle| handle.try_acquire(), &|handle| handle.wait(short()), &|handle| {
            handle.wait(short().checked_every(Deadline::CHECK_INTERVAL))
        }];
    for take in tries {
        sweep(&Case {
            ground: &Ground::<T>::new,
            run: &|ground: &Ground<T>| take(&ground.handle),
            done: &|ground, taken| {
                assert!(*taken && ground.handle.has_it());
                ground.handle.give();
            },
            undone: &|ground, _| nothing_taken(ground),
            goes_on_after_signals: false,
        });
        let looks = sweep(&Case {
            ground: &Ground::<T>::other_has_it,
            run: &|ground: &Ground<T>| take(&ground.handle),
            done: &|ground, taken| {
                assert!(!*taken && ground.other.has_it());
                nothing_taken(ground);
            },
            undone: &|ground, _| {
                nothing_taken(ground);
                assert!(ground.other.has_it());
            },
            goes_on_after_signals: false,
        });
        let recoveries = sweep(&Case {
            ground: &Ground::<T>::left_by_the_dead,
            run: &|ground: &Ground<T>| take(&ground.handle),
            done: &|ground, taken| {
                assert!(*taken && ground.handle.has_it());
                ground.handle.give();
                ground.leave();
            },
            undone: &|ground, _| {
                nothing_taken(ground);
                assert_eq!(ground.other.value().expect("no call fails"), 1, "the dead have none");
            },
            goes_on_after_signals: false,
        });
        assert!(looks > 0 && recoveries > 0);
    }
}

/// That nobody could be woken is no failure: those who sleep look again.
fn giving<T: Owned>() {
    let awaited = |ground: &Ground<T>| {
        ground.handle.take();
        assert!(!ground.other.wait(short()).expect("no call fails"));
    };
    let failures = sweep(&Case {
        ground: &|name| {
            let ground = Ground::<T>::new(name);
            awaited(&ground);
            ground
        },
        run: &|ground: &Ground<T>| ground.handle.release_many(1),
        done: &|ground, ()| {
            nothing_taken(ground);
            ground.other.take();
            ground.other.give();
            awaited(ground);
        },
        undone: &|_, failure| panic!("{}", failure.error),
        goes_on_after_signals: false,
    });
    assert!(failures > 0);
}

/// Who looks changes nothing.
fn looking<T: Owned, R>(look: &dyn Fn(&T) -> Result<R>) {
    for ground in [Ground::<T>::other_has_it, Ground::<T>::left_by_the_dead] {
        let failures = sweep(&Case {
            ground: &ground,
            run: &|ground: &Ground<T>| look(&ground.handle),
            done: &|ground, _| nothing_taken(ground),
            undone: &|ground, _| nothing_taken(ground),
            goes_on_after_signals: false,
        });
        assert!(failures > 0);
    }
}

/// A forked child needs a slot of its own; if it cannot get one, it takes nothing, and it can try again.
fn first_use_in_a_child<T: Owned>() {
    let name = unique();
    let handle = T::create(&name, 1);
    let before = Traces::take();
    for errno in ERRNOS {
        for persistent in [false, true] {
            let mut nth = 1;
            let mut more = true;
            while more {
                // What is written in a child is lost: it tells by its status.
                more = in_child(|| {
                    let own = Traces::take();
                    let (taken, failed) = inject(nth, persistent, errno, || handle.try_acquire());
                    match taken {
                        Ok(taken) => assert!(taken && handle.has_it()),
                        Err(error) => {
                            assert_eq!(error.raw_os_error(), Some(errno.0), "{error}");
                            assert!(!handle.has_it());
                            assert_eq!(Traces::take(), own, "call {nth}, errno {}", errno.0);
                            handle.take();
                        }
                    }
                    handle.give();
                    failed > 0
                });
                nth += u32::from(more);
                assert!(handle.try_acquire().expect("no call fails"), "the child has it still");
                handle.give();
            }
            assert!(nth > 5, "the child asked the system {nth} times");
        }
    }
    assert_eq!(Traces::take(), before);
}

fn each<T: Owned>() {
    taking::<T>();
    giving::<T>();
    looking::<T, _>(&|handle| handle.value());
    first_use_in_a_child::<T>();
}

#[test]
fn locks() {
    alone(|| {
        each::<Lock>();
        looking::<Lock, _>(&Lock::owner_died);
        looking::<Lock, _>(&Lock::owner);
        looking::<Lock, _>(&Lock::is_locked);
    });
}

#[test]
fn bounded_semaphores() {
    alone(|| {
        each::<BoundedSemaphore>();
        looking::<BoundedSemaphore, _>(&BoundedSemaphore::holders);
    });
}

/// A lock that was taken over says so, whatever failed on the way.
#[test]
fn a_death_is_told() {
    alone(|| {
        sweep(&Case {
            ground: &Ground::<Lock>::left_by_the_dead,
            run: &|ground: &Ground<Lock>| {
                let guard = ground.handle.try_acquire()?;
                Ok(guard.map(LockGuard::leak).is_some())
            },
            done: &|ground, taken| {
                assert!(*taken && ground.handle.owner_died().expect("no call fails"));
                ground.handle.mark_repaired().expect("it is held");
                ground.handle.give();
                ground.leave();
            },
            undone: &|ground, _| assert!(ground.other.owner_died().expect("no call fails")),
            goes_on_after_signals: false,
        });
    });
}
