//! What the handles of all three kinds have in common.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, OnceLock};

use nob_ipc::Ownership;
use pyo3::prelude::*;

use super::arguments::Request;
use super::error::{never_opened, not_open, refuse};
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;
use crate::named::base::Handle;

/// A handle that unlinks nothing by itself, and remembers what its constructor was told and the
/// `facts` that never change.
#[derive(Debug)]
pub(super) struct Named<T, F = ()> {
    handle: Handle<T>,
    opened: OnceLock<(Request, F)>,
    /// Set when the program may know the descriptor by its number, or relies on it in another way:
    /// what leaves it to the process for good.
    keep: OnceLock<fn(T)>,
}

impl<T, F> Named<T, F> {
    pub(super) fn new() -> Self {
        Named { handle: Handle::new(), opened: OnceLock::new(), keep: OnceLock::new() }
    }

    pub(super) fn check_unset(&self) -> PyResult<()> {
        self.handle.check_unset()
    }

    /// Holds the object from here on.
    pub(super) fn open(
        &self,
        py: Python<'_>,
        object: T,
        ownership: Arc<Ownership>,
        request: Request,
        facts: F,
    ) -> PyResult<()> {
        self.handle.open(py, object, ownership)?;
        // Opening succeeds once.
        let _ = self.opened.set((request, facts));
        Ok(())
    }

    #[inline]
    pub(super) fn slot(&self) -> &Closable<T> {
        &self.handle.slot
    }

    /// Works on the object with the lock held. `work` must run no Python code.
    pub(super) fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&T) -> R) -> PyResult<R> {
        self.handle.slot.with(py, work).map_err(|error| not_open(py, &error))
    }

    /// The number of the descriptor, and -1 when there is none. From here on the program may use it
    /// without this handle.
    pub(super) fn lend(&self, py: Python<'_>, keep: fn(T)) -> i32
    where
        T: AsFd,
    {
        self.keep(keep);
        self.handle.slot.with(py, |object| object.as_fd().as_raw_fd()).unwrap_or(-1)
    }

    /// Does this with the object when the handle is gone, unless it was closed before.
    pub(super) fn keep(&self, keep: fn(T)) {
        // It is the same each time.
        let _ = self.keep.set(keep);
    }

    /// The object's name for a sentence.
    pub(super) fn shown(&self) -> String {
        self.handle.name().unwrap_or_default()
    }

    fn opened(&self) -> PyResult<&(Request, F)> {
        self.opened.get().ok_or_else(never_opened)
    }

    pub(super) fn facts(&self) -> PyResult<&F> {
        Ok(&self.opened()?.1)
    }

    pub(super) fn name(&self) -> PyResult<&OsStr> {
        Ok(&self.opened()?.0.given)
    }

    pub(super) fn mode(&self) -> PyResult<u32> {
        Ok(self.opened()?.0.mode)
    }

    /// Closes a handle that is open.
    pub(super) fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |_| ())?;
        self.handle.slot.close(py);
        Ok(())
    }

    pub(super) fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        let ownership = self.handle.ownership().map_err(|_| never_opened())?;
        without_gil(py, || ownership.unlink()).map_err(|error| refuse(py, &error))
    }

    /// `posix_ipc.KIND("NAME", mode=MODE` and what `more` adds.
    pub(super) fn repr(&self, kind: &str, more: &str) -> PyResult<String> {
        let permissions = self.mode()?;
        Ok(format!("posix_ipc.{kind}(\"{}\", mode=0{permissions:o}{more})", self.shown()))
    }
}

impl<T, F> Drop for Named<T, F> {
    fn drop(&mut self) {
        if let Some(keep) = self.keep.get()
            && let Some(object) = self.handle.slot.take()
        {
            keep(object);
        }
    }
}
