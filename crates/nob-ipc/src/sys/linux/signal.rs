//! `<signal.h>`: which numbers are signals, and a signal to this process.

use super::conv::check;
use crate::sys::Result;

/// Whether a program may use it: those below the real-time ones that glibc keeps for itself are not.
pub(crate) fn is_valid(signal: i32) -> bool {
    const LAST_OF_STANDARD: i32 = 31;
    (1..=LAST_OF_STANDARD).contains(&signal)
        || (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&signal)
}

/// Sends this process a signal, as the kernel does for a notification
/// ([kill(2)](https://man7.org/linux/man-pages/man2/kill.2.html)).
pub(crate) fn raise(signal: i32) -> Result<()> {
    // SAFETY: takes numbers only.
    check(|| unsafe { libc::kill(libc::getpid(), signal) })?;
    Ok(())
}
