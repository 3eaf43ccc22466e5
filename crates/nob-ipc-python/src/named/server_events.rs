//! What the asyncio side, `nob.ipc._remote`, needs of the client: operations that go on by themselves, and
//! one descriptor for each loop that tells of their ends.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Mutex;

use nob_ipc_redis::{Events, Pending};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::convert::error::unsupported_operation;
use crate::convert::message::Message;
use crate::convert::{self, Arg};
use crate::interpreter::detach::without_gil;
use crate::interpreter::wait;
use crate::named::acquire::GivesPermits;
use crate::named::bounded_semaphore::NamedBoundedSemaphore;
use crate::named::lock::NamedLock;
use crate::named::message_queue::NamedMessageQueue;
use crate::named::semaphore::NamedSemaphore;
use crate::server;
use crate::server::error::{Returns, raise, raising};

/// Tells a loop that operations have ended.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Events")]
pub(crate) struct EventsOf(Events);

#[pymethods]
impl EventsOf {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        Ok(EventsOf(Events::new().map_err(|error| raise(py, &error))?))
    }

    /// The descriptor that is readable when there is news (int).
    fn fileno(&self) -> i32 {
        self.0.as_fd().as_raw_fd()
    }

    /// The keys of those that have ended since the last call.
    fn ready(&self) -> Vec<u64> {
        self.0.ready()
    }
}

/// An operation that goes on by itself.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Pending")]
pub(crate) struct PendingOf {
    pending: Mutex<Option<Pending>>,
    returns: Returns,
}

impl PendingOf {
    fn new(py: Python<'_>, started: nob_ipc::Result<Pending>, returns: Returns) -> PyResult<Self> {
        let pending = started.map_err(|error| raising(returns)(py, &error))?;
        Ok(PendingOf { pending: Mutex::new(Some(pending)), returns })
    }

    fn take(&self) -> Option<Pending> {
        self.pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

#[pymethods]
impl PendingOf {
    /// What came of the operation, which has ended: what the call returns, or raises.
    fn claim<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let Some(done) = self.take().and_then(|pending| pending.claim()) else {
            return Err(PyRuntimeError::new_err("the operation has not ended, or was claimed"));
        };
        let outcome = done.map_err(|error| raising(self.returns)(py, &error))?;
        self.returns.value(py, outcome)
    }

    /// End it. What it has taken goes back.
    fn cancel(&self, py: Python<'_>) {
        if let Some(pending) = self.take() {
            without_gil(py, || pending.cancel());
        }
    }
}

/// The object of a handle of any class that gives out permits, which is on a server.
fn permits_there<'a>(handle: &'a Bound<'_, PyAny>) -> PyResult<&'a dyn server::Permits> {
    let there = if let Ok(lock) = handle.cast::<NamedLock>() {
        lock.get().there()
    } else if let Ok(permits) = handle.cast::<NamedBoundedSemaphore>() {
        permits.get().there()
    } else {
        handle.cast::<NamedSemaphore>()?.get().there()
    };
    there.ok_or_else(|| unsupported_operation("the object is not on a server"))
}

/// Begin to acquire; the events will have the key.
#[pyfunction(name = "_start_acquire")]
pub(crate) fn start_acquire(
    events: &Bound<'_, EventsOf>,
    key: u64,
    handle: &Bound<'_, PyAny>,
    timeout: Arg<'_, '_>,
) -> PyResult<PendingOf> {
    let py = handle.py();
    let deadline = wait::deadline(convert::timeout(timeout)?);
    let started = permits_there(handle)?.start_acquire(&events.get().0, key, deadline);
    PendingOf::new(py, started, Returns::Bool)
}

/// Begin to release.
#[pyfunction(name = "_start_release")]
pub(crate) fn start_release(
    events: &Bound<'_, EventsOf>,
    key: u64,
    handle: &Bound<'_, PyAny>,
) -> PyResult<PendingOf> {
    let started = permits_there(handle)?.start_release(&events.get().0, key);
    PendingOf::new(handle.py(), started, Returns::Nothing)
}

/// Begin to send.
#[pyfunction(name = "_start_send")]
pub(crate) fn start_send(
    events: &Bound<'_, EventsOf>,
    key: u64,
    queue: &Bound<'_, NamedMessageQueue>,
    message: &Bound<'_, PyAny>,
    priority: Arg<'_, '_>,
    timeout: Arg<'_, '_>,
) -> PyResult<PendingOf> {
    let py = queue.py();
    let deadline = wait::deadline(convert::timeout(timeout)?);
    let priority = convert::priority(priority)?;
    let message = Message::of(message.clone())?.into_bytes(py)?;
    let there = queue.get().there()?;
    let started = there.start_send(&events.get().0, key, message.as_bytes(), priority, deadline);
    PendingOf::new(py, started, Returns::Bool)
}

/// Begin to receive.
#[pyfunction(name = "_start_receive")]
pub(crate) fn start_receive(
    events: &Bound<'_, EventsOf>,
    key: u64,
    queue: &Bound<'_, NamedMessageQueue>,
    timeout: Arg<'_, '_>,
) -> PyResult<PendingOf> {
    let deadline = wait::deadline(convert::timeout(timeout)?);
    let started = queue.get().there()?.start_receive(&events.get().0, key, 1, deadline);
    PendingOf::new(queue.py(), started, Returns::Message)
}
