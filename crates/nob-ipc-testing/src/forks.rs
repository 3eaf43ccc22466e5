//! Forked children of a role: it has no threads but the one that forks and those that only wait.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;

use crate::calls::check;
use crate::users;

/// Forks. The child does what `body` says and ends without any clean-up, as after `_exit`.
pub fn fork(body: impl FnOnce()) -> i32 {
    // SAFETY: no other thread holds a lock that the child could need.
    let pid = check(unsafe { libc::fork() });
    if pid == 0 {
        users::die_with_parent();
        let done = catch_unwind(AssertUnwindSafe(body));
        exit_now(i32::from(done.is_err()));
    }
    pid
}

/// Forks, and waits until the child has done what `body` says.
#[track_caller]
pub fn in_child(body: impl FnOnce()) {
    let status = wait_for(fork(body));
    assert!(status.success(), "the forked child ended with {status}");
}

/// Waits for the end of a child.
pub fn wait_for(pid: i32) -> ExitStatus {
    let mut status = 0;
    // SAFETY: `status` is writable.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) });
    ExitStatus::from_raw(status)
}

/// Kills a child, and waits until it is gone.
pub fn kill(pid: i32) {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, libc::SIGKILL) });
    assert_eq!(wait_for(pid).signal(), Some(libc::SIGKILL));
}

/// Waits for the children that have ended so far; fails unless each has done its part.
#[track_caller]
pub fn reap_children() {
    let mut status = 0;
    // SAFETY: `status` is writable.
    while unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } > 0 {
        let status = ExitStatus::from_raw(status);
        assert!(status.success(), "a forked child ended with {status}");
    }
}

/// Ends this process as a signal would: no destructor runs.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(status) }
}
