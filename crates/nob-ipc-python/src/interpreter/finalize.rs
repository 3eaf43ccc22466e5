//! The end of the interpreter: names that are due go, whatever still refers to their handles.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use nob_ipc::{Ownership, fork_generation};
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyModule};

use crate::convert::error::raise;
use crate::interpreter::detach;
use crate::interpreter::slot::GilCell;

/// The entries of all handles that live, by address.
static LIVE: GilCell<BTreeMap<usize, Weak<Ownership>>> = GilCell::new(BTreeMap::new());

/// The last fork generation in which it was seen whether this is a worker of `multiprocessing`.
static WORKER: GilCell<u64> = GilCell::new(0);

fn key(ownership: &Arc<Ownership>) -> usize {
    Arc::as_ptr(ownership).addr()
}

/// Remembers a handle that was opened.
pub(crate) fn remember(py: Python<'_>, ownership: &Arc<Ownership>) -> PyResult<()> {
    LIVE.with(py, |live| live.insert(key(ownership), Arc::downgrade(ownership)));
    attend_worker(py)
}

/// Forgets a handle that is gone.
pub(crate) fn forget(py: Python<'_>, ownership: &Arc<Ownership>) {
    LIVE.with(py, |live| live.remove(&key(ownership)));
}

/// Removes the name if it is due; failures go to `sys.unraisablehook`.
pub(crate) fn delete(py: Python<'_>, ownership: &Ownership) {
    if let Err(error) = ownership.delete() {
        // An exception that is on its way must survive this one.
        let pending = PyErr::take(py);
        let subject = error.to_string().into_pyobject(py).ok();
        raise(py, &error).write_unraisable(py, subject.as_deref());
        if let Some(pending) = pending {
            pending.restore(py);
        }
    }
}

/// Removes the names of all handles that are due, and leaves the handles usable.
fn delete_all(py: Python<'_>) {
    let entries: Vec<_> = LIVE.with(py, |live| live.values().filter_map(Weak::upgrade).collect());
    for ownership in entries {
        delete(py, &ownership);
    }
}

/// Called by `atexit`, late: after what was registered since `nob.ipc` was imported.
#[pyfunction]
fn end(py: Python<'_>) {
    delete_all(py);
    detach::end(py);
}

/// Called in a worker of `multiprocessing` that ends.
#[pyfunction]
fn end_worker(py: Python<'_>) {
    delete_all(py);
}

/// Asks for a call at the end of the interpreter.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let end = pyo3::wrap_pyfunction!(end, module)?;
    module.py().import("atexit")?.call_method1("register", (end,))?;
    Ok(())
}

/// Refuses to be imported outside of the main interpreter.
pub(crate) fn check_interpreter() -> PyResult<()> {
    // SAFETY: the lock is held while a module is imported, so there is a current interpreter.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "nob.ipc does not support subinterpreters: import it in the main interpreter only",
    ))
}

/// A forked worker of `multiprocessing` ends by `os._exit`, without `atexit`, but calls those who
/// asked it to.
fn attend_worker(py: Python<'_>) -> PyResult<()> {
    let generation = fork_generation();
    if WORKER.with(py, |asked| std::mem::replace(asked, generation) == generation) {
        return Ok(());
    }
    let modules = py.import("sys")?.getattr("modules")?;
    let modules = modules.cast::<PyDict>()?;
    let (Some(process), Some(util)) =
        (modules.get_item("multiprocessing.process")?, modules.get_item("multiprocessing.util")?)
    else {
        return Ok(());
    };
    if process.call_method0("parent_process")?.is_none() {
        return Ok(());
    }
    let end = PyCFunction::new_closure(py, None, None, |arguments, _| end_worker(arguments.py()))?;
    let options = PyDict::new(py);
    // After everything else that asked.
    options.set_item("exitpriority", -1_000_000)?;
    util.getattr("Finalize")?.call((py.None(), end), Some(&options))?;
    Ok(())
}
