//! Sending and receiving over a channel.
//!
//! Small messages are copied with the GIL held: that is quicker than to give it up. Nothing that the garbage
//! collector tracks is allocated while the channel's lock is held: a finalizer that it runs could use the
//! same channel, and would wait for this thread for ever.

use std::mem::MaybeUninit;
use std::time::Duration;

use nob_ipc::{Channel, Deadline, Sink};
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::convert::Arg;
use crate::convert::buffer::{Buffer, NoBytes};
use crate::convert::error::invalid_argument;
use crate::convert::message::tuple;
use crate::interpreter::detach;
use crate::interpreter::slot::Closable;
use crate::interpreter::wait::{self, AfterSignal, Ended};
use crate::named::batches::{all_messages, checked, list_to_fill};

/// Up to so many bytes are copied with the GIL held.
const QUICK: usize = 64 << 10;

/// What is written before each message.
const PREFIX: usize = 8;

/// So many messages are received in one turn at the most.
const TURN: usize = 1024;

/// For so many messages there is room at once, without growing.
const FEW: usize = 64;

/// How often a place is made for a message that others receive first.
const ATTEMPTS: u32 = 16;

/// Works on the channel: with the GIL held if that is quick, and no other handle's copy is to be borne.
fn with<R: Send>(
    py: Python<'_>,
    slot: &Closable<Channel>,
    bytes: usize,
    is_busy: fn(&Channel) -> bool,
    work: impl FnOnce(&Channel) -> nob_ipc::Result<R> + Send,
) -> Result<R, Ended> {
    let quick = bytes <= QUICK && !slot.with(py, is_busy).map_err(Ended::Closed)?;
    let done = if quick { slot.with(py, work) } else { slot.with_detached(py, work) };
    done.map_err(Ended::Closed)?.map_err(Ended::Failed)
}

/// Sends a message; `false` when there was no room in time.
pub(crate) fn send(
    py: Python<'_>,
    slot: &Closable<Channel>,
    message: &[u8],
    priority: u32,
    timeout: Option<Duration>,
) -> Result<bool, Ended> {
    if with(py, slot, message.len(), Channel::is_being_sent_to, |channel| {
        channel.try_send(message, priority)
    })? {
        return Ok(true);
    }
    wait_send(py, slot, message, priority, wait::deadline(timeout))
}

/// Sends a small message if there is room for it.
#[inline]
pub(crate) fn try_send(
    py: Python<'_>,
    slot: &Closable<Channel>,
    message: &[u8],
) -> Option<Result<bool, Ended>> {
    (message.len() <= QUICK).then(|| {
        with(py, slot, 0, Channel::is_being_sent_to, |channel| channel.try_send(message, 0))
    })
}

/// Waits until a message could be sent, after a try that found no room.
pub(crate) fn wait_send(
    py: Python<'_>,
    slot: &Closable<Channel>,
    message: &[u8],
    priority: u32,
    deadline: Deadline,
) -> Result<bool, Ended> {
    wait::wait(py, slot, deadline, AfterSignal::GoOn, |channel, deadline| {
        channel.wait_send(message, priority, deadline)
    })
}

/// How much work it is to send messages, in bytes; no more is counted than decides whether that is quick.
fn about(messages: &[&[u8]]) -> usize {
    let mut bytes = 0;
    for message in messages {
        bytes += PREFIX + message.len();
        if bytes > QUICK {
            break;
        }
    }
    bytes
}

/// Sends messages, all of which are checked before one is sent; how many were sent in time. It raises
/// nothing once one has been sent.
pub(crate) fn send_many(
    py: Python<'_>,
    slot: &Closable<Channel>,
    messages: &Bound<'_, PyAny>,
    priority: u32,
    timeout: Option<Duration>,
) -> PyResult<usize> {
    let max_message_size = slot.with(py, Channel::max_message_size)?;
    let messages = all_messages(messages)?;
    let messages = checked(&messages, max_message_size)?;
    let deadline = wait::deadline(timeout);
    let mut sent = 0;
    while let Some(rest @ [first, ..]) = messages.get(sent..) {
        let yielded = if sent > 0 { detach::yield_gil(py) } else { Ok(()) };
        let more = yielded.map_err(Ended::Raised).and_then(|()| {
            with(py, slot, about(rest), Channel::is_being_sent_to, |channel| {
                channel.try_send_many(rest.iter().copied(), priority)
            })
        });
        let more = match more {
            Ok(0) => wait_send(py, slot, first, priority, deadline).map(usize::from),
            more => more,
        };
        match more {
            Ok(0) => break,
            Ok(more) => sent += more,
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

/// Messages into `bytes` objects.
struct Objects<'py> {
    py: Python<'py>,
    messages: Vec<(Bound<'py, PyBytes>, u32)>,
    /// How many bytes more may be copied with the GIL held.
    quick: usize,
    /// The length of a message for which that was too little.
    refused: Option<usize>,
    failure: Option<PyErr>,
}

impl<'py> Objects<'py> {
    fn new(py: Python<'py>, most: usize) -> Self {
        let mut messages = Vec::new();
        // Where that fails, there is none for the first message either, and that is told then.
        let _ = messages.try_reserve(most.min(FEW));
        Objects { py, messages, quick: QUICK, refused: None, failure: None }
    }
}

/// A `bytes` object that nobody has seen, and the place for its content.
fn new_bytes(py: Python<'_>, length: usize) -> PyResult<Bound<'_, PyBytes>> {
    // SAFETY: without a source the bytes are left as they are; the result is a new object or null.
    unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), length.cast_signed());
        Ok(Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked())
    }
}

/// The bytes of an object that [`new_bytes`] has made, for one who has the only reference to it.
fn content<'a>(bytes: &'a mut Bound<'_, PyBytes>, length: usize) -> &'a mut [MaybeUninit<u8>] {
    // SAFETY: the object has so many bytes, and nobody else has it yet.
    unsafe {
        let start = ffi::PyBytes_AsString(bytes.as_ptr());
        std::slice::from_raw_parts_mut(start.cast(), length)
    }
}

impl Sink for Objects<'_> {
    fn place(&mut self, length: usize, priority: u32) -> Option<&mut [MaybeUninit<u8>]> {
        let Some(quick) = self.quick.checked_sub(length) else {
            self.refused = Some(length);
            return None;
        };
        self.quick = quick;
        if self.messages.try_reserve(1).is_err() {
            self.failure = Some(PyMemoryError::new_err("no memory for the message, which stays"));
            return None;
        }
        match new_bytes(self.py, length) {
            Ok(bytes) => self.messages.push((bytes, priority)),
            Err(failure) => {
                self.failure = Some(failure);
                return None;
            }
        }
        let (bytes, _) = self.messages.last_mut()?;
        Some(content(bytes, length))
    }
}

/// One message of a certain length into an object that is there.
struct Exactly<'a> {
    place: &'a mut [MaybeUninit<u8>],
    priority: Option<u32>,
    /// The message has another length.
    is_another: bool,
}

impl Sink for Exactly<'_> {
    fn place(&mut self, length: usize, priority: u32) -> Option<&mut [MaybeUninit<u8>]> {
        if length != self.place.len() {
            self.is_another = true;
            return None;
        }
        self.priority = Some(priority);
        Some(self.place)
    }
}

/// Takes up to `most` messages that are there. An empty list: there is none, or another receiver's copy did
/// not end in time.
pub(crate) fn try_receive<'py>(
    py: Python<'py>,
    slot: &Closable<Channel>,
    most: usize,
) -> Result<Vec<(Bound<'py, PyBytes>, u32)>, Ended> {
    // Others may receive the message for which a place was made. Whoever writes rubbish can do so for ever.
    for _ in 0..ATTEMPTS {
        let mut objects = Objects::new(py, most);
        let taken = slot.with(py, |channel| {
            let free = !channel.is_being_received_from();
            free.then(|| channel.try_receive_with(most.min(TURN), &mut objects))
        });
        let Some(taken) = taken.map_err(Ended::Closed)? else {
            // That copy is borne without the GIL.
            let free = slot.with_detached(py, |channel| channel.wait_for_receiver(Channel::COPY));
            if free.map_err(Ended::Closed)?.map_err(Ended::Failed)? {
                continue;
            }
            return Ok(Vec::new());
        };
        if taken.map_err(Ended::Failed)? > 0 {
            return Ok(objects.messages);
        }
        if let Some(failure) = objects.failure {
            return Err(Ended::Raised(failure));
        }
        let Some(length) = objects.refused else { return Ok(Vec::new()) };
        // The object is made before the lock is taken, and the copy without the GIL.
        let mut bytes = new_bytes(py, length).map_err(Ended::Raised)?;
        let place = content(&mut bytes, length);
        let taken = slot.with_detached(py, |channel| {
            let mut sink = Exactly { place, priority: None, is_another: false };
            let taken = channel.try_receive_with(1, &mut sink);
            taken.map(|taken| (sink.priority.filter(|_| taken == 1), sink.is_another))
        });
        match taken.map_err(Ended::Closed)?.map_err(Ended::Failed)? {
            (Some(priority), _) => return Ok(vec![(bytes, priority)]),
            // Another has received it meanwhile, and the next one is of another length.
            (None, true) => {}
            (None, false) => return Ok(Vec::new()),
        }
    }
    Ok(Vec::new())
}

/// Takes up to `most` messages, waiting for the first; none when there was none in time.
fn wait_for_messages<'py>(
    py: Python<'py>,
    slot: &Closable<Channel>,
    most: usize,
    deadline: Deadline,
) -> Result<Vec<(Bound<'py, PyBytes>, u32)>, Ended> {
    loop {
        let seen = wait::wait(py, slot, deadline, AfterSignal::GoOn, |channel, deadline| {
            channel.wait_for_message(deadline)
        })?;
        let messages = try_receive(py, slot, most)?;
        if !messages.is_empty() || !seen || deadline.has_passed() {
            return Ok(messages);
        }
        // A message that another is copying is there as long as that takes, so the wait ends at once.
        py.check_signals().map_err(Ended::Raised)?;
    }
}

/// Receives a message and its priority; `None` when there was none in time.
pub(crate) fn receive<'py>(
    py: Python<'py>,
    slot: &Closable<Channel>,
    timeout: Option<Duration>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let mut messages = try_receive(py, slot, 1)?;
    if messages.is_empty() {
        messages = wait_for_messages(py, slot, 1, wait::deadline(timeout))?;
    }
    messages.pop().map(|(bytes, priority)| tuple(bytes, priority)).transpose()
}

/// Waits for a message, after a try that found none.
pub(crate) fn wait_receive<'py>(
    py: Python<'py>,
    slot: &Closable<Channel>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let message = wait_for_messages(py, slot, 1, Deadline::NEVER)?.pop();
    message.map(|(bytes, priority)| tuple(bytes, priority)).transpose()
}

/// Receives up to `most` messages, waiting for the first, into a list, or into the one that is given. It
/// raises nothing once one has been taken. Also how many that were.
pub(crate) fn receive_many<'py>(
    py: Python<'py>,
    slot: &Closable<Channel>,
    most: usize,
    timeout: Option<Duration>,
    into: Arg<'_, 'py>,
) -> PyResult<(Bound<'py, PyList>, usize)> {
    let list = list_to_fill(py, into)?;
    let mut left = most;
    let mut messages = try_receive(py, slot, left)?;
    if messages.is_empty() {
        messages = wait_for_messages(py, slot, left, wait::deadline(timeout))?;
    }
    while !messages.is_empty() {
        left = left.saturating_sub(messages.len());
        for (bytes, priority) in messages {
            list.append(tuple(bytes, priority)?)?;
        }
        if left == 0 {
            break;
        }
        if let Err(error) = detach::yield_gil(py) {
            detach::raise_later(py, error);
            break;
        }
        messages = match try_receive(py, slot, left) {
            Ok(messages) => messages,
            Err(Ended::Raised(error)) => {
                detach::raise_later(py, error);
                break;
            }
            // The next call tells what is wrong.
            Err(Ended::Closed(_) | Ended::Failed(_)) => break,
        };
    }
    Ok((list, most - left))
}

fn to_write<'py>(object: &Bound<'py, PyAny>) -> PyResult<Buffer<'py>> {
    Buffer::to_write(object).map_err(|why| match why {
        NoBytes::NoBuffer => match object.get_type().name() {
            Ok(kind) => invalid_argument(format!(
                "buffer must be a writable object with a buffer, not {kind}"
            )),
            Err(error) => error,
        },
        NoBytes::Unfit => {
            let message = "buffer must be writable and contiguous: a bytearray, for example";
            invalid_argument(message.into())
        }
        NoBytes::Refused(why) => invalid_argument(format!("buffer cannot be written to: {why}")),
        NoBytes::Failed(error) => error,
    })
}

/// Receives a message into a buffer; its length and priority.
pub(crate) fn receive_into(
    py: Python<'_>,
    slot: &Closable<Channel>,
    buffer: &Bound<'_, PyAny>,
    timeout: Option<Duration>,
) -> PyResult<Option<(usize, u32)>> {
    let buffer = to_write(buffer)?;
    let place: &mut [u8] = match buffer.bytes() {
        (_, 0) => &mut [],
        // SAFETY: the buffer is held, so its memory stays for its length. Its owner may change the bytes
        // meanwhile, from another thread; they are only written to here.
        (start, length) => unsafe { std::slice::from_raw_parts_mut(start, length) },
    };
    let raised = |ended: Ended| PyErr::from(ended);
    let next = slot.with(py, Channel::peek)?.unwrap_or(0);
    let mut received =
        with(py, slot, next, Channel::is_being_received_from, |channel| channel.try_receive(place))
            .map_err(raised)?;
    let deadline = wait::deadline(timeout);
    while received.is_none() {
        let seen = wait::wait(py, slot, deadline, AfterSignal::GoOn, |channel, deadline| {
            channel.wait_for_message(deadline)
        })
        .map_err(raised)?;
        let next = slot.with(py, Channel::peek)?.unwrap_or(0);
        received = with(py, slot, next, Channel::is_being_received_from, |channel| {
            channel.try_receive(place)
        })
        .map_err(raised)?;
        if !seen || received.is_some() || deadline.has_passed() {
            break;
        }
        py.check_signals()?;
    }
    Ok(received.map(|received| (received.length, received.priority)))
}
