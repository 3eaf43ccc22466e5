//! A word to sleep on until something has changed, whose waiters may be killed at any moment.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::sys::{self, futex};

/// An event that processes share. Nobody is counted out: who was woken announces himself again before he
/// sleeps anew. So one who is killed costs a wake-up that wakes nobody, and no wake-up is lost.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Event {
    /// How many have ever announced that they wait; it wraps.
    announced: AtomicU32,
    /// Changes when there is something to wake for.
    word: AtomicU32,
    /// How many had announced themselves when nobody was left asleep. A count that only grows, and not one
    /// that is reset: one who wakes others and is late would take a reset back, and with it the announcement
    /// of somebody new. What is late here is too small, which costs a wake-up that wakes nobody.
    settled: AtomicU32,
    /// The line of the processor's cache is its own.
    _line: [AtomicU32; 13],
}

impl Event {
    /// Announces that this thread is about to sleep; what to give to [`sleep`](Event::sleep). Whatever is
    /// waited for has to be looked at after this.
    pub(crate) fn announce(&self) -> u32 {
        let seen = self.word.load(Ordering::SeqCst);
        self.announced.fetch_add(1, Ordering::SeqCst);
        seen
    }

    /// Sleeps until woken, unless there was something to wake for since the announcement.
    pub(crate) fn sleep(&self, seen: u32, timeout: Duration) -> sys::Result<()> {
        futex::wait(&self.word, seen, timeout)
    }

    /// Wakes up to `count` sleepers; to be called after what they wait for has changed.
    #[inline]
    pub(crate) fn notify(&self, count: u32) {
        if let Some(announced) = self.unsettled() {
            self.wake(announced, count);
        }
    }

    /// How many have announced themselves, if one of them may sleep.
    #[inline]
    fn unsettled(&self) -> Option<u32> {
        let announced = self.announced.load(Ordering::SeqCst);
        (announced != self.settled.load(Ordering::Relaxed)).then_some(announced)
    }

    #[cold]
    fn wake(&self, announced: u32, count: u32) {
        self.word.fetch_add(1, Ordering::SeqCst);
        if futex::wake(&self.word, count) == Ok(0) {
            // Of those who had announced themselves before the word changed, nobody sleeps or will.
            self.settled.store(announced, Ordering::Relaxed);
        }
    }

    /// The word itself, for those who sleep on several.
    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            announced: AtomicU32::new(0),
            word: AtomicU32::new(0),
            settled: AtomicU32::new(0),
            _line: [const { AtomicU32::new(0) }; 13],
        }
    }

    #[test]
    fn who_is_late_to_wake_unmakes_no_announcement() {
        let event = event();
        // He has found what he waited for before he slept.
        event.announce();
        let [first, late] = [(); 2].map(|()| event.unsettled().expect("he may sleep"));
        event.wake(first, 1);
        assert_eq!(event.unsettled(), None);
        // Another one is about to sleep, and sees the word as it is after the late one has changed it.
        event.word.fetch_add(1, Ordering::SeqCst);
        event.announce();
        // The rest of what the late one does.
        event.settled.store(late, Ordering::Relaxed);
        assert!(event.unsettled().is_some());
        event.notify(1);
        assert_eq!(event.unsettled(), None);
    }
}
