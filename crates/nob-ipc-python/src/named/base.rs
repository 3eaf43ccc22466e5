//! `_Named`, what the classes of all kinds have in common.

use std::sync::{Arc, OnceLock};

use nob_ipc::{Lifetime, Name, Ownership};
use pyo3::PyClass;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::convert::error::raise;
use crate::convert::{self, Arg};
use crate::interpreter::ask::ask;
use crate::interpreter::deallocation::deallocate;
use crate::interpreter::detach::without_gil;
use crate::interpreter::finalize;
use crate::interpreter::log;
use crate::interpreter::slot::{Closable, Refusal, Slot};
use crate::server::error::raise as raise_there;
use crate::server::{Object, There, there_is_open};

/// A handle to an object that processes share by name; what its kinds have in common.
#[pyclass(module = "nob.ipc._native", name = "_Named", subclass, weakref, frozen)]
pub(crate) struct Named {
    /// The object, which a subclass has, too. It is closed before the name goes.
    slot: Arc<dyn Slot>,
    origin: OnceLock<Origin>,
    /// `close()` of the subclass.
    close: Close,
}

/// Closes a handle of a subclass.
type Close = fn(&Bound<'_, Named>) -> PyResult<()>;

/// Which object the handle was opened on.
enum Origin {
    Here(Arc<Ownership>),
    /// On a server. The connection lives as long as the handle.
    There {
        object: Arc<dyn Object>,
        _connection: Py<PyAny>,
    },
}

impl Origin {
    fn name(&self) -> &Name {
        match self {
            Origin::Here(ownership) => ownership.name(),
            Origin::There { object, .. } => object.handle().name(),
        }
    }

    fn created(&self) -> bool {
        match self {
            Origin::Here(ownership) => ownership.created(),
            Origin::There { object, .. } => object.handle().created(),
        }
    }
}

impl Named {
    /// A new handle of a subclass with this `close()`, and the slot for its object.
    pub(crate) fn initializer<C, T>(
        close: Close,
        subclass: impl FnOnce(Arc<Closable<T>>) -> C,
    ) -> PyClassInitializer<C>
    where
        C: PyClass<BaseType = Named>,
        T: Send + Sync + 'static,
        PyClassInitializer<C>: From<(C, Named)>,
    {
        let slot = Arc::new(Closable::new());
        let base =
            Named { slot: Arc::clone(&slot) as Arc<dyn Slot>, origin: OnceLock::new(), close };
        (subclass(slot), base).into()
    }

    /// Refuses a second `__init__`.
    pub(crate) fn check_unset(&self) -> PyResult<()> {
        match self.origin.get() {
            None => Ok(()),
            Some(origin) => Err(PyValueError::new_err(format!(
                "the handle was opened on {} before: make a new one instead of calling __init__ a \
                 second time",
                origin.name()
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
        if self.origin.set(Origin::Here(ownership)).is_err() {
            return self.check_unset();
        }
        slot.open(py, object);
        match self.origin.get() {
            Some(Origin::Here(ownership)) => log::opened(py, ownership),
            _ => Ok(()),
        }
    }

    /// Holds an object on a server from here on, in the subclass. The slot stays as it is.
    pub(crate) fn open_there<T: Object>(
        &self,
        py: Python<'_>,
        connection: Py<PyAny>,
        there: &There<T>,
        object: T,
    ) -> PyResult<()> {
        finalize::arrange_end(py)?;
        let object = Arc::new(object);
        let shared = Arc::clone(&object);
        finalize::remember_there(py, Arc::<T>::downgrade(&object))?;
        if self.origin.set(Origin::There { object: shared, _connection: connection }).is_err() {
            return self.check_unset();
        }
        there.set(object);
        Ok(())
    }

    fn origin(&self) -> PyResult<&Origin> {
        self.origin.get().ok_or_else(|| Python::attach(|py| self.slot.not_open(py)))
    }

    /// The object, if it is on a server.
    pub(crate) fn there(&self) -> Option<&dyn Object> {
        match self.origin.get() {
            Some(Origin::There { object, .. }) => Some(&**object),
            _ => None,
        }
    }

    /// Fails unless the handle is open.
    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        match self.there() {
            Some(there) => there_is_open(there.handle()),
            None if self.slot.is_open(py) => Ok(()),
            None => Err(self.slot.not_open(py)),
        }
    }

    /// Has everything that needs the object raise the error with which it could not be opened.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.slot.refuse(refusal);
    }

    /// What a pickled handle says of unlinking: one that shares the object shares it there, too.
    pub(crate) fn unlink_when_restored(&self) -> PyResult<Option<bool>> {
        match self.origin()? {
            Origin::Here(ownership) if ownership.lifetime() == Lifetime::Shared => Ok(None),
            _ => Ok(Some(false)),
        }
    }
}

#[pymethods]
impl Named {
    /// The name, with its leading slash (str).
    #[getter]
    pub(crate) fn name(&self) -> PyResult<String> {
        Ok(self.origin()?.name().to_string())
    }

    /// Whether this handle linked to an object that existed; False: it created it (bool).
    #[getter]
    pub(crate) fn linked_existing_object(&self) -> PyResult<bool> {
        Ok(!self.origin()?.created())
    }

    /// Whether deletion of the handle removes the name (bool; may be set).
    ///
    /// `True` also for a shared object, which the last of its users removes. Setting `False` keeps
    /// a shared object for good; `PermissionError` if it is another user's.
    #[getter]
    fn unlink_on_delete(&self) -> PyResult<bool> {
        Ok(match self.origin()? {
            Origin::Here(ownership) => ownership.unlink_on_drop(),
            Origin::There { object, .. } => object.handle().unlink_on_drop(),
        })
    }

    #[setter]
    fn set_unlink_on_delete(&self, py: Python<'_>, value: Arg<'_, '_>) -> PyResult<()> {
        let origin = self.origin()?;
        let unlink = convert::switch("unlink_on_delete", value, true)?;
        match origin {
            Origin::Here(ownership) => {
                ownership.set_unlink_on_drop(unlink).map_err(|error| raise(py, &error))
            }
            Origin::There { object, .. } => {
                object.handle().set_unlink_on_drop(unlink);
                Ok(())
            }
        }
    }

    /// Whether the name leads to another object now, or to none (bool).
    ///
    /// `PermissionError` if what has the name may not be looked at.
    #[getter]
    fn stale(&self, py: Python<'_>) -> PyResult<bool> {
        match self.origin()? {
            Origin::Here(ownership) => {
                without_gil(py, || ownership.is_stale()).map_err(|error| raise(py, &error))
            }
            Origin::There { object, .. } => ask(py, raise_there, || object.handle().is_stale()),
        }
    }

    /// Whether the handle is closed (bool).
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        match self.there() {
            Some(there) => there.handle().is_closed(),
            None => !self.slot.is_open(py),
        }
    }

    /// Give up this handle; never unlinks, leaves mappings alone, and twice is fine.
    ///
    /// A wait of another thread on this handle ends with `ValueError` within half a second.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(there) = self.there() {
            return ask(py, raise_there, || there.handle().close());
        }
        self.slot.close(py);
        Ok(())
    }

    /// Remove the name now; handles and mappings that are open go on working.
    ///
    /// See sem_unlink(3), shm_unlink(3), mq_unlink(3).
    ///
    /// Raises:
    ///     FileNotFoundError: It is gone, or the name belongs to another object now.
    ///     PermissionError: The system does not permit it to this user.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        match self.origin()? {
            Origin::Here(ownership) => {
                unlinked(py, ownership.name(), without_gil(py, || ownership.unlink()))
            }
            Origin::There { object, .. } => ask(py, raise_there, || object.handle().unlink()),
        }
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().check_open(slf.py())?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Arg<'_, '_>,
        exc: Arg<'_, '_>,
        traceback: Arg<'_, '_>,
    ) -> PyResult<()> {
        self.close(py)
    }

    /// Close, and remove the name if unlink_on_delete says so; what deletion does.
    pub(crate) fn __del__(&self, py: Python<'_>) {
        self.slot.close(py);
        match self.origin.get() {
            None => {}
            Some(Origin::Here(ownership)) => finalize::delete(py, ownership),
            Some(Origin::There { object, .. }) => finalize::delete_there(py, &**object),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let kind = slf.get_type().name()?;
        let this = slf.get();
        Ok(match this.origin.get() {
            None => format!("<{kind} (never opened)>"),
            Some(origin) => {
                let how = if origin.created() { "created" } else { "linked" };
                let state = if this.closed(slf.py()) { "closed" } else { "open" };
                let place = match this.there() {
                    Some(there) => format!(" at {}", there.handle().connection().url()),
                    None => String::new(),
                };
                format!("<{kind} '{}'{place} ({how}, {state})>", origin.name())
            }
        })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        deallocate(|py| self.__del__(py));
    }
}

/// `close()` of a subclass that has none of its own.
pub(crate) fn close(handle: &Bound<'_, Named>) -> PyResult<()> {
    handle.get().close(handle.py())
}

/// Closes a handle, and removes the name if unlink_on_delete says so.
pub(crate) fn end(handle: &Bound<'_, Named>) -> PyResult<()> {
    let py = handle.py();
    let closed = (handle.get().close)(handle);
    let deleted = match handle.get().origin.get() {
        None => Ok(()),
        Some(Origin::Here(ownership)) => {
            // Its mappings, and calls of other threads, may use it for a while.
            let deleted = without_gil(py, || ownership.delete_early());
            deleted
                .map(|deletion| log::deleted(py, ownership.name(), deletion))
                .map_err(|error| raise(py, &error))
        }
        Some(Origin::There { object, .. }) => ask(py, raise_there, || object.handle().delete()),
    };
    closed.and(deleted)
}

/// That the end of the interpreter was first is no error.
pub(crate) fn unlinked(py: Python<'_>, name: &Name, done: nob_ipc::Result<()>) -> PyResult<()> {
    match done {
        Ok(()) => log::unlinked(py, name),
        Err(error) if finalize::was_first(py, &error) => Ok(()),
        Err(error) => Err(raise(py, &error)),
    }
}
