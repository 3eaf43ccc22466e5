//! Modules that are looked up in each call, since a program may import them again. PyO3's `import` goes
//! through `builtins.__import__`, which takes about a microsecond though the module is there.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// A module that has been imported, if it has.
pub(crate) fn imported<'py>(name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = name.py();
    // SAFETY: the GIL is held and `name` is a string. The result is a new reference, or null with or
    // without an exception.
    match unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyImport_GetModule(name.as_ptr())) } {
        None => PyErr::take(py).map_or(Ok(None), Err),
        module => Ok(module),
    }
}

/// A module, which is imported if it is not yet.
pub(crate) fn import<'py>(name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
    match imported(name)? {
        Some(module) => Ok(module),
        None => name.py().import(name).map(Bound::into_any),
    }
}
