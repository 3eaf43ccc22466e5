//! `NamedChannel`.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use nob_ipc::{Channel, Direction, Kind, Readiness, Reservation, fork_generation};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};

use crate::convert::error::raise;
use crate::convert::message::Message;
use crate::convert::{self, Arg};
use crate::interpreter::cell::Guarded;
use crate::interpreter::detach::in_steps;
use crate::interpreter::slot::Closable;
use crate::named::base::Named;
use crate::named::channel_messages as messages;
use crate::named::coroutine::coroutine_here as coroutine;
use crate::named::pickle;
use crate::named::place::{self, Place};

/// A channel of messages of any size that processes share by name.
///
/// Any number of handles send and receive; each message is received by one of them, whole. The
/// highest priority is received first; within a priority, the first that was sent. A process that is
/// killed at whatever moment loses nothing but its own unfinished message, and delays the others by
/// 50 ms at the most. `with channel:` closes on exit; `for` and `async for` over a channel receive
/// for ever.
///
/// Args:
///     name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
///         random free name.
///     max_messages: How many messages a new channel holds. `None`: as many as fit.
///     max_message_size: How many bytes a message of a new channel may have. `None`: 16 less than
///         the capacity.
///     read: Opens for receiving.
///     write: Opens for sending; one of the two must be true.
///     handle_existence: What to do about a channel that exists, or does not.
///     unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
///         owned or kept. `True`: deletion of this handle does. `False`: none does.
///     capacity: The room for messages of a new channel in bytes, for each priority; rounded up to a
///         power of two. `None`: room for `max_messages` of `max_message_size` if both are given,
///         else 1 MiB.
///     priorities: How many priorities a new channel has, 1 to 8.
///     mode: Permission bits of a new channel, subject to the umask. Each handle must be able to
///         read and to write.
///     reserve: Allocates the memory of a new channel at once: being out of memory is an error
///         then, and no bus error later.
///     connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.
///
/// Raises:
///     FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
///     FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
///     PermissionError: The system does not permit it to this user.
///     OSError: What has the name is no channel, or one of another version; 1023 handles are open
///         (`EMFILE`); or the system has no room for it (`ENOSPC`).
///     InvalidArgument: An argument of the wrong type, out of its range, or a bad name.
#[pyclass(module = "nob.ipc", extends = Named, subclass, frozen)]
pub(crate) struct NamedChannel {
    slot: Arc<Closable<Channel>>,
    /// What `fileno` gives, once it was asked, and the fork generation in which it was made.
    readable: Guarded<Option<(Readiness, u64)>>,
}

#[pymethods]
impl NamedChannel {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, max_messages=None, max_message_size=None, read=True, \
                          write=True, handle_existence=..., unlink_on_delete=None, *, \
                          capacity=None, priorities=1, mode=0o600, reserve=True, \
                          connection=None)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Named::initializer(
            |channel| Self::close(channel.cast()?),
            |slot| NamedChannel { slot, readable: Guarded::new(None) },
        )
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
        capacity = Arg::NOTHING,
        priorities = Arg::NOTHING,
        mode = Arg::NOTHING,
        reserve = Arg::NOTHING,
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
        capacity: Arg<'_, '_>,
        priorities: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        reserve: Arg<'_, '_>,
        connection: Arg<'_, 'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().check_unset()?;
        let place = Place::of(connection)?;
        place.only_here(
            "there are no channels on a server: use NamedMessageQueue, which is not limited by the \
             kernel there",
        )?;
        let existence = convert::existence(handle_existence)?;
        let mut options = Channel::options();
        options.existence(existence);
        let given = |name, value: Arg<'_, '_>| {
            if value.is_none() {
                return PyResult::Ok(None);
            }
            convert::narrow(convert::bounded(name, value, 1, (1, i64::MAX))?).map(Some)
        };
        if let Some(count) = given("max_messages", max_messages)? {
            options.max_messages(count);
        }
        if let Some(size) = given("max_message_size", max_message_size)? {
            options.max_message_size(size);
        }
        if let Some(capacity) = given("capacity", capacity)? {
            options.capacity(capacity);
        }
        let most = i64::from(Channel::MAX_PRIORITIES);
        let priorities = convert::bounded("priorities", priorities, 1, (1, most))?;
        options.priorities(convert::narrow(priorities)?);
        if !convert::switch("reserve", reserve, true)? {
            options.reservation(Reservation::Sparse);
        }
        let read = convert::switch("read", read, true)?;
        options.direction(convert::direction(read, convert::switch("write", write, true)?)?);
        options.mode(convert::mode(mode)?);
        if let Some(unlink) = convert::optional_switch("unlink_on_delete", unlink_on_delete)? {
            options.unlink_on_drop(unlink);
        }
        let name = convert::name(Kind::Channel, name, existence)?;
        let channel = in_steps(py, raise, |on_step| options.open_with(&name, on_step))?;
        let ownership = Arc::clone(channel.ownership());
        slf.as_super().get().open(py, &slf.get().slot, channel, ownership)?;
        place.add(slf)
    }

    /// Send a message; False when there was no room until the time was over.
    ///
    /// Signal handlers run while it waits; what one raises comes out, and then nothing was sent.
    ///
    /// Args:
    ///     message: Bytes-like, or `str`, which is sent as UTF-8.
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
    ///     priority: 0 to `priorities` - 1; the highest is received first.
    ///
    /// Raises:
    ///     ValueError: The message is longer than `max_message_size`, or the handle is or gets
    ///         closed.
    ///     io.UnsupportedOperation: The channel was opened with `write=False`.
    ///     OSError: Somebody has written rubbish into the file (`EUCLEAN`).
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
        Ok(messages::send(py, &self.slot, message.bytes(), priority, timeout)?)
    }

    /// Send messages, waiting for room; how many were sent in time.
    ///
    /// All of them are checked before one is sent, and those for which there is room at once become
    /// visible at once. Once one has been sent, nothing raises: the number is returned, and what a
    /// signal handler raised comes out right after that.
    ///
    /// Args:
    ///     messages: Bytes-like, or `str`, each.
    ///     timeout: Seconds for all of them; `None` waits for ever.
    ///     priority: 0 to `priorities` - 1, of all.
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
        messages::send_many(py, &self.slot, messages, priority, timeout)
    }

    /// Receive a message and its priority; None when there was none in time.
    ///
    /// Without a timeout it is `None` only where `block` is `False`. Signal handlers run while it
    /// waits; what one raises comes out, and then nothing was taken.
    ///
    /// Args:
    ///     timeout: Seconds on the monotonic clock; `None` waits for ever, 0 not at all.
    ///
    /// Raises:
    ///     ValueError: The handle is closed, or gets closed by another thread while this waits.
    ///     io.UnsupportedOperation: The channel was opened with `read=False`.
    ///     OSError: Somebody has written rubbish into the file (`EUCLEAN`).
    ///     MemoryError: There is no memory for the message, which stays.
    #[pyo3(signature = (timeout = Arg::NOTHING), text_signature = "($self, timeout=None)")]
    fn receive<'py>(
        &self,
        py: Python<'py>,
        timeout: Arg<'_, '_>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let timeout = convert::timeout(timeout)?;
        let received = messages::receive(py, &self.slot, timeout)?;
        if received.is_none() {
            self.found_nothing(py);
        }
        Ok(received)
    }

    /// Receive a message into a buffer; its length and priority, None when there was none in time.
    ///
    /// Args:
    ///     buffer: A writable and contiguous object with a buffer: `bytearray`, `memoryview`, an array.
    ///     timeout: As of `receive`.
    ///
    /// Raises:
    ///     ValueError: The next message is longer than the buffer; it stays, and the text has both
    ///         numbers.
    #[pyo3(
        signature = (buffer, timeout = Arg::NOTHING),
        text_signature = "($self, buffer, timeout=None)"
    )]
    fn receive_into(
        &self,
        py: Python<'_>,
        buffer: &Bound<'_, PyAny>,
        timeout: Arg<'_, '_>,
    ) -> PyResult<Option<(usize, u32)>> {
        let timeout = convert::timeout(timeout)?;
        let received = messages::receive_into(py, &self.slot, buffer, timeout)?;
        if received.is_none() {
            self.found_nothing(py);
        }
        Ok(received)
    }

    /// Receive what is there, waiting for the first; a list of (message, priority).
    ///
    /// Once one has been taken, the call itself raises nothing.
    ///
    /// Args:
    ///     max_messages: At most so many. `None`: as many as the channel holds.
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
        let (list, received) = messages::receive_many(py, &self.slot, most, timeout, into)?;
        if received == 0 {
            self.found_nothing(py);
        }
        Ok(list)
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
        coroutine(py, "send", (slf, message, timeout, priority))
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
        coroutine(slf.py(), "receive", (slf, timeout))
    }

    fn __aiter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        coroutine(slf.py(), "receive_next", (slf,))
    }

    /// How many messages are in the channel at this moment (int).
    #[getter]
    fn current_messages(&self, py: Python<'_>) -> PyResult<usize> {
        let current = self.slot.with(py, Channel::current_messages)?;
        current.map_err(|error| raise(py, &error))
    }

    /// How many messages the channel holds at the most (int).
    #[getter]
    fn max_messages(&self, py: Python<'_>) -> PyResult<usize> {
        self.slot.with(py, Channel::max_messages)
    }

    /// How many bytes of messages there is room for, of each priority (int).
    ///
    /// A message takes 8 bytes more than it has, rounded up to a multiple of 8.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<usize> {
        self.slot.with(py, Channel::capacity)
    }

    /// How many priorities there are: 0 to one less may be sent (int).
    #[getter]
    fn priorities(&self, py: Python<'_>) -> PyResult<u32> {
        self.slot.with(py, Channel::priorities)
    }

    /// How many bytes a message may have (int).
    #[getter]
    fn max_message_size(&self, py: Python<'_>) -> PyResult<usize> {
        self.slot.with(py, Channel::max_message_size)
    }

    /// Whether send and receive of this handle wait at all (bool; may be set).
    ///
    /// `False`: what would have to wait returns `False` or `None` at once, whatever the timeout.
    #[getter]
    fn block(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, Channel::is_blocking)
    }

    #[setter]
    fn set_block(&self, py: Python<'_>, value: Arg<'_, '_>) -> PyResult<()> {
        let value = convert::switch("block", value, true)?;
        self.slot.with(py, |channel| channel.set_blocking(value))
    }

    /// A descriptor that is readable while there is a message (int).
    ///
    /// After a receive that found nothing it is not readable until the next message. It is made by
    /// the first call, open as long as the handle is, and of no other use than to be polled. A forked
    /// child gets another one.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let generation = fork_generation();
        let made = self.readable.replace(py, None).filter(|(_, made_in)| *made_in == generation);
        let made = if let Some(made) = made {
            self.slot.check_open(py)?;
            made
        } else {
            let made = self.slot.with(py, Channel::readable)?;
            (made.map_err(|error| raise(py, &error))?, generation)
        };
        let number = made.0.as_fd().as_raw_fd();
        self.readable.replace(py, Some(made));
        Ok(number)
    }

    /// Give up this handle; never unlinks, and twice is fine.
    ///
    /// A wait of another thread on this handle ends with `ValueError` within half a second.
    pub(crate) fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        drop(slf.get().readable.replace(py, None));
        slf.as_super().get().close(py)
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __exit__(
        slf: &Bound<'_, Self>,
        exc_type: Arg<'_, '_>,
        exc: Arg<'_, '_>,
        traceback: Arg<'_, '_>,
    ) -> PyResult<()> {
        Self::close(slf)
    }

    /// Close, and remove the name if unlink_on_delete says so; what deletion does.
    fn __del__(slf: &Bound<'_, Self>) {
        let py = slf.py();
        drop(slf.get().readable.replace(py, None));
        slf.as_super().get().__del__(py);
    }

    /// Remove a name without opening what has it.
    ///
    /// Raises:
    ///     FileNotFoundError: Nothing has the name.
    ///     PermissionError: The system does not permit it to this user.
    ///     InvalidArgument: No channel can have this name.
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
        place::unlink_name(cls.py(), Kind::Channel, name, connection)
    }

    /// Pickle as a handle that links by name; ValueError when closed.
    ///
    /// It shares a shared object, and unlinks no other.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let direction = slf.get().slot.with(py, Channel::direction)?;
        let options = PyDict::new(py);
        options.set_item("read", direction != Direction::Send)?;
        options.set_item("write", direction != Direction::Receive)?;
        pickle::reduce::<Self>(slf, &options)
    }
}

impl NamedChannel {
    pub(crate) fn slot(&self) -> &Closable<Channel> {
        &self.slot
    }

    /// The descriptor is not readable until the next message.
    pub(crate) fn found_nothing(&self, py: Python<'_>) {
        if let Some(made) = self.readable.replace(py, None) {
            made.0.clear();
            self.readable.replace(py, Some(made));
        }
    }
}
