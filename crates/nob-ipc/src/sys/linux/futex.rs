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
