//! `<semaphore.h>`: glibc's operations on a `sem_t` that lives in a mapped file.
//!
//! `sem_open` and `sem_close` are not used: their lock is not reset by `fork`, they give no
//! descriptor to check, and closing unmaps under a waiter.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::conv::check;
use super::futex;
use super::mman::Map;
use super::time::timespec;
use crate::sys::{Errno, Result, SEM_VALUE_MAX};

unsafe extern "C" {
    /// In glibc since 2.30, and not in the libc crate
    /// ([sem_clockwait(3)](https://man7.org/linux/man-pages/man3/sem_wait.3.html)).
    fn sem_clockwait(
        semaphore: *mut libc::sem_t,
        clock: libc::clockid_t,
        end: *const libc::timespec,
    ) -> libc::c_int;
}

/// How long a semaphore's file is at the least.
pub(crate) const FILE_SIZE: usize = size_of::<libc::sem_t>();

/// The bytes of a semaphore that processes share, with its value.
pub(crate) fn image(value: u32) -> Result<[u8; FILE_SIZE]> {
    let mut semaphore = MaybeUninit::<libc::sem_t>::zeroed();
    // SAFETY: `semaphore` is writable, aligned and nobody else's.
    check(|| unsafe { libc::sem_init(semaphore.as_mut_ptr(), 1, value) })?;
    // SAFETY: all bytes are initialised: zeroed, then written by `sem_init`; nothing waits on this
    // copy, and glibc's format has no pointers.
    Ok(unsafe { semaphore.as_ptr().cast::<[u8; FILE_SIZE]>().read() })
}

/// A semaphore in a mapped file.
///
/// Invariant: the mapping is at least `FILE_SIZE` long, writable and page-aligned, so that its
/// start is a valid `sem_t` for as long as this value lives. (A neighbour that truncates the file
/// makes the next access a bus error; no mapping of a file can exclude that.)
#[derive(Debug)]
pub(crate) struct MappedSemaphore(Map);

impl MappedSemaphore {
    /// Maps a file that is known to be a regular one of at least [`FILE_SIZE`] bytes.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<MappedSemaphore> {
        Map::new(fd, FILE_SIZE, true).map(MappedSemaphore)
    }

    #[inline]
    fn pointer(&self) -> NonNull<libc::sem_t> {
        // SAFETY: a mapping never starts at address 0.
        unsafe { NonNull::new_unchecked(self.0.as_ptr().cast()) }
    }

    /// Takes one if the value is positive. The only ways to fail are that it is 0, and a change
    /// that another process makes at this moment, after which the call tries again by itself.
    #[inline]
    pub(crate) fn try_wait(&self) -> bool {
        // SAFETY: the invariant of the type.
        unsafe { libc::sem_trywait(self.pointer().as_ptr()) == 0 }
    }

    /// Waits until `end` on the monotonic clock, or until a signal.
    pub(crate) fn wait_until(&self, end: Duration) -> Result<()> {
        let end = timespec(end);
        // SAFETY: the invariant of the type; `end` is a valid time that outlives the call.
        check(|| unsafe {
            sem_clockwait(self.pointer().as_ptr(), libc::CLOCK_MONOTONIC, &raw const end)
        })?;
        Ok(())
    }

    /// Adds one, and wakes a waiter.
    #[inline]
    pub(crate) fn post(&self) -> Result<()> {
        // SAFETY: the invariant of the type.
        check(|| unsafe { libc::sem_post(self.pointer().as_ptr()) })?;
        Ok(())
    }

    /// Adds `count` in one step, and wakes as many waiters; [`Errno::OVERFLOW`], and nothing is added, if
    /// the value would pass its maximum.
    ///
    /// glibc has no call for it. Since 2.21 its `sem_t` of 64-bit systems begins with one word that is
    /// changed atomically: the value in the low half and the number of waiters in the high half. Programs
    /// of different versions of glibc share the file, so this does not change.
    pub(crate) fn post_many(&self, count: u32) -> Result<()> {
        // SAFETY: the invariant of the type: the word lies at the start of a `sem_t`, which is as
        // aligned. Everybody changes it atomically.
        let word = unsafe { AtomicU64::from_ptr(self.pointer().as_ptr().cast()) };
        let add = |state: u64| {
            let value = state & u64::from(u32::MAX);
            let added = u64::from(count) <= u64::from(SEM_VALUE_MAX).saturating_sub(value);
            added.then(|| state + u64::from(count))
        };
        // Releases what was written before, as sem_post does.
        let before = word.fetch_update(Ordering::Release, Ordering::Relaxed, add);
        let waiters = before.map_err(|_| Errno::OVERFLOW)? >> 32;
        if waiters > 0 {
            self.wake(count)?;
        }
        Ok(())
    }

    /// Wakes up to `count` of those who sleep on the value.
    fn wake(&self, count: u32) -> Result<()> {
        const VALUE: usize = if cfg!(target_endian = "big") { 1 } else { 0 };
        // SAFETY: the invariant of the type: the value is an aligned word within the `sem_t`.
        let value =
            unsafe { AtomicU32::from_ptr(self.pointer().as_ptr().cast::<u32>().add(VALUE)) };
        futex::wake(value, count).map(|_| ())
    }

    /// The value, never negative on Linux.
    #[inline]
    pub(crate) fn value(&self) -> u32 {
        let mut value = 0;
        // SAFETY: the invariant of the type; `value` is writable. The call cannot fail.
        unsafe { libc::sem_getvalue(self.pointer().as_ptr(), &raw mut value) };
        u32::try_from(value).unwrap_or(0)
    }
}
