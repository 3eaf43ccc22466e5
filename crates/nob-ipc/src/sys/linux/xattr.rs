//! `<sys/xattr.h>`: the creator's mark on a file.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::conv::check;
use crate::sys::{Errno, Result};

/// The name of the attribute.
const MARK: &CStr = c"user.nob-ipc";

/// Writes the mark if the file has none yet
/// ([fsetxattr(2)](https://man7.org/linux/man-pages/man2/setxattr.2.html)).
pub(crate) fn set_mark(fd: BorrowedFd<'_>, mark: &[u8]) -> Result<()> {
    // SAFETY: the name is NUL-terminated and `mark` is readable for its length.
    check(|| unsafe {
        libc::fsetxattr(
            fd.as_raw_fd(),
            MARK.as_ptr(),
            mark.as_ptr().cast(),
            mark.len(),
            libc::XATTR_CREATE,
        )
    })?;
    Ok(())
}

/// Reads the mark ([fgetxattr(2)](https://man7.org/linux/man-pages/man2/getxattr.2.html)).
pub(crate) fn mark(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let mut buffer = vec![0_u8; 256];
    // SAFETY: the name is NUL-terminated and the buffer is writable for its length.
    let length = check(|| unsafe {
        libc::fgetxattr(fd.as_raw_fd(), MARK.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len())
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
