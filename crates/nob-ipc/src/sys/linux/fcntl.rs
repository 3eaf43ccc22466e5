//! `<fcntl.h>`: opening, reserving and locking files.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::byte_lock;
use super::conv::check;
use crate::sys::{Errno, OpenMode, Result};

/// The byte of a segment that growers lock: the last one a lock can name, far from any that an
/// application would.
const GROWTH_BYTE: i64 = i64::MAX - 1;

/// Opens what `path` names, without following a symlink, waiting for a FIFO's other end or taking
/// a terminal ([open(2)](https://man7.org/linux/man-pages/man2/open.2.html)).
pub(crate) fn open(path: &CStr, mode: OpenMode) -> Result<OwnedFd> {
    let flags =
        access(mode) | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let fd = check(|| unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: `open` has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a regular file without a name in the directory `path`; `mode` is subject to the umask.
pub(crate) fn open_unnamed(path: &CStr, mode: u32) -> Result<OwnedFd> {
    let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC;
    // SAFETY: `path` is a NUL-terminated string that outlives the call, and the mode that
    // O_TMPFILE makes `open` read is there.
    let fd = check(|| unsafe { libc::open(path.as_ptr(), flags, mode) })?;
    // SAFETY: `open` has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens the file behind `fd` again: with other rights, and with locks of its own.
pub(crate) fn reopen(fd: BorrowedFd<'_>, mode: OpenMode) -> Result<OwnedFd> {
    reopen_with(fd, access(mode))
}

/// Opens the file behind `fd` again, so that no call on it waits.
pub(crate) fn reopen_non_blocking(fd: BorrowedFd<'_>, mode: OpenMode) -> Result<OwnedFd> {
    reopen_with(fd, access(mode) | libc::O_NONBLOCK)
}

fn reopen_with(fd: BorrowedFd<'_>, flags: i32) -> Result<OwnedFd> {
    let path = super::proc::descriptor_path(fd);
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let fd = check(|| unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: `open` has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that serves for nothing but to be given up when another is needed.
pub(crate) fn spare() -> Result<OwnedFd> {
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    let fd = check(|| unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) })?;
    // SAFETY: `open` has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn access(mode: OpenMode) -> i32 {
    match mode {
        OpenMode::ReadOnly => libc::O_RDONLY,
        OpenMode::WriteOnly => libc::O_WRONLY,
        OpenMode::ReadWrite => libc::O_RDWR,
    }
}

/// What [`allocate`] does to the size of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AllocatedSize {
    /// The size stays; blocks are reserved behind its end.
    Keep,
    /// A file that ends before the range grows to its end; it never shrinks.
    Grow,
}

/// Reserves memory for a range of a file
/// ([fallocate(2)](https://man7.org/linux/man-pages/man2/fallocate.2.html)). On failure the range
/// is as it was: tmpfs takes back what the call had reserved.
pub(crate) fn allocate(
    fd: BorrowedFd<'_>,
    offset: u64,
    length: u64,
    size: AllocatedSize,
) -> Result<()> {
    let mode = match size {
        AllocatedSize::Keep => libc::FALLOC_FL_KEEP_SIZE,
        AllocatedSize::Grow => 0,
    };
    fallocate(fd, mode, offset, length)
}

/// Gives the memory of a range back; the size stays.
pub(crate) fn deallocate(fd: BorrowedFd<'_>, offset: u64, length: u64) -> Result<()> {
    fallocate(fd, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, offset, length)
}

fn fallocate(fd: BorrowedFd<'_>, mode: i32, offset: u64, length: u64) -> Result<()> {
    let offset = i64::try_from(offset).map_err(|_| Errno::FBIG)?;
    let length = i64::try_from(length).map_err(|_| Errno::FBIG)?;
    // SAFETY: takes a descriptor, which `fd` keeps open, and numbers.
    check(|| unsafe { libc::fallocate(fd.as_raw_fd(), mode, offset, length) })?;
    Ok(())
}

/// Waits for the lock that serialises growth; the kernel releases it with the descriptor at the latest.
pub(crate) fn lock_growth(fd: BorrowedFd<'_>) -> Result<()> {
    byte_lock::lock(fd, GROWTH_BYTE)
}

/// Releases the lock that [`lock_growth`] took.
pub(crate) fn unlock_growth(fd: BorrowedFd<'_>) -> Result<()> {
    byte_lock::unlock(fd, GROWTH_BYTE)
}
