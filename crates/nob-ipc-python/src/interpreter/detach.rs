//! The one door for calls that may take long: give up the GIL, call, acquire it again, and on
//! interruption run the signal handlers and go on with the same deadline.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;
use std::time::Duration;

use nob_ipc::{Deadline, Error};
use pyo3::ffi;
use pyo3::prelude::*;

use crate::convert::error::raise;
use crate::interpreter::slot::Closable;

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

/// The deadline of a wait that begins now; `None` is for ever.
pub(crate) fn deadline(timeout: Option<Duration>) -> Deadline {
    timeout.map_or(Deadline::NEVER, Deadline::after)
}

/// Waits on an object, after a try that brought nothing, until it is served, the deadline passes, a
/// signal ends the wait, or the handle is closed.
#[cold]
pub(crate) fn wait<T: Sync, R: Default + Send>(
    py: Python<'_>,
    slot: &Closable<T>,
    deadline: Deadline,
    after_signal: AfterSignal,
    mut attempt: impl FnMut(&T, Deadline) -> nob_ipc::Result<R> + Send,
) -> Result<R, Ended> {
    if deadline == Deadline::NOW {
        return Ok(R::default());
    }
    let deadline = deadline.checked_every(Deadline::CHECK_INTERVAL);
    loop {
        let end = slot.with_detached(py, |object| attempt(object, deadline));
        match end.map_err(Ended::Closed)? {
            Err(error) if error.is_interrupted() => {
                py.check_signals().map_err(Ended::Raised)?;
                if after_signal == AfterSignal::End && error.is_signal() {
                    slot.check_open(py).map_err(Ended::Closed)?;
                    return Err(Ended::Failed(error));
                }
            }
            // What was taken is returned, whatever else has happened.
            end => return end.map_err(Ended::Failed),
        }
    }
}

/// Raises an exception of a signal handler at the interpreter's next check: for a call that has
/// something to return first.
pub(crate) fn raise_later(py: Python<'_>, error: PyErr) {
    let argument = Box::into_raw(Box::new(error));
    // SAFETY: `raise_pending` takes the argument over. When the list of pending calls is full, it is
    // taken back here.
    if unsafe { ffi::Py_AddPendingCall(Some(raise_pending), argument.cast()) } != 0 {
        // SAFETY: made by `Box::into_raw` above, and nobody else has it.
        unsafe { Box::from_raw(argument) }.write_unraisable(py, None);
    }
}

extern "C" fn raise_pending(argument: *mut c_void) -> c_int {
    // SAFETY: made by `Box::into_raw` in `raise_later`; the interpreter calls this once.
    let error = unsafe { Box::from_raw(argument.cast::<PyErr>()) };
    // SAFETY: the interpreter makes pending calls with the GIL held.
    unsafe { Python::attach_unchecked(|py| error.restore(py)) };
    -1
}

/// Lets other threads and signal handlers run amid many quick calls; fails when a handler raises.
pub(crate) fn yield_gil(py: Python<'_>) -> PyResult<()> {
    without_gil(py, || ());
    py.check_signals()
}

/// Makes a call that works in steps; signal handlers run between them.
pub(crate) fn in_steps<R: Send>(
    py: Python<'_>,
    raise: fn(Python<'_>, &Error) -> PyErr,
    call: impl FnOnce(&mut dyn FnMut() -> ControlFlow<()>) -> nob_ipc::Result<R> + Send,
) -> PyResult<R> {
    let mut raised = None;
    let done = without_gil(py, || {
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

/// Calls without the GIL.
pub(crate) fn without_gil<R: Send>(py: Python<'_>, call: impl FnOnce() -> R + Send) -> R {
    py.detach(call)
}

/// Acquires the GIL again within [`without_gil`], for the signal handlers. An interpreter that is
/// ending has none to run.
fn run_signal_handlers() -> PyResult<()> {
    // The method itself is not general enough over the token's lifetime.
    #[expect(clippy::redundant_closure_for_method_calls)]
    Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(()))
}
