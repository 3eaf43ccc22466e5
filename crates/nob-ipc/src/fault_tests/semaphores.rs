//! Taking and giving permits.

use std::time::Duration;

use super::{Case, Subject, alone, sweep};
use crate::{Deadline, Result, Semaphore, retry_on_interrupt};

/// What comes of an operation on a semaphore that has a value: another value, or none.
fn operate<T>(before: u32, after: u32, goes_on: bool, run: &dyn Fn(&Semaphore) -> Result<T>) {
    sweep(&Case {
        ground: &|name| Semaphore::create(name, before),
        run: &|semaphore| {
            let result = run(semaphore);
            result.map(|value| (value, semaphore.value()))
        },
        done: &|semaphore, (_, value)| {
            assert_eq!(*value, after);
            restore(semaphore, before);
        },
        undone: &|semaphore, _| assert_eq!(semaphore.value(), before),
        goes_on_after_signals: goes_on,
    });
}

fn restore(semaphore: &Semaphore, value: u32) {
    while semaphore.value() > value {
        assert!(semaphore.try_acquire());
    }
    while semaphore.value() < value {
        semaphore.release().expect("far from the maximum");
    }
}

#[test]
fn giving() {
    alone(|| {
        operate(3, 4, false, &Semaphore::release);
        operate(3, 10, false, &|semaphore| semaphore.release_many(7));
    });
}

#[test]
fn taking() {
    alone(|| {
        operate(3, 2, false, &Semaphore::acquire);
        operate(0, 0, false, &|semaphore| semaphore.acquire_until(Deadline::NOW));
        let short = || Deadline::after(Duration::from_micros(300));
        operate(0, 0, false, &|semaphore| semaphore.acquire_until(short()));
        operate(0, 0, false, &|semaphore| {
            semaphore.acquire_until(short().checked_every(Deadline::CHECK_INTERVAL))
        });
    });
}

/// Signals that never end do not make a wait outlast its time.
#[test]
fn signals_without_end() {
    use crate::sys::Errno;
    use crate::sys::fault::inject;
    alone(|| {
        let name = super::traces::unique();
        let semaphore = Semaphore::create(&name, 0);
        let timeout = Duration::from_millis(2);
        let (taken, failed) = inject(1, true, Errno::INTR, || semaphore.acquire_timeout(timeout));
        assert!(!taken.expect("time is up") && failed > 0);
        let deadline = Deadline::after(timeout);
        let (taken, failed) = inject(1, true, Errno::INTR, || {
            retry_on_interrupt(|| {
                semaphore.acquire_until(deadline.checked_every(Deadline::CHECK_INTERVAL))
            })
        });
        assert!(!taken.expect("time is up") && failed > 0);
    });
}
