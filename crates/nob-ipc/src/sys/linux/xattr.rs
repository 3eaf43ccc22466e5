//! `<sys/xattr.h>`: what is noted on a file: the creator's mark, and a semaphore's first value.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::conv::check;
use crate::sys::{Errno, Result};

/// The name of the creator's mark.
const MARK: &CStr = c"user.nob-ipc";

/// The name of the value that a semaphore was made with.
const INITIAL_VALUE: &CStr = c"user.nob-ipc.initial";

/// Writes the mark if the file has none yet.
pub(crate) fn set_mark(fd: BorrowedFd<'_>, mark: &[u8]) -> Result<()> {
    set(fd, MARK, mark)
}

/// Reads the mark.
pub(crate) fn mark(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    get(fd, MARK)
}

/// Notes the value that a semaphore is made with.
pub(crate) fn set_initial_value(fd: BorrowedFd<'_>, value: u32) -> Result<()> {
    set(fd, INITIAL_VALUE, value.to_string().as_bytes())
}

/// The value that a semaphore was made with, if that was noted.
pub(crate) fn initial_value(fd: BorrowedFd<'_>) -> Option<u32> {
    String::from_utf8(get(fd, INITIAL_VALUE).ok()?).ok()?.parse().ok()
}

/// Writes an attribute that the file does not have yet
/// ([fsetxattr(2)](https://man7.org/linux/man-pages/man2/setxattr.2.html)).
fn set(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<()> {
    // SAFETY: the name is NUL-terminated and `value` is readable for its length.
    check(|| unsafe {
        libc::fsetxattr(
            fd.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            libc::XATTR_CREATE,
        )
    })?;
    Ok(())
}

/// Reads an attribute ([fgetxattr(2)](https://man7.org/linux/man-pages/man2/getxattr.2.html)).
fn get(fd: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>> {
    let mut buffer = vec![0_u8; 256];
    // SAFETY: the name is NUL-terminated and the buffer is writable for its length.
    let length = check(|| unsafe {
        libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
    })?;
    buffer.truncate(usize::try_from(length).map_err(|_| Errno::INVAL)?);
    Ok(buffer)
}

/// Removes the mark ([fremovexattr(2)](https://man7.org/linux/man-pages/man2/removexattr.2.html)).
pub(crate) fn remove_mark(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the name is NUL-terminated.
    check(|| unsafe { libc::fremovexattr(fd.as_raw_fd(), MARK.as_ptr()) })?;
    Ok(())
}
