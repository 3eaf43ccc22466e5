//! Sending and receiving, for every class that has messages.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::time::Duration;

use nob_ipc::{Deadline, Messages, Received};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::convert::message::message_tuple;
use crate::interpreter::cell::Guarded;
use crate::interpreter::slot::Closable;
use crate::interpreter::wait::{self, AfterSignal, Ended};

/// Buffers up to this size are kept for the next message.
const KEPT: usize = 1 << 20;

/// The buffer of the last message. It is taken out while it is used, since other threads and signal
/// handlers may receive, too.
static BUFFER: Guarded<Vec<u8>> = Guarded::new(Vec::new());

/// Lends a buffer with room for `size` bytes.
#[inline(always)]
pub(crate) fn with_buffer<R>(
    py: Python<'_>,
    size: usize,
    work: impl FnOnce(&mut [u8]) -> R,
) -> PyResult<R> {
    let mut buffer = BUFFER.replace(py, Vec::new());
    if buffer.len() < size {
        buffer = new_buffer(size)?;
    }
    let result = work(&mut buffer);
    if buffer.len() <= KEPT {
        // One that was put back meanwhile may be larger.
        let other = BUFFER.replace(py, buffer);
        if other.len() > size {
            BUFFER.replace(py, other);
        }
    }
    Ok(result)
}

#[cold]
fn new_buffer(size: usize) -> PyResult<Vec<u8>> {
    let mut buffer = Vec::new();
    if buffer.try_reserve_exact(size).is_err() {
        let message = format!("no memory for a message of up to {size} bytes; none was taken");
        return Err(PyMemoryError::new_err(message));
    }
    buffer.resize(size, 0);
    Ok(buffer)
}

/// Sends a message; `false` when there was no room in time.
#[inline]
pub(crate) fn send<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    message: (&[u8], u32),
    timeout: Option<Duration>,
    after_signal: AfterSignal,
) -> Result<bool, Ended> {
    if try_send(py, slot, message)? {
        return Ok(true);
    }
    wait_send(py, slot, message, wait::deadline(timeout), after_signal)
}

/// Sends a message if there is room for it.
#[inline(always)]
pub(crate) fn try_send<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    (bytes, priority): (&[u8], u32),
) -> Result<bool, Ended> {
    let sent = slot.with(py, |messages| messages.try_send(bytes, priority));
    sent.map_err(Ended::Closed)?.map_err(Ended::Failed)
}

/// Waits until a message could be sent, after a try that found no room.
pub(crate) fn wait_send<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    (bytes, priority): (&[u8], u32),
    deadline: Deadline,
    after_signal: AfterSignal,
) -> Result<bool, Ended> {
    wait::wait(py, slot, deadline, after_signal, |messages, deadline| {
        messages.wait_send(bytes, priority, deadline)
    })
}

/// Receives a message; `None` when there was none in time.
#[inline]
pub(crate) fn receive<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    buffer: &mut [u8],
    timeout: Option<Duration>,
    after_signal: AfterSignal,
) -> Result<Option<Received>, Ended> {
    if let Some(received) = try_receive(py, slot, buffer)? {
        return Ok(Some(received));
    }
    wait_receive(py, slot, buffer, wait::deadline(timeout), after_signal)
}

/// Receives a message if there is one.
#[inline(always)]
pub(crate) fn try_receive<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    buffer: &mut [u8],
) -> Result<Option<Received>, Ended> {
    let received = slot.with(py, |messages| messages.try_receive(buffer));
    received.map_err(Ended::Closed)?.map_err(Ended::Failed)
}

/// Waits for a message, after a try that found none.
pub(crate) fn wait_receive<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    buffer: &mut [u8],
    deadline: Deadline,
    after_signal: AfterSignal,
) -> Result<Option<Received>, Ended> {
    wait::wait(py, slot, deadline, after_signal, |messages, deadline| {
        messages.wait_receive(buffer, deadline)
    })
}

/// Receives a message and its priority, as Python has them.
pub(crate) fn message<'py, M: Messages>(
    py: Python<'py>,
    slot: &Closable<M>,
    timeout: Option<Duration>,
    after_signal: AfterSignal,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    into_message(py, slot, |buffer| receive(py, slot, buffer, timeout, after_signal))
}

/// Does the same after a try that found none.
pub(crate) fn wait_message<'py, M: Messages>(
    py: Python<'py>,
    slot: &Closable<M>,
    deadline: Deadline,
    after_signal: AfterSignal,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    into_message(py, slot, |buffer| wait_receive(py, slot, buffer, deadline, after_signal))
}

fn into_message<'py, M: Messages>(
    py: Python<'py>,
    slot: &Closable<M>,
    receive: impl FnOnce(&mut [u8]) -> Result<Option<Received>, Ended>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    with_buffer(py, slot.with(py, M::max_message_size)?, |buffer| {
        receive(buffer)?
            .map(|Received { length, priority }| message_tuple(py, &buffer[..length], priority))
            .transpose()
    })?
}
