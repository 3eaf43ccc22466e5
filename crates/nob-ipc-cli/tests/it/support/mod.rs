//! What the tests share.

pub mod namespace;
mod process;
pub mod pty;
pub mod role;
mod unique;
mod watchdog;

pub use process::{Running, nob, nob_with, start, text, wait_until};
pub use unique::Unique;
pub use watchdog::watchdog;

/// Whether this user can list queues that it has no record of; a test that needs it says so.
pub fn lists_queues() -> bool {
    let listing = nob_ipc::registry::list(&[nob_ipc::Kind::MessageQueue]);
    let all = listing.expect("it can be listed").queues == nob_ipc::registry::Coverage::All;
    if !all {
        eprintln!("without queues: no mqueue file system is mounted, and this user may mount none");
    }
    all
}

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_nob-ipc");
