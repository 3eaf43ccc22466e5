//! `posix_ipc.Semaphore`.

use std::sync::Arc;
use std::time::Duration;

use nob_ipc::Kind;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::arguments::{self, Request};
use super::base::{Object, PosixNamed};
use super::error::{busy, ended, refuse};
use crate::convert::{self, Arg};
use crate::interpreter::detach::without_gil;
use crate::interpreter::wait::AfterSignal;
use crate::named::acquire::acquire;

/// A semaphore that processes share by name.
///
/// `with sem:` acquires on entry and releases on exit; it neither closes nor unlinks.
///
/// name: str or bytes; None with O_CREX makes a random free one.
/// flags: int, 0 opens, O_CREAT opens or creates, O_CREX creates.
/// mode: int, permission bits of a new semaphore, subject to the umask.
/// initial_value: int, 0 to SEMAPHORE_VALUE_MAX; ignored when opening.
///
/// Raises ExistentialError, PermissionsError, ValueError, OSError. Source: sem_open(3).
#[pyclass(module = "nob.posix_ipc", extends = PosixNamed, subclass, frozen)]
pub(crate) struct Semaphore {
    object: Object<nob_ipc::Semaphore>,
}

#[pymethods]
impl Semaphore {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, flags=0, mode=0o600, initial_value=0)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PosixNamed::initializer(Semaphore { object: Object::new() })
    }

    #[pyo3(signature = (
        name,
        flags = Arg::NOTHING,
        mode = Arg::NOTHING,
        initial_value = Arg::NOTHING,
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        name: Arg<'_, '_>,
        flags: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        initial_value: Arg<'_, '_>,
    ) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        slf.as_super().get().check_unset()?;
        let most = i64::from(nob_ipc::Semaphore::MAX_VALUE);
        let value = convert::bounded("initial_value", initial_value, 0, (0, most))?;
        let request = Request::new(py, Kind::Semaphore, name, flags, mode)?;
        let mut options = nob_ipc::Semaphore::options();
        options.existence(request.existence).mode(request.permissions());
        options.initial_value(convert::narrow(value)?).unlink_on_drop(false);
        let semaphore = without_gil(py, || options.open_named(&request.name));
        let semaphore = semaphore.map_err(|error| refuse(py, &error))?;
        let ownership = Arc::clone(semaphore.ownership());
        slf.as_super().get().open(py, &this.object, semaphore, ownership, request)
    }

    /// Take a permit, waiting while there is none.
    ///
    /// timeout: seconds, None waits for ever, 0 does not wait.
    /// Raises BusyError when there was none in time, SignalError when a signal was handled meanwhile,
    /// ExistentialError when the handle is or gets closed. Nothing was taken then.
    /// Source: sem_wait(3), on the monotonic clock.
    #[pyo3(signature = (timeout = Arg::NOTHING), text_signature = "($self, timeout=None)")]
    fn acquire(slf: &Bound<'_, Self>, timeout: Arg<'_, '_>) -> PyResult<()> {
        take(slf, arguments::timeout(timeout)?)
    }

    /// Give a permit back.
    ///
    /// Raises OSError (EOVERFLOW) at SEMAPHORE_VALUE_MAX, ExistentialError when closed.
    /// Source: sem_post(3).
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let released = self.object.with(py, nob_ipc::Semaphore::release)?;
        released.map_err(|error| refuse(py, &error))
    }

    /// The number of permits at this moment (int; sem_getvalue(3)).
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<u32> {
        self.object.with(py, nob_ipc::Semaphore::value)
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        take(slf, None)?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (
        exc_type = Arg::NOTHING,
        exc = Arg::NOTHING,
        traceback = Arg::NOTHING,
        /,
    ))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Arg<'_, '_>,
        exc: Arg<'_, '_>,
        traceback: Arg<'_, '_>,
    ) -> PyResult<()> {
        self.release(py)
    }

    /// Give up this handle; never unlinks.
    ///
    /// Raises ExistentialError when it is closed already.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.object.close(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        slf.as_super().get().describe("Semaphore", "")
    }
}

#[inline]
fn take(slf: &Bound<'_, Semaphore>, timeout: Option<Duration>) -> PyResult<()> {
    let py = slf.py();
    match acquire(py, slf.get().object.slot(), timeout, AfterSignal::End) {
        Ok(true) => Ok(()),
        Ok(false) => Err(busy(format!(
            "cannot acquire the semaphore \"{}\": it had no permit in time",
            slf.as_super().get().shown()
        ))),
        Err(end) => Err(ended(py, end)),
    }
}
