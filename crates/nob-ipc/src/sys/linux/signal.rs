//! `<signal.h>`: which numbers are signals, a signal to this process, and which a thread takes.

use std::mem::MaybeUninit;

use super::conv::{check, check_number};
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

/// The signals that a thread does not take.
pub(crate) struct Mask(libc::sigset_t);

/// Blocks all signals in this thread; the mask that it had.
pub(crate) fn block_all() -> Result<Mask> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` is writable; the call initialises it and cannot fail.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` is initialised, and `before` is writable.
    check_number(|| unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
    })?;
    // SAFETY: the call has succeeded, so it has initialised it.
    Ok(Mask(unsafe { before.assume_init() }))
}

/// Gives this thread a mask that it had.
pub(crate) fn set_mask(mask: &Mask) -> Result<()> {
    // SAFETY: the mask is initialised; the old one is not asked for.
    check_number(|| unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask.0, std::ptr::null_mut())
    })
}
