//! What a signal does: it ends the command with 128 + its number, at once, or where things have to be
//! put in order, when that is done.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::failure::{Failure, Result, status_of_signal};

const HANDLED: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The last signal that came while it was deferred; 0 for none.
static RECEIVED: AtomicI32 = AtomicI32::new(0);
static DEFERRED: AtomicBool = AtomicBool::new(false);

extern "C" fn receive(signal: i32) {
    if DEFERRED.load(Ordering::Relaxed) {
        RECEIVED.store(signal, Ordering::Relaxed);
    } else {
        // SAFETY: `_exit` may be called in a signal handler.
        unsafe { nix::libc::_exit(status_of_signal(signal)) }
    }
}

/// What passes a limit of file sizes fails, and the error says so. A handler, since a program that is
/// started would inherit that the signal is ignored.
extern "C" fn leave_to_the_call(_: i32) {}

/// The handlers, until they are dropped.
pub struct Handlers(Vec<(Signal, SigAction)>);

impl Handlers {
    pub fn install() -> Handlers {
        RECEIVED.store(0, Ordering::Relaxed);
        // No SA_RESTART: a wait is to notice.
        let action =
            SigAction::new(SigHandler::Handler(receive), SaFlags::empty(), SigSet::empty());
        let install = |signal: Signal, action: &SigAction| {
            // SAFETY: the handlers load and store atomics and call `_exit`, or do nothing, all of which
            // may be done in a signal handler.
            let previous = unsafe { sigaction(signal, action) };
            previous.ok().map(|previous| (signal, previous))
        };
        let ignored = ignored();
        let wanted = HANDLED.into_iter().filter(|&signal| !contains(ignored, signal));
        let mut handlers: Vec<_> = wanted.filter_map(|signal| install(signal, &action)).collect();
        if !contains(ignored, Signal::SIGXFSZ) {
            let handler = SigHandler::Handler(leave_to_the_call);
            let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
            handlers.extend(install(Signal::SIGXFSZ, &action));
        }
        Handlers(handlers)
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        for (signal, previous) in &self.0 {
            // SAFETY: the action was in force before, so it still is a valid one. It is a valid signal,
            // so the call cannot fail.
            let _ = unsafe { sigaction(*signal, previous) };
        }
    }
}

/// The signals that are ignored, as a mask: `nohup` and shells ask for it, and it is respected.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn contains(mask: u64, signal: Signal) -> bool {
    mask >> (signal as i32 - 1) & 1 == 1
}

/// While it lives, signals wait for [`check`].
pub struct Deferred(());

pub fn defer() -> Deferred {
    DEFERRED.store(true, Ordering::Relaxed);
    Deferred(())
}

impl Drop for Deferred {
    fn drop(&mut self) {
        DEFERRED.store(false, Ordering::Relaxed);
    }
}

/// Fails if a signal has come.
pub fn check() -> Result<()> {
    match RECEIVED.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal => Err(Failure::Signalled(signal)),
    }
}
