//! Taking a word from a dead owner, and waiting for it: what needs the file, which tells who lives.

use std::sync::atomic::Ordering;

use super::file::RobustFile;
use super::header::Content;
use super::word::{ABANDONED, NOBODY, OWNER, OwnedWord, WAITERS};
use super::{Looks, SPIN, SPIN_STRIDE};
use crate::error::{Operation, Result};
use crate::sys::futex;
use crate::wait::Deadline;
use crate::wait::sleep::Sleeps;
use crate::wait::spin::Waiters;

/// How the word was got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Free,
    /// From one who died, or gave up his handle.
    Over,
}

impl OwnedWord {
    /// Notes a new hold after a death.
    fn begin_after(&self, file: &RobustFile<impl Content>, taken: Taken) {
        self.begin();
        if taken == Taken::Over {
            self.unrepaired.fetch_add(1, Ordering::Relaxed);
            file.header().deaths.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the word if no living handle has it. Apart, so that the callers' fast path stays short.
    #[cold]
    pub(crate) fn try_take(&self, file: &RobustFile<impl Content>, slot: u32) -> Result<bool> {
        // The word of a dead owner changes when somebody notes that he sleeps. Whoever writes rubbish can
        // change it for ever.
        const ATTEMPTS: u32 = 16;
        for _ in 0..ATTEMPTS {
            if self.try_take_free(slot) || self.take_if_free(file, slot, 0) {
                return Ok(true);
            }
            let word = self.word.load(Ordering::Relaxed);
            if word & OWNER == NOBODY {
                continue;
            }
            if file.is_alive(word & OWNER, Operation::Acquire)? {
                return Ok(false);
            }
            if self.take_from_dead(file, slot, word)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes it if nobody has it, whatever else the word says. `waiters`: what it is to say of them.
    fn take_if_free(&self, file: &RobustFile<impl Content>, slot: u32, waiters: u32) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if word & OWNER != NOBODY || !self.replace(word, slot | waiters | (word & WAITERS)) {
            return false;
        }
        let taken = if word & ABANDONED == 0 { Taken::Free } else { Taken::Over };
        self.begin_after(file, taken);
        true
    }

    /// Takes it from an owner who looked dead, if he is, and the word has not changed.
    fn take_from_dead(
        &self,
        file: &RobustFile<impl Content>,
        slot: u32,
        word: u32,
    ) -> Result<bool> {
        // Others may be asleep, whatever the word says: the dead one may have been about to note it.
        let take = || self.replace(word, slot | WAITERS);
        let taken = file.while_dead(word & OWNER, Operation::Acquire, take)? == Some(true);
        if taken {
            self.begin_after(file, Taken::Over);
        }
        Ok(taken)
    }

    /// Waits for the word, after a try that did not bring it; `false` when the deadline passed first.
    pub(crate) fn wait(
        &self,
        file: &RobustFile<impl Content>,
        waiters: &Waiters,
        deadline: Deadline,
    ) -> Result<bool> {
        const OPERATION: Operation = Operation::Acquire;
        if deadline.is_now() {
            return Ok(false);
        }
        let slot = file.slot(OPERATION)?;
        let waiting = waiters.enter();
        let attempt = || self.take_if_free(file, slot, 0).then_some(());
        if waiting.spin(SPIN, SPIN_STRIDE, deadline, attempt).is_some() {
            return Ok(true);
        }
        let sleeps = Sleeps::new(OPERATION, file.name(), deadline);
        let _asleep = file.note_sleeper(slot);
        let mut looks = Looks::new();
        // Whoever has slept cannot know whether others sleep.
        let mut waiters_bit = 0;
        loop {
            if self.take_if_free(file, slot, waiters_bit) {
                return Ok(true);
            }
            let word = self.word.load(Ordering::Relaxed);
            if word & OWNER != NOBODY
                && !file.is_alive(word & OWNER, OPERATION)?
                && self.take_from_dead(file, slot, word)?
            {
                return Ok(true);
            }
            let Some(rest) = sleeps.rest()? else { return Ok(false) };
            // The owner has changed meanwhile, or there is none: look again.
            if word & OWNER == NOBODY || !self.announce_waiter(word) {
                continue;
            }
            waiters_bit = WAITERS;
            self.note_time();
            let slept = futex::wait(&self.word, word | WAITERS, rest.min(looks.next_pause()));
            if !sleeps.go_on(slept)? {
                return Ok(false);
            }
        }
    }

    fn announce_waiter(&self, word: u32) -> bool {
        word & WAITERS != 0 || self.replace(word, word | WAITERS)
    }
}
