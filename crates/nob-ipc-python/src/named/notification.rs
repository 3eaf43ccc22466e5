//! Requests for a notification: by signal, or by calling a Python function.

use nob_ipc::MessageQueue;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::convert::error::{invalid_argument, raise};
use crate::convert::{self, Arg};
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;
use crate::once::intern;

/// A request for a notification, waited for by a thread of its own.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Watch")]
pub(crate) struct Watch {
    watch: nob_ipc::Watch,
}

#[pymethods]
impl Watch {
    /// Wait for the notification; False when it can come no more.
    fn wait(&self, py: Python<'_>) -> PyResult<bool> {
        without_gil(py, || self.watch.wait()).map_err(|error| raise(py, &error))
    }
}

/// Requests what is wanted, or cancels; `false` when another process is registered.
pub(crate) fn request(
    py: Python<'_>,
    slot: &Closable<MessageQueue>,
    notification: Arg<'_, '_>,
) -> PyResult<bool> {
    let Some(wanted) = notification.0.filter(|wanted| !wanted.is_none()) else {
        let cancelled = slot.with(py, MessageQueue::cancel_notification)?;
        return cancelled.map(|()| true).map_err(|error| raise(py, &error));
    };
    if let Ok(pair) = wanted.cast::<PyTuple>() {
        let Ok((function, argument)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()
        else {
            return Err(invalid_argument(format!(
                "notification must be (callable, argument), not a tuple of {}",
                pair.len()
            )));
        };
        if !function.is_callable() {
            let message = "notification must be (callable, argument), and the first of the two \
                           cannot be called";
            return Err(invalid_argument(message.into()));
        }
        let watch = slot.with(py, MessageQueue::watch)?;
        let Some(watch) = watch.map_err(|error| raise(py, &error))? else { return Ok(false) };
        start(py, watch, &function, &argument)?;
        return Ok(true);
    }
    let signal = convert::signal(&wanted)?;
    let registered = slot.with(py, |queue| queue.notify_by_signal(signal))?;
    registered.map_err(|error| raise(py, &error))
}

/// Starts the daemon thread that waits, and then calls `function(argument)`. It runs a Python function, so
/// that no Rust frame is below what it calls.
fn start(
    py: Python<'_>,
    watch: nob_ipc::Watch,
    function: &Bound<'_, PyAny>,
    argument: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let watch = Bound::new(py, Watch { watch })?;
    let module = py.import(intern!(py, "nob.ipc._notification"))?;
    module.call_method1("start", (watch, function, argument))?;
    Ok(())
}
