//! The files in `/dev/shm`: their names, and the value in a semaphore's.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::SHM_DIRECTORY;
use super::conv::check;
use super::dirent;
use crate::sys::{Errno, Result};

/// The names of all files in the directory; none where it is missing.
pub(crate) fn names() -> Result<Vec<Vec<u8>>> {
    match dirent::open(SHM_DIRECTORY, 0) {
        Err(Errno::NOENT) => Ok(Vec::new()),
        directory => dirent::names(directory?, usize::MAX),
    }
}

pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::INVAL, Errno)
}

/// The value in a semaphore's file, read without mapping it: a file that shrinks meanwhile is an
/// error, and no signal. The right to read is enough.
pub(crate) fn semaphore_value(fd: BorrowedFd<'_>) -> Result<u32> {
    const SIZE: usize = size_of::<libc::sem_t>();
    let mut semaphore = MaybeUninit::<libc::sem_t>::zeroed();
    // SAFETY: `semaphore` is writable for its size.
    let length =
        check(|| unsafe { libc::pread(fd.as_raw_fd(), semaphore.as_mut_ptr().cast(), SIZE, 0) })?;
    if usize::try_from(length) != Ok(SIZE) {
        return Err(Errno::INVAL);
    }
    let mut value = 0;
    // SAFETY: the copy is aligned, all of its bytes are initialised, nobody waits on it, and the call
    // only reads it; `value` is writable.
    check(|| unsafe { libc::sem_getvalue(semaphore.as_mut_ptr(), &raw mut value) })?;
    u32::try_from(value).map_err(|_| Errno::INVAL)
}
