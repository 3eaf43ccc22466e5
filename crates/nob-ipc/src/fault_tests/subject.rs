//! A handle of any kind.

use std::sync::Arc;

use crate::{
    BoundedSemaphore, Channel, Existence, Kind, Lock, MessageQueue, Ownership, Result, Semaphore,
    SharedMemory,
};

/// What the old and the new objects of the tests have as their measure.
pub(super) const OLD: u32 = 4;
pub(super) const NEW: u32 = 2;

pub(super) trait Subject: Sized {
    const KIND: Kind;

    fn open(name: &str, existence: Existence, measure: u32) -> Result<Self>;

    /// Value, size or capacity: by it one object is told from another.
    fn measure(&self) -> u32;

    fn ownership(&self) -> &Arc<Ownership>;

    fn create(name: &str, measure: u32) -> Self {
        Self::open(name, Existence::Create, measure).expect("a new object")
    }

    /// The measure of what has the name at this moment.
    fn measure_of(name: &str) -> Option<u32> {
        let linked = Self::open(name, Existence::Link, 1);
        linked.ok().map(|handle| handle.measure())
    }
}

impl Subject for Semaphore {
    const KIND: Kind = Kind::Semaphore;

    fn open(name: &str, existence: Existence, measure: u32) -> Result<Self> {
        Semaphore::options().initial_value(measure).existence(existence).open(name)
    }

    fn measure(&self) -> u32 {
        self.value()
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

impl Subject for SharedMemory {
    const KIND: Kind = Kind::SharedMemory;

    fn open(name: &str, existence: Existence, measure: u32) -> Result<Self> {
        SharedMemory::options().size(measure.into()).existence(existence).open(name)
    }

    fn measure(&self) -> u32 {
        self.size().expect("a size").try_into().expect("small segments")
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

impl Subject for MessageQueue {
    const KIND: Kind = Kind::MessageQueue;

    fn open(name: &str, existence: Existence, measure: u32) -> Result<Self> {
        MessageQueue::options()
            .max_messages(measure.into())
            .max_message_size(8)
            .existence(existence)
            .open(name)
    }

    fn measure(&self) -> u32 {
        self.max_messages().try_into().expect("small queues")
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

/// Nothing tells one lock from another, so none of the tests that replace an object is for them; a bounded
/// semaphore is made and replaced by the same code.
impl Subject for Lock {
    const KIND: Kind = Kind::Lock;

    fn open(name: &str, existence: Existence, _: u32) -> Result<Self> {
        Lock::options().existence(existence).open(name)
    }

    fn measure(&self) -> u32 {
        OLD
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

impl Subject for BoundedSemaphore {
    const KIND: Kind = Kind::BoundedSemaphore;

    fn open(name: &str, existence: Existence, measure: u32) -> Result<Self> {
        BoundedSemaphore::options().bound(measure).existence(existence).open(name)
    }

    fn measure(&self) -> u32 {
        self.bound()
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

impl Subject for Channel {
    const KIND: Kind = Kind::Channel;

    fn open(name: &str, existence: Existence, measure: u32) -> Result<Self> {
        Channel::options()
            .capacity(4096)
            .max_messages(measure.into())
            .existence(existence)
            .open(name)
    }

    fn measure(&self) -> u32 {
        self.max_messages().try_into().expect("small channels")
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

/// Whether memory is reserved for an object of this kind: that goes on after signals.
pub(super) fn reserves(kind: Kind) -> bool {
    !matches!(kind, Kind::Semaphore | Kind::MessageQueue)
}
