//! What the asyncio side (`nob.ipc._async`) needs of the core, and how the classes reach it.

use nob_ipc::Semaphore;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyModule};

use crate::convert::{self, Given, Timeout};
use crate::semaphore::NamedSemaphore;

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

/// Which of the semaphores have a permit, or are closed; what a look at them is.
#[pyfunction(name = "_ready")]
pub(crate) fn ready(semaphores: &Bound<'_, PyList>) -> PyResult<Vec<usize>> {
    let py = semaphores.py();
    let mut ready = Vec::new();
    for (index, semaphore) in semaphores.iter().enumerate() {
        let value = semaphore.cast::<NamedSemaphore>()?.get().look(py, Semaphore::value);
        if value.is_none_or(|value| value > 0) {
            ready.push(index);
        }
    }
    Ok(ready)
}

/// A timeout as a float, None for ever; InvalidArgument for what is none.
#[pyfunction(name = "_seconds")]
#[pyo3(signature = (timeout, /))]
pub(crate) fn seconds(timeout: Given<'_, '_>) -> PyResult<Option<f64>> {
    Ok(match convert::timeout(timeout)? {
        Timeout::Forever => None,
        Timeout::For(timeout) => Some(timeout.as_secs_f64()),
    })
}
