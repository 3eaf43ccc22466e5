//! The one door for calls that may take long: give up the interpreter lock, call, take it again, and
//! on interruption run the signal handlers and go on with the same deadline.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nob_ipc::{Deadline, Error, fork_generation};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::convert::error::raise;
use crate::interpreter::slot::{Call, Slot};

/// Why a call ended without a result.
pub(crate) enum Ended {
    /// A signal handler raised; nothing was taken.
    Raised(PyErr),
    /// The handle is closed, or was never opened.
    Closed(PyErr),
    /// The system refused, or a signal ended the wait.
    Failed(Error),
}

impl From<Ended> for PyErr {
    fn from(ended: Ended) -> PyErr {
        match ended {
            Ended::Raised(error) | Ended::Closed(error) => error,
            Ended::Failed(error) => Python::attach(|py| raise(py, &error)),
        }
    }
}

/// What a wait does after a signal whose handler did not raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterSignal {
    /// It goes on with what is left of its time.
    GoOn,
    /// It ends as interrupted.
    End,
}

/// Goes on after the first try has shown that the call would have to wait; nothing, if it is not to.
#[cold]
pub(crate) fn go_on<T: Sync, R: Default + Send>(
    py: Python<'_>,
    slot: &Slot<T>,
    deadline: Deadline,
    after_signal: AfterSignal,
    attempt: impl FnMut(&T, Deadline) -> nob_ipc::Result<R> + Send,
) -> Result<R, Ended> {
    if deadline == Deadline::NOW {
        return Ok(R::default());
    }
    wait(py, slot.enter(py).map_err(Ended::Closed)?, deadline, after_signal, attempt)
}

/// Waits on an object until it is served, its deadline passes, a signal ends it, or the handle is
/// closed.
fn wait<T: Sync, R: Send>(
    py: Python<'_>,
    mut call: Call<'_, T>,
    deadline: Deadline,
    after_signal: AfterSignal,
    mut attempt: impl FnMut(&T, Deadline) -> nob_ipc::Result<R> + Send,
) -> Result<R, Ended> {
    let deadline = deadline.checked_every(Deadline::CHECK_INTERVAL);
    loop {
        let object = call.object(py).map_err(Ended::Closed)?;
        match without_lock(py, || attempt(object, deadline)) {
            Err(error) if error.is_interrupted() => {
                py.check_signals().map_err(Ended::Raised)?;
                call.renew(py).map_err(Ended::Closed)?;
                if after_signal == AfterSignal::End && error.is_signal() {
                    return Err(Ended::Failed(error));
                }
            }
            // What was taken is returned, whatever else has happened.
            end => return end.map_err(Ended::Failed),
        }
    }
}

/// Lets an exception of a signal handler come out at the interpreter's next check: for a call that has
/// something to return first.
pub(crate) fn postpone(error: PyErr) {
    let argument = Box::into_raw(Box::new(error));
    // SAFETY: `come_out` takes the argument over. When the list of pending calls is full, it is
    // taken back here.
    if unsafe { ffi::Py_AddPendingCall(Some(come_out), argument.cast()) } != 0 {
        // SAFETY: made by `Box::into_raw` above, and nobody else has it.
        let error = unsafe { Box::from_raw(argument) };
        Python::attach(|py| error.write_unraisable(py, None));
    }
}

extern "C" fn come_out(argument: *mut c_void) -> c_int {
    // SAFETY: made by `Box::into_raw` in `postpone`; the interpreter calls this once.
    let error = unsafe { Box::from_raw(argument.cast::<PyErr>()) };
    Python::attach(|py| error.restore(py));
    -1
}

/// Lets other threads and signal handlers run amid many quick calls; fails when a handler raises.
pub(crate) fn breathe(py: Python<'_>) -> PyResult<()> {
    without_lock(py, || ());
    py.check_signals()
}

/// Makes a call that works in steps; signal handlers run between them.
pub(crate) fn in_steps<R: Send>(
    py: Python<'_>,
    raise: fn(Python<'_>, &Error) -> PyErr,
    call: impl FnOnce(&mut dyn FnMut() -> ControlFlow<()>) -> nob_ipc::Result<R> + Send,
) -> PyResult<R> {
    let mut raised = None;
    let done = without_lock(py, || {
        call(&mut || match run_signal_handlers() {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                raised = Some(error);
                ControlFlow::Break(())
            }
        })
    });
    match (done, raised) {
        (Err(error), Some(raised)) if error.is_interrupted() => Err(raised),
        (done, _) => done.map_err(|error: Error| raise(py, &error)),
    }
}

/// Calls without the interpreter lock.
pub(crate) fn without_lock<R: Send>(py: Python<'_>, call: impl FnOnce() -> R + Send) -> R {
    let (result, _coming_back) = py.detach(|| {
        let result = call();
        (result, ComingBack::announce())
    });
    result
}

/// Takes the lock again within [`without_lock`], for the signal handlers.
fn run_signal_handlers() -> PyResult<()> {
    let _coming_back = ComingBack::announce();
    // The method itself is not general enough over the token's lifetime.
    #[expect(clippy::redundant_closure_for_method_calls)]
    Python::attach(|py| py.check_signals())
}

/// A thread on its way back to the interpreter lock.
///
/// A daemon thread that asked for the lock of an interpreter that is ending would be ended by it,
/// through Rust frames, which aborts the process. So threads announce that they come back. Once the
/// interpreter ends, it waits for those that are on their way, and others sleep for good instead.
///
/// This is the one state of the binding that no lock guards. A thread counts itself and then reads the
/// flag, the end sets the flag and then reads the count, all in one total order (`SeqCst`): so one of
/// them sees the other. (loom, which takes `SeqCst` for less, would not believe it.)
struct ComingBack {
    generation: u64,
}

/// How many threads are on their way, in the low half; the fork generation in which they are, in the
/// high half.
static COMING_BACK: AtomicU64 = AtomicU64::new(0);
static ENDING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Set in the thread that ends the interpreter, which needs the lock to the last.
    static ENDS: Cell<bool> = const { Cell::new(false) };
}

const COUNT: u64 = u32::MAX as u64;

fn on_their_way(state: u64, generation: u64) -> u64 {
    if state >> 32 == generation { state & COUNT } else { 0 }
}

impl ComingBack {
    fn announce() -> ComingBack {
        let generation = fork_generation() & COUNT;
        let add = |state| Some(generation << 32 | (on_their_way(state, generation) + 1));
        // The closure always gives a value.
        let _ = COMING_BACK.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
        let coming_back = ComingBack { generation };
        if ENDING.load(Ordering::SeqCst) && !ENDS.get() {
            drop(coming_back);
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        }
        coming_back
    }
}

impl Drop for ComingBack {
    fn drop(&mut self) {
        let subtract = |state| {
            let count = on_their_way(state, self.generation);
            (count > 0).then(|| self.generation << 32 | (count - 1))
        };
        // Nothing to subtract: the process has forked meanwhile, and this is the child.
        let _ = COMING_BACK.fetch_update(Ordering::SeqCst, Ordering::SeqCst, subtract);
    }
}

/// The interpreter begins to end: from here on only this thread comes back to the lock.
pub(crate) fn end(py: Python<'_>) {
    ENDS.set(true);
    ENDING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let generation = fork_generation() & COUNT;
        while on_their_way(COMING_BACK.load(Ordering::SeqCst), generation) > 0 {
            thread::sleep(Duration::from_micros(50));
        }
    });
}
