//! What the asyncio side, `nob.ipc._async`, needs of the core.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use nob_ipc::{Channel, Permits, Readiness, SemaphorePoller};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::error::raise;
use crate::convert::message::Message;
use crate::convert::{self, Arg};
use crate::named::acquire::GivesPermits;
use crate::named::bounded_semaphore::NamedBoundedSemaphore;
use crate::named::channel::NamedChannel;
use crate::named::lock::NamedLock;
use crate::named::message_queue::NamedMessageQueue;
use crate::named::semaphore::NamedSemaphore;

/// Watches what gives out permits for those who wait in one loop.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Poller")]
pub(crate) struct Poller(SemaphorePoller);

#[pymethods]
impl Poller {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Poller(SemaphorePoller::new()?))
    }

    /// The descriptor that is readable after a permit was seen (int).
    fn fileno(&self) -> i32 {
        self.0.as_fd().as_raw_fd()
    }

    /// Watch one more semaphore, bounded semaphore or lock, until its key is removed.
    fn add(&self, key: u64, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.add(key, share(handle)?);
        Ok(())
    }

    /// Watch it no more.
    fn remove(&self, key: u64) {
        self.0.remove(key);
    }

    /// The keys of those that have a permit; makes the descriptor unreadable.
    fn ready(&self) -> PyResult<Vec<u64>> {
        Ok(self.0.ready()?)
    }
}

/// The object of a handle of any class that gives out permits, for a thread of ours that outlives the handle.
fn share(handle: &Bound<'_, PyAny>) -> PyResult<Arc<dyn Permits>> {
    fn of<C: GivesPermits>(py: Python<'_>, handle: &C) -> PyResult<Arc<dyn Permits>> {
        Ok(handle.slot().share(py)?)
    }
    let py = handle.py();
    if let Ok(lock) = handle.cast::<NamedLock>() {
        of(py, lock.get())
    } else if let Ok(permits) = handle.cast::<NamedBoundedSemaphore>() {
        of(py, permits.get())
    } else {
        of(py, handle.cast::<NamedSemaphore>()?.get())
    }
}

/// A descriptor that is readable when a channel has a message, or room.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Readiness")]
pub(crate) struct Readable(Readiness);

#[pymethods]
impl Readable {
    #[new]
    fn new(channel: &Bound<'_, NamedChannel>, writing: bool) -> PyResult<Self> {
        let py = channel.py();
        let made = channel
            .get()
            .slot()
            .with(py, |channel| if writing { channel.writable() } else { channel.readable() })?;
        Ok(Readable(made.map_err(|error| raise(py, &error))?))
    }

    /// The descriptor (int).
    fn fileno(&self) -> i32 {
        self.0.as_fd().as_raw_fd()
    }

    /// Make it unreadable, until it is worth trying again.
    fn clear(&self) {
        self.0.clear();
    }

    /// Say what room is wanted from here on.
    fn want_room(&self, length: usize, priority: u32) {
        self.0.want_room(length, priority);
    }
}

/// For how long a loop stands still because another handle copies.
const STANDS_STILL: Duration = Duration::from_millis(1);

/// Whether another handle copies into a channel, or out of it, and goes on with that for a moment.
#[pyfunction(name = "_is_held_up")]
pub(crate) fn is_held_up(
    py: Python<'_>,
    channel: &Bound<'_, NamedChannel>,
    writing: bool,
) -> PyResult<bool> {
    let slot = channel.get().slot();
    let is_busy = if writing { Channel::is_being_sent_to } else { Channel::is_being_received_from };
    if !slot.with(py, is_busy)? {
        return Ok(false);
    }
    let wait = if writing { Channel::wait_for_sender } else { Channel::wait_for_receiver };
    let free = slot.with_detached(py, |channel| wait(channel, STANDS_STILL))?;
    free.map(|free| !free).map_err(|error| raise(py, &error))
}

/// Have an epoll object watch a queue.
///
/// The descriptor is the queue's until that is done, whatever another thread closes.
#[pyfunction(name = "_register")]
pub(crate) fn register(
    queue: &Bound<'_, NamedMessageQueue>,
    epoll: &Bound<'_, PyAny>,
    events: u32,
) -> PyResult<()> {
    let done = queue.get().slot().with(queue.py(), |queue| {
        epoll.call_method1("register", (queue.as_fd().as_raw_fd(), events))
    });
    done?.map(|_| ())
}

/// A message and its priority as they can be sent later, or what send would raise.
#[pyfunction(name = "_message")]
pub(crate) fn message<'py>(
    handle: &Bound<'py, PyAny>,
    message: &Bound<'py, PyAny>,
    priority: Arg<'_, 'py>,
) -> PyResult<(Bound<'py, PyBytes>, u32)> {
    let py = handle.py();
    let priority = convert::priority(priority)?;
    let message = Message::of(message.clone())?.into_bytes(py)?;
    let bytes = message.as_bytes();
    let checked = if let Ok(channel) = handle.cast::<NamedChannel>() {
        channel.get().slot().with(py, |it| it.check(bytes, priority))?
    } else {
        let queue = handle.cast::<NamedMessageQueue>()?;
        queue.get().slot().with(py, |it| it.check(bytes, priority))?
    };
    checked.map_err(|error| raise(py, &error))?;
    Ok((message, priority))
}

/// A timeout as a float, None for ever; InvalidArgument for what is none.
#[pyfunction(name = "_seconds")]
#[pyo3(signature = (timeout, /))]
pub(crate) fn seconds(timeout: Arg<'_, '_>) -> PyResult<Option<f64>> {
    Ok(convert::timeout(timeout)?.map(|timeout| timeout.as_secs_f64()))
}
