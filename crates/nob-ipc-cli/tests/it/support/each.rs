//! One object of each kind, with one name.

use std::ffi::OsStr;

use nob_ipc::{BoundedSemaphore, Channel, Existence, Lock, MessageQueue, Semaphore, SharedMemory};
use nob_ipc_testing::{Arguments, Role, hold};

/// The words of the kinds, in the order of lists.
pub const KINDS: [&str; 6] = ["sem", "shm", "mq", "lock", "permits", "channel"];

pub type Each = (Semaphore, SharedMemory, MessageQueue, Lock, BoundedSemaphore, Channel);

pub const ROLES: &[Role] = &[("each::create", hold_new), ("each::link", hold_linked)];

pub fn create_each(name: impl AsRef<OsStr>) -> Each {
    let existence = Existence::Create;
    let semaphore = Semaphore::options().existence(existence).open(&name);
    let segment = SharedMemory::options().existence(existence).size(100).open(&name);
    let queue = MessageQueue::options().existence(existence).max_messages(1).open(&name);
    let lock = Lock::options().existence(existence).open(&name);
    let permits = BoundedSemaphore::options().existence(existence).open(&name);
    let channel = Channel::options().existence(existence).capacity(4096).open(&name);
    let new = "a new one";
    (
        semaphore.expect(new),
        segment.expect(new),
        queue.expect(new),
        lock.expect(new),
        permits.expect(new),
        channel.expect(new),
    )
}

pub fn link_each(name: impl AsRef<OsStr>) -> Each {
    let semaphore = Semaphore::options().open(&name);
    let segment = SharedMemory::options().open(&name);
    let queue = MessageQueue::options().open(&name);
    let lock = Lock::options().open(&name);
    let permits = BoundedSemaphore::options().open(&name);
    let channel = Channel::options().open(&name);
    let there = "it is there";
    (
        semaphore.expect(there),
        segment.expect(there),
        queue.expect(there),
        lock.expect(there),
        permits.expect(there),
        channel.expect(there),
    )
}

/// Creates one object of each kind, and so owns their names.
fn hold_new(arguments: &Arguments) {
    let _held = create_each(arguments.text(0));
    hold();
}

/// Uses what others have created.
fn hold_linked(arguments: &Arguments) {
    let _held = link_each(arguments.text(0));
    hold();
}
