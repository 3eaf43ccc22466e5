//! `_Named`, what the classes of all kinds have in common.

use std::sync::{Arc, OnceLock};

use nob_ipc::{Kind, Lifetime, Name, Ownership, unlink};
use pyo3::PyClass;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::convert::error::raise;
use crate::convert::{self, Arg};
use crate::interpreter::detach::without_gil;
use crate::interpreter::finalize;
use crate::interpreter::log;
use crate::interpreter::slot::{Closable, Refusal, Slot};

/// A handle to an object that processes share by name; what its kinds have in common.
#[pyclass(module = "nob.ipc._native", name = "_Named", subclass, weakref, frozen)]
pub(crate) struct Named {
    /// The object, which a subclass has, too. It is closed before the name goes.
    slot: Arc<dyn Slot>,
    ownership: OnceLock<Arc<Ownership>>,
}

impl Named {
    /// A new handle of a subclass, and the slot for its object.
    pub(crate) fn initializer<C, T>(
        subclass: impl FnOnce(Arc<Closable<T>>) -> C,
    ) -> PyClassInitializer<C>
    where
        C: PyClass<BaseType = Named>,
        T: Send + Sync + 'static,
        PyClassInitializer<C>: From<(C, Named)>,
    {
        let slot = Arc::new(Closable::new());
        let base = Named { slot: Arc::clone(&slot) as Arc<dyn Slot>, ownership: OnceLock::new() };
        (subclass(slot), base).into()
    }

    /// Refuses a second `__init__`.
    pub(crate) fn check_unset(&self) -> PyResult<()> {
        match self.ownership.get() {
            None => Ok(()),
            Some(ownership) => Err(PyValueError::new_err(format!(
                "the handle was opened on {} before: make a new one instead of calling __init__ a \
                 second time",
                ownership.name()
            ))),
        }
    }

    /// Holds the object from here on, in the slot of the subclass.
    pub(crate) fn open<T: Send + Sync>(
        &self,
        py: Python<'_>,
        slot: &Closable<T>,
        object: T,
        ownership: Arc<Ownership>,
    ) -> PyResult<()> {
        finalize::arrange_end(py)?;
        finalize::remember(py, &self.slot, &ownership)?;
        // Another thread, or Python code that ran meanwhile, may have opened the handle.
        if self.ownership.set(ownership).is_err() {
            return self.check_unset();
        }
        slot.open(py, object);
        self.ownership.get().map_or(Ok(()), |ownership| log::opened(py, ownership))
    }

    pub(crate) fn ownership(&self) -> PyResult<&Arc<Ownership>> {
        self.ownership.get().ok_or_else(|| Python::attach(|py| self.slot.not_open(py)))
    }

    /// Has everything that needs the object raise the error with which it could not be opened.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.slot.refuse(refusal);
    }

    /// What a pickled handle says of unlinking: one that shares the object shares it there, too.
    pub(crate) fn unlink_when_restored(&self) -> PyResult<Option<bool>> {
        let shared = self.ownership()?.lifetime() == Lifetime::Shared;
        Ok((!shared).then_some(false))
    }
}

#[pymethods]
impl Named {
    /// The name, with its leading slash (str).
    #[getter]
    pub(crate) fn name(&self) -> PyResult<String> {
        Ok(self.ownership()?.name().to_string())
    }

    /// Whether this handle linked to an object that existed; False: it created it (bool).
    #[getter]
    pub(crate) fn linked_existing_object(&self) -> PyResult<bool> {
        Ok(!self.ownership()?.created())
    }

    /// Whether deletion of the handle removes the name (bool; may be set).
    ///
    /// `True` also for a shared object, which the last of its users removes. Setting `False` keeps
    /// a shared object for good; `PermissionError` if it is another user's.
    #[getter]
    fn unlink_on_delete(&self) -> PyResult<bool> {
        Ok(self.ownership()?.unlink_on_drop())
    }

    #[setter]
    fn set_unlink_on_delete(&self, py: Python<'_>, value: Arg<'_, '_>) -> PyResult<()> {
        let ownership = self.ownership()?;
        let unlink = convert::switch("unlink_on_delete", value, true)?;
        ownership.set_unlink_on_drop(unlink).map_err(|error| raise(py, &error))
    }

    /// Whether the name leads to another object now, or to none (bool).
    ///
    /// `PermissionError` if what has the name may not be looked at.
    #[getter]
    fn stale(&self, py: Python<'_>) -> PyResult<bool> {
        let ownership = self.ownership()?;
        without_gil(py, || ownership.is_stale()).map_err(|error| raise(py, &error))
    }

    /// Whether the handle is closed (bool).
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        !self.slot.is_open(py)
    }

    /// Give up this handle; never unlinks, leaves mappings alone, and twice is fine.
    ///
    /// A wait of another thread on this handle ends with `ValueError` within half a second.
    pub(crate) fn close(&self, py: Python<'_>) {
        self.slot.close(py);
    }

    /// Remove the name now; handles and mappings that are open go on working.
    ///
    /// See sem_unlink(3), shm_unlink(3), mq_unlink(3).
    ///
    /// Raises:
    ///     FileNotFoundError: It is gone, or the name belongs to another object now.
    ///     PermissionError: The system does not permit it to this user.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        let ownership = self.ownership()?;
        unlinked(py, ownership.name(), without_gil(py, || ownership.unlink()))
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let slot = &slf.get().slot;
        if slot.is_open(slf.py()) { Ok(slf.clone()) } else { Err(slot.not_open(slf.py())) }
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Arg<'_, '_>,
        exc: Arg<'_, '_>,
        traceback: Arg<'_, '_>,
    ) {
        self.slot.close(py);
    }

    /// Close, and remove the name if unlink_on_delete says so; what deletion does.
    pub(crate) fn __del__(&self, py: Python<'_>) {
        self.slot.close(py);
        if let Some(ownership) = self.ownership.get() {
            finalize::delete(py, ownership);
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let kind = slf.get_type().name()?;
        let this = slf.get();
        Ok(match this.ownership.get() {
            None => format!("<{kind} (never opened)>"),
            Some(ownership) => {
                let origin = if ownership.created() { "created" } else { "linked" };
                let state = if this.closed(slf.py()) { "closed" } else { "open" };
                format!("<{kind} '{}' ({origin}, {state})>", ownership.name())
            }
        })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // Python objects are deallocated with the GIL held; this takes it once more.
        Python::attach(|py| self.__del__(py));
    }
}

/// Removes a name without opening what has it.
pub(crate) fn unlink_name(py: Python<'_>, kind: Kind, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let name: Name = convert::given_name(kind, name)?;
    unlinked(py, &name, without_gil(py, || unlink(&name)))
}

/// That the end of the interpreter was first is no error.
fn unlinked(py: Python<'_>, name: &Name, done: nob_ipc::Result<()>) -> PyResult<()> {
    match done {
        Ok(()) => log::unlinked(py, name),
        Err(error) if finalize::was_first(py, &error) => Ok(()),
        Err(error) => Err(raise(py, &error)),
    }
}
