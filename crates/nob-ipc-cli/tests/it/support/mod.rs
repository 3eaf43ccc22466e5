//! What the tests of the command share beside `nob_ipc_testing`: running it, also on a terminal.

pub mod each;
mod program;
pub mod pty;

pub use program::{Argument, PROGRAM, command, json, nob, nob_with, shell, start, text, words};

/// `sem:/name` and the like.
pub fn address(kind: &str, name: &str) -> String {
    format!("{kind}:{name}")
}

/// Whether this user can list queues that it has no record of; a test that needs it says so.
pub fn lists_queues() -> bool {
    let listing = nob_ipc::registry::list(&[nob_ipc::Kind::MessageQueue]);
    let all = listing.expect("it can be listed").queues == nob_ipc::registry::Coverage::All;
    if !all {
        eprintln!("without queues: no mqueue file system is mounted, and this user may mount none");
    }
    all
}
