//! The end of the interpreter: names that are due go, whatever still refers to their handles.
//!
//! CPython ends a daemon thread that asks for the GIL of an interpreter that is ending, by
//! `pthread_exit`, whose unwinding goes through our frames. They are compiled with `panic = "abort"`, so
//! there is nothing in them for it to run: no destructor, which would touch Python objects without the
//! GIL, and no `catch_unwind`, which would abort the process. This holds until Python 3.13 is dropped:
//! from 3.14 on such a thread hangs by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nob_ipc::{Deadline, Error, ErrorKind, Lifetime, Ownership, delete_all, delete_all_with};
use nob_ipc_redis::Background;
use pyo3::exceptions::{PyImportError, PyMemoryError, PyRuntimeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};

use crate::convert::error::raise;
use crate::interpreter::cell::Guarded;
use crate::interpreter::detach::without_gil;
use crate::interpreter::log::{self, Log};
use crate::interpreter::modules::imported;
use crate::interpreter::slot::Slot;
use crate::once::intern;

#[cfg(not(any(test, panic = "abort")))]
compile_error!(
    "a daemon thread that ends in a call would abort the process: set panic = \"abort\""
);

/// Whether the interpreter that imported this has ended.
static ENDED: AtomicBool = AtomicBool::new(false);

/// Whether [`at_exit`] has removed the names that were due.
static DELETED: Guarded<bool> = Guarded::new(false);

/// Whether [`after_exit`] will be called: that list is the process's, and not the module's, which may be
/// imported again.
static LAST_CALL: Guarded<bool> = Guarded::new(false);

/// Whether workers of `multiprocessing` that this process forks will run [`in_new_worker`]. They inherit
/// the answer, and what it says.
static WORKERS_ARRANGED: Guarded<bool> = Guarded::new(false);

/// An open handle: its object, and who unlinks that.
type Handle = (Weak<dyn Slot>, Weak<Ownership>);

/// The handles that were opened, for the end of the process. Those that are gone are left out when there
/// is no room.
static HANDLES: Guarded<Vec<Handle>> = Guarded::new(Vec::new());

/// Remembers a handle that is being opened.
pub(crate) fn remember(
    py: Python<'_>,
    slot: &Arc<dyn Slot>,
    ownership: &Arc<Ownership>,
) -> PyResult<()> {
    // Nothing here runs Python code, so nobody sees the list that is missing meanwhile.
    let mut handles = HANDLES.replace(py, Vec::new());
    if handles.len() == handles.capacity() {
        handles.retain(|(_, ownership)| ownership.strong_count() > 0);
    }
    let room = handles.try_reserve(1);
    if room.is_ok() {
        handles.push((Arc::downgrade(slot), Arc::downgrade(ownership)));
    }
    HANDLES.replace(py, handles);
    room.map_err(|_| PyMemoryError::new_err("no memory to remember the handle"))
}

/// A handle to an object on a server.
pub(crate) trait HandleThere: Send + Sync {
    /// Closes it, and removes the name if it is due.
    fn delete(&self) -> nob_ipc::Result<()>;
}

/// The handles to objects on servers, likewise.
static HANDLES_THERE: Guarded<Vec<Weak<dyn HandleThere>>> = Guarded::new(Vec::new());

/// Remembers a handle to an object on a server that is being opened.
pub(crate) fn remember_there(py: Python<'_>, handle: Weak<dyn HandleThere>) -> PyResult<()> {
    let mut handles = HANDLES_THERE.replace(py, Vec::new());
    if handles.len() == handles.capacity() {
        handles.retain(|handle| handle.strong_count() > 0);
    }
    let room = handles.try_reserve(1);
    if room.is_ok() {
        handles.push(handle);
    }
    HANDLES_THERE.replace(py, handles);
    room.map_err(|_| PyMemoryError::new_err("no memory to remember the handle"))
}

/// What goes on in the background for connections to servers, likewise.
static BACKGROUND: Guarded<Vec<Background>> = Guarded::new(Vec::new());

/// How long the end of the process waits for what is to go back to servers.
const FINISH: Duration = Duration::from_secs(1);

/// Remembers a connection that has been made.
pub(crate) fn remember_server(py: Python<'_>, background: Background) -> PyResult<()> {
    let mut all = BACKGROUND.replace(py, Vec::new());
    all.retain(|background| !background.is_over());
    let room = all.try_reserve(1);
    if room.is_ok() {
        all.push(background);
    }
    BACKGROUND.replace(py, all);
    room.map_err(|_| PyMemoryError::new_err("no memory to remember the connection"))
}

/// Waits until what interrupted calls had taken is back on the servers. What has not gone back is lost, as
/// when the process is killed: the server cannot be reached.
fn finish_background(py: Python<'_>) {
    let all = BACKGROUND.replace(py, Vec::new());
    without_gil(py, || {
        let end = Deadline::after(FINISH);
        for background in all {
            let _is_back = background.finish(end.remaining().unwrap_or_default());
        }
    });
}

/// Closes a handle to an object on a server, and removes the name if it is due; failures go to
/// `sys.unraisablehook`.
pub(crate) fn delete_there(py: Python<'_>, handle: &(impl HandleThere + ?Sized)) {
    if let Err(error) = without_gil(py, || handle.delete()) {
        unraisable(py, &error);
    }
}

/// Does so with all of them: nobody reaches a server when the interpreter has ended.
fn delete_all_there(py: Python<'_>) {
    for handle in HANDLES_THERE.replace(py, Vec::new()) {
        if let Some(handle) = handle.upgrade() {
            delete_there(py, &*handle);
        }
    }
}

/// Closes the handles to shared objects, which are in use until then.
fn close_shared(py: Python<'_>) {
    for (slot, ownership) in HANDLES.replace(py, Vec::new()) {
        let shared = |ownership: Arc<Ownership>| ownership.lifetime() == Lifetime::Shared;
        if let Some(slot) = slot.upgrade()
            && ownership.upgrade().is_some_and(shared)
        {
            slot.close(py);
        }
    }
}

/// Whether the end of the interpreter has removed the name before the program asked for it, in a `__del__`
/// for example: the error says that it is gone.
pub(crate) fn was_first(py: Python<'_>, error: &Error) -> bool {
    DELETED.get(py) && error.kind() == ErrorKind::NotFound
}

/// Removes the name if it is due; failures go to `sys.unraisablehook`.
pub(crate) fn delete(py: Python<'_>, ownership: &Ownership) {
    match without_gil(py, || ownership.delete()) {
        Ok(deletion) => log::deleted(py, ownership.name(), deletion),
        Err(error) => unraisable(py, &error),
    }
}

fn unraisable(py: Python<'_>, error: &Error) {
    let subject = error.to_string().into_pyobject(py).ok();
    raise(py, error).write_unraisable(py, subject.as_deref());
}

/// Called at the end of a worker, after all else: it ends without deleting anything.
#[pyfunction]
fn at_worker_exit(py: Python<'_>) -> PyResult<()> {
    close_shared(py);
    at_exit(py)
}

/// Called by `atexit`, after what was registered since `nob.ipc` was imported. Handles stay usable: what
/// was registered before has yet to run, and daemon threads go on. So a shared object is in use still; its
/// name is tried again in [`after_exit`]. Handles to objects on servers are closed.
#[pyfunction]
fn at_exit(py: Python<'_>) -> PyResult<()> {
    let log = Log::wanted(py);
    DELETED.replace(py, true);
    log::close(py);
    delete_all_there(py);
    finish_background(py);
    let wanted = matches!(log, Ok(Some(_)));
    let (mut errors, mut deleted) = (Vec::new(), Vec::new());
    without_gil(py, || {
        delete_all_with(&mut |ownership, deletion| match deletion {
            Ok(deletion) if wanted => deleted.push((ownership.name().clone(), deletion)),
            Ok(_) => {}
            Err(error) => errors.push(error),
        });
    });
    for error in errors {
        unraisable(py, &error);
    }
    let Some(log) = log? else { return Ok(()) };
    deleted.iter().try_for_each(|(name, deletion)| log.deleted_at_end(name, *deletion))
}

/// Called when the interpreter has ended: for the names of what was made since [`at_exit`], and for those of
/// shared objects whose handles it has not deallocated. What a daemon thread waits on stays in use.
extern "C" fn after_exit() {
    ENDED.store(true, Ordering::Relaxed);
    // SAFETY: this thread had the GIL when the interpreter ended, so that no other gets it.
    close_shared(unsafe { Python::assume_attached() });
    // Nobody is left to tell.
    drop(delete_all());
}

/// Asks for the calls at the end of the interpreter, and before it forks.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    py.import("atexit")?.call_method1("register", (pyo3::wrap_pyfunction!(at_exit, module)?,))?;
    let hooks = PyDict::new(py);
    hooks.set_item("before", pyo3::wrap_pyfunction!(before_fork, module)?)?;
    py.import("os")?.getattr("register_at_fork")?.call((), Some(&hooks))?;
    if !LAST_CALL.get(py) {
        // SAFETY: the function is there as long as the process: a module is never unloaded.
        if unsafe { ffi::Py_AtExit(Some(after_exit)) } != 0 {
            return Err(PyRuntimeError::new_err("Py_AtExit takes no more functions"));
        }
        LAST_CALL.replace(py, true);
    }
    Ok(())
}

/// Refuses to be imported outside of the main interpreter, and by a second one of the process.
pub(crate) fn check_interpreter() -> PyResult<()> {
    // SAFETY: the GIL is held while a module is imported, so there is a current interpreter.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if id != 0 {
        return Err(PyImportError::new_err(
            "nob.ipc does not support subinterpreters: import it in the main interpreter only",
        ));
    }
    if ENDED.load(Ordering::Relaxed) {
        return Err(PyImportError::new_err(
            "nob.ipc was imported by an interpreter of this process that has ended, and cannot be \
             used by another one: initialize the interpreter once, and keep it",
        ));
    }
    Ok(())
}

#[pyfunction]
fn before_fork(py: Python<'_>) -> PyResult<()> {
    arrange_end(py)
}

/// Arranges that the end of this process, and of those it forks, deletes what is due. Called before a
/// handle is opened.
///
/// A worker of `multiprocessing` ends by `os._exit`, without the `atexit` functions of the process that
/// forked it, but calls those that `multiprocessing` was given.
pub(crate) fn arrange_end(py: Python<'_>) -> PyResult<()> {
    if WORKERS_ARRANGED.get(py) {
        return Ok(());
    }
    let (Some(process), Some(util)) = (
        imported(intern!(py, "multiprocessing.process"))?,
        imported(intern!(py, "multiprocessing.util"))?,
    ) else {
        return Ok(());
    };
    // The function is called as long as its first argument lives.
    let run = pyo3::wrap_pyfunction!(in_new_worker, py)?;
    util.call_method1("register_after_fork", (&util, run))?;
    if !process.call_method0("parent_process")?.is_none() {
        in_new_worker(&util)?;
    }
    WORKERS_ARRANGED.replace(py, true);
    Ok(())
}

/// Called in a worker before it works, with the module `multiprocessing.util`.
#[pyfunction]
fn in_new_worker(util: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = util.py();
    let options = PyDict::new(py);
    // After everything else that asked.
    options.set_item("exitpriority", -1_000_000)?;
    let end = pyo3::wrap_pyfunction!(at_worker_exit, py)?;
    util.getattr("Finalize")?.call((py.None(), end), Some(&options))?;
    Ok(())
}
