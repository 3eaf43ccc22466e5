//! A word that at most one living handle owns: what it says, taking it from nobody, giving it up.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::image::Image;
use crate::sys::futex;
use crate::sys::time::monotonic;

/// The number of no slot.
pub(crate) const NOBODY: u32 = 0;

/// The bits that name the owner's slot.
pub(super) const OWNER: u32 = 0xffff;
/// Nobody owns the word, and its last owner did not give it up.
pub(super) const ABANDONED: u32 = 1 << 30;
/// Somebody may be asleep.
pub(super) const WAITERS: u32 = 1 << 31;

/// The word, and what its owners note beside it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct OwnedWord {
    pub(super) word: AtomicU32,
    /// How many owners have died since the last one said that all is well.
    pub(super) unrepaired: AtomicU32,
    /// The number of the last hold.
    fence: AtomicU64,
    /// When somebody noted that a hold goes on, on the monotonic clock, in nanoseconds, and the number of
    /// that hold: for people. The clock costs more than the rest of an acquisition.
    noted_at: AtomicU64,
    noted_fence: AtomicU64,
}

impl OwnedWord {
    /// Takes the word if nobody has it. The first instruction of every acquisition.
    #[inline]
    pub(crate) fn try_take_free(&self, slot: u32) -> bool {
        let taken =
            self.word.compare_exchange(NOBODY, slot, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if taken {
            self.begin();
        }
        taken
    }

    /// Notes a new hold.
    #[inline]
    pub(super) fn begin(&self) {
        let fence = self.fence.load(Ordering::Relaxed).wrapping_add(1);
        self.fence.store(fence, Ordering::Relaxed);
    }

    /// Notes that the current hold goes on at this moment, if nobody has.
    pub(crate) fn note_time(&self) {
        let fence = self.fence();
        if self.noted_fence.load(Ordering::Relaxed) != fence {
            let now = u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX);
            self.noted_at.store(now, Ordering::Relaxed);
            self.noted_fence.store(fence, Ordering::Release);
        }
    }

    #[inline]
    pub(super) fn replace(&self, word: u32, by: u32) -> bool {
        self.word.compare_exchange(word, by, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Gives the word up, and wakes a waiter; `false`: this slot does not have it.
    #[inline]
    pub(crate) fn release(&self, slot: u32) -> bool {
        // In one order with what wakes those who wait for something else: see `Event`.
        match self.word.compare_exchange(slot, NOBODY, Ordering::SeqCst, Ordering::Relaxed) {
            Ok(_) => true,
            Err(word) => self.give_up(slot, word, NOBODY),
        }
    }

    /// Gives the word up, as [`release`](OwnedWord::release) does, for one who knows that nobody else gives up
    /// this hold meanwhile: without a second atomic exchange, which is half of the cost.
    ///
    /// A waiter that announces itself between the load and the store finds in the kernel, microseconds later,
    /// that the word has changed. Should this thread be stopped just there, the waiter sleeps until its next
    /// look.
    #[inline]
    pub(crate) fn release_held(&self, slot: u32) {
        let word = self.word.load(Ordering::Relaxed);
        if word == slot {
            self.word.store(NOBODY, Ordering::Release);
        } else {
            self.give_up(slot, word, NOBODY);
        }
    }

    /// Leaves the word to others as its dead owner would; nothing if this slot does not have it.
    pub(crate) fn abandon(&self, slot: u32) {
        self.give_up(slot, self.word.load(Ordering::Relaxed), ABANDONED);
    }

    #[cold]
    fn give_up(&self, slot: u32, mut word: u32, to: u32) -> bool {
        while word & OWNER == slot {
            // Those who are woken note again that others sleep; an abandoned word keeps it.
            let to = if to == NOBODY { to } else { to | (word & WAITERS) };
            match self.word.compare_exchange(word, to, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => {
                    if word & WAITERS != 0 {
                        wake_one(&self.word);
                    }
                    return true;
                }
                Err(changed) => word = changed,
            }
        }
        false
    }

    /// The slot that has it, living or dead.
    pub(crate) fn owner(&self) -> Option<u32> {
        owner(self.word.load(Ordering::Relaxed))
    }

    /// Whether the slot has it.
    #[inline]
    pub(crate) fn is_owned_by(&self, slot: u32) -> bool {
        self.owner() == Some(slot)
    }

    /// Whether somebody who did not give it up has had it, and nobody has said since that all is well; as
    /// far as those know who have taken it over.
    pub(crate) fn is_unrepaired(&self) -> bool {
        self.unrepaired.load(Ordering::Relaxed) != 0
            || self.word.load(Ordering::Relaxed) & (OWNER | ABANDONED) == ABANDONED
    }

    pub(crate) fn mark_repaired(&self) {
        self.unrepaired.store(0, Ordering::Relaxed);
    }

    /// The number of the current hold.
    pub(crate) fn fence(&self) -> u64 {
        self.fence.load(Ordering::Relaxed)
    }
}

/// Wakes one who sleeps on a word.
fn wake_one(word: &AtomicU32) {
    // Fails for no address that is mapped; those who sleep look again by themselves.
    let _ = futex::wake(word, 1);
}

/// The word as a copy of the file shows it.
pub(super) struct WordImage {
    word: u32,
    unrepaired: u32,
    fence: u64,
    noted_at: u64,
    noted_fence: u64,
}

impl WordImage {
    pub(super) fn of(image: &Image<'_>, offset: usize) -> Option<WordImage> {
        Some(WordImage {
            word: image.word(offset + offset_of!(OwnedWord, word))?,
            unrepaired: image.word(offset + offset_of!(OwnedWord, unrepaired))?,
            fence: image.long(offset + offset_of!(OwnedWord, fence))?,
            noted_at: image.long(offset + offset_of!(OwnedWord, noted_at))?,
            noted_fence: image.long(offset + offset_of!(OwnedWord, noted_fence))?,
        })
    }

    /// The slot that has it, living or dead.
    pub(super) fn owner(&self) -> Option<u32> {
        owner(self.word)
    }

    /// The number of the last hold.
    pub(super) fn fence(&self) -> u64 {
        self.fence
    }

    /// Whether nobody has it, and its last owner did not give it up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.word & (OWNER | ABANDONED) == ABANDONED
    }

    pub(super) fn is_unrepaired(&self) -> bool {
        self.unrepaired != 0 || self.is_abandoned()
    }

    /// For how long it has been had at the least, if somebody has noted it.
    pub(super) fn held_for(&self) -> Option<Duration> {
        let noted = self.noted_fence == self.fence;
        noted.then(|| monotonic().saturating_sub(Duration::from_nanos(self.noted_at)))
    }
}

fn owner(word: u32) -> Option<u32> {
    let owner = word & OWNER;
    (owner != NOBODY).then_some(owner)
}
