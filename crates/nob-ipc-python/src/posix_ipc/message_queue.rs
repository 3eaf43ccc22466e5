//! `posix_ipc.MessageQueue`.

use std::sync::{Arc, OnceLock};

use nob_ipc::{Direction, Kind, Received};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::arguments::{self, Request};
use super::base::{Object, PosixNamed};
use super::error::{busy, ended, never_opened, refuse};
use crate::convert::message::{Message, message_tuple};
use crate::convert::{self, Arg};
use crate::interpreter::detach::without_gil;
use crate::interpreter::wait::AfterSignal;
use crate::named::notification;
use crate::named::send_receive::{self, with_buffer};

/// A queue of messages that processes share by name; the highest priority is received first.
///
/// name: str or bytes; None with O_CREX makes a random free one.
/// flags: int, 0 opens, O_CREAT opens or creates, O_CREX creates; O_NONBLOCK sets block to False.
/// mode: int, permission bits of a new queue, subject to the umask.
/// max_messages: int, capacity of a new queue; default: QUEUE_MESSAGES_MAX_DEFAULT.
/// max_message_size: int, bytes, of a new queue; default: QUEUE_MESSAGE_SIZE_MAX_DEFAULT.
/// read, write: bool, the directions to open it for; at least one.
///
/// Raises ExistentialError, PermissionsError, ValueError and OSError (the text names the limit).
/// Source: mq_open(3).
#[pyclass(module = "nob.posix_ipc", extends = PosixNamed, subclass, frozen)]
pub(crate) struct MessageQueue {
    object: Object<nob_ipc::MessageQueue>,
    facts: OnceLock<Facts>,
}

/// What never changes.
#[derive(Clone, Copy, Debug)]
struct Facts {
    max_messages: usize,
    max_message_size: usize,
    direction: Direction,
}

#[pymethods]
impl MessageQueue {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, flags=0, mode=0o600, max_messages=..., max_message_size=..., \
                          read=True, write=True)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PosixNamed::initializer(MessageQueue { object: Object::new(), facts: OnceLock::new() })
    }

    #[pyo3(signature = (
        name,
        flags = Arg::NOTHING,
        mode = Arg::NOTHING,
        max_messages = Arg::NOTHING,
        max_message_size = Arg::NOTHING,
        read = Arg::NOTHING,
        write = Arg::NOTHING,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are the constructor's")]
    fn __init__(
        slf: &Bound<'_, Self>,
        name: Arg<'_, '_>,
        flags: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        max_messages: Arg<'_, '_>,
        max_message_size: Arg<'_, '_>,
        read: Arg<'_, '_>,
        write: Arg<'_, '_>,
    ) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        slf.as_super().get().check_unset()?;
        let mut options = nob_ipc::MessageQueue::options();
        let max_messages = convert::optional_count("max_messages", max_messages)?;
        let max_message_size = convert::optional_count("max_message_size", max_message_size)?;
        convert::capacity(&mut options, max_messages, max_message_size)?;
        let read = arguments::truth(read, true)?;
        options.direction(convert::direction(read, arguments::truth(write, true)?)?);
        let request = Request::new(py, Kind::MessageQueue, name, flags, mode)?;
        options.existence(request.existence).mode(request.permissions()).unlink_on_drop(false);
        let queue = without_gil(py, || {
            let queue = options.open_named(&request.name)?;
            if request.nonblocking {
                queue.set_blocking(false)?;
            }
            Ok(queue)
        });
        let queue = queue.map_err(|error| refuse(py, &error))?;
        let facts = Facts {
            max_messages: queue.max_messages(),
            max_message_size: queue.max_message_size(),
            direction: queue.direction(),
        };
        let ownership = Arc::clone(queue.ownership());
        slf.as_super().get().open(py, &this.object, queue, ownership, request)?;
        // Opening succeeds once.
        let _ = this.facts.set(facts);
        Ok(())
    }

    /// Send a message, waiting while the queue is full.
    ///
    /// message: bytes-like, or str, which is sent as UTF-8. timeout: seconds, None waits for ever, 0
    /// does not wait. priority: int, 0 to QUEUE_PRIORITY_MAX.
    /// Raises BusyError when there was no room in time, SignalError when a signal was handled
    /// meanwhile, PermissionsError when opened with write=False, ValueError for a message that is too
    /// long, ExistentialError when closed. Nothing was sent then.
    /// Source: mq_send(3), on the monotonic clock.
    #[pyo3(
        signature = (message, timeout = Arg::NOTHING, priority = Arg::NOTHING),
        text_signature = "($self, message, timeout=None, priority=0)"
    )]
    fn send(
        slf: &Bound<'_, Self>,
        message: Arg<'_, '_>,
        timeout: Arg<'_, '_>,
        priority: Arg<'_, '_>,
    ) -> PyResult<()> {
        let timeout = arguments::timeout(timeout)?;
        let priority = convert::priority(priority)?;
        let message = Message::given(message)?;
        let (py, message) = (slf.py(), (message.bytes(), priority));
        match send_receive::send(py, slf.get().object.slot(), message, timeout, AfterSignal::End) {
            Ok(true) => Ok(()),
            Ok(false) => Err(busy(format!(
                "cannot send to the message queue \"{}\": it is full, and was until the time was over",
                slf.as_super().get().shown()
            ))),
            Err(end) => Err(ended(py, end)),
        }
    }

    /// Receive a message and its priority, waiting while there is none.
    ///
    /// timeout: seconds, None waits for ever, 0 does not wait.
    /// Raises BusyError when there was none in time, SignalError when a signal was handled meanwhile,
    /// PermissionsError when opened with read=False, ExistentialError when closed. Nothing was taken
    /// then. Source: mq_receive(3), on the monotonic clock.
    #[pyo3(signature = (timeout = Arg::NOTHING), text_signature = "($self, timeout=None)")]
    fn receive<'py>(slf: &Bound<'py, Self>, timeout: Arg<'_, '_>) -> PyResult<Bound<'py, PyTuple>> {
        let timeout = arguments::timeout(timeout)?;
        let (py, this) = (slf.py(), slf.get());
        let size = this.facts()?.max_message_size;
        with_buffer(py, size, |buffer| {
            match send_receive::receive(py, this.object.slot(), buffer, timeout, AfterSignal::End) {
                Ok(Some(Received { length, priority })) => {
                    message_tuple(py, &buffer[..length], priority)
                }
                Ok(None) => Err(busy(format!(
                    "cannot receive from the message queue \"{}\": it is empty, and was until the \
                     time was over",
                    slf.as_super().get().shown()
                ))),
                Err(end) => Err(ended(py, end)),
            }
        })?
    }

    /// Ask to be told when the queue goes from empty to non-empty, once.
    ///
    /// notification: a signal's number; a tuple (callable, argument), called in a thread of its own;
    /// None cancels.
    /// Raises BusyError when another process has asked, ValueError, ExistentialError when closed.
    /// Source: mq_notify(3).
    #[pyo3(
        signature = (notification = Arg::NOTHING),
        text_signature = "($self, notification=None)"
    )]
    fn request_notification(slf: &Bound<'_, Self>, notification: Arg<'_, '_>) -> PyResult<()> {
        let (py, object) = (slf.py(), &slf.get().object);
        object.with(py, |_| ())?;
        if notification::request(py, object.slot(), notification)? {
            // It outlives the handle.
            object.keep(nob_ipc::MessageQueue::leak);
            return Ok(());
        }
        Err(busy(format!(
            "cannot request a notification from the message queue \"{}\": another process has asked \
             for it",
            slf.as_super().get().shown()
        )))
    }

    /// Whether send and receive wait at all; False: they raise BusyError (bool; may be set).
    #[getter]
    fn block(&self, py: Python<'_>) -> PyResult<bool> {
        let blocking = self.object.with(py, nob_ipc::MessageQueue::is_blocking)?;
        blocking.map_err(|error| refuse(py, &error))
    }

    #[setter]
    fn set_block(&self, py: Python<'_>, value: Arg<'_, '_>) -> PyResult<()> {
        let blocking = arguments::truth(value, true)?;
        let done = self.object.with(py, |queue| queue.set_blocking(blocking))?;
        done.map_err(|error| refuse(py, &error))
    }

    /// How many messages are in the queue at this moment (int; mq_getattr(3)).
    #[getter]
    fn current_messages(&self, py: Python<'_>) -> PyResult<usize> {
        let current = self.object.with(py, nob_ipc::MessageQueue::current_messages)?;
        current.map_err(|error| refuse(py, &error))
    }

    /// How many messages the queue holds when it is full (int).
    #[getter]
    fn max_messages(&self) -> PyResult<usize> {
        Ok(self.facts()?.max_messages)
    }

    /// How many bytes a message may have (int).
    #[getter]
    fn max_message_size(&self) -> PyResult<usize> {
        Ok(self.facts()?.max_message_size)
    }

    /// The descriptor, open until close is called; -1 after that (int).
    #[getter]
    fn mqd(&self, py: Python<'_>) -> i32 {
        self.object.lend(py, nob_ipc::MessageQueue::leak)
    }

    /// The descriptor, open until close is called; -1 after that (int).
    fn fileno(&self, py: Python<'_>) -> i32 {
        self.mqd(py)
    }

    /// Close the descriptor; never unlinks.
    ///
    /// Raises ExistentialError when it is closed already.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.object.close(py)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let Facts { max_messages, max_message_size, direction } = *slf.get().facts()?;
        let truth = |is| if is { "True" } else { "False" };
        let more = format!(
            ", max_message_size={max_message_size}, max_messages={max_messages}, read={}, write={}",
            truth(direction != Direction::Send),
            truth(direction != Direction::Receive),
        );
        slf.as_super().get().describe("MessageQueue", &more)
    }
}

impl MessageQueue {
    fn facts(&self) -> PyResult<&Facts> {
        self.facts.get().ok_or_else(never_opened)
    }
}

/// The capacity of a queue that is created without saying so: messages, and bytes of each.
#[pyfunction(name = "_queue_defaults")]
pub(crate) fn queue_defaults() -> (u64, u64) {
    use nob_ipc::MessageQueue;
    (MessageQueue::default_max_messages(), MessageQueue::default_max_message_size())
}
