//! Sending and receiving, for every class that has a queue.

use std::mem;

use nob_ipc::{Deadline, MessageQueue, Received};
use pyo3::prelude::*;

use crate::interpreter::detach::{self, AfterSignal, Ended};
use crate::interpreter::slot::{GilCell, Slot};

/// Buffers up to this size are kept for the next message.
const KEPT: usize = 1 << 20;

/// The buffer of the last message. It is taken out while it is used, since other threads and signal
/// handlers may receive, too.
static BUFFER: GilCell<Vec<u8>> = GilCell::new(Vec::new());

/// Lends a buffer with room for `size` bytes.
#[inline]
pub(crate) fn with_buffer<R>(py: Python<'_>, size: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = BUFFER.with(py, mem::take);
    if buffer.len() < size {
        buffer = vec![0; size];
    }
    let result = work(&mut buffer);
    BUFFER.with(py, |kept| {
        if (kept.len()..=KEPT).contains(&buffer.len()) {
            *kept = buffer;
        }
    });
    result
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
    let attempt = |queue: &MessageQueue, deadline| queue.send_until(bytes, priority, deadline);
    detach::go_on(py, slot, deadline(), after_signal, attempt)
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
    let attempt = |queue: &MessageQueue, deadline| queue.receive_until(buffer, deadline);
    detach::go_on(py, slot, deadline(), after_signal, attempt)
}
