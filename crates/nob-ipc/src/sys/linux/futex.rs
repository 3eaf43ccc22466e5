//! `<linux/futex.h>`: sleeping on a word that processes share, and waking who sleeps there
//! ([futex(2)](https://man7.org/linux/man-pages/man2/futex.2.html)).

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::conv::check;
use super::time::timespec;
use crate::sys::Result;

/// Sleeps while the word has this value, until woken. [`Errno::AGAIN`](crate::sys::Errno::AGAIN): it has
/// another; [`Errno::TIMEDOUT`](crate::sys::Errno::TIMEDOUT): the time on the monotonic clock is over.
pub(crate) fn wait(word: &AtomicU32, value: u32, timeout: Duration) -> Result<()> {
    let timeout = timespec(timeout);
    // SAFETY: the word is aligned and mapped for as long as the reference lives; the kernel only reads
    // it. `timeout` is a valid time that outlives the call.
    check(|| unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            &raw const timeout,
            ptr::null::<u32>(),
            0_u32,
        )
    })?;
    Ok(())
}

/// Wakes up to `count` of those who sleep on the word, in whatever process; how many that were.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> Result<u32> {
    let count = count.min(i32::MAX.cast_unsigned());
    // SAFETY: as above; waking does not even read the word.
    let woken = check(|| unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count)
    })?;
    Ok(u32::try_from(woken).unwrap_or(0))
}

/// A word among several to sleep on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited {
    address: u64,
    value: u32,
    flags: u32,
}

impl Awaited {
    /// A word that processes share, which has been seen to have this value. It need not be mapped when it
    /// is slept on: the kernel looks, and says so.
    pub(crate) fn shared(word: &AtomicU32, value: u32) -> Awaited {
        /// `FUTEX2_SIZE_U32` of `<linux/futex.h>`.
        const SIZE_U32: u32 = 2;
        Awaited { address: word.as_ptr().expose_provenance() as u64, value, flags: SIZE_U32 }
    }
}

/// How many words a thread can sleep on at once.
pub(crate) const MOST_AWAITED: usize = 128;

/// Sleeps while all of the words have their values, until one of them is woken, or until a moment of the
/// monotonic clock ([futex_waitv](https://docs.kernel.org/userspace-api/futex2.html), since Linux 5.16;
/// [`Errno::NOSYS`](crate::sys::Errno::NOSYS) before).
pub(crate) fn wait_for_any(awaited: &[Awaited], until: Duration) -> Result<()> {
    /// `struct futex_waitv` of `<linux/futex.h>`.
    #[repr(C)]
    struct Waiter {
        value: u64,
        address: u64,
        flags: u32,
        reserved: u32,
    }
    let waiter = |awaited: &Awaited| Waiter {
        value: awaited.value.into(),
        address: awaited.address,
        flags: awaited.flags,
        reserved: 0,
    };
    let waiters: Vec<Waiter> = awaited.iter().map(waiter).collect();
    let until = timespec(until);
    // SAFETY: the list is as long as it says and outlives the call, as does the time; the kernel reads the
    // words by their addresses, and fails where nothing is mapped.
    check(|| unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0_u32,
            &raw const until,
            libc::CLOCK_MONOTONIC,
        )
    })?;
    Ok(())
}
