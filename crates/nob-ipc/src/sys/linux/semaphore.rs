//! `<semaphore.h>`: glibc's operations on a `sem_t` that lives in a mapped file.
//!
//! `sem_open` and `sem_close` are not used: their lock is not reset by `fork`, they give no
//! descriptor to check, and closing unmaps under a waiter.

use std::ffi::c_void;
use std::mem::{self, MaybeUninit};
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::conv::check;
use super::futex;
use super::mman::Map;
use super::time::{self, timespec};
use crate::sys::{Errno, Result, SEM_VALUE_MAX};

/// `sem_clockwait`, in glibc since 2.30
/// ([sem_clockwait(3)](https://man7.org/linux/man-pages/man3/sem_wait.3.html)).
type ClockWait =
    unsafe extern "C" fn(*mut libc::sem_t, libc::clockid_t, *const libc::timespec) -> libc::c_int;

/// glibc's `sem_clockwait`, if this glibc has it. Looked up once: a module that asked for it in its list of
/// symbols could not be loaded without.
fn clock_wait() -> Option<ClockWait> {
    /// Null: not looked up. No function is at address 1, which stands for "there is none".
    static FOUND: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    const NONE: *mut c_void = ptr::without_provenance_mut(1);
    let mut found = FOUND.load(Ordering::Relaxed);
    if found.is_null() {
        // SAFETY: the name ends in NUL; a lookup changes nothing, and threads that do it at once find the same.
        found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"sem_clockwait".as_ptr()) };
        if found.is_null() {
            found = NONE;
        }
        FOUND.store(found, Ordering::Relaxed);
    }
    // SAFETY: what has that name in the C library is a function of that type; libc is never unloaded.
    (found != NONE).then(|| unsafe { mem::transmute::<*mut c_void, ClockWait>(found) })
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
        let Some(clock_wait) = clock_wait() else { return self.wait_on_word(end) };
        let end = timespec(end);
        // SAFETY: the invariant of the type; `end` is a valid time that outlives the call.
        check(|| unsafe {
            clock_wait(self.pointer().as_ptr(), libc::CLOCK_MONOTONIC, &raw const end)
        })?;
        Ok(())
    }

    /// What glibc's `sem_clockwait` does, for a glibc that has none. (Its `sem_timedwait` sleeps until a time
    /// of the wall clock: who sets that clock back would make the sleep longer.)
    fn wait_on_word(&self, end: Duration) -> Result<()> {
        const WAITER: u64 = 1 << 32;
        let word = self.word();
        word.fetch_add(WAITER, Ordering::Relaxed);
        loop {
            // Others can write the word: the number of waiters in it may be any.
            let take = |state: u64| (state << 32 != 0).then(|| state.wrapping_sub(1 + WAITER));
            // Sees what was written before the release, as sem_wait does.
            if word.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).is_ok() {
                return Ok(());
            }
            let slept = match end.saturating_sub(time::monotonic()) {
                Duration::ZERO => Err(Errno::TIMEDOUT),
                left => futex::wait(self.value_word(), 0, left),
            };
            if let Err(errno) = slept
                && errno != Errno::AGAIN
            {
                word.fetch_sub(WAITER, Ordering::Relaxed);
                return Err(errno);
            }
        }
    }

    /// Adds one, and wakes a waiter.
    #[inline]
    pub(crate) fn post(&self) -> Result<()> {
        // SAFETY: the invariant of the type.
        check(|| unsafe { libc::sem_post(self.pointer().as_ptr()) })?;
        Ok(())
    }

    /// Adds `count` in one step, and wakes as many waiters; [`Errno::OVERFLOW`], and nothing is added, if
    /// the value would pass its maximum. glibc has no call for it.
    pub(crate) fn post_many(&self, count: u32) -> Result<()> {
        let add = |state: u64| {
            let value = state & u64::from(u32::MAX);
            let added = u64::from(count) <= u64::from(SEM_VALUE_MAX).saturating_sub(value);
            added.then(|| state + u64::from(count))
        };
        // Releases what was written before, as sem_post does.
        let before = self.word().fetch_update(Ordering::Release, Ordering::Relaxed, add);
        let waiters = before.map_err(|_| Errno::OVERFLOW)? >> 32;
        if waiters > 0 {
            futex::wake(self.value_word(), count)?;
        }
        Ok(())
    }

    /// The value in the low half, and the number of waiters in the high half.
    ///
    /// Since 2.21 glibc's `sem_t` of 64-bit systems begins with this word, which is changed atomically.
    /// Programs of different versions of glibc share the file, so this does not change.
    fn word(&self) -> &AtomicU64 {
        // SAFETY: the invariant of the type: the word lies at the start of a `sem_t`, which is as
        // aligned. Everybody changes it atomically.
        unsafe { AtomicU64::from_ptr(self.pointer().as_ptr().cast()) }
    }

    /// The half of the word that has the value, on which waiters sleep.
    fn value_word(&self) -> &AtomicU32 {
        const VALUE: usize = if cfg!(target_endian = "big") { 1 } else { 0 };
        // SAFETY: the invariant of the type: the value is an aligned word within the `sem_t`.
        unsafe { AtomicU32::from_ptr(self.pointer().as_ptr().cast::<u32>().add(VALUE)) }
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, FromRawFd};
    use std::os::unix::fs::FileExt;
    use std::thread;

    use super::*;

    fn semaphore(value: u32) -> MappedSemaphore {
        // SAFETY: the name ends in NUL; the new descriptor is nobody else's.
        let file = unsafe {
            File::from_raw_fd(libc::memfd_create(c"semaphore".as_ptr(), libc::MFD_CLOEXEC))
        };
        file.write_all_at(&image(value).expect("a value"), 0).expect("memory");
        MappedSemaphore::new(file.as_fd()).expect("a mapping")
    }

    fn soon() -> Duration {
        time::monotonic() + Duration::from_millis(5)
    }

    #[test]
    fn without_clock_wait_what_is_there_is_taken() {
        let semaphore = semaphore(2);
        for end in [soon(), Duration::ZERO] {
            semaphore.wait_on_word(end).expect("one is there");
        }
        assert_eq!(semaphore.wait_on_word(Duration::ZERO), Err(Errno::TIMEDOUT));
        let end = soon();
        assert_eq!(semaphore.wait_on_word(end), Err(Errno::TIMEDOUT));
        assert!(time::monotonic() >= end, "it never ends early");
        assert_eq!(semaphore.word().load(Ordering::Relaxed), 0, "nobody waits any longer");
    }

    #[test]
    fn without_clock_wait_a_number_of_waiters_that_nobody_counts_does_no_harm() {
        let semaphore = semaphore(0);
        semaphore.word().store(u64::from(u32::MAX) << 32 | 1, Ordering::Relaxed);
        semaphore.wait_on_word(soon()).expect("one is there");
        assert_eq!(semaphore.value(), 0);
    }

    /// glibc's own waits and posts share the word with it: nothing is lost, whoever wakes whom.
    #[test]
    fn without_clock_wait_it_is_one_protocol_with_glibc() {
        const ROUNDS: u32 = 2_000;
        let late = time::monotonic() + Duration::from_secs(60);
        let there = semaphore(0);
        let back = semaphore(0);
        thread::scope(|scope| {
            for own in [true, false] {
                let (there, back) = (&there, &back);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        if own {
                            there.wait_on_word(late).expect("a post");
                        } else {
                            there.wait_until(late).expect("a post");
                        }
                        back.post().expect("far from the maximum");
                    }
                });
            }
            for round in 0..ROUNDS {
                if round % 2 == 0 {
                    there.post().expect("far from the maximum");
                    there.post().expect("far from the maximum");
                } else {
                    there.post_many(2).expect("far from the maximum");
                }
                back.wait_on_word(late).expect("a post");
                back.wait_until(late).expect("a post");
            }
        });
        assert_eq!(there.word().load(Ordering::Relaxed), 0);
        assert_eq!(back.word().load(Ordering::Relaxed), 0);
    }
}
