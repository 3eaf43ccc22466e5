//! `<sys/mman.h>`: mappings that unmap themselves.

use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::conv::check;
use crate::sys::{Errno, Result, fork};

/// The length of a page of memory ([sysconf(3)](https://man7.org/linux/man-pages/man3/sysconf.3.html)):
/// offsets into a file that is mapped are multiples of it.
pub(crate) fn page_size() -> u64 {
    // SAFETY: takes a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).expect("every system has pages")
}

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
        Ok(Map { start: map(fd, length, protection)?, length })
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

/// Maps a file from its start, shared.
fn map(fd: BorrowedFd<'_>, length: usize, protection: i32) -> Result<NonNull<u8>> {
    // SAFETY: the kernel chooses the address, so no mapping of ours is touched.
    address(|| unsafe {
        libc::mmap(ptr::null_mut(), length, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0)
    })
}

/// The address that `mmap` gave; its failure is the address -1.
pub(super) fn address(map: impl FnOnce() -> *mut libc::c_void) -> Result<NonNull<u8>> {
    let address = check(|| map().expose_provenance().cast_signed())?;
    NonNull::new(ptr::with_exposed_provenance_mut(address.cast_unsigned())).ok_or(Errno::NOMEM)
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the invariant of the type; after this nobody holds the address through it. The
        // call cannot fail for a whole mapping.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// What a file that processes share may be taken for.
///
/// # Safety
///
/// The type is made of atomics alone, without padding, so that all bytes are a value and everybody may
/// change them at any moment; and it needs no more than the alignment of a page.
pub(crate) unsafe trait Shared: Sync {}

/// A structure at the start of a mapped file.
///
/// Invariant: the mapping is writable and at least as long as the structure. (A neighbour that truncates
/// the file makes the next access a bus error; no mapping of a file can exclude that.)
#[derive(Debug)]
pub(crate) struct Mapped<T: Shared> {
    map: Map,
    content: PhantomData<T>,
}

impl<T: Shared> Mapped<T> {
    /// Maps a file that is known to be a regular one and as long as the structure.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<Mapped<T>> {
        Ok(Mapped { map: Map::new(fd, size_of::<T>(), true)?, content: PhantomData })
    }
}

impl<T: Shared> Deref for Mapped<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the invariant of the type, and what `Shared` promises.
        unsafe { &*self.map.as_ptr().cast() }
    }
}

/// The length of a mapping of one page: the kernel rounds up.
const PAGE: usize = 1;

/// A page of a file that nobody touches and no child inherits: it keeps the description by which it was
/// mapped, and what that has locked, for as long as this process lives, does not `exec`, and does not drop
/// it, whatever becomes of the descriptors.
///
/// Invariant: in the fork generation `generation`, `start` is the beginning of a live mapping of one page
/// that only this value unmaps.
#[derive(Debug)]
pub(crate) struct Pin {
    start: NonNull<u8>,
    generation: u64,
}

// SAFETY: the mapping belongs to the process, not to a thread, and nobody touches it.
unsafe impl Send for Pin {}
// SAFETY: as above.
unsafe impl Sync for Pin {}

impl Pin {
    /// Pins the description of `fd`. A child that another thread forks meanwhile may inherit the page.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<Pin> {
        let generation = fork::generation();
        let pin = Pin { start: map(fd, PAGE, libc::PROT_NONE)?, generation };
        // SAFETY: the page was just mapped, and is ours.
        check(|| unsafe { libc::madvise(pin.start.as_ptr().cast(), PAGE, libc::MADV_DONTFORK) })?;
        Ok(pin)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // In a forked child the address is free, or another mapping's.
        if self.generation == fork::generation() {
            // SAFETY: the invariant of the type.
            unsafe { libc::munmap(self.start.as_ptr().cast(), PAGE) };
        }
    }
}

/// The pin of a handle, which a forked child replaces by one of its own.
///
/// Invariant: the pointer comes from `Box::into_raw`, and nobody keeps it.
#[derive(Debug)]
pub(crate) struct PinCell(AtomicPtr<Pin>);

impl PinCell {
    pub(crate) fn new(pin: Pin) -> PinCell {
        PinCell(AtomicPtr::new(Box::into_raw(Box::new(pin))))
    }

    pub(crate) fn replace(&self, pin: Pin) {
        let old = self.0.swap(Box::into_raw(Box::new(pin)), Ordering::AcqRel);
        // SAFETY: the invariant of the type; whoever swapped the pointer out is its only owner.
        drop(unsafe { Box::from_raw(old) });
    }
}

impl Drop for PinCell {
    fn drop(&mut self) {
        // SAFETY: as above; nobody else has this cell any more.
        drop(unsafe { Box::from_raw(*self.0.get_mut()) });
    }
}
