//! The crate as its users see it: with real processes, signals, limits and hostile neighbours.
//!
//! The numbers in the comments (C13, S8, H25, M42) are those of the table of assertions in `docs/`.

mod crash;
mod examples;
mod existence;
mod fit;
mod fork;
mod hand_over;
mod hostile;
mod interop;
mod lifetime;
mod limits;
mod mark;
mod message_queue;
mod names;
mod notification;
mod other_fs;
mod permissions;
mod poller;
mod properties;
mod races;
mod records;
mod room;
mod semaphore;
mod shared;
mod shared_memory;
mod signals;
mod support;
mod time_namespace;
mod traffic;
mod waiting;

use support::Role;

const ROLES: &[&[Role]] = &[
    crash::ROLES,
    existence::ROLES,
    fit::ROLES,
    fork::ROLES,
    lifetime::ROLES,
    limits::ROLES,
    notification::ROLES,
    other_fs::ROLES,
    permissions::ROLES,
    poller::ROLES,
    races::ROLES,
    records::ROLES,
    room::ROLES,
    shared::ROLES,
    time_namespace::ROLES,
    traffic::ROLES,
];

/// What a child of a test runs; see `support::child`.
#[test]
#[ignore = "other tests start it as their child process"]
fn role() {
    support::child::play(ROLES);
}
