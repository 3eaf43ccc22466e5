//! Going on after a signal, as a choice of the caller.

use crate::error::Result;

/// Makes a call again and again until it ends otherwise than in
/// [`Interrupted`](crate::ErrorKind::Interrupted). The calls of this crate that take a
/// [`Deadline`](crate::Deadline) never go on after a signal by themselves.
///
/// ```
/// use std::time::Duration;
/// use nob_ipc::{Deadline, Existence, Semaphore, retry_on_interrupt};
///
/// let semaphore =
///     Semaphore::options().existence(Existence::UnlinkAndCreate).open("/nob-ipc-doc-retry")?;
/// let deadline = Deadline::after(Duration::from_secs(1));
/// assert!(retry_on_interrupt(|| semaphore.acquire_until(deadline))?);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
///
/// # Errors
///
/// Those of the call, but for interruption.
pub fn retry_on_interrupt<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(error) if error.is_interrupted() => {}
            end => return end,
        }
    }
}
