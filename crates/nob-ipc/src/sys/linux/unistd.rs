//! `<unistd.h>`: names of files, their length, and who we are.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::conv::check;
use crate::sys::{Errno, Result};

/// Gives an unnamed file its name; an existing one is never replaced
/// ([linkat(2)](https://man7.org/linux/man-pages/man2/linkat.2.html)).
pub(crate) fn link(fd: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    // SAFETY: both paths are NUL-terminated strings that outlive the call.
    let direct = check(|| unsafe {
        libc::linkat(
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    });
    if direct != Err(Errno::NOENT) {
        return direct.map(|_| ());
    }
    // Before Linux 6.10 the empty path needs CAP_DAC_READ_SEARCH and is ENOENT without.
    let source = super::proc::descriptor_path(fd);
    // SAFETY: both paths are NUL-terminated strings that outlive the call.
    check(|| unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            source.as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    })?;
    Ok(())
}

/// Removes a name ([unlink(2)](https://man7.org/linux/man-pages/man2/unlink.2.html)).
pub(crate) fn unlink(path: &CStr) -> Result<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check(|| unsafe { libc::unlink(path.as_ptr()) })?;
    Ok(())
}

/// Sets the size of a file ([ftruncate(2)](https://man7.org/linux/man-pages/man2/ftruncate.2.html)).
pub(crate) fn truncate(fd: BorrowedFd<'_>, size: u64) -> Result<()> {
    let size = i64::try_from(size).map_err(|_| Errno::FBIG)?;
    // SAFETY: takes a descriptor, which `fd` keeps open, and a number.
    check(|| unsafe { libc::ftruncate(fd.as_raw_fd(), size) })?;
    Ok(())
}

/// Writes to the start of a file; returns how many bytes were written.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    // SAFETY: `bytes` is readable for its length during the call.
    let written =
        check(|| unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })?;
    usize::try_from(written).map_err(|_| Errno::INVAL)
}

/// Writes to a file from `offset` on; returns how many bytes were written.
pub(crate) fn write_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| Errno::FBIG)?;
    // SAFETY: `bytes` is readable for its length during the call.
    let written = check(|| unsafe {
        libc::pwrite(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), offset)
    })?;
    usize::try_from(written).map_err(|_| Errno::INVAL)
}

/// Reads from a file from `offset` on; returns how many bytes were read.
pub(crate) fn read_at(fd: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let offset = i64::try_from(offset).map_err(|_| Errno::FBIG)?;
    // SAFETY: `buffer` is writable for its length during the call.
    let read = check(|| unsafe {
        libc::pread(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset)
    })?;
    usize::try_from(read).map_err(|_| Errno::INVAL)
}

/// Whether no memory belongs to the start of a file
/// ([lseek(2)](https://man7.org/linux/man-pages/man2/lseek.2.html)).
pub(crate) fn begins_with_hole(fd: BorrowedFd<'_>) -> Result<bool> {
    // SAFETY: takes a descriptor, which `fd` keeps open, and numbers.
    match check(|| unsafe { libc::lseek(fd.as_raw_fd(), 0, libc::SEEK_DATA) }) {
        Ok(offset) => Ok(offset > 0),
        // All of it is one hole.
        Err(Errno::NXIO) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// The effective user of this process.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}
