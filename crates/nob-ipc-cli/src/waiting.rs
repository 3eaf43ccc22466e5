//! Waiting until something happens, the time is over, or a signal comes.

use std::time::Duration;

use nob_ipc::Deadline;

use crate::failure::Result;
use crate::signals;

/// When a wait with this `--timeout` ends.
pub fn deadline(timeout: Option<Duration>) -> Deadline {
    timeout.map_or(Deadline::NEVER, Deadline::after)
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
        match call(deadline) {
            Err(error) if error.is_interrupted() => {
                signals::check()?;
                look()?;
            }
            done => return Ok(done?),
        }
    }
}
