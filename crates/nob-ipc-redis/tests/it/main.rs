//! The crate as its users see it, on real servers that each test starts for itself. Without a
//! server program the tests are skipped and say so.

mod chaos;
mod clock;
mod deadlines;
mod events;
mod exactly_once;
mod existence;
mod failures;
mod history;
mod holds;
mod late;
mod many_servers;
mod model;
mod order;
mod search;
mod security;
mod watch;

use nob_ipc_testing::Role;

const ROLES: &[&[Role]] = &[
    failures::ROLES,
    holds::ROLES,
    existence::ROLES,
    order::ROLES,
    search::ROLES,
    security::ROLES,
];

#[test]
#[ignore = "a child process plays its role by this"]
fn role() {
    nob_ipc_testing::play(ROLES);
}

/// The server of a test, or the end of the test where there is none.
macro_rules! server {
    ($($argument:literal),*) => {
        match nob_ipc_testing::Server::start(&[$($argument),*]) {
            Some(server) => server,
            None => return,
        }
    };
}
pub(crate) use server;
