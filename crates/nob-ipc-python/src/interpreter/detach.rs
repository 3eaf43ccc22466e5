//! The GIL and signal handlers around a call: it is given up, the call is made, it is acquired again.

use std::ffi::{c_int, c_void};
use std::ops::ControlFlow;

use nob_ipc::Error;
use pyo3::ffi;
use pyo3::prelude::*;

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
///
/// It is never inlined: PyO3's way to acquire the GIL has a landing pad, and a thread that CPython ends
/// cannot be unwound through a function that has one around its other calls.
#[inline(never)]
pub(crate) fn without_gil<R: Send>(py: Python<'_>, call: impl FnOnce() -> R + Send) -> R {
    py.detach(call)
}

/// Acquires the GIL again within [`without_gil`], for the signal handlers. An interpreter that is
/// ending has none to run.
pub(super) fn run_signal_handlers() -> PyResult<()> {
    // The method itself is not general enough over the token's lifetime.
    #[expect(clippy::redundant_closure_for_method_calls)]
    Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(()))
}
