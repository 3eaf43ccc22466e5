//! What the handles of all three kinds have in common.

use std::sync::{Arc, OnceLock};

use nob_ipc::{Kind, Name, Ownership, unlink};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::convert::error::raise;
use crate::convert::{self, Given};
use crate::interpreter::detach::without_gil;
use crate::interpreter::finalize;
use crate::interpreter::slot::Closable;

/// A core object and its ownership, which outlives closing.
#[derive(Debug)]
pub(crate) struct Handle<T> {
    pub(crate) slot: Closable<T>,
    ownership: OnceLock<Arc<Ownership>>,
}

impl<T> Handle<T> {
    pub(crate) fn new() -> Self {
        Handle { slot: Closable::new(), ownership: OnceLock::new() }
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

    /// Holds the object from here on.
    pub(crate) fn open(
        &self,
        py: Python<'_>,
        object: T,
        ownership: Arc<Ownership>,
    ) -> PyResult<()> {
        finalize::arrange_end(py)?;
        // Another thread, or Python code that ran meanwhile, may have opened the handle.
        if self.ownership.set(ownership).is_err() {
            return self.check_unset();
        }
        self.slot.open(py, object);
        Ok(())
    }

    pub(crate) fn ownership(&self) -> PyResult<&Arc<Ownership>> {
        self.ownership.get().ok_or_else(|| {
            PyValueError::new_err("the handle was never opened: call __init__ first")
        })
    }

    pub(crate) fn name(&self) -> PyResult<String> {
        Ok(self.ownership()?.name().to_string())
    }

    pub(crate) fn set_unlink_on_delete(
        &self,
        py: Python<'_>,
        value: Given<'_, '_>,
    ) -> PyResult<()> {
        let ownership = self.ownership()?;
        let unlink = convert::switch("unlink_on_delete", value, true)?;
        ownership.set_unlink_on_drop(unlink).map_err(|error| raise(py, &error))
    }

    pub(crate) fn closed(&self, py: Python<'_>) -> bool {
        !self.slot.is_open(py)
    }

    pub(crate) fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        let ownership = self.ownership()?;
        without_gil(py, || ownership.unlink()).map_err(|error| raise(py, &error))
    }

    /// Closes, and removes the name if that is due.
    pub(crate) fn delete(&self, py: Python<'_>) {
        self.slot.close(py);
        if let Some(ownership) = self.ownership.get() {
            finalize::delete(py, ownership);
        }
    }

    pub(crate) fn repr(&self, py: Python<'_>, kind: &str) -> String {
        match self.ownership.get() {
            None => format!("<{kind} (never opened)>"),
            Some(ownership) => {
                let origin = if ownership.created() { "created" } else { "linked" };
                let state = if self.slot.is_open(py) { "open" } else { "closed" };
                format!("<{kind} '{}' ({origin}, {state})>", ownership.name())
            }
        }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        // Python objects are deallocated with the interpreter lock held; this takes it once more.
        Python::attach(|py| self.delete(py));
    }
}

/// Removes a name without opening what has it.
pub(crate) fn unlink_name(py: Python<'_>, kind: Kind, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let name: Name = convert::given_name(kind, name)?;
    without_gil(py, || unlink(&name)).map_err(|error| raise(py, &error))
}
