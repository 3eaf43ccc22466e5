//! Many messages in one call, for every class that has messages.

use std::ops::ControlFlow;
use std::time::Duration;

use nob_ipc::{Deadline, Messages, Received};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyString};

use crate::convert::Arg;
use crate::convert::error::invalid_argument;
use crate::convert::message::{Message, message_tuple};
use crate::interpreter::detach;
use crate::interpreter::slot::Closable;
use crate::interpreter::wait::{self, AfterSignal, Ended};
use crate::named::send_receive::{self, with_buffer};

/// After so many messages, other threads and signal handlers have their turn.
const YIELD_EVERY: usize = 256;

/// Sends messages, all of which are checked before one is sent; how many were sent in time.
///
/// It raises nothing once one has been sent.
pub(crate) fn send_many<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    messages: &Bound<'_, PyAny>,
    priority: u32,
    timeout: Option<Duration>,
) -> PyResult<usize> {
    let max_message_size = slot.with(py, M::max_message_size)?;
    let messages = all_messages(messages)?;
    let messages = checked(&messages, max_message_size)?;
    let deadline = wait::deadline(timeout);
    let mut sent = 0;
    while sent < messages.len() {
        let yielded = if sent > 0 { detach::yield_gil(py) } else { Ok(()) };
        let some = &messages[sent..messages.len().min(sent + YIELD_EVERY)];
        match yielded
            .map_err(Ended::Raised)
            .and_then(|()| send_some(py, slot, some, priority, deadline))
        {
            Ok(0) => break,
            Ok(count) => sent += count,
            Err(ended) if sent == 0 => return Err(ended.into()),
            Err(Ended::Raised(error)) => {
                detach::raise_later(py, error);
                break;
            }
            // The next call tells what is wrong.
            Err(Ended::Closed(_) | Ended::Failed(_)) => break,
        }
    }
    Ok(sent)
}

/// Sends those for which there is room; waits for the first if there is none. How many were sent: none
/// when the time was over.
fn send_some<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    messages: &[&[u8]],
    priority: u32,
    deadline: Deadline,
) -> Result<usize, Ended> {
    let sent = slot.with(py, |queue| queue.try_send_many(&mut messages.iter().copied(), priority));
    match (sent.map_err(Ended::Closed)?.map_err(Ended::Failed)?, messages) {
        (0, [first, ..]) => {
            let first = (*first, priority);
            send_receive::wait_send(py, slot, first, deadline, AfterSignal::GoOn).map(usize::from)
        }
        (sent, _) => Ok(sent),
    }
}

/// All messages of an iterable.
pub(crate) fn all_messages<'py>(messages: &Bound<'py, PyAny>) -> PyResult<Vec<Message<'py>>> {
    let Ok(iterator) = messages.try_iter() else {
        let kind = messages.get_type().name()?.to_string();
        let message = format!("messages must be an iterable of messages, not {kind}");
        return Err(invalid_argument(message));
    };
    if messages.is_instance_of::<PyBytes>()
        || messages.is_instance_of::<PyByteArray>()
        || messages.is_instance_of::<PyString>()
    {
        let message = "messages must be an iterable of messages, and not one: use send";
        return Err(invalid_argument(message.into()));
    }
    let py = messages.py();
    let count = messages.cast::<PyList>().map_or(0, PyListMethods::len);
    let mut all = Vec::with_capacity(count);
    for (index, message) in iterator.enumerate() {
        if index % YIELD_EVERY == YIELD_EVERY - 1 {
            detach::yield_gil(py)?;
        }
        all.push(Message::of(message?)?);
    }
    Ok(all)
}

/// The bytes of messages, each of which fits into the queue or channel.
pub(crate) fn checked<'a>(
    messages: &'a [Message<'_>],
    max_message_size: usize,
) -> PyResult<Vec<&'a [u8]>> {
    let mut checked = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let bytes = message.bytes();
        let length = bytes.len();
        if length > max_message_size {
            return Err(PyValueError::new_err(format!(
                "message {index} has {length} bytes, and {max_message_size} are allowed; nothing was sent"
            )));
        }
        checked.push(bytes);
    }
    Ok(checked)
}

/// Receives up to `most` messages, waiting for the first, into a list, or into the one that is given.
///
/// It raises nothing once one has been taken.
pub(crate) fn receive_many<'py, M: Messages>(
    py: Python<'py>,
    slot: &Closable<M>,
    most: usize,
    timeout: Option<Duration>,
    into: Arg<'_, 'py>,
) -> PyResult<Bound<'py, PyList>> {
    let list = list_to_fill(py, into)?;
    with_buffer(py, slot.with(py, M::max_message_size)?, |buffer| {
        let mut taken = 0;
        match receive_all(py, slot, buffer, most, timeout, &list, &mut taken) {
            Err(ended) if taken == 0 => return Err(ended.into()),
            Err(Ended::Raised(error)) => detach::raise_later(py, error),
            // The next call tells what is wrong.
            Ok(()) | Err(Ended::Closed(_) | Ended::Failed(_)) => {}
        }
        Ok(list)
    })?
}

/// A new list, or the one that is given.
pub(crate) fn list_to_fill<'py>(
    py: Python<'py>,
    into: Arg<'_, 'py>,
) -> PyResult<Bound<'py, PyList>> {
    match into.0.filter(|into| !into.is_none()) {
        None => Ok(PyList::empty(py)),
        Some(into) => into.to_owned().cast_into::<PyList>().map_err(|error| {
            let into = error.into_inner();
            invalid_argument(format!("into must be a list or None, not {}", into.get_type()))
        }),
    }
}

fn receive_all<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    buffer: &mut [u8],
    most: usize,
    timeout: Option<Duration>,
    list: &Bound<'_, PyList>,
    taken: &mut usize,
) -> Result<(), Ended> {
    while *taken < most {
        let some = YIELD_EVERY.min(most - *taken);
        let count = receive_some(py, slot, buffer, some, list, taken)?;
        if *taken == 0 {
            let deadline = wait::deadline(timeout);
            let first = send_receive::wait_receive(py, slot, buffer, deadline, AfterSignal::GoOn)?;
            let Some(Received { length, priority }) = first else { break };
            append(list, &buffer[..length], priority).map_err(Ended::Raised)?;
            *taken = 1;
        } else if count < some {
            break;
        } else {
            detach::yield_gil(py).map_err(Ended::Raised)?;
        }
    }
    Ok(())
}

/// Appends up to `most` messages that are there to the list; how many the queue gave.
fn receive_some<M: Messages>(
    py: Python<'_>,
    slot: &Closable<M>,
    buffer: &mut [u8],
    most: usize,
    list: &Bound<'_, PyList>,
    taken: &mut usize,
) -> Result<usize, Ended> {
    let mut appended = Ok(());
    let received = slot.with(py, |queue| {
        queue.try_receive_many(buffer, most, &mut |message, priority| {
            appended = append(list, message, priority);
            if appended.is_err() {
                return ControlFlow::Break(());
            }
            *taken += 1;
            ControlFlow::Continue(())
        })
    });
    let count = received.map_err(Ended::Closed)?.map_err(Ended::Failed)?;
    appended.map_err(Ended::Raised)?;
    Ok(count)
}

fn append(list: &Bound<'_, PyList>, message: &[u8], priority: u32) -> PyResult<()> {
    list.append(message_tuple(list.py(), message, priority)?)
}
