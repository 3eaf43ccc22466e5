//! Pickling: a handle that links to the same object by name in another process.

use pyo3::IntoPyObjectExt;
use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

/// What `__reduce__` returns: how to make the handle again, whatever the subclass's `__init__` wants.
pub(crate) fn reduce<'py, T: PyTypeInfo>(
    handle: &Bound<'py, T>,
    name: String,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = handle.py();
    let handle = handle.as_any();
    options.set_item("unlink_on_delete", false)?;
    let restore = py.import("nob.ipc._native")?.getattr("_restore")?;
    let arguments = (T::type_object(py), handle.get_type(), name, options);
    let attributes = match handle.getattr_opt("__dict__")? {
        Some(attributes) if !attributes.is_empty()? => attributes,
        _ => py.None().into_bound(py),
    };
    (restore, arguments, attributes).into_bound_py_any(py)
}

/// Link a new handle of class `cls` to the object called `name`; what pickles call.
#[pyfunction(name = "_restore")]
pub(crate) fn restore<'py>(
    base: &Bound<'py, PyType>,
    cls: &Bound<'py, PyType>,
    name: &Bound<'py, PyAny>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let handle = cls.call_method1("__new__", (cls,))?;
    let arguments = PyTuple::new(cls.py(), [&handle, name])?;
    base.getattr("__init__")?.call(arguments, Some(options))?;
    Ok(handle)
}
