//! What the asyncio side (`nob.ipc._async`) needs of the core, and how the classes reach it.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyModule};

use crate::convert::error::raise;
use crate::convert::message::Message;
use crate::convert::{self, Given};
use crate::named::message_queue::NamedMessageQueue;
use crate::named::semaphore::NamedSemaphore;

/// Makes the coroutine `nob.ipc._async.FUNCTION(*arguments)`.
pub(crate) fn coroutine<'py>(
    py: Python<'py>,
    function: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let module = MODULE.get_or_try_init(py, || py.import("nob.ipc._async").map(Bound::unbind))?;
    module.bind(py).getattr(function)?.call1(arguments)
}

/// The keys whose handle has a permit, does not block, or is closed: somebody is to look.
#[pyfunction(name = "_ready")]
pub(crate) fn ready<'py>(waits: &Bound<'py, PyDict>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = waits.py();
    let mut ready = Vec::new();
    for (waiting, handle) in waits {
        let waits_on = match handle.cast::<NamedSemaphore>() {
            Ok(semaphore) => semaphore.get().slot().with(py, |semaphore| semaphore.value() == 0),
            Err(_) => handle
                .cast::<NamedMessageQueue>()?
                .get()
                .slot()
                .with(py, |queue| queue.is_blocking().unwrap_or(false)),
        };
        if !waits_on.unwrap_or(false) {
            ready.push(waiting);
        }
    }
    Ok(ready)
}

/// A message and its priority as they can be sent later, or what send would raise.
#[pyfunction(name = "_message")]
pub(crate) fn message<'py>(
    queue: &Bound<'py, NamedMessageQueue>,
    message: &Bound<'py, PyAny>,
    priority: Given<'_, 'py>,
) -> PyResult<(Bound<'py, PyBytes>, u32)> {
    let py = queue.py();
    let priority = convert::priority(priority)?;
    let message = Message::of(message)?.into_bytes(py);
    let checked = queue.get().slot().with(py, |queue| queue.check(message.as_bytes(), priority));
    match checked {
        // A closed handle is told by the call itself.
        Err(_) | Ok(Ok(())) => Ok((message, priority)),
        Ok(Err(error)) => Err(raise(py, &error)),
    }
}

/// A timeout as a float, None for ever; InvalidArgument for what is none.
#[pyfunction(name = "_seconds")]
#[pyo3(signature = (timeout, /))]
pub(crate) fn seconds(timeout: Given<'_, '_>) -> PyResult<Option<f64>> {
    Ok(convert::timeout(timeout)?.map(|timeout| timeout.as_secs_f64()))
}
