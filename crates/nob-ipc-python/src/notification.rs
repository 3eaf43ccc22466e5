//! Notifications that call a Python function.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::blocking::without_lock;
use crate::error::raise;

/// A request for a notification, waited for by a thread of its own.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Watch")]
pub(crate) struct Watch {
    watch: nob_ipc::Watch,
}

#[pymethods]
impl Watch {
    /// Wait for the notification; False when it can come no more.
    fn wait(&self, py: Python<'_>) -> PyResult<bool> {
        without_lock(py, || self.watch.wait()).map_err(|error| raise(py, &error))
    }
}

/// Starts the daemon thread that waits, and then calls `function(argument)`.
pub(crate) fn start(
    py: Python<'_>,
    watch: nob_ipc::Watch,
    function: &Bound<'_, PyAny>,
    argument: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let watch = Bound::new(py, Watch { watch })?;
    // The thread runs a Python function, so that no Rust frame is below what it calls.
    let run = py.import("nob.ipc._notification")?.getattr("run")?;
    let options = PyDict::new(py);
    options.set_item("target", run)?;
    options.set_item("args", PyTuple::new(py, [watch.as_any(), function, argument])?)?;
    options.set_item("daemon", true)?;
    options.set_item("name", "nob.ipc notification")?;
    let thread = py.import("threading")?.getattr("Thread")?.call((), Some(&options))?;
    thread.call_method0("start")?;
    Ok(())
}
