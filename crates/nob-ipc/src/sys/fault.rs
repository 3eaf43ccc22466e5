//! Makes system calls of this thread fail on demand, so that every error path runs in a test; and kills this
//! process at a step.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Errno;

thread_local! {
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
    static TRIGGERED: Cell<u32> = const { Cell::new(0) };
}

/// Fails the `nth` call (from 1) with `errno`: that one alone, or all from there on.
#[derive(Clone, Copy)]
struct Plan {
    nth: u32,
    persistent: bool,
    errno: Errno,
    seen: u32,
}

/// Runs `body` while the plan is in force; returns its result and how many calls were failed.
pub(crate) fn inject<T>(
    nth: u32,
    persistent: bool,
    errno: Errno,
    body: impl FnOnce() -> T,
) -> (T, u32) {
    TRIGGERED.set(0);
    PLAN.set(Some(Plan { nth, persistent, errno, seen: 0 }));
    let result = body();
    PLAN.set(None);
    (result, TRIGGERED.get())
}

/// Whether the call that is about to be made is to fail, and how.
pub(super) fn next() -> Option<Errno> {
    let mut plan = PLAN.get()?;
    plan.seen += 1;
    PLAN.set(Some(plan));
    let due = if plan.persistent { plan.seen >= plan.nth } else { plan.seen == plan.nth };
    due.then(|| {
        TRIGGERED.set(TRIGGERED.get() + 1);
        plan.errno
    })
}

static STEP: AtomicU32 = AtomicU32::new(0);

/// Has this process die at the next step of this number.
pub(crate) fn kill_at(step: u32) {
    STEP.store(step, Ordering::Relaxed);
}

/// A step at which this process may be killed.
pub(crate) fn kill_point(step: u32) {
    if STEP.load(Ordering::Relaxed) == step {
        // SAFETY: takes numbers.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}
