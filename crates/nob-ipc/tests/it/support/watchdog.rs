//! No test hangs: one that takes too long ends the process.

use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::unique;

/// Far beyond what any test takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stands by until it is dropped.
pub struct Watchdog {
    /// Dropping it is the sign that the test has ended.
    _alive: Sender<()>,
}

/// Aborts the process, after cleaning up, if the guard still lives in a minute.
pub fn watchdog() -> Watchdog {
    let (alive, ended) = mpsc::channel();
    let test = thread::current().name().unwrap_or("a child").to_string();
    thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} is still running after {PATIENCE:?}: the process is aborted");
            unique::clean_up();
            process::abort();
        }
    });
    Watchdog { _alive: alive }
}
