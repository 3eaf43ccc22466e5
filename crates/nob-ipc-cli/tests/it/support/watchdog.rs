//! No test hangs: one that takes too long ends the process, and with it its children.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;
use std::{process, thread};

use super::unique;

/// Far beyond what any test takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// Stands by until it is dropped.
pub struct Watchdog {
    _alive: Sender<()>,
}

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
