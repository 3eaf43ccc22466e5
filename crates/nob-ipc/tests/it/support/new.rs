//! New objects, which their handle removes.

use nob_ipc::{BoundedSemaphore, Channel, Existence, Lock, MessageQueue, Semaphore, SharedMemory};

#[track_caller]
pub fn new_semaphore(name: &str, value: u32) -> Semaphore {
    let mut options = Semaphore::options();
    options.initial_value(value).existence(Existence::Create).open(name).expect("a new semaphore")
}

#[track_caller]
pub fn new_segment(name: &str, size: u64) -> SharedMemory {
    let mut options = SharedMemory::options();
    options.size(size).existence(Existence::Create).open(name).expect("a new segment")
}

#[track_caller]
pub fn new_queue(name: &str, max_messages: u64, max_message_size: u64) -> MessageQueue {
    let mut options = MessageQueue::options();
    options.max_messages(max_messages).max_message_size(max_message_size);
    options.existence(Existence::Create).open(name).expect("a new queue")
}

#[track_caller]
pub fn new_lock(name: &str) -> Lock {
    Lock::options().existence(Existence::Create).open(name).expect("a new lock")
}

#[track_caller]
pub fn new_permits(name: &str, bound: u32) -> BoundedSemaphore {
    let mut options = BoundedSemaphore::options();
    options.bound(bound).existence(Existence::Create).open(name).expect("a new bounded semaphore")
}

/// With the room that a channel has by default.
#[track_caller]
pub fn new_channel(name: &str) -> Channel {
    Channel::options().existence(Existence::Create).open(name).expect("a new channel")
}
