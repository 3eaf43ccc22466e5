//! A request that was not answered, and may be repeated under its number.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::slots::{Slot, Slots};
use crate::sync::lock;

/// How long an answer is remembered by the server that a retry may ask for, with a margin.
pub(crate) const MEMORY: Duration = Duration::from_secs(540);

/// A request that may have run, or may run still. Its slot is nobody else's until it is settled or
/// nobody can repeat it any more; a later request of the slot makes an old copy of it void.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// Weak: nobody needs them once their client is gone.
    slots: Weak<Slots>,
    /// `None`: it is being repeated, or was answered.
    slot: Mutex<Option<Slot>>,
    /// Until when the server remembers it.
    until: Instant,
}

impl Unanswered {
    /// `slot`: [`Slot::NONE`] for a request without a number.
    pub(crate) fn new(slots: &Arc<Slots>, patience: Duration, slot: Slot) -> Arc<Unanswered> {
        let until = Instant::now() + MEMORY.saturating_sub(patience);
        let slots = Arc::downgrade(slots);
        Arc::new(Unanswered { slots, slot: Mutex::new(Some(slot)), until })
    }

    /// Begins to repeat it; `None`: that is done by another at this moment, it was answered, or it is
    /// too old. The slot is to be put back unless the request was answered.
    pub(crate) fn begin(&self) -> Option<Slot> {
        let mut slot = lock(&self.slot);
        if Instant::now() < self.until { slot.take() } else { None }
    }

    /// When a call that repeats it ends: nothing is sent once the server may have forgotten it.
    pub(crate) fn end(&self, until: Option<Instant>, patience: Duration) -> Option<Instant> {
        let ends_first = Instant::now() + patience > self.until;
        until.map(|end| end.min(self.until)).or(ends_first.then_some(self.until))
    }

    /// There was no answer again.
    pub(crate) fn put_back(&self, slot: Slot) {
        *lock(&self.slot) = Some(slot);
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(slot) = lock(&self.slot).take()
            && slot.number > 0
            && let Some(slots) = self.slots.upgrade()
        {
            slots.give(slot);
        }
    }
}
