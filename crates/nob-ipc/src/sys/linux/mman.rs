//! `<sys/mman.h>`: mappings that unmap themselves.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::conv::check;
use crate::sys::{Errno, Result};

/// A shared mapping of a file from its start.
///
/// Invariant: `start` is the beginning of a live mapping of `length` bytes that only this value
/// unmaps.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; what may be done with its bytes is
// the business of those who hold the pointer.
unsafe impl Send for Map {}
// SAFETY: as above; `&Map` gives out nothing but the address and the length.
unsafe impl Sync for Map {}

impl Map {
    /// Maps `length` bytes, which must not be 0
    /// ([mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html)).
    pub(crate) fn new(fd: BorrowedFd<'_>, length: usize, writable: bool) -> Result<Map> {
        let protection =
            if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // MAP_FAILED is the address -1.
        let address = check(|| {
            // SAFETY: the kernel chooses the address, so no mapping of ours is touched.
            unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    length,
                    protection,
                    libc::MAP_SHARED,
                    fd.as_raw_fd(),
                    0,
                )
            }
            .expose_provenance()
            .cast_signed()
        })?;
        let start = std::ptr::with_exposed_provenance_mut(address.cast_unsigned());
        Ok(Map { start: NonNull::new(start).ok_or(Errno::NOMEM)?, length })
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the invariant of the type; after this nobody holds the address through it. The
        // call cannot fail for a whole mapping.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
