//! Waiting until something happens, the time is over, or a signal comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nob_ipc::{Deadline, Permits};

use crate::failure::Result;
use crate::signals;

/// When a wait with this `--timeout` ends.
pub fn deadline(timeout: Option<Duration>) -> Deadline {
    timeout.map_or(Deadline::NEVER, Deadline::after)
}

/// Whether a call of [`wait`] is under way, which may end before its time.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

pub fn is_under_way() -> bool {
    UNDER_WAY.load(Ordering::Relaxed)
}

/// Makes a waiting call again and again until it ends. Signals have to be deferred: what the call took
/// is not lost to one. `look` is called from time to time.
pub fn wait<T>(
    deadline: Deadline,
    mut call: impl FnMut(Deadline) -> nob_ipc::Result<T>,
    mut look: impl FnMut() -> Result<()>,
) -> Result<T> {
    let deadline = deadline.checked_every(Deadline::CHECK_INTERVAL);
    loop {
        UNDER_WAY.store(true, Ordering::Relaxed);
        let called = call(deadline);
        UNDER_WAY.store(false, Ordering::Relaxed);
        match called {
            Err(error) if error.is_interrupted() => {
                signals::check()?;
                look()?;
            }
            done => return Ok(done?),
        }
    }
}

/// Takes a permit; `false` when the deadline passed first. Signals have to be deferred.
pub fn acquire(permits: &dyn Permits, deadline: Deadline) -> Result<bool> {
    wait(deadline, |deadline| permits.acquire_until(deadline), || Ok(()))
}
