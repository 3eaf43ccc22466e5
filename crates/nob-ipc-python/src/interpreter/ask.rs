//! The one way in which a call asks a server: without the GIL, while signal handlers run now and then.

use std::cell::Cell;

use nob_ipc::Error;
use pyo3::prelude::*;

use crate::interpreter::detach::{raise_later, run_signal_handlers, without_gil};

thread_local! {
    /// What a signal handler has raised within the call of this thread.
    static RAISED: Cell<Option<PyErr>> = const { Cell::new(None) };
}

/// Called within [`ask`], in its thread: whether the call is to go on.
pub(crate) fn may_go_on() -> bool {
    match run_signal_handlers() {
        Ok(()) => true,
        Err(error) => {
            RAISED.set(Some(error));
            false
        }
    }
}

/// Makes a call that waits for a server. What a signal handler raised ends it, or comes out at the
/// interpreter's next check if the call has something to return.
pub(crate) fn ask<R: Send>(
    py: Python<'_>,
    raise: impl FnOnce(Python<'_>, &Error) -> PyErr,
    call: impl FnOnce() -> nob_ipc::Result<R> + Send,
) -> PyResult<R> {
    let done = without_gil(py, call);
    match (done, RAISED.take()) {
        (Err(error), Some(raised)) if error.is_interrupted() => Err(raised),
        (done, raised) => {
            if let Some(raised) = raised {
                raise_later(py, raised);
            }
            done.map_err(|error| raise(py, &error))
        }
    }
}
