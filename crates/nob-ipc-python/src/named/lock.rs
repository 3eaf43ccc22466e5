//! `NamedLock`.

use std::sync::Arc;

use nob_ipc::{Kind, Lock};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::convert::error::raise;
use crate::convert::{self, Arg};
use crate::interpreter::ask::ask;
use crate::interpreter::deallocation::deallocate;
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;
use crate::named::acquire::{GivesPermits, acquire_with, leave, release};
use crate::named::base::Named;
use crate::named::coroutine::coroutine;
use crate::named::holding;
use crate::named::pickle;
use crate::named::place::{self, Place, refuse_mode};
use crate::named::server_opening::{self, MayBeThere};
use crate::server::error::raise as raise_there;
use crate::server::{self, There, there_is_open};

/// A lock that processes share by name, and that survives its owner.
///
/// At most one living handle holds it. The owner is the handle: any thread of its process may
/// release. An owner that dies (by any signal), execs, exits, or closes or deletes its handle lets
/// go, and `owner_died` tells each holder until one calls `mark_repaired()`. A living owner never
/// loses the lock. A forked child holds nothing. It is not recursive: a second acquire through the
/// same handle waits. `with lock:` acquires on entry and releases on exit; it does not close.
///
/// Args:
///     name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
///         random free name.
///     handle_existence: What to do about a lock that exists, or does not.
///     unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
///         owned or kept. `True`: deletion of this handle does. `False`: none does.
///     mode: Permission bits of a new lock, subject to the umask. Each handle must be able to read
///         and to write.
///     lease: Seconds, from 1, after which a server takes a silent owner for dead; no effect on this
///         machine.
///     connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.
///
/// Raises:
///     FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
///     FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
///     PermissionError: The system does not permit it to this user.
///     OSError: What has the name is no lock, or one of another version; 1023 handles are open
///         (`EMFILE`); or the system has no room for one.
///     InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
#[pyclass(module = "nob.ipc", extends = Named, subclass, frozen)]
pub(crate) struct NamedLock {
    slot: Arc<Closable<Lock>>,
    there: There<nob_ipc_redis::Lock>,
}

#[pymethods]
impl NamedLock {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, handle_existence=..., unlink_on_delete=None, *, mode=0o600, \
                          lease=10.0, connection=None)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Named::initializer(
            |lock| Self::close(lock.cast()?),
            |slot| NamedLock { slot, there: There::new() },
        )
    }

    #[pyo3(signature = (
        name,
        handle_existence = Arg::NOTHING,
        unlink_on_delete = Arg::NOTHING,
        *,
        mode = Arg::NOTHING,
        lease = Arg::NOTHING,
        connection = Arg::NOTHING,
    ))]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        name: Arg<'_, '_>,
        handle_existence: Arg<'_, '_>,
        unlink_on_delete: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        lease: Arg<'_, '_>,
        connection: Arg<'_, 'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().check_unset()?;
        let place = Place::of(connection)?;
        let existence = convert::existence(handle_existence)?;
        let mut options = Lock::options();
        let mode = convert::mode(mode)?;
        options.existence(existence).mode(mode);
        let unlink = convert::optional_switch("unlink_on_delete", unlink_on_delete)?;
        if let Some(unlink) = unlink {
            options.unlink_on_drop(unlink);
        }
        let lease = convert::lease(lease)?;
        let name = convert::name(Kind::Lock, name, existence)?;
        if let Some(server) = place.server() {
            refuse_mode(mode)?;
            let mut options = nob_ipc_redis::Lock::options(server);
            options.existence(existence).lease(lease);
            if let Some(unlink) = unlink {
                options.unlink_on_drop(unlink);
            }
            return server_opening::open(slf, &place, options, name);
        }
        let lock = without_gil(py, || options.open_named(&name));
        let lock = lock.map_err(|error| raise(py, &error))?;
        let ownership = Arc::clone(lock.ownership());
        slf.as_super().get().open(py, &slf.get().slot, lock, ownership)?;
        place.add(slf)
    }

    /// Take the lock; False when it was not free in time.
    ///
    /// A dead owner's is free: at once for this call, within 16 ms for one that sleeps. `owner_died`
    /// tells. Signal handlers run while it waits; what one raises comes out, and then nothing was
    /// taken.
    ///
    /// Args:
    ///     blocking: `False` does not wait; it takes no timeout.
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
    ///
    /// Raises:
    ///     ValueError: The handle is closed, or gets closed by another thread while this waits.
    ///     OSError: It cannot be told whether the owner lives.
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

    /// Give the lock up, and wake one who waits; any thread may.
    ///
    /// Raises:
    ///     RuntimeError: This handle does not hold it, in a forked child for example.
    ///     ValueError: The handle is closed.
    #[pyo3(signature = (), text_signature = "($self)")]
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        release(py, self)
    }

    /// Take the lock in asyncio; awaits False when it was not free in time.
    ///
    /// Cancelled, it has taken nothing. Waits of one loop on one handle are served in the order in
    /// which they came, within 10 ms of a release or a death. `async with lock:` acquires and
    /// releases.
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

    /// Whether an owner died with the lock, and nobody has called mark_repaired() since (bool).
    ///
    /// Closing or deleting a handle that holds the lock counts as a death. What the lock protects may
    /// be half changed then. Nothing is raised, and the lock works as always.
    #[getter]
    fn owner_died(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.owner_died());
        }
        let died = self.slot.with(py, Lock::owner_died)?;
        died.map_err(|error| raise(py, &error))
    }

    /// Say that all is well again: owner_died becomes False, for everybody.
    ///
    /// Raises:
    ///     RuntimeError: This handle does not hold the lock.
    fn mark_repaired(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.mark_repaired());
        }
        let marked = self.slot.with(py, Lock::mark_repaired)?;
        marked.map_err(|error| raise(py, &error))
    }

    /// Whether a living handle holds the lock, at this moment.
    fn locked(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.is_locked());
        }
        let locked = self.slot.with(py, Lock::is_locked)?;
        locked.map_err(|error| raise(py, &error))
    }

    /// Whether this handle holds the lock (bool).
    #[getter]
    fn held(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(there) = self.there.get() {
            there_is_open(there.handle())?;
            return Ok(there.is_held());
        }
        self.slot.with(py, Lock::is_held)
    }

    /// The process that holds the lock, as it calls itself, or None (int | None).
    ///
    /// To show to people, never to decide by: in another pid namespace the number means another
    /// process, or none.
    #[getter]
    fn owner(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.owner());
        }
        let owner = self.slot.with(py, Lock::owner)?;
        owner.map_err(|error| raise(py, &error))
    }

    /// The number of this hold, larger than that of each earlier one (int).
    ///
    /// A database or a device that remembers the largest can refuse what a dead owner had sent to it
    /// and what arrives late. `RuntimeError` unless this handle holds the lock.
    #[getter]
    fn fence(&self, py: Python<'_>) -> PyResult<u64> {
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.fence());
        }
        let fence = self.slot.with(py, Lock::fence)?;
        fence.map_err(|error| raise(py, &error))
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

    /// Give up this handle; never unlinks, and twice is fine.
    ///
    /// If it holds the lock, that is given up as by a death, with a `ResourceWarning`. A wait of
    /// another thread on this handle ends with `ValueError` within half a second.
    pub(crate) fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        holding::close(slf.as_super(), &slf.get().slot)
    }

    /// Close, and remove the name if unlink_on_delete says so; what deletion does.
    fn __del__(slf: &Bound<'_, Self>) {
        let py = slf.py();
        holding::warn_of_deletion(py, &slf.get().slot, slf.as_super().get().there());
        slf.as_super().get().__del__(py);
    }

    /// Remove a name without opening what has it.
    ///
    /// Raises:
    ///     FileNotFoundError: Nothing has the name.
    ///     PermissionError: The system does not permit it to this user.
    ///     InvalidArgument: No lock can have this name.
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
        place::unlink_name(cls.py(), Kind::Lock, name, connection)
    }

    /// Pickle as a handle that links by name; ValueError when closed.
    ///
    /// It shares a shared object, and unlinks no other. The new handle holds nothing.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.as_super().get().check_open(py)?;
        pickle::reduce::<Self>(slf, &PyDict::new(py))
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        let there = self.there.get().map(|there| there as &dyn server::Object);
        deallocate(|py| holding::warn_of_deletion(py, &self.slot, there));
    }
}

impl GivesPermits for NamedLock {
    type Object = Lock;

    const OWNED: bool = true;

    fn slot(&self) -> &Closable<Lock> {
        &self.slot
    }

    fn there(&self) -> Option<&dyn server::Permits> {
        self.there.get().map(|there| there as &dyn server::Permits)
    }
}

impl MayBeThere for NamedLock {
    type There = nob_ipc_redis::Lock;

    fn there(&self) -> &There<Self::There> {
        &self.there
    }
}
