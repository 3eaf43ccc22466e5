//! `NamedMessageQueue`.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use nob_ipc::{Direction, Kind, MessageQueue};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use crate::convert::error::{raise, unsupported_operation};
use crate::convert::message::Message;
use crate::convert::{self, Arg};
use crate::interpreter::ask::ask;
use crate::interpreter::detach::without_gil;
use crate::interpreter::slot::Closable;
use crate::interpreter::wait::{self, AfterSignal};
use crate::named::base::{self, Named};
use crate::named::batches;
use crate::named::coroutine::coroutine;
use crate::named::notification;
use crate::named::pickle;
use crate::named::place::{self, Place, refuse_mode};
use crate::named::send_receive;
use crate::named::server_opening::{self, MayBeThere};
use crate::server::error::raise as raise_there;
use crate::server::{self, There, there_is_open};

/// A queue of messages that processes share by name.
///
/// The message with the highest priority is received first; within a priority, the first that was
/// sent. `with mq:` closes on exit; `for` and `async for` over a queue receive for ever. See
/// mq_overview(7), mq_open(3).
///
/// Args:
///     name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
///         random free name.
///     max_messages: How many messages a new queue holds. `None`: the system's default.
///     max_message_size: How many bytes a message of a new queue may have. `None`: the system's
///         default.
///     read: Opens for receiving.
///     write: Opens for sending; one of the two must be true.
///     handle_existence: What to do about a queue that exists, or does not.
///     unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
///         owned or kept. `True`: deletion of this handle does. `False`: none does.
///     mode: Permission bits of a new queue, subject to the umask.
///     connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.
///
/// Raises:
///     FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
///     FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
///     PermissionError: The system does not permit it to this user.
///     OSError: A limit stands in the way (`EINVAL`, `EMFILE`, `ENOSPC`): the text names it.
///     InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
#[pyclass(module = "nob.ipc", extends = Named, subclass, frozen)]
pub(crate) struct NamedMessageQueue {
    slot: Arc<Closable<MessageQueue>>,
    there: There<nob_ipc_redis::MessageQueue>,
}

#[pymethods]
impl NamedMessageQueue {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, max_messages=None, max_message_size=None, read=True, \
                          write=True, handle_existence=..., unlink_on_delete=None, *, \
                          mode=0o600, connection=None)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Named::initializer(base::close, |slot| NamedMessageQueue { slot, there: There::new() })
    }

    #[pyo3(signature = (
        name,
        max_messages = Arg::NOTHING,
        max_message_size = Arg::NOTHING,
        read = Arg::NOTHING,
        write = Arg::NOTHING,
        handle_existence = Arg::NOTHING,
        unlink_on_delete = Arg::NOTHING,
        *,
        mode = Arg::NOTHING,
        connection = Arg::NOTHING,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are the constructor's")]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        name: Arg<'_, '_>,
        max_messages: Arg<'_, '_>,
        max_message_size: Arg<'_, '_>,
        read: Arg<'_, '_>,
        write: Arg<'_, '_>,
        handle_existence: Arg<'_, '_>,
        unlink_on_delete: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        connection: Arg<'_, 'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().check_unset()?;
        let place = Place::of(connection)?;
        let existence = convert::existence(handle_existence)?;
        let mut options = MessageQueue::options();
        options.existence(existence);
        let max_messages = convert::optional_count("max_messages", max_messages)?;
        let max_message_size = convert::optional_count("max_message_size", max_message_size)?;
        convert::capacity(&mut options, max_messages, max_message_size)?;
        let read = convert::switch("read", read, true)?;
        let direction = convert::direction(read, convert::switch("write", write, true)?)?;
        options.direction(direction);
        let mode = convert::mode(mode)?;
        options.mode(mode);
        let unlink = convert::optional_switch("unlink_on_delete", unlink_on_delete)?;
        if let Some(unlink) = unlink {
            options.unlink_on_drop(unlink);
        }
        let name = convert::name(Kind::MessageQueue, name, existence)?;
        if let Some(server) = place.server() {
            refuse_mode(mode)?;
            let mut options = nob_ipc_redis::MessageQueue::options(server);
            options.existence(existence).direction(direction);
            if let Some(count) = max_messages {
                options.max_messages(convert::narrow(count)?);
            }
            if let Some(size) = max_message_size {
                options.max_message_size(convert::narrow(size)?);
            }
            if let Some(unlink) = unlink {
                options.unlink_on_drop(unlink);
            }
            return server_opening::open(slf, &place, options, name);
        }
        let queue = without_gil(py, || options.open_named(&name));
        let queue = queue.map_err(|error| raise(py, &error))?;
        let ownership = Arc::clone(queue.ownership());
        slf.as_super().get().open(py, &slf.get().slot, queue, ownership)?;
        place.add(slf)
    }

    /// Send a message; False when the queue stayed full until the time was over.
    ///
    /// Signal handlers run while it waits; what one raises comes out, and then nothing was sent.
    /// See mq_send(3).
    ///
    /// Args:
    ///     message: Bytes-like, or `str`, which is sent as UTF-8.
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
    ///     priority: 0 to 32767; the highest is received first.
    ///
    /// Raises:
    ///     ValueError: The message is longer than `max_message_size`, or the handle is or gets
    ///         closed.
    ///     io.UnsupportedOperation: The queue was opened with `write=False`.
    ///     InvalidArgument: A priority out of range, for example.
    #[pyo3(
        signature = (message, timeout = Arg::NOTHING, priority = Arg::NOTHING),
        text_signature = "($self, message, timeout=None, priority=0)"
    )]
    fn send(
        &self,
        py: Python<'_>,
        message: Arg<'_, '_>,
        timeout: Arg<'_, '_>,
        priority: Arg<'_, '_>,
    ) -> PyResult<bool> {
        let timeout = convert::timeout(timeout)?;
        let priority = convert::priority(priority)?;
        let message = Message::given(message)?;
        if let Some(there) = self.there.get() {
            return server::send(py, there, message, priority, wait::deadline(timeout));
        }
        let message = (message.bytes(), priority);
        Ok(send_receive::send(py, &self.slot, message, timeout, AfterSignal::GoOn)?)
    }

    /// Send messages, waiting while the queue is full; how many were sent in time.
    ///
    /// All of them are checked before one is sent. Once one has been sent, nothing raises: the
    /// number is returned, and what a signal handler raised comes out right after that.
    ///
    /// Args:
    ///     messages: Bytes-like, or `str`, each.
    ///     timeout: Seconds for all of them; `None` waits for ever.
    ///     priority: 0 to 32767, of all.
    ///
    /// Raises:
    ///     ValueError: As `send`, and so for the others that it raises.
    #[pyo3(
        signature = (messages, timeout = Arg::NOTHING, priority = Arg::NOTHING),
        text_signature = "($self, messages, timeout=None, priority=0)"
    )]
    fn send_many(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        timeout: Arg<'_, '_>,
        priority: Arg<'_, '_>,
    ) -> PyResult<usize> {
        let timeout = convert::timeout(timeout)?;
        let priority = convert::priority(priority)?;
        if let Some(there) = self.there.get() {
            let deadline = wait::deadline(timeout);
            there_is_open(there.handle())?;
            let messages = batches::all_messages(messages)?;
            batches::checked(&messages, there.max_message_size())?;
            return server::send_many(py, there, messages, priority, deadline);
        }
        batches::send_many(py, &self.slot, messages, priority, timeout)
    }

    /// Receive a message and its priority; None when there was none in time.
    ///
    /// Without a timeout it is `None` only where `block` is `False`. Signal handlers run while it
    /// waits; what one raises comes out, and then nothing was taken. See mq_receive(3).
    ///
    /// Args:
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
    ///
    /// Raises:
    ///     ValueError: The handle is closed, or gets closed by another thread while this waits.
    ///     io.UnsupportedOperation: The queue was opened with `read=False`.
    #[pyo3(signature = (timeout = Arg::NOTHING), text_signature = "($self, timeout=None)")]
    fn receive<'py>(
        &self,
        py: Python<'py>,
        timeout: Arg<'_, '_>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let timeout = convert::timeout(timeout)?;
        if let Some(there) = self.there.get() {
            return server::receive(py, there, wait::deadline(timeout));
        }
        send_receive::message(py, &self.slot, timeout, AfterSignal::GoOn)
    }

    /// Receive what is there, waiting for the first; a list of (message, priority).
    ///
    /// Once one has been taken, the call itself raises nothing.
    ///
    /// Args:
    ///     max_messages: At most so many. `None`: as many as the queue holds.
    ///     timeout: Seconds to wait for the first; `None` waits for ever. The list is empty when
    ///         the time was over.
    ///     into: A list to which each message is appended as it is taken, and which is returned.
    ///         So what a signal handler raises at the end of the call loses none of them.
    ///
    /// Raises:
    ///     ValueError: As `receive`, and so for the others that it raises.
    #[pyo3(
        signature = (
            max_messages = Arg::NOTHING, timeout = Arg::NOTHING, into = Arg::NOTHING
        ),
        text_signature = "($self, max_messages=None, timeout=None, into=None)"
    )]
    fn receive_many<'py>(
        &self,
        py: Python<'py>,
        max_messages: Arg<'_, 'py>,
        timeout: Arg<'_, 'py>,
        into: Arg<'_, 'py>,
    ) -> PyResult<Bound<'py, PyList>> {
        let timeout = convert::timeout(timeout)?;
        let most = if max_messages.is_none() {
            self.max_messages(py)?
        } else {
            convert::narrow(convert::bounded("max_messages", max_messages, 1, (1, i64::MAX))?)?
        };
        if let Some(there) = self.there.get() {
            let list = batches::list_to_fill(py, into)?;
            server::receive_many(py, there, most, wait::deadline(timeout), &list)?;
            return Ok(list);
        }
        batches::receive_many(py, &self.slot, most, timeout, into)
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        self.receive(py, Arg::NOTHING)
    }

    /// Send a message in asyncio; awaits False when there was no room in time.
    ///
    /// Arguments and errors are those of `send`; the message is taken as it is now. Cancelled, it has
    /// sent nothing. Waits of one loop on one handle are served in the order in which they came;
    /// `timeout=0` passes nobody.
    #[pyo3(
        signature = (message, timeout = None, priority = Arg::NOTHING),
        text_signature = "($self, message, timeout=None, priority=0)"
    )]
    fn send_async<'py>(
        slf: &Bound<'py, Self>,
        message: Bound<'py, PyAny>,
        timeout: Option<Bound<'py, PyAny>>,
        priority: Arg<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let priority = match priority.0 {
            Some(priority) => priority.to_owned(),
            None => 0_u32.into_bound_py_any(py)?,
        };
        coroutine(py, &slf.get().there, "send", (slf, message, timeout, priority))
    }

    /// Receive a message in asyncio; awaits None when there was none in time.
    ///
    /// Arguments and errors are those of `receive`. Cancelled, it has taken nothing. Waits of one
    /// loop on one handle are served in the order in which they came; `timeout=0` passes nobody.
    #[pyo3(signature = (timeout = None))]
    fn receive_async<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), &slf.get().there, "receive", (slf, timeout))
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), &slf.get().there, "receive_next", (slf,))
    }

    /// How many messages are in the queue at this moment (int; mq_getattr(3)).
    #[getter]
    fn current_messages(&self, py: Python<'_>) -> PyResult<usize> {
        if let Some(there) = self.there.get() {
            return ask(py, raise_there, || there.current_messages()).map(count);
        }
        let current = self.slot.with(py, MessageQueue::current_messages)?;
        current.map_err(|error| raise(py, &error))
    }

    /// How many messages the queue holds when it is full (int).
    #[getter]
    fn max_messages(&self, py: Python<'_>) -> PyResult<usize> {
        if let Some(there) = self.there.get() {
            there_is_open(there.handle())?;
            return Ok(count(there.max_messages()));
        }
        self.slot.with(py, MessageQueue::max_messages)
    }

    /// How many bytes a message may have (int).
    #[getter]
    fn max_message_size(&self, py: Python<'_>) -> PyResult<usize> {
        if let Some(there) = self.there.get() {
            there_is_open(there.handle())?;
            return Ok(there.max_message_size());
        }
        self.slot.with(py, MessageQueue::max_message_size)
    }

    /// Whether send and receive wait at all (bool; may be set).
    ///
    /// It is `O_NONBLOCK` of the open description, which forked children share. `False`: what would
    /// have to wait returns `False` or `None` at once, whatever the timeout. See mq_setattr(3).
    #[getter]
    fn block(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(there) = self.there.get() {
            there_is_open(there.handle())?;
            return Ok(there.is_blocking());
        }
        let blocking = self.slot.with(py, MessageQueue::is_blocking)?;
        blocking.map_err(|error| raise(py, &error))
    }

    #[setter]
    fn set_block(&self, py: Python<'_>, value: Arg<'_, '_>) -> PyResult<()> {
        let value = convert::switch("block", value, true)?;
        if let Some(there) = self.there.get() {
            there_is_open(there.handle())?;
            there.set_blocking(value);
            return Ok(());
        }
        let set = self.slot.with(py, |queue| queue.set_blocking(value))?;
        set.map_err(|error| raise(py, &error))
    }

    /// The descriptor, open as long as the handle is (int).
    #[getter]
    fn mqd(&self, py: Python<'_>) -> PyResult<i32> {
        self.only_here("a queue on a server has no descriptor: wait with asyncio instead")?;
        self.slot.with(py, |queue| queue.as_fd().as_raw_fd())
    }

    /// Another name of mqd (int).
    #[getter]
    fn mdq(&self, py: Python<'_>) -> PyResult<i32> {
        self.mqd(py)
    }

    /// The descriptor, open as long as the handle is; it can be polled (int).
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.mqd(py)
    }

    /// Ask to be told, once, when the queue goes from empty to non-empty.
    ///
    /// An earlier request of this process is replaced. See mq_notify(3).
    ///
    /// Args:
    ///     notification: A signal number; or a callable and its argument, called in a new daemon
    ///         thread; or `None`, which withdraws the request.
    ///
    /// Returns:
    ///     `True` if it is registered, or withdrawn; `False` if another process is registered.
    ///
    /// Raises:
    ///     ValueError: The handle is closed.
    ///     InvalidArgument: A number that is no signal, for example.
    #[pyo3(
        signature = (notification = Arg::NOTHING),
        text_signature = "($self, notification=None)"
    )]
    fn request_notification(&self, py: Python<'_>, notification: Arg<'_, '_>) -> PyResult<bool> {
        self.only_here("a queue on a server notifies of nothing: wait with asyncio instead")?;
        notification::request(py, &self.slot, notification)
    }

    /// Remove a name without opening what has it.
    ///
    /// See mq_unlink(3).
    ///
    /// Raises:
    ///     FileNotFoundError: Nothing has the name.
    ///     PermissionError: The system does not permit it to this user.
    ///     InvalidArgument: No queue can have this name.
    #[classmethod]
    #[pyo3(
        signature = (name, connection = Arg::NOTHING),
        text_signature = "($cls, name, connection=None)"
    )]
    fn unlink_name(
        cls: &Bound<'_, PyType>,
        name: &Bound<'_, PyAny>,
        connection: Arg<'_, '_>,
    ) -> PyResult<()> {
        place::unlink_name(cls.py(), Kind::MessageQueue, name, connection)
    }

    /// Pickle as a handle that links by name; ValueError when closed.
    ///
    /// It shares a shared object, and unlinks no other.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let direction = match slf.get().there.get() {
            Some(there) => there.direction(),
            None => slf.get().slot.with(py, MessageQueue::direction)?,
        };
        slf.as_super().get().check_open(py)?;
        let options = PyDict::new(py);
        options.set_item("read", direction != Direction::Send)?;
        options.set_item("write", direction != Direction::Receive)?;
        pickle::reduce::<Self>(slf, &options)
    }
}

/// A number of messages on a server, as on this machine.
fn count(messages: u64) -> usize {
    usize::try_from(messages).unwrap_or(usize::MAX)
}

impl NamedMessageQueue {
    pub(crate) fn slot(&self) -> &Closable<MessageQueue> {
        &self.slot
    }

    /// The object, which is on a server.
    pub(crate) fn there(&self) -> PyResult<&nob_ipc_redis::MessageQueue> {
        self.there.get().ok_or_else(|| unsupported_operation("the queue is not on a server"))
    }

    /// Fails if the object is on a server, with this sentence.
    fn only_here(&self, why: &'static str) -> PyResult<()> {
        if self.there.get().is_some() { Err(unsupported_operation(why)) } else { Ok(()) }
    }
}

impl MayBeThere for NamedMessageQueue {
    type There = nob_ipc_redis::MessageQueue;

    fn there(&self) -> &There<Self::There> {
        &self.there
    }
}
