//! `<dirent.h>`: the names in a directory, read through its descriptor: std would need a path.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;

use super::conv::{check, last_errno, reset_errno};
use crate::sys::{Errno, Result};

/// Opens a directory; `flags` besides those that every one takes.
pub(super) fn open(path: &CStr, flags: i32) -> Result<OwnedFd> {
    open_at(libc::AT_FDCWD, path, flags)
}

/// Opens a directory that is open again, so that it is read from its beginning.
pub(super) fn open_again(directory: BorrowedFd<'_>) -> Result<OwnedFd> {
    open_at(directory.as_raw_fd(), c".", 0)
}

fn open_at(directory: i32, path: &CStr, flags: i32) -> Result<OwnedFd> {
    let flags = flags | libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    let fd = check(|| unsafe { libc::openat(directory, path.as_ptr(), flags) })?;
    // SAFETY: `openat` has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A directory that is being read
/// ([readdir(3)](https://man7.org/linux/man-pages/man3/readdir.3.html)).
struct Stream(NonNull<libc::DIR>);

impl Stream {
    fn new(directory: OwnedFd) -> Result<Stream> {
        // SAFETY: takes an open descriptor.
        let stream = NonNull::new(unsafe { libc::fdopendir(directory.as_raw_fd()) });
        let stream = stream.ok_or_else(last_errno)?;
        // It belongs to the stream now.
        let _ = directory.into_raw_fd();
        Ok(Stream(stream))
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        reset_errno();
        // SAFETY: the stream is open, and nobody else reads it.
        let entry = unsafe { libc::readdir(self.0.as_ptr()) };
        if entry.is_null() {
            let errno = last_errno();
            return if errno == Errno(0) { Ok(None) } else { Err(errno) };
        }
        // SAFETY: the entry is valid until the next call, and its name ends with a NUL.
        let name = unsafe { CStr::from_ptr((&raw const (*entry).d_name).cast()) };
        Ok(Some(name.to_bytes().to_vec()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and nobody uses it after this.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}

/// The names in a directory, at most `most` of them.
pub(super) fn names(directory: OwnedFd, most: usize) -> Result<Vec<Vec<u8>>> {
    let mut stream = Stream::new(directory)?;
    let mut names = Vec::new();
    while names.len() < most
        && let Some(name) = stream.next()?
    {
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}
