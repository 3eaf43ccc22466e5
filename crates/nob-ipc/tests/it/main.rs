//! The crate as its users see it: with real processes, signals, limits and hostile neighbours. The tests
//! are sorted by what is promised.
//!
//! The numbers in the comments (C13, S8, H25, M42) are those of the table of assertions in `docs/`.

mod bounded_semaphore;
mod channel;
mod examples;
mod existence;
mod faults;
mod history;
mod interop;
mod lifetime;
mod lock;
mod message_queue;
mod owned;
mod ownership;
mod properties;
mod semaphore;
mod shared_memory;
mod support;
mod waiting;

use nob_ipc_testing::Role;

const ROLES: &[&[Role]] = &[
    bounded_semaphore::kill_loop::ROLES,
    bounded_semaphore::permits::ROLES,
    channel::hostile::ROLES,
    channel::kill_loop::ROLES,
    channel::limits::ROLES,
    channel::readiness::ROLES,
    channel::traffic::ROLES,
    channel::waits::ROLES,
    existence::flags::ROLES,
    existence::permissions::ROLES,
    existence::planted::ROLES,
    existence::races::ROLES,
    faults::full_shm::ROLES,
    faults::kills::ROLES,
    faults::limits::ROLES,
    faults::other_fs::ROLES,
    lifetime::close_and_unlink::ROLES,
    lifetime::fork::ROLES,
    lifetime::shared::ROLES,
    lock::kill_loop::ROLES,
    lock::told::ROLES,
    message_queue::notification::ROLES,
    owned::deaths::ROLES,
    owned::forks::ROLES,
    owned::handed_on::ROLES,
    owned::hostile::ROLES,
    owned::namespaces::ROLES,
    owned::slots::ROLES,
    owned::staying::ROLES,
    ownership::list_and_reap::ROLES,
    ownership::records::ROLES,
    ownership::time_namespace::ROLES,
    semaphore::poller::ROLES,
    shared_memory::size_policy::ROLES,
    waiting::deadlines::ROLES,
    waiting::traffic::ROLES,
];

/// What a child of a test runs; see `nob_ipc_testing::play`.
#[test]
#[ignore = "other tests start it as their child process"]
fn role() {
    nob_ipc_testing::play(ROLES);
}
