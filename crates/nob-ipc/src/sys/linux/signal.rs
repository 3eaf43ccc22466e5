//! `<signal.h>`: a signal to this process.

use super::conv::check;
use crate::sys::Result;

/// Sends this process a signal, as the kernel does for a notification
/// ([kill(2)](https://man7.org/linux/man-pages/man2/kill.2.html)).
pub(crate) fn raise(signal: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    check(|| unsafe { libc::kill(libc::getpid(), signal) })?;
    Ok(())
}
