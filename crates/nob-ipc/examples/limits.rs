//! What this system allows: a table of the limits of each kind.
//!
//! `cargo run --example limits`

use std::fs;

use nob_ipc::{BoundedSemaphore, Channel, Kind, MessageQueue, Semaphore};

fn main() {
    row("kind", "what", "limit");
    for (title, kind) in [
        ("Semaphore", Kind::Semaphore),
        ("SharedMemory", Kind::SharedMemory),
        ("MessageQueue", Kind::MessageQueue),
        ("Lock", Kind::Lock),
        ("BoundedSemaphore", Kind::BoundedSemaphore),
        ("Channel", Kind::Channel),
    ] {
        row(title, "bytes in a name, after the slash", &kind.max_name_length().to_string());
    }
    row("Semaphore", "largest value", &Semaphore::MAX_VALUE.to_string());
    row("BoundedSemaphore", "largest bound", &BoundedSemaphore::MAX_BOUND.to_string());
    row("Channel", "priorities", &Channel::MAX_PRIORITIES.to_string());
    row("MessageQueue", "highest priority", &MessageQueue::MAX_PRIORITY.to_string());
    for (file, what) in [
        ("msg_max", "messages in a queue (msg_max)"),
        ("msgsize_max", "bytes in a message (msgsize_max)"),
        ("msg_default", "messages, if not asked for (msg_default)"),
        ("msgsize_default", "bytes, if not asked for (msgsize_default)"),
        ("queues_max", "queues in all (queues_max)"),
    ] {
        let limit = fs::read_to_string(format!("/proc/sys/fs/mqueue/{file}"));
        row("MessageQueue", what, limit.as_deref().map_or("unknown", str::trim));
    }
}

fn row(kind: &str, what: &str, limit: &str) {
    println!("{kind:16} {what:42} {limit:>10}");
}
