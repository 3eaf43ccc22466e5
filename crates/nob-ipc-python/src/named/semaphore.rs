//! `NamedSemaphore`.

use std::sync::Arc;

use nob_ipc::{Kind, Semaphore};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::convert::error::raise;
use crate::convert::{self, Arg};
use crate::interpreter::ask::ask;
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;
use crate::named::acquire::{GivesPermits, acquire_with, leave, release};
use crate::named::base::{self, Named};
use crate::named::coroutine::coroutine;
use crate::named::pickle;
use crate::named::place::{self, Place, refuse_mode};
use crate::named::server_opening::{self, MayBeThere};
use crate::server::error::raise as raise_there;
use crate::server::{self, There};

/// A semaphore that processes share by name.
///
/// Its value is a number of permits: `acquire` takes one and waits while there is none, `release`
/// gives some back. Nobody owns a permit. `with sem:` acquires on entry and releases once on exit;
/// it does not close. See sem_overview(7), sem_open(3).
///
/// Args:
///     name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
///         random free name.
///     initial_value: 0 to 2147483647; ignored when linking.
///     handle_existence: What to do about a semaphore that exists, or does not.
///     unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
///         owned or kept. `True`: deletion of this handle does. `False`: none does.
///     mode: Permission bits of a new semaphore, subject to the umask.
///     connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.
///
/// Raises:
///     FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
///     FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
///     PermissionError: The system does not permit it to this user.
///     OSError: What has the name is no semaphore, or the system has no room for one.
///     InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
#[pyclass(module = "nob.ipc", extends = Named, subclass, frozen)]
pub(crate) struct NamedSemaphore {
    slot: Arc<Closable<Semaphore>>,
    there: There<nob_ipc_redis::Semaphore>,
}

#[pymethods]
impl NamedSemaphore {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, initial_value=1, handle_existence=..., unlink_on_delete=None, \
                          *, mode=0o600, connection=None)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Named::initializer(base::close, |slot| NamedSemaphore { slot, there: There::new() })
    }

    #[pyo3(signature = (
        name,
        initial_value = Arg::NOTHING,
        handle_existence = Arg::NOTHING,
        unlink_on_delete = Arg::NOTHING,
        *,
        mode = Arg::NOTHING,
        connection = Arg::NOTHING,
    ))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        name: Arg<'_, '_>,
        initial_value: Arg<'_, '_>,
        handle_existence: Arg<'_, '_>,
        unlink_on_delete: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        connection: Arg<'_, 'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().check_unset()?;
        let place = Place::of(connection)?;
        let existence = convert::existence(handle_existence)?;
        let most = i64::from(Semaphore::MAX_VALUE);
        let value = convert::bounded("initial_value", initial_value, 1, (0, most))?;
        let mut options = Semaphore::options();
        options.existence(existence).initial_value(convert::narrow(value)?);
        let mode = convert::mode(mode)?;
        options.mode(mode);
        let unlink = convert::optional_switch("unlink_on_delete", unlink_on_delete)?;
        if let Some(unlink) = unlink {
            options.unlink_on_drop(unlink);
        }
        let name = convert::name(Kind::Semaphore, name, existence)?;
        if let Some(server) = place.server() {
            refuse_mode(mode)?;
            let mut options = nob_ipc_redis::Semaphore::options(server);
            options.existence(existence).initial_value(convert::narrow(value)?);
            if let Some(unlink) = unlink {
                options.unlink_on_drop(unlink);
            }
            return server_opening::open(slf, &place, options, name);
        }
        let semaphore = without_gil(py, || options.open_named(&name));
        let semaphore = semaphore.map_err(|error| raise(py, &error))?;
        let ownership = Arc::clone(semaphore.ownership());
        slf.as_super().get().open(py, &slf.get().slot, semaphore, ownership)?;
        place.add(slf)
    }

    /// Take a permit; False when there was none in time.
    ///
    /// Signal handlers run while it waits; what one raises comes out, and then nothing was taken.
    /// See sem_wait(3).
    ///
    /// Args:
    ///     blocking: `False` does not wait; it takes no timeout.
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
    ///
    /// Raises:
    ///     ValueError: The handle is closed, or gets closed by another thread while this waits.
    ///     InvalidArgument: A negative timeout, for example.
    #[pyo3(
        signature = (blocking = Arg::NOTHING, timeout = Arg::NOTHING),
        text_signature = "($self, blocking=True, timeout=None)"
    )]
    fn acquire(
        &self,
        py: Python<'_>,
        blocking: Arg<'_, '_>,
        timeout: Arg<'_, '_>,
    ) -> PyResult<bool> {
        acquire_with(py, self, blocking, timeout)
    }

    /// Give permits back, and wake as many waiters.
    ///
    /// See sem_post(3).
    ///
    /// Args:
    ///     n: How many, at least 1.
    ///
    /// Raises:
    ///     OverflowError: The value would pass 2147483647. Nothing is changed then.
    ///     ValueError: The handle is closed.
    #[pyo3(signature = (n = Arg::NOTHING), text_signature = "($self, n=1)")]
    fn release(&self, py: Python<'_>, n: Arg<'_, '_>) -> PyResult<()> {
        if n.0.is_none() {
            return release(py, self);
        }
        let count = convert::bounded("n", n, 1, (1, i64::MAX))?;
        // More than 32 bits would overflow as surely as the most that they hold.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.release_many(count));
        }
        let released = self.slot.with(py, |semaphore| semaphore.release_many(count))?;
        released.map_err(|error| raise(py, &error))
    }

    /// Take a permit in asyncio; awaits False when there was none in time.
    ///
    /// Cancelled, it has taken nothing. Waits of one loop on one handle are served in the order in
    /// which they came, within 10 ms of a release. `async with sem:` acquires and releases.
    ///
    /// Args:
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 takes only what no
    ///         other wait is queued for.
    ///
    /// Raises:
    ///     ValueError: The handle is closed, or gets closed while this waits.
    ///     InvalidArgument: A negative timeout, for example.
    #[pyo3(signature = (timeout = None))]
    fn acquire_async<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        coroutine(
            slf.py(),
            &slf.get().there,
            "acquire",
            (slf.py().get_type::<Self>(), slf, timeout),
        )
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), &slf.get().there, "enter", (slf.py().get_type::<Self>(), slf))
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "the exception says it all")]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: Arg<'_, '_>,
        exc: Bound<'py, PyAny>,
        traceback: Arg<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        coroutine(py, &slf.get().there, "leave", (py.get_type::<Self>(), slf, exc))
    }

    /// The number of permits at this moment, never negative (int; sem_getvalue(3)).
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<u32> {
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.value());
        }
        self.slot.with(py, Semaphore::value)
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        acquire_with(slf.py(), slf.get(), Arg::NOTHING, Arg::NOTHING)?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "the exception says it all")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Arg<'_, '_>,
        exc: Arg<'_, '_>,
        traceback: Arg<'_, '_>,
    ) -> PyResult<()> {
        leave(py, self, exc)
    }

    /// Another name of linked_existing_object (bool).
    #[getter]
    fn linked_existing_semaphore(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.as_super().get().linked_existing_object()
    }

    /// Remove a name without opening what has it.
    ///
    /// See sem_unlink(3).
    ///
    /// Raises:
    ///     FileNotFoundError: Nothing has the name.
    ///     PermissionError: The system does not permit it to this user.
    ///     InvalidArgument: No semaphore can have this name.
    #[classmethod]
    #[pyo3(
        signature = (name, connection = Arg::NOTHING),
        text_signature = "($cls, name, connection=None)"
    )]
    fn unlink_name(
        cls: &Bound<'_, PyType>,
        name: &Bound<'_, PyAny>,
        connection: Arg<'_, '_>,
    ) -> PyResult<()> {
        place::unlink_name(cls.py(), Kind::Semaphore, name, connection)
    }

    /// Pickle as a handle that links by name; ValueError when closed.
    ///
    /// It shares a shared object, and unlinks no other.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.as_super().get().check_open(py)?;
        pickle::reduce::<Self>(slf, &PyDict::new(py))
    }
}

impl GivesPermits for NamedSemaphore {
    type Object = Semaphore;

    const OWNED: bool = false;

    fn slot(&self) -> &Closable<Semaphore> {
        &self.slot
    }

    fn there(&self) -> Option<&dyn server::Permits> {
        self.there.get().map(|there| there as &dyn server::Permits)
    }
}

impl MayBeThere for NamedSemaphore {
    type There = nob_ipc_redis::Semaphore;

    fn there(&self) -> &There<Self::There> {
        &self.there
    }
}
