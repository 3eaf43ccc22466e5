//! The sweep: an operation on prepared ground, with the first, second, third ... call failing.

use super::ERRNOS;
use super::traces::{Traces, clean, left_under, unique};
use crate::sys::Errno;
use crate::sys::fault::inject;
use crate::{Error, ErrorKind, Result};

/// An operation, what it needs, and what has to hold after it.
pub(super) struct Case<'a, G, T> {
    /// Makes what the operation works on.
    pub ground: &'a dyn Fn(&str) -> G,
    pub run: &'a dyn Fn(&G) -> Result<T>,
    /// What has to hold after success, also when failures were passed over on the way.
    pub done: &'a dyn Fn(&G, &T),
    /// What has to hold after failure.
    pub undone: &'a dyn Fn(&G, &Failure),
    /// Signals without end are left out: the operation promises to outlast them.
    pub goes_on_after_signals: bool,
}

/// A failure, and how it came about.
pub(super) struct Failure {
    pub error: Error,
    /// All calls from some point on fail, also those that tidy up.
    pub persistent: bool,
}

/// Walks through all failures of one operation; returns how many there were.
pub(super) fn sweep<G, T>(case: &Case<'_, G, T>) -> u32 {
    sweep_with(&ERRNOS, case)
}

/// The same with some errnos only.
pub(super) fn sweep_with<G, T>(errnos: &[Errno], case: &Case<'_, G, T>) -> u32 {
    let mut failures = 0;
    for &errno in errnos {
        for persistent in [false, true] {
            if persistent && errno == Errno::INTR && case.goes_on_after_signals {
                continue;
            }
            let mut nth = 1;
            while fails(case, nth, persistent, errno) {
                nth += 1;
            }
            failures += nth - 1;
        }
    }
    // `make stress` adds these up.
    println!("{failures} calls made to fail");
    failures
}

/// Runs the operation with one failure; `false` when it makes fewer calls than `nth`.
fn fails<G, T>(case: &Case<'_, G, T>, nth: u32, persistent: bool, errno: Errno) -> bool {
    let what = || format!("call {nth}, errno {}, from there on: {persistent}", errno.0);
    let name = unique();
    let empty = Traces::take();
    let ground = (case.ground)(&name);
    let before = Traces::take();

    let (result, failed) = inject(nth, persistent, errno, || (case.run)(&ground));
    match result {
        Ok(value) => (case.done)(&ground, &value),
        Err(error) => {
            assert!(failed > 0, "{}: {error}", what());
            assert_sane(&error, errno);
            (case.undone)(&ground, &Failure { error, persistent });
        }
    }
    assert_eq!(Traces::take(), before, "{}", what());
    match (case.run)(&ground) {
        Ok(value) => (case.done)(&ground, &value),
        Err(error) => panic!("the next call fails, too: {error} ({})", what()),
    }
    drop(ground);
    assert_eq!(Traces::take(), empty, "{}", what());
    if persistent {
        // What tidies up has failed, too.
        clean(&name);
    } else {
        assert_eq!(left_under(&name), [""; 0], "{}", what());
    }
    failed > 0
}

/// The error tells what the call came back with, and is of a kind that says the same.
fn assert_sane(error: &Error, errno: Errno) {
    let kinds: &[ErrorKind] = match errno {
        Errno::INTR => &[ErrorKind::Interrupted],
        Errno::NOSPC => &[ErrorKind::OutOfSpace, ErrorKind::Other],
        Errno::MFILE | Errno::NFILE => &[ErrorKind::LimitExceeded],
        Errno::ACCES => &[ErrorKind::PermissionDenied],
        Errno::NOMEM => &[ErrorKind::LimitExceeded, ErrorKind::Other],
        _ => &[ErrorKind::Other],
    };
    assert_eq!(error.raw_os_error(), Some(errno.0), "{error}");
    assert!(kinds.contains(&error.kind()), "{error:?}");
}
