//! `<sys/eventfd.h>`: a descriptor that a thread of ours makes readable
//! ([eventfd(2)](https://man7.org/linux/man-pages/man2/eventfd.2.html)).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::conv::check;
use crate::sys::{Errno, Result};

/// A new one, not readable, on which nothing waits.
pub(crate) fn create() -> Result<OwnedFd> {
    // SAFETY: takes numbers.
    let fd = check(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: it has just been made, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes it readable.
pub(crate) fn set(fd: BorrowedFd<'_>) -> Result<()> {
    let one = 1_u64;
    // SAFETY: the number is readable for its length during the call.
    check(|| unsafe { libc::write(fd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) })?;
    Ok(())
}

/// Makes it unreadable.
pub(crate) fn clear(fd: BorrowedFd<'_>) -> Result<()> {
    let mut count = 0_u64;
    // SAFETY: the number is writable for its length during the call.
    match check(|| unsafe { libc::read(fd.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) })
    {
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(errno) => Err(errno),
    }
}
