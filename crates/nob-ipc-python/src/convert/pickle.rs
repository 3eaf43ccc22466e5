//! Pickling: a handle that links to the same object by name in another process.

use pyo3::IntoPyObjectExt;
use pyo3::PyClass;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::interpreter::slot::Refusal;
use crate::named::base::Named;

/// What `__reduce__` returns: how to make the handle again, whatever the subclass's `__init__` wants, and
/// the state of the subclass, as `object.__reduce_ex__` has it.
pub(crate) fn reduce<'py, T: PyClass<BaseType = Named>>(
    handle: &Bound<'py, T>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = handle.py();
    let named = handle.as_super().get();
    let handle = handle.as_any();
    options.set_item("unlink_on_delete", named.unlink_when_restored()?)?;
    let restore = py.import("nob.ipc._native")?.getattr("_restore")?;
    let arguments = (T::type_object(py), handle.get_type(), named.name()?, options);
    (restore, arguments, handle.call_method0("__getstate__")?).into_bound_py_any(py)
}

/// Link a new handle of class `cls` to the object called `name`; what pickles call.
///
/// An object that cannot be opened is told at the first use of the handle: `multiprocessing.Pool` loses
/// its thread, and waits for ever, when unpickling raises.
#[pyfunction(name = "_restore")]
pub(crate) fn restore<'py>(
    base: &Bound<'py, PyType>,
    cls: &Bound<'py, PyType>,
    name: &Bound<'py, PyAny>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let handle = cls.call_method1("__new__", (cls,))?;
    let arguments = PyTuple::new(cls.py(), [&handle, name])?;
    match base.getattr("__init__")?.call(arguments, Some(options)) {
        Err(error) if error.is_instance_of::<PyOSError>(cls.py()) => {
            let note = "the handle was unpickled: whoever pickles one has to keep the object until \
                        then, by its own handle or with unlink_on_delete=False";
            handle.cast::<Named>()?.get().refuse(Refusal::new(cls.py(), &error, note)?);
        }
        opened => drop(opened?),
    }
    Ok(handle)
}
