//! Where a server remembers the last answers to this client, so that a request runs once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sync::lock;

/// A place where the server remembers the last answer, and the number of its last request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub index: u32,
    pub number: u64,
}

impl Slot {
    /// For scripts that need none.
    pub(crate) const NONE: Slot = Slot { index: 0, number: 0 };
}

/// The slots of a client.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    begun: AtomicU32,
    free: Mutex<Vec<Slot>>,
}

impl Slots {
    /// A slot that nobody uses, with the number of its next request.
    pub(crate) fn take(&self) -> Slot {
        let mut slot = self.take_idle();
        slot.number += 1;
        slot
    }

    /// The same, with the number of its last request.
    pub(crate) fn take_idle(&self) -> Slot {
        let free = lock(&self.free).pop();
        free.unwrap_or_else(|| Slot {
            index: self.begun.fetch_add(1, Ordering::Relaxed),
            number: 0,
        })
    }

    /// Gives a slot back whose last request is settled.
    pub(crate) fn give(&self, slot: Slot) {
        lock(&self.free).push(slot);
    }
}
