//! `NamedBoundedSemaphore`.

use std::sync::Arc;

use nob_ipc::{BoundedSemaphore, Kind};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::convert::error::raise;
use crate::convert::pickle;
use crate::convert::{self, Arg};
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;
use crate::named::acquire::{GivesPermits, acquire_with, release};
use crate::named::base::{self, Named};
use crate::named::coroutine::coroutine;
use crate::named::holding;

/// A semaphore that processes share by name, whose permits survive their holders.
///
/// At most `value` permits are held, by living handles. The holder is the handle: any thread of its
/// process may release. The permits of a holder that dies (by any signal), execs, exits, or closes or
/// deletes its handle are free again. A forked child holds none. `with permits:` acquires on entry
/// and releases on exit; it does not close.
///
/// Args:
///     name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
///         random free name.
///     value: How many permits a new one has, 1 to 512; ignored when linking.
///     handle_existence: What to do about one that exists, or does not.
///     unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
///         owned or kept. `True`: deletion of this handle does. `False`: none does.
///     mode: Permission bits of a new one, subject to the umask. Each handle must be able to read
///         and to write.
///
/// Raises:
///     FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
///     FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
///     PermissionError: The system does not permit it to this user.
///     OSError: What has the name is no bounded semaphore, or one of another version; 1023 handles
///         are open (`EMFILE`); or the system has no room for one.
///     InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
#[pyclass(module = "nob.ipc", extends = Named, subclass, frozen)]
pub(crate) struct NamedBoundedSemaphore {
    slot: Arc<Closable<BoundedSemaphore>>,
}

#[pymethods]
impl NamedBoundedSemaphore {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, value=1, handle_existence=..., unlink_on_delete=None, *, \
                          mode=0o600)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Named::initializer(|slot| NamedBoundedSemaphore { slot })
    }

    #[pyo3(signature = (
        name,
        value = Arg::NOTHING,
        handle_existence = Arg::NOTHING,
        unlink_on_delete = Arg::NOTHING,
        *,
        mode = Arg::NOTHING,
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        name: Arg<'_, '_>,
        value: Arg<'_, '_>,
        handle_existence: Arg<'_, '_>,
        unlink_on_delete: Arg<'_, '_>,
        mode: Arg<'_, '_>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().check_unset()?;
        let existence = convert::existence(handle_existence)?;
        let most = i64::from(BoundedSemaphore::MAX_BOUND);
        let bound = convert::bounded("value", value, 1, (1, most))?;
        let mut options = BoundedSemaphore::options();
        options.existence(existence).bound(convert::narrow(bound)?).mode(convert::mode(mode)?);
        if let Some(unlink) = convert::optional_switch("unlink_on_delete", unlink_on_delete)? {
            options.unlink_on_drop(unlink);
        }
        let name = convert::name(Kind::BoundedSemaphore, name, existence)?;
        let permits = without_gil(py, || options.open_named(&name));
        let permits = permits.map_err(|error| raise(py, &error))?;
        let ownership = Arc::clone(permits.ownership());
        slf.as_super().get().open(py, &slf.get().slot, permits, ownership)
    }

    /// Take a permit; False when there was none in time.
    ///
    /// A dead holder's is free: at once for this call, within 16 ms for one that sleeps. Signal
    /// handlers run while it waits; what one raises comes out, and then nothing was taken.
    ///
    /// Args:
    ///     blocking: `False` does not wait; it takes no timeout.
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
    ///
    /// Raises:
    ///     ValueError: The handle is closed, or gets closed by another thread while this waits.
    ///     OSError: It cannot be told whether the holders live.
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

    /// Give one of this handle's permits back, and wake one who waits; any thread may.
    ///
    /// Raises:
    ///     RuntimeError: This handle has none, in a forked child for example.
    ///     ValueError: The handle is closed.
    #[pyo3(signature = (), text_signature = "($self)")]
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        release(py, self)
    }

    /// Take a permit in asyncio; awaits False when there was none in time.
    ///
    /// Cancelled, it has taken nothing. Waits of one loop on one handle are served in the order in
    /// which they came, within 10 ms of a release or a death. `async with permits:` acquires
    /// and releases.
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
        coroutine(slf.py(), "acquire", (slf.py().get_type::<Self>(), slf, timeout))
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), "enter", (slf.py().get_type::<Self>(), slf))
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: Arg<'_, '_>,
        exc: Arg<'_, '_>,
        traceback: Arg<'_, '_>,
    ) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), "leave", (slf.py().get_type::<Self>(), slf))
    }

    /// How many permits are free at this moment, those of dead holders included (int).
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<u32> {
        let value = self.slot.with(py, BoundedSemaphore::value)?;
        value.map_err(|error| raise(py, &error))
    }

    /// How many permits there are, free or held (int).
    #[getter]
    fn bound(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot.with(py, BoundedSemaphore::bound)
    }

    /// The processes that have permits, as they call themselves, one for each permit (list of int).
    ///
    /// To show to people, never to decide by: in another pid namespace the number means another
    /// process, or none.
    #[getter]
    fn holders(&self, py: Python<'_>) -> PyResult<Vec<u32>> {
        let holders = self.slot.with(py, BoundedSemaphore::holders)?;
        holders.map_err(|error| raise(py, &error))
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        acquire_with(slf.py(), slf.get(), Arg::NOTHING, Arg::NOTHING)?;
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
        release(py, self)
    }

    /// Give up this handle; never unlinks, and twice is fine.
    ///
    /// If it has permits, they are given up as by a death, with a `ResourceWarning`. A wait of
    /// another thread on this handle ends with `ValueError` within half a second.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        holding::close(slf.py(), slf.as_super().get(), &slf.get().slot)
    }

    /// Close, and remove the name if unlink_on_delete says so; what deletion does.
    fn __del__(slf: &Bound<'_, Self>) {
        let py = slf.py();
        holding::warn_of_deletion(py, &slf.get().slot);
        slf.as_super().get().__del__(py);
    }

    /// Remove a name without opening what has it.
    ///
    /// Raises:
    ///     FileNotFoundError: Nothing has the name.
    ///     PermissionError: The system does not permit it to this user.
    ///     InvalidArgument: No bounded semaphore can have this name.
    #[classmethod]
    fn unlink_name(cls: &Bound<'_, PyType>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        base::unlink_name(cls.py(), Kind::BoundedSemaphore, name)
    }

    /// Pickle as a handle that links by name; ValueError when closed.
    ///
    /// It shares a shared object, and unlinks no other. The new handle has no permit.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().slot.with(py, |_| ())?;
        pickle::reduce::<Self>(slf, &PyDict::new(py))
    }
}

impl Drop for NamedBoundedSemaphore {
    fn drop(&mut self) {
        // Python objects are deallocated with the GIL held; this takes it once more.
        Python::attach(|py| holding::warn_of_deletion(py, &self.slot));
    }
}

impl GivesPermits for NamedBoundedSemaphore {
    type Object = BoundedSemaphore;

    const OWNED: bool = true;

    fn slot(&self) -> &Closable<BoundedSemaphore> {
        &self.slot
    }
}
