//! Sending and receiving through a queue on a server.

use nob_ipc::{Deadline, ErrorKind};
use nob_ipc_redis::MessageQueue;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::convert::message::{Message, message_tuple};
use crate::interpreter::ask::ask;
use crate::interpreter::detach::{raise_later, yield_gil};
use crate::server::error::{Returns, raising};

/// Sends a message; `false` when there was no room in time.
pub(crate) fn send<'py>(
    py: Python<'py>,
    queue: &MessageQueue,
    message: Message<'py>,
    priority: u32,
    deadline: Deadline,
) -> PyResult<bool> {
    // Without the GIL another thread could change what is no `bytes`.
    let message = message.into_bytes(py)?;
    let message = message.as_bytes();
    ask(py, raising(Returns::Bool), || queue.send_until(message, priority, deadline))
}

/// Receives a message and its priority; `None` when there was none in time.
pub(crate) fn receive<'py>(
    py: Python<'py>,
    queue: &MessageQueue,
    deadline: Deadline,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let received = ask(py, raising(Returns::Message), || queue.receive_until(deadline))?;
    received.map(|(message, priority)| message_tuple(py, &message, priority)).transpose()
}

/// Sends messages that have been checked; how many were sent in time.
///
/// Once some have been sent, it raises nothing but that it is unknown whether more have.
pub(crate) fn send_many<'py>(
    py: Python<'py>,
    queue: &MessageQueue,
    messages: Vec<Message<'py>>,
    priority: u32,
    deadline: Deadline,
) -> PyResult<usize> {
    let messages: Vec<Bound<'py, PyBytes>> =
        messages.into_iter().map(|message| message.into_bytes(py)).collect::<PyResult<_>>()?;
    let messages: Vec<&[u8]> = messages.iter().map(PyBytesMethods::as_bytes).collect();
    let mut sent = 0;
    while let Some(rest @ [first, ..]) = messages.get(sent..) {
        if sent > 0
            && let Err(raised) = yield_gil(py)
        {
            raise_later(py, raised);
            break;
        }
        let mut kind = None;
        let failed = |py: Python<'_>, error: &nob_ipc::Error| {
            kind = Some(error.kind());
            raising(Returns::CountAfter(sent))(py, error)
        };
        let done = ask(py, failed, || match queue.send_many(rest, priority)? {
            0 => queue.wait_send(first, priority, deadline).map(usize::from),
            count => Ok(count),
        });
        match done {
            Ok(0) => break,
            Ok(count) => sent += count,
            Err(error) if sent == 0 => return Err(error),
            Err(error) => match kind {
                Some(ErrorKind::OutcomeUnknown | ErrorKind::Unconfirmed) => return Err(error),
                // The next call tells what is wrong.
                Some(_) => break,
                // A signal handler raised.
                None => {
                    raise_later(py, error);
                    break;
                }
            },
        }
    }
    Ok(sent)
}

/// Receives up to `most` messages that are there, waiting for the first, into the list.
pub(crate) fn receive_many(
    py: Python<'_>,
    queue: &MessageQueue,
    most: usize,
    deadline: Deadline,
    list: &Bound<'_, PyList>,
) -> PyResult<()> {
    let received = ask(py, raising(Returns::Messages), || {
        let messages = queue.receive_many(most)?;
        if !messages.is_empty() || deadline == Deadline::NOW {
            return Ok(messages);
        }
        let first = queue.wait_receive_message(deadline)?;
        Ok(first.into_iter().collect())
    })?;
    for (message, priority) in received {
        list.append(message_tuple(py, &message, priority)?)?;
    }
    Ok(())
}
