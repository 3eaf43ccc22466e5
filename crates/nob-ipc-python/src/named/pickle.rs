//! Pickling: a handle that links to the same object by name in another process.

use pyo3::IntoPyObjectExt;
use pyo3::PyClass;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::interpreter::slot::Refusal;
use crate::named::base::Named;
use crate::named::sharing;

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
    // Where it is: the handle connects when it is restored, and not before.
    let recipe = named.there().map(|there| sharing::recipe(there.handle().connection()));
    options.set_item("connection", recipe)?;
    let restore = py.import("nob.ipc._native")?.getattr("_restore")?;
    let (positional, keywords) = new_arguments(handle)?;
    let class = handle.get_type();
    let arguments = (T::type_object(py), class, named.name()?, options, positional, keywords);
    (restore, arguments, handle.call_method0("__getstate__")?).into_bound_py_any(py)
}

/// What the `__new__` of the subclass is called with.
fn new_arguments<'py>(
    handle: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let py = handle.py();
    if let Some(new_arguments) = handle.getattr_opt("__getnewargs_ex__")? {
        return new_arguments.call0()?.extract();
    }
    let positional = match handle.getattr_opt("__getnewargs__")? {
        Some(new_arguments) => new_arguments.call0()?.extract()?,
        None => PyTuple::empty(py),
    };
    Ok((positional, PyDict::new(py)))
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
    positional: &Bound<'py, PyTuple>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let positional = PyTuple::new(cls.py(), [cls.as_any()])?.add(positional)?;
    let handle = cls.getattr("__new__")?.call(positional.cast::<PyTuple>()?, Some(keywords))?;
    let arguments = PyTuple::new(cls.py(), [&handle, name])?;
    let opened = connected(options)
        .and_then(|options| base.getattr("__init__")?.call(arguments, Some(&options)));
    match opened {
        Err(error) if error.is_instance_of::<PyOSError>(cls.py()) => {
            let note = "the handle was unpickled: whoever pickles one has to keep the object until \
                        then, by its own handle or with unlink_on_delete=False";
            handle.cast::<Named>()?.get().refuse(Refusal::new(cls.py(), &error, note)?);
        }
        opened => drop(opened?),
    }
    Ok(handle)
}

/// The options with the connection that the handles of one server share, if theirs is one.
fn connected<'py>(options: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let options = options.copy()?;
    if let Some(recipe) = options.get_item("connection")?
        && let Ok(recipe) = recipe.cast::<PyTuple>()
    {
        options.set_item("connection", sharing::shared(recipe)?)?;
    }
    Ok(options)
}
