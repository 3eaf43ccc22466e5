//! What the classes of `nob.posix_ipc` have in common.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, OnceLock};

use nob_ipc::Ownership;
use pyo3::PyClass;
use pyo3::prelude::*;

use super::arguments::Request;
use super::error::{never_opened, not_open, refuse};
use crate::interpreter::deallocation::deallocate;
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;

/// A handle to a named object; what its kinds have in common. It unlinks nothing by itself.
#[pyclass(module = "nob.ipc._native", name = "_PosixNamed", subclass, frozen)]
pub(crate) struct PosixNamed {
    opened: OnceLock<(Request, Arc<Ownership>)>,
}

impl PosixNamed {
    /// A new handle of a subclass.
    pub(super) fn initializer<C>(subclass: C) -> PyClassInitializer<C>
    where
        C: PyClass<BaseType = PosixNamed>,
        PyClassInitializer<C>: From<(C, PosixNamed)>,
    {
        (subclass, PosixNamed { opened: OnceLock::new() }).into()
    }

    /// Refuses a second `__init__`.
    pub(super) fn check_unset(&self) -> PyResult<()> {
        match self.opened.get() {
            None => Ok(()),
            Some((request, _)) => Err(pyo3::exceptions::PyValueError::new_err(format!(
                "the handle was opened on {} before: make a new one instead of calling __init__ a \
                 second time",
                request.name
            ))),
        }
    }

    /// Holds the object from here on, in the slot of the subclass.
    pub(super) fn open<T>(
        &self,
        py: Python<'_>,
        object: &Object<T>,
        value: T,
        ownership: Arc<Ownership>,
        request: Request,
    ) -> PyResult<()> {
        // Another thread may have opened the handle.
        if self.opened.set((request, ownership)).is_err() {
            return self.check_unset();
        }
        object.slot.open(py, value);
        Ok(())
    }

    fn opened(&self) -> PyResult<&(Request, Arc<Ownership>)> {
        self.opened.get().ok_or_else(never_opened)
    }

    /// The object's name for a sentence.
    pub(super) fn shown(&self) -> String {
        self.opened.get().map(|(request, _)| request.name.to_string()).unwrap_or_default()
    }

    /// `posix_ipc.KIND("NAME", mode=MODE` and what `more` adds.
    pub(super) fn describe(&self, kind: &str, more: &str) -> PyResult<String> {
        let permissions = self.mode()?;
        Ok(format!("posix_ipc.{kind}(\"{}\", mode=0{permissions:o}{more})", self.shown()))
    }
}

#[pymethods]
impl PosixNamed {
    /// The name as it was given (str).
    #[getter]
    fn name(&self) -> PyResult<&OsStr> {
        Ok(&self.opened()?.0.given)
    }

    /// The mode as it was given (int).
    #[getter]
    fn mode(&self) -> PyResult<u32> {
        Ok(self.opened()?.0.mode)
    }

    /// Remove the name now; handles and mappings that are open go on working.
    ///
    /// Raises ExistentialError if it is gone or belongs to another object now, PermissionsError.
    /// Source: sem_unlink(3), shm_unlink(3), mq_unlink(3).
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        let (_, ownership) = self.opened()?;
        without_gil(py, || ownership.unlink()).map_err(|error| refuse(py, &error))
    }

    fn __str__(&self) -> PyResult<&OsStr> {
        self.name()
    }
}

/// The object of a handle, and what becomes of it when the handle goes.
#[derive(Debug)]
pub(super) struct Object<T> {
    slot: Closable<T>,
    /// Set when the program may know the descriptor by its number, or relies on it in another way:
    /// what leaves it to the process for good.
    keep: OnceLock<fn(T)>,
}

impl<T> Object<T> {
    pub(super) fn new() -> Self {
        Object { slot: Closable::new(), keep: OnceLock::new() }
    }

    #[inline]
    pub(super) fn slot(&self) -> &Closable<T> {
        &self.slot
    }

    /// Works on the object, which stays until then.
    pub(super) fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&T) -> R) -> PyResult<R> {
        self.slot.with(py, work).map_err(|error| not_open(py, &error))
    }

    /// The number of the descriptor, and -1 when there is none. From here on the program may use it
    /// without this handle.
    pub(super) fn lend(&self, py: Python<'_>, keep: fn(T)) -> i32
    where
        T: AsFd,
    {
        self.keep(keep);
        self.slot.with(py, |object| object.as_fd().as_raw_fd()).unwrap_or(-1)
    }

    /// Does this with the object when the handle is gone, unless it was closed before.
    pub(super) fn keep(&self, keep: fn(T)) {
        // It is the same each time.
        let _ = self.keep.set(keep);
    }

    /// Closes a handle that is open.
    pub(super) fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.slot.check_open(py).map_err(|error| not_open(py, &error))?;
        self.slot.close(py);
        Ok(())
    }
}

impl<T> Drop for Object<T> {
    fn drop(&mut self) {
        if let Some(keep) = self.keep.get() {
            deallocate(|py| self.slot.take(py).into_iter().for_each(keep));
        }
    }
}
