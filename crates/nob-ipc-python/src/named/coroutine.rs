//! How a class reaches the asyncio side, `nob.ipc._async`.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

use crate::interpreter::modules;

/// Makes the coroutine `nob.ipc._async.FUNCTION(*arguments)`.
pub(crate) fn coroutine<'py>(
    py: Python<'py>,
    function: &str,
    arguments: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    modules::import(pyo3::intern!(py, "nob.ipc._async"))?.getattr(function)?.call1(arguments)
}
