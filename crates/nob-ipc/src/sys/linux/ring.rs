//! `<sys/mman.h>`: bytes of a file mapped twice in a row, so that what begins before the end goes on behind
//! it.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use super::conv::check;
use super::mman::address;
use crate::sys::{Errno, Result};

/// A ring of `length` bytes, which other processes may write to at any moment.
///
/// Invariant: `start` is the beginning of a live mapping of twice `length` bytes, which only this value
/// unmaps; both halves are the same bytes of the file. `length` is a multiple of the page's length.
#[derive(Debug)]
pub(crate) struct Ring {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; its bytes are only copied.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    /// Maps `length` bytes of a file from `offset` on; both are multiples of the page's length, and the
    /// file is known to be so long.
    pub(crate) fn new(fd: BorrowedFd<'_>, offset: u64, length: usize) -> Result<Ring> {
        let offset = i64::try_from(offset).map_err(|_| Errno::FBIG)?;
        let twice = length.checked_mul(2).ok_or(Errno::NOMEM)?;
        // The place for both: nobody else gets it in between.
        let reserved = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: the kernel chooses the address, so no mapping of ours is touched.
        let start = address(|| unsafe {
            libc::mmap(ptr::null_mut(), twice, libc::PROT_NONE, reserved, -1, 0)
        })?;
        let ring = Ring { start, length };
        for half in [0, length] {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let fixed = libc::MAP_SHARED | libc::MAP_FIXED;
            // SAFETY: the half lies within the mapping that was just made, and replaces it.
            address(|| unsafe {
                let place = ring.start.as_ptr().add(half).cast();
                libc::mmap(place, length, protection, fixed, fd.as_raw_fd(), offset)
            })?;
        }
        Ok(ring)
    }

    /// Has the kernel map the first bytes now, up to so many, which saves a page fault for each page later.
    pub(crate) fn populate(&self, most: usize) {
        /// Since Linux 5.14; the headers of older systems do not have it.
        const MADV_POPULATE_WRITE: i32 = 23;
        let length = self.length.min(most);
        for half in [0, self.length] {
            // What it cannot do is done by the page faults.
            // SAFETY: the range lies within the mapping, whose bytes it does not change.
            let _ = check(|| unsafe {
                let place = self.start.as_ptr().add(half).cast();
                libc::madvise(place, length, MADV_POPULATE_WRITE)
            });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Where so many bytes begin that lie in a row.
    #[inline]
    fn place(&self, at: usize, length: usize) -> *mut u8 {
        let end = at.checked_add(length);
        assert!(
            end.is_some_and(|end| end <= 2 * self.length),
            "{length} bytes at {at} leave the ring"
        );
        // SAFETY: `at` lies within the mapping, by the assertion.
        unsafe { self.start.as_ptr().add(at) }
    }

    /// Copies bytes into the ring.
    ///
    /// # Panics
    ///
    /// If they do not lie within the ring.
    #[inline]
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        let target = self.place(at, bytes.len());
        // SAFETY: both places are as long as the copy, the target by `place`; no reference leads into the
        // ring. What a peer reads or writes there meanwhile can be torn, and no more.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Copies bytes out of the ring, as many as `target` takes, and initialises it by that.
    ///
    /// # Panics
    ///
    /// As [`write`](Ring::write).
    #[inline]
    pub(crate) fn read(&self, at: usize, target: &mut [MaybeUninit<u8>]) {
        let source = self.place(at, target.len());
        // SAFETY: as in `write`, the other way round.
        unsafe { ptr::copy_nonoverlapping(source, target.as_mut_ptr().cast(), target.len()) };
    }

    /// Writes a word.
    ///
    /// # Panics
    ///
    /// If it is not aligned, or as [`write`](Ring::write).
    #[inline]
    pub(crate) fn write_word(&self, at: usize, word: u64) {
        assert!(at.is_multiple_of(8), "a word at {at}");
        // SAFETY: a word of the mapping, which begins at a page: aligned, by the assertion.
        #[expect(clippy::cast_ptr_alignment)]
        unsafe {
            self.place(at, 8).cast::<u64>().write_volatile(word);
        };
    }

    /// Reads a word, once.
    ///
    /// # Panics
    ///
    /// As [`write_word`](Ring::write_word).
    #[inline]
    pub(crate) fn read_word(&self, at: usize) -> u64 {
        assert!(at.is_multiple_of(8), "a word at {at}");
        // SAFETY: a word of the mapping, which begins at a page: aligned, by the assertion.
        #[expect(clippy::cast_ptr_alignment)]
        unsafe {
            self.place(at, 8).cast::<u64>().read_volatile()
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the invariant of the type; after this nobody holds the address through it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), 2 * self.length) };
    }
}

/// The same bytes, as what is about to be written. Only [`Ring::read`] gets them, which initialises all
/// that it is given.
pub(crate) fn to_be_read(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the same memory with a weaker promise, for one who only writes to it.
    unsafe { &mut *(ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
}
