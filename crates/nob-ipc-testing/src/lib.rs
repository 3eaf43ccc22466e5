//! What the tests of `nob-ipc` and of the command `nob-ipc` share. It is a development dependency and
//! is never published.
//!
//! - [`Unique`]: a name that no other test has; what has it at the end is removed, whatever happens.
//! - [`watchdog()`]: a test that hangs ends its process.
//! - [`Child`], [`Role`]: this test binary again, as a child process that plays a role.
//! - [`Running`], [`output`], [`spawn`], [`prepare`]: any other program that a test starts.
//! - [`drop_alone`]: drops the last handle of a shared object while no child is being started.
//! - [`Machine`]: namespaces in which a role or program is alone, with a `/dev/shm` of its own.
//! - [`mounts`]: what a role changes on such a machine.
//! - [`Server`], [`Proxy`]: a Redis or Valkey server, and what stands in front of it; [`Certificates`] for it.
//! - [`Directory`]: a new directory, removed at the end.
//! - [`Waiter`], [`wait_until`], [`wait_until_in`]: threads and processes that wait, seen from outside.
//! - [`signals`], [`users`], [`limits`], [`forks`]: what a role does to its own process.
//! - [`history`]: what clients do at the same time, and whether an object may have done so.
//! - [`Random`]: choices that are the same at each run.
//! - [`files`], [`marks`]: what the system shows of objects, without the crate under test.
//!
//! No test forks without exec, since the test harness has threads: whatever needs a process of its own
//! is a role.

#![allow(
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "a helper of tests panics where the test has to fail, and is called for its effect"
)]

mod calls;
mod certificates;
mod clock;
mod directory;
mod machine;
mod random;
mod roles;
mod running;
mod server;
mod unique;
mod waiting;
mod watchdog;

pub mod files;
pub mod forks;
pub mod history;
pub mod limits;
pub mod marks;
pub mod mounts;
pub mod signals;
pub mod users;

pub use certificates::Certificates;
pub use directory::Directory;
pub use machine::{Machine, unshare};
pub use random::Random;
pub use roles::{Arguments, Child, Role, hear, hold, play, say};
pub use running::{Running, drop_alone, output, prepare, spawn};
pub use server::{Proxy, Server, free_port, try_command};
pub use unique::Unique;
pub use waiting::{Waiter, thread_id, wait_until, wait_until_in};
pub use watchdog::{Watchdog, stress, watchdog};
