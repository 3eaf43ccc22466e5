//! `<fcntl.h>`: locks of an open file description on one byte of a file, which need not exist
//! ([F_OFD_SETLK](https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html)). They fall with the last
//! descriptor and mapping that keep the description.

use std::ffi::{c_int, c_short};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::conv::check;
use crate::sys::{Errno, Result};

/// What a lock excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteLock {
    /// An exclusive one.
    Shared,
    /// Every other.
    Exclusive,
}

impl ByteLock {
    fn code(self) -> c_int {
        match self {
            ByteLock::Shared => libc::F_RDLCK,
            ByteLock::Exclusive => libc::F_WRLCK,
        }
    }
}

/// Takes a lock; `false`: another description has one that excludes it.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, lock: ByteLock, byte: i64) -> Result<bool> {
    match set(fd, libc::F_OFD_SETLK, lock.code(), byte) {
        Ok(()) => Ok(true),
        // EACCES, which POSIX allows as well, is the refusal of a security module on Linux.
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Takes an exclusive lock, and waits for it.
pub(crate) fn lock(fd: BorrowedFd<'_>, byte: i64) -> Result<()> {
    set(fd, libc::F_OFD_SETLKW, libc::F_WRLCK, byte)
}

/// Gives a lock up, for everybody who shares the description.
pub(crate) fn unlock(fd: BorrowedFd<'_>, byte: i64) -> Result<()> {
    set(fd, libc::F_OFD_SETLK, libc::F_UNLCK, byte)
}

/// Whether another description has an exclusive lock.
pub(crate) fn is_locked(fd: BorrowedFd<'_>, byte: i64) -> Result<bool> {
    let mut lock = description(libc::F_WRLCK, byte)?;
    // SAFETY: `lock` is a valid `struct flock` that outlives the call, which writes it.
    check(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) })?;
    // A shared lock of somebody who may only read proves that there is no exclusive one.
    Ok(lock.l_type == narrow(libc::F_WRLCK)?)
}

fn set(fd: BorrowedFd<'_>, command: c_int, code: c_int, byte: i64) -> Result<()> {
    let lock = description(code, byte)?;
    // SAFETY: `lock` is a valid `struct flock` that outlives the call, which only reads it.
    check(|| unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw const lock) })?;
    Ok(())
}

fn description(code: c_int, byte: i64) -> Result<libc::flock> {
    Ok(libc::flock {
        l_type: narrow(code)?,
        l_whence: narrow(libc::SEEK_SET)?,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    })
}

fn narrow(constant: c_int) -> Result<c_short> {
    c_short::try_from(constant).map_err(|_| Errno::INVAL)
}
