//! How a class reaches its asyncio side: `nob.ipc._async`, or `nob.ipc._remote` where the object is on a server.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

use crate::interpreter::modules;
use crate::once::intern;
use crate::server::There;

/// Makes the coroutine `FUNCTION(*arguments)`.
pub(crate) fn coroutine<'py, T>(
    py: Python<'py>,
    there: &There<T>,
    function: &str,
    arguments: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let module = if there.get().is_some() {
        intern!(py, "nob.ipc._remote")
    } else {
        intern!(py, "nob.ipc._async")
    };
    modules::import(module)?.getattr(function)?.call1(arguments)
}

/// The same for a kind that is on this machine only.
pub(crate) fn coroutine_here<'py>(
    py: Python<'py>,
    function: &str,
    arguments: impl PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    modules::import(intern!(py, "nob.ipc._async"))?.getattr(function)?.call1(arguments)
}
