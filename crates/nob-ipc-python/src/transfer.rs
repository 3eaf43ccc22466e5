//! Sending and receiving, for every class that has a queue.

use std::cell::Cell;

use nob_ipc::{Deadline, MessageQueue, Patience, Received};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::blocking::{AfterSignal, Ended};
use crate::line;
use crate::slot::Slot;

/// Buffers up to this size are kept for the next message.
const KEPT: usize = 1 << 20;

thread_local! {
    /// The buffer of this thread's last message. It is taken out while it is used, since a signal
    /// handler may receive, too.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends this thread's buffer, with room for `size` bytes.
pub(crate) fn with_buffer<R>(size: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = BUFFER.take();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    let result = work(&mut buffer);
    if buffer.len() <= KEPT {
        BUFFER.set(buffer);
    }
    result
}

/// What Python receives.
pub(crate) fn message_of<'py>(
    py: Python<'py>,
    buffer: &[u8],
    received: Received,
) -> (Bound<'py, PyBytes>, u32) {
    (PyBytes::new(py, &buffer[..received.length]), received.priority)
}

/// Sends a message; `false` when the queue stayed full. The deadline is made when it is needed.
#[inline]
pub(crate) fn send(
    py: Python<'_>,
    slot: &Slot<MessageQueue>,
    (bytes, priority): (&[u8], u32),
    deadline: impl FnOnce() -> Deadline,
    after_signal: AfterSignal,
) -> Result<bool, Ended> {
    let sent = slot.with(py, |queue| queue.try_send(bytes, priority)).map_err(Ended::Closed)?;
    if sent.map_err(Ended::Failed)? {
        return Ok(true);
    }
    let attempt =
        |queue: &MessageQueue, patience: Patience<'_>| queue.send_until(bytes, priority, patience);
    line::go_on(py, slot, deadline(), after_signal, attempt)
}

/// Receives a message; `None` when the queue stayed empty. The deadline is made when it is needed.
#[inline]
pub(crate) fn receive(
    py: Python<'_>,
    slot: &Slot<MessageQueue>,
    buffer: &mut [u8],
    deadline: impl FnOnce() -> Deadline,
    after_signal: AfterSignal,
) -> Result<Option<Received>, Ended> {
    let received = slot.with(py, |queue| queue.try_receive(buffer)).map_err(Ended::Closed)?;
    if let Some(received) = received.map_err(Ended::Failed)? {
        return Ok(Some(received));
    }
    let attempt =
        |queue: &MessageQueue, patience: Patience<'_>| queue.receive_until(buffer, patience);
    line::go_on(py, slot, deadline(), after_signal, attempt)
}
