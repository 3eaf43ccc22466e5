//! The contract with the platform: the only place that names libc, and the only selection of an
//! operating system.
//!
//! What the rest of the crate relies on:
//!
//! - Segments are regular files in `/dev/shm`; the semaphore `/x` is the file `sem.x` there and
//!   holds one `sem_t` in glibc's format. glibc's `shm_open` and `sem_open` use the same files.
//! - Queues live in the kernel's `mqueue` file system and are reached through `mq_open` alone.
//! - No call that waits goes on after a signal, which comes back as [`Errno::INTR`].
//! - Every descriptor is close-on-exec.
//!
//! Linux 5.10 or newer on a 64-bit processor with glibc 2.28 or newer has all of this. A second system
//! becomes a second folder beside `linux`, chosen here.

#[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
compile_error!(
    "nob-ipc needs 64-bit Linux with glibc: other systems lack the objects, or keep them elsewhere"
);

mod details;
mod errno;
#[cfg(test)]
pub(crate) mod fault;

pub(crate) mod thread;

#[path = "linux/mod.rs"]
mod os;

#[cfg(test)]
pub(crate) use fault::kill_point;

/// Whether [`kill_point`] may kill: in tests only.
pub(crate) const KILLS: bool = cfg!(test);

/// A step at which a process may be killed; nothing but in tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn kill_point(_step: u32) {}

pub(crate) use details::{Credentials, FileId, FileType, Identity, Processes, Stat, UnlinkedFile};
pub(crate) use errno::{Errno, Result};
pub(crate) use os::*;

/// How a descriptor is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenMode {
    ReadOnly,
    WriteOnly,
    ReadWrite,
}

/// What a queue's descriptor is polled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Readable,
    Writable,
}

/// The capacity of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub max_messages: u64,
    pub max_message_size: u64,
}

/// What `mq_getattr` tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueState {
    pub capacity: Capacity,
    pub current_messages: u64,
    pub blocking: bool,
}
