//! Every return value of a system call becomes a [`Result`] here.

use crate::sys::{Errno, Result};

/// The errno that the last call of this thread left.
pub(super) fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// For calls that say by their errno alone whether they have failed.
pub(super) fn reset_errno() {
    // SAFETY: the address is that of this thread's errno.
    unsafe { *libc::__errno_location() = 0 };
}

/// Makes a call that returns -1 and sets `errno` on failure.
#[inline]
pub(super) fn check<T: PartialEq + From<i8>>(call: impl FnOnce() -> T) -> Result<T> {
    #[cfg(test)]
    if let Some(errno) = crate::sys::fault::next() {
        return Err(errno);
    }
    let value = call();
    if value == T::from(-1) { Err(last_errno()) } else { Ok(value) }
}

/// Makes a call that returns the errno itself, 0 for success.
#[inline]
pub(super) fn check_number(call: impl FnOnce() -> i32) -> Result<()> {
    match call() {
        0 => Ok(()),
        number => Err(Errno(number)),
    }
}
