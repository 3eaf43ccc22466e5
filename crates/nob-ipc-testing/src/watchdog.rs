//! No test hangs: one that takes too long ends its process.

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::unique;

/// Far beyond what any test takes, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

/// The guard of a test: dropping it says that the test has ended.
#[must_use = "the test is watched while this lives"]
pub struct Watchdog {
    _alive: Sender<()>,
}

/// Watches the test that runs in this thread. If the guard still lives after 100 s, the names of all
/// tests under way are cleaned up and the process is aborted; its children end with it.
pub fn watchdog() -> Watchdog {
    let (alive, ended) = mpsc::channel();
    let test = thread::current().name().unwrap_or("a child").to_string();
    thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} is still running after {LIMIT:?}: the process is aborted");
            unique::clean_up();
            process::abort();
        }
    });
    Watchdog { _alive: alive }
}
