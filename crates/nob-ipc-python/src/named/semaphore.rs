//! `NamedSemaphore`.

use std::sync::Arc;

use nob_ipc::{Kind, Semaphore};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::convert::error::{invalid_argument, raise};
use crate::convert::pickle;
use crate::convert::{self, Given};
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;
use crate::interpreter::wait::AfterSignal;
use crate::named::acquire::acquire;
use crate::named::base::{self, Named};
use crate::named::coroutine::coroutine;

/// A semaphore that processes share by name.
///
/// Its value is a number of permits: `acquire` takes one and waits while there is none, `release`
/// gives some back. Nobody owns a permit. `with sem:` acquires on entry and releases once on exit; it
/// does not close.
///
/// name: str, one leading slash optional; None with Flags.RAISE_IF_EXISTS makes a random free one.
/// initial_value: int, 0 to 2147483647; ignored when linking.
/// handle_existence: Flags, what to do about a semaphore that exists, or does not.
/// unlink_on_delete: None: deletion of the last handle removes the name, unless the object is owned or
/// kept. True: deletion of this handle does. False: none does.
/// mode: int, permission bits of a new semaphore, subject to the umask.
///
/// Raises FileExistsError, FileNotFoundError, PermissionError, OSError, InvalidArgument.
/// Source: sem_overview(7), sem_open(3).
#[pyclass(module = "nob.ipc", extends = Named, subclass, frozen)]
pub(crate) struct NamedSemaphore {
    slot: Arc<Closable<Semaphore>>,
}

#[pymethods]
impl NamedSemaphore {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, initial_value=1, handle_existence=..., \
                          unlink_on_delete=None, *, mode=0o600)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Named::initializer(|slot| NamedSemaphore { slot })
    }

    #[pyo3(signature = (
        name,
        initial_value = Given::NOTHING,
        handle_existence = Given::NOTHING,
        unlink_on_delete = Given::NOTHING,
        *,
        mode = Given::NOTHING,
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        name: Given<'_, '_>,
        initial_value: Given<'_, '_>,
        handle_existence: Given<'_, '_>,
        unlink_on_delete: Given<'_, '_>,
        mode: Given<'_, '_>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().check_unset()?;
        let existence = convert::existence(handle_existence, py)?;
        let most = i64::from(Semaphore::MAX_VALUE);
        let value = convert::bounded("initial_value", initial_value, 1, (0, most))?;
        let mut options = Semaphore::options();
        options.existence(existence).initial_value(convert::narrow(value)?);
        options.mode(convert::mode(mode)?);
        if let Some(unlink) = convert::optional_switch("unlink_on_delete", unlink_on_delete)? {
            options.unlink_on_drop(unlink);
        }
        let name = convert::name(Kind::Semaphore, name, existence)?;
        let semaphore = without_gil(py, || options.open_named(&name));
        let semaphore = semaphore.map_err(|error| raise(py, &error))?;
        let ownership = Arc::clone(semaphore.ownership());
        slf.as_super().get().open(py, &slf.get().slot, semaphore, ownership)
    }

    /// Take a permit; False when there was none in time.
    ///
    /// blocking: bool, False does not wait. timeout: seconds, None waits for ever; not together with
    /// blocking=False. Signal handlers run while it waits; what one raises comes out.
    /// Raises ValueError when the handle is or gets closed, InvalidArgument.
    /// Source: sem_wait(3), on the monotonic clock.
    #[pyo3(
        signature = (blocking = Given::NOTHING, timeout = Given::NOTHING),
        text_signature = "($self, blocking=True, timeout=None)"
    )]
    fn acquire(
        &self,
        py: Python<'_>,
        blocking: Given<'_, '_>,
        timeout: Given<'_, '_>,
    ) -> PyResult<bool> {
        let mut end = None;
        let mut waits = true;
        if blocking.0.is_some() || timeout.0.is_some() {
            waits = convert::switch("blocking", blocking, true)?;
            end = convert::timeout(timeout)?;
            if !waits && !timeout.is_none() {
                let message = "blocking=False does not wait, so there is no place for a timeout";
                return Err(invalid_argument(message.into()));
            }
        }
        if waits {
            Ok(acquire(py, &self.slot, end, AfterSignal::GoOn)?)
        } else {
            self.slot.with(py, Semaphore::try_acquire)
        }
    }

    /// Give permits back, and wake as many waiters.
    ///
    /// n: int, how many, at least 1.
    /// Raises OverflowError, and changes nothing, if the value would pass 2147483647. ValueError when
    /// the handle is closed.
    /// Source: sem_post(3).
    #[pyo3(signature = (n = Given::NOTHING), text_signature = "($self, n=1)")]
    fn release(&self, py: Python<'_>, n: Given<'_, '_>) -> PyResult<()> {
        if n.0.is_none() {
            let released = self.slot.with(py, Semaphore::release)?;
            return released.map_err(|error| raise(py, &error));
        }
        let count = convert::bounded("n", n, 1, (1, i64::MAX))?;
        // More than 32 bits would overflow as surely as the most that they hold.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let released = self.slot.with(py, |semaphore| semaphore.release_many(count))?;
        released.map_err(|error| raise(py, &error))
    }

    /// Take a permit in asyncio; awaits False when there was none in time.
    ///
    /// timeout: seconds, None waits for ever, 0 takes only what no other wait is queued for.
    /// Cancelled, it has taken nothing. Waits of one loop on one handle are served in the order in which
    /// they came, within 10 ms of a release. `async with sem:` acquires and releases.
    /// Raises ValueError when the handle is or gets closed, InvalidArgument.
    #[pyo3(signature = (timeout = None))]
    fn acquire_async<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), "acquire", (slf, timeout))
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), "enter", (slf,))
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: Given<'_, '_>,
        exc: Given<'_, '_>,
        traceback: Given<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), "leave", (slf,))
    }

    /// The number of permits at this moment, never negative (int; sem_getvalue(3)).
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot.with(py, Semaphore::value)
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        acquire(slf.py(), &slf.get().slot, None, AfterSignal::GoOn)?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Given<'_, '_>,
        exc: Given<'_, '_>,
        traceback: Given<'_, '_>,
    ) -> PyResult<()> {
        let released = self.slot.with(py, Semaphore::release)?;
        released.map_err(|error| raise(py, &error))
    }

    /// Another name of linked_existing_object (bool).
    #[getter]
    fn linked_existing_semaphore(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().get().linked_existing_object()
    }

    /// Remove a name without opening what has it.
    ///
    /// name: str. Raises FileNotFoundError, PermissionError, InvalidArgument. Source: sem_unlink(3).
    #[classmethod]
    fn unlink_name(cls: &Bound<'_, PyType>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        base::unlink_name(cls.py(), Kind::Semaphore, name)
    }

    /// Pickle as a handle that links by name; ValueError when closed.
    ///
    /// It shares what this one shares, and does not unlink anything else.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().slot.with(py, |_| ())?;
        pickle::reduce::<Self>(slf, &PyDict::new(py))
    }
}

impl NamedSemaphore {
    pub(crate) fn slot(&self) -> &Closable<Semaphore> {
        &self.slot
    }
}
