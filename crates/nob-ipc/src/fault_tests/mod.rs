//! Each system call of each operation fails, once and from there on, with each errno that it could
//! give. Afterwards nothing is left over, what was there is there, and the next call works.

use std::env;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nob_ipc_testing::forks;

use crate::sys::Errno;

mod channel_steps;
mod channels;
mod constructors;
mod owned;
mod ownership;
mod queues;
mod segments;
mod semaphores;
mod subject;
mod sweep;
mod traces;

use subject::Subject;
use sweep::{Case, sweep, sweep_with};

/// What a system call can come back with at a bad moment.
const ERRNOS: [Errno; 7] = [
    Errno::INTR,
    Errno::NOMEM,
    Errno::NOSPC,
    Errno::MFILE,
    Errno::NFILE,
    Errno::ACCES,
    Errno(libc::EIO),
];

/// Runs a test in a process of its own, so that what it leaves there can be counted.
fn alone(body: impl FnOnce()) {
    const ALONE: &str = "NOB_IPC_FAULTS_ALONE";
    let limit = Duration::from_secs(30);
    if env::var_os(ALONE).is_some() {
        thread::spawn(move || {
            thread::sleep(limit);
            eprintln!("still running after {limit:?}: a call goes on for ever");
            traces::clean_all();
            std::process::abort();
        });
        let _clean = traces::CleanAtEnd::new();
        return body();
    }
    let thread = thread::current();
    let test = thread.name().expect("the harness names its threads after the tests");
    let output = Command::new(env::current_exe().expect("this binary has a path"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .expect("this binary runs again");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("1 passed"), "{test} did not run: {said}");
    print!("{said}");
}

/// Runs `body` in a child, where the thread that watches this process does not exist; its answer.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    const NO: i32 = 2;
    let child = forks::fork(|| {
        if !body() {
            forks::exit_now(NO);
        }
    });
    let status = forks::wait_for(child);
    assert!(status.success() || status.code() == Some(NO), "the child ended with {status}");
    status.success()
}
