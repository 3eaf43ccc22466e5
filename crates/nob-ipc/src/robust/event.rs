//! A word to sleep on until something has changed, whose waiters may be killed at any moment.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::{self, futex};

/// An event that processes share. Nobody is counted out: who was woken announces himself again before he
/// sleeps anew. So one who is killed costs a wake-up that wakes nobody, and no wake-up is lost.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Event {
    /// How many have announced that they wait, since it was last reset.
    waiters: AtomicU32,
    /// Changes when there is something to wake for.
    word: AtomicU32,
    /// The line of the processor's cache is its own.
    _line: [AtomicU64; 7],
}

impl Event {
    /// Announces that this thread is about to sleep; what to give to [`sleep`](Event::sleep). Whatever is
    /// waited for has to be looked at after this.
    pub(crate) fn announce(&self) -> u32 {
        let seen = self.word.load(Ordering::SeqCst);
        self.waiters.fetch_add(1, Ordering::SeqCst);
        seen
    }

    /// Sleeps until woken, unless there was something to wake for since the announcement.
    pub(crate) fn sleep(&self, seen: u32, timeout: Duration) -> sys::Result<()> {
        futex::wait(&self.word, seen, timeout)
    }

    /// Wakes up to `count` sleepers; to be called after what they wait for has changed.
    #[inline]
    pub(crate) fn ring(&self, count: u32) {
        let waiters = self.waiters.load(Ordering::SeqCst);
        if waiters != 0 {
            self.wake(waiters, count);
        }
    }

    #[cold]
    fn wake(&self, waiters: u32, count: u32) {
        self.word.fetch_add(1, Ordering::SeqCst);
        if futex::wake(&self.word, count) == Ok(0) {
            // Nobody sleeps; who has announced himself meanwhile has changed the count.
            let _ = self.waiters.compare_exchange(waiters, 0, Ordering::SeqCst, Ordering::Relaxed);
        }
    }

    /// The word itself, for those who sleep on several.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }
}
