//! Named inter-process communication of POSIX that keeps its promises: semaphores, segments of
//! shared memory and message queues, shared by name among the processes of one machine.
//!
//! The objects are the operating system's own: a C program that calls `sem_open`, `shm_open` or
//! `mq_open` with the same name shares them. Two kinds of this crate's own survive the death of a process
//! that holds them: [`Lock`] and [`BoundedSemaphore`]. A third, [`Channel`], carries messages without the
//! limits of the kernel's queues.
//!
//! ```
//! use std::time::Duration;
//! use nob_ipc::{Existence, Semaphore};
//!
//! // One permit for all processes that open this name.
//! let semaphore = Semaphore::options()
//!     .existence(Existence::LinkOrCreate)
//!     .open("/nob-ipc-doc-crate")?;
//! if semaphore.acquire_timeout(Duration::from_secs(1))? {
//!     // Nobody else is here.
//!     semaphore.release()?;
//! }
//! # Ok::<(), nob_ipc::Error>(())
//! ```
//!
//! # What it promises
//!
//! - **Existence.** [`Existence`] says what to do about an object that exists or does not. No race
//!   with another process that creates or unlinks reaches the caller. A new object appears under its
//!   name complete: a semaphore with its value, a segment with its size and its memory reserved.
//! - **Lifetime.** What [`Existence::LinkOrCreate`] makes is shared: its name goes with the last handle, in
//!   whatever process. What others make is owned: its name goes with the handle that created it, and never with
//!   a forked child's. Both can be chosen ([`Ownership`]). Only the object that was opened is removed.
//! - **Waiting.** Timeouts run on the monotonic clock ([`Deadline`]). Calls that take a
//!   [`Duration`](std::time::Duration) go on after signals; those that take a [`Deadline`] report
//!   them as [`ErrorKind::Interrupted`]. A wait that was interrupted has taken nothing. Before it
//!   sleeps, a wait spins for some microseconds, where that can pay.
//! - **Errors.** [`Error`] says what was attempted, on what, why it failed and what to do.
//!
//! # What it does not
//!
//! A permit of a [`Semaphore`] held by a process that dies stays taken (that of a [`BoundedSemaphore`]
//! does not), and a message in its hands is gone. A process with write permission can shrink a segment under
//! everybody's mappings ([`Mapping`]).
//!
//! # Platforms
//!
//! 64-bit Linux 5.10 or newer with glibc 2.28 or newer. Elsewhere the crate does not compile, and
//! says why.

#![deny(unsafe_code)]

mod kind;
pub use kind::Kind;

mod name;
pub use name::Name;
mod naming;

mod error;
pub use error::{Error, ErrorKind, Operation, Result};

mod object;
pub use object::{
    Deletion, Direction, Existence, Lifetime, Messages, Ownership, Permits, Received, Reservation,
    delete_all, delete_all_with, fork_generation, unlink,
};

mod wait;
pub use wait::{Deadline, retry_on_interrupt};

mod semaphore;
pub use semaphore::{Permit, Semaphore, SemaphoreOptions, SemaphorePoller};

mod shared_memory;
pub use shared_memory::{Access, Mapping, SharedMemory, SharedMemoryOptions, SizePolicy};

mod robust;

mod lock;
pub use lock::{Lock, LockGuard, LockOptions};

mod bounded_semaphore;
pub use bounded_semaphore::{BoundedPermit, BoundedSemaphore, BoundedSemaphoreOptions};

mod channel;
pub use channel::{Channel, ChannelOptions, Readiness, Sink};

mod message_queue;
pub use message_queue::{MessageQueue, MessageQueueOptions, Watch};

pub mod registry;

#[cfg(test)]
mod fault_tests;
mod home;
#[allow(unsafe_code)]
mod sys;

/// The examples of the README and of the site's first page run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../docs/index.md")]
struct Readme;
