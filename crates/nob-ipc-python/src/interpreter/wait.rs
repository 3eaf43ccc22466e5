//! The one way in which a call waits: without the GIL, and on interruption it runs the signal handlers and
//! goes on with the same deadline.

use std::time::Duration;

use nob_ipc::{Deadline, Error};
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
