//! `<sys/eventfd.h>`: a descriptor that a thread of ours makes readable
//! ([eventfd(2)](https://man7.org/linux/man-pages/man2/eventfd.2.html)).

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::conv::check;
use super::stat;
use crate::sys::{Errno, Identity, Result};

/// A descriptor that is readable on demand. Daemons close descriptors that they do not know, and the number
/// becomes another file's, which must be neither written to nor closed: so what it leads to is compared before.
/// (The kernel has one inode for all that are no files: one that is mistaken for another of those is made
/// readable, or refuses.)
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: ManuallyDrop<OwnedFd>,
    identity: Identity,
}

impl EventFd {
    /// A new one, not readable, on which nothing waits.
    pub(crate) fn new() -> Result<EventFd> {
        // SAFETY: takes numbers.
        let fd = check(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: it has just been made, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let identity = stat::of(fd.as_fd())?.identity;
        Ok(EventFd { fd: ManuallyDrop::new(fd), identity })
    }

    /// Whether the number is still ours.
    fn is_ours(&self) -> bool {
        stat::of(self.fd.as_fd()).is_ok_and(|stat| stat.identity == self.identity)
    }

    /// Makes it readable.
    pub(crate) fn set(&self) -> Result<()> {
        if !self.is_ours() {
            return Err(Errno::BADF);
        }
        let one = 1_u64;
        let fd = self.fd.as_raw_fd();
        // SAFETY: the number is readable for its length during the call.
        check(|| unsafe { libc::write(fd, (&raw const one).cast(), size_of::<u64>()) })?;
        Ok(())
    }

    /// Makes it unreadable.
    pub(crate) fn clear(&self) -> Result<()> {
        if !self.is_ours() {
            return Err(Errno::BADF);
        }
        let mut count = 0_u64;
        let fd = self.fd.as_raw_fd();
        // SAFETY: the number is writable for its length during the call.
        match check(|| unsafe { libc::read(fd, (&raw mut count).cast(), size_of::<u64>()) }) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: it is dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.fd) };
        }
    }
}
