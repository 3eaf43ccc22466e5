//! No test hangs: one that takes too long ends its process.

use std::env;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::unique;

/// Far beyond what any test takes, also on a busy machine; `make stress` has as many times as much.
const LIMIT: Duration = Duration::from_secs(100);

/// How many times as long loops go on as in the short suite: `NOB_IPC_STRESS`, and 1 at the least.
pub fn stress() -> f64 {
    let times = env::var("NOB_IPC_STRESS").ok().and_then(|times| times.parse().ok());
    times.unwrap_or(1.0_f64).max(1.0)
}

/// The guard of a test: dropping it says that the test has ended.
#[must_use = "the test is watched while this lives"]
pub struct Watchdog {
    _alive: Sender<()>,
}

/// Watches the test that runs in this thread. If the guard still lives after 100 s (and more under
/// [`stress`]), the names of all tests under way are cleaned up and the process is aborted; its children end
/// with it.
pub fn watchdog() -> Watchdog {
    let (alive, ended) = mpsc::channel();
    let test = thread::current().name().unwrap_or("a child").to_string();
    thread::spawn(move || {
        let limit = LIMIT.mul_f64(stress());
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} is still running after {limit:?}: the process is aborted");
            unique::clean_up();
            process::abort();
        }
    });
    Watchdog { _alive: alive }
}
