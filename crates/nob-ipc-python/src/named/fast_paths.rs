//! The calls that are made all the time, as `interpreter/fastcall.rs` enters them.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::ffi::CStr;

use nob_ipc::{Deadline, Permits};
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyBool;
use pyo3::{Borrowed, IntoPyObjectExt, PyClass};

use crate::convert::message::{exact_bytes, message_tuple, tuple};
use crate::interpreter::fastcall::{Arguments, FastCall, Returned, SlowPath, Tried, install};
use crate::interpreter::wait::{AfterSignal, Ended};
use crate::named::acquire::{self, GivesPermits};
use crate::named::bounded_semaphore::NamedBoundedSemaphore;
use crate::named::channel::NamedChannel;
use crate::named::channel_messages;
use crate::named::lock::NamedLock;
use crate::named::message_queue::NamedMessageQueue;
use crate::named::semaphore::NamedSemaphore;
use crate::named::send_receive::{self, with_buffer};

/// A class that gives out permits.
trait PermitClass: GivesPermits + PyClass<Frozen = True> {}

impl<C: GivesPermits + PyClass<Frozen = True>> PermitClass for C {}

macro_rules! fast_paths {
    ($($method:ident: $class:ty, $name:literal, $try_call:ident;)*) => {
        $(
            struct $method;

            impl FastCall for $method {
                type Class = $class;
                const NAME: &'static CStr = $name;

                fn slow_path() -> &'static SlowPath {
                    static SLOW_PATH: SlowPath = SlowPath::new(None);
                    &SLOW_PATH
                }

                #[inline(always)]
                fn try_call<'py>(
                    object: Borrowed<'_, 'py, $class>,
                    arguments: &Arguments<'_, 'py>,
                ) -> Tried<'py, $class> {
                    $try_call(object, arguments)
                }
            }
        )*

        /// Puts the fast paths in front of the methods that have one.
        pub(crate) fn install_all(py: Python<'_>) -> PyResult<()> {
            $(install::<$method>(py)?;)*
            Ok(())
        }
    };
}

fast_paths! {
    Send: NamedMessageQueue, c"send", send;
    Receive: NamedMessageQueue, c"receive", receive;
    Acquire: NamedSemaphore, c"acquire", acquire;
    Release: NamedSemaphore, c"release", release;
    Enter: NamedSemaphore, c"__enter__", enter;
    Exit: NamedSemaphore, c"__exit__", exit;
    AcquireLock: NamedLock, c"acquire", acquire;
    ReleaseLock: NamedLock, c"release", release;
    EnterLock: NamedLock, c"__enter__", enter;
    ExitLock: NamedLock, c"__exit__", exit;
    AcquireBounded: NamedBoundedSemaphore, c"acquire", acquire;
    ReleaseBounded: NamedBoundedSemaphore, c"release", release;
    EnterBounded: NamedBoundedSemaphore, c"__enter__", enter;
    ExitBounded: NamedBoundedSemaphore, c"__exit__", exit;
    SendChannel: NamedChannel, c"send", send_channel;
    ReceiveChannel: NamedChannel, c"receive", receive_channel;
}

#[inline(always)]
fn acquire<'py, C: PermitClass>(
    handle: Borrowed<'_, 'py, C>,
    arguments: &Arguments<'_, 'py>,
) -> Tried<'py, C> {
    if arguments.count > 0 {
        return Tried::SlowPath;
    }
    match acquire::try_acquire(handle.py(), handle.get()) {
        Ok(true) => Tried::Done(Ok(yes(handle.py()))),
        Ok(false) => Tried::WouldWait(|handle, _| {
            wait_acquire(handle)?;
            Ok(yes(handle.py()))
        }),
        Err(_) => Tried::SlowPath,
    }
}

#[inline(always)]
fn enter<'py, C: PermitClass>(
    handle: Borrowed<'_, 'py, C>,
    _: &Arguments<'_, 'py>,
) -> Tried<'py, C> {
    match acquire::try_acquire(handle.py(), handle.get()) {
        Ok(true) => Tried::Done(Ok(handle.to_owned().into_any())),
        Ok(false) => Tried::WouldWait(|handle, _| {
            wait_acquire(handle)?;
            Ok(handle.to_owned().into_any())
        }),
        Err(_) => Tried::SlowPath,
    }
}

fn wait_acquire<C: PermitClass>(handle: Borrowed<'_, '_, C>) -> Result<bool, Ended> {
    acquire::wait_acquire(handle.py(), handle.get(), Deadline::NEVER)
}

#[inline(always)]
fn release<'py, C: PermitClass>(
    handle: Borrowed<'_, 'py, C>,
    arguments: &Arguments<'_, 'py>,
) -> Tried<'py, C> {
    if arguments.count > 0 { Tried::SlowPath } else { release_one(handle) }
}

#[inline(always)]
fn exit<'py, C: PermitClass>(
    handle: Borrowed<'_, 'py, C>,
    arguments: &Arguments<'_, 'py>,
) -> Tried<'py, C> {
    if arguments.count == 3 { release_one(handle) } else { Tried::SlowPath }
}

#[inline(always)]
fn release_one<'py, C: PermitClass>(handle: Borrowed<'_, 'py, C>) -> Tried<'py, C> {
    let py = handle.py();
    match handle.get().slot().with(py, C::Object::release) {
        Ok(Ok(())) => Tried::Done(Ok(py.None().into_bound(py))),
        _ => Tried::SlowPath,
    }
}

#[inline(always)]
fn send<'py>(
    queue: Borrowed<'_, 'py, NamedMessageQueue>,
    arguments: &Arguments<'_, 'py>,
) -> Tried<'py, NamedMessageQueue> {
    let Some(message) = arguments.only.and_then(exact_bytes) else { return Tried::SlowPath };
    match send_receive::try_send(queue.py(), queue.get().slot(), (message, 0)) {
        Ok(true) => Tried::Done(Ok(yes(queue.py()))),
        Ok(false) => Tried::WouldWait(wait_send),
        Err(_) => Tried::SlowPath,
    }
}

fn wait_send<'py>(
    queue: Borrowed<'_, 'py, NamedMessageQueue>,
    arguments: &Arguments<'_, 'py>,
) -> Returned<'py> {
    let py = queue.py();
    let message = (arguments.only.and_then(exact_bytes).unwrap_or_default(), 0);
    let slot = queue.get().slot();
    let sent = send_receive::wait_send(py, slot, message, Deadline::NEVER, AfterSignal::GoOn)?;
    Ok(PyBool::new(py, sent).to_owned().into_any())
}

#[inline(always)]
fn receive<'py>(
    queue: Borrowed<'_, 'py, NamedMessageQueue>,
    arguments: &Arguments<'_, 'py>,
) -> Tried<'py, NamedMessageQueue> {
    let py = queue.py();
    if arguments.count > 0 {
        return Tried::SlowPath;
    }
    let tried = queue.get().slot().with(py, |queue| {
        with_buffer(py, queue.max_message_size(), |buffer| match queue.try_receive(buffer) {
            // The kernel wrote no more than there is room for.
            Ok(Some(received)) => {
                let message = message_tuple(py, &buffer[..received.length], received.priority);
                Tried::Done(message.map(Bound::into_any))
            }
            Ok(None) => Tried::WouldWait(wait_receive),
            Err(_) => Tried::SlowPath,
        })
    });
    match tried {
        Ok(Ok(tried)) => tried,
        _ => Tried::SlowPath,
    }
}

fn wait_receive<'py>(
    queue: Borrowed<'_, 'py, NamedMessageQueue>,
    _: &Arguments<'_, 'py>,
) -> Returned<'py> {
    let py = queue.py();
    let slot = queue.get().slot();
    let message = send_receive::wait_message(py, slot, Deadline::NEVER, AfterSignal::GoOn)?;
    message.into_bound_py_any(py)
}

#[inline(always)]
fn send_channel<'py>(
    channel: Borrowed<'_, 'py, NamedChannel>,
    arguments: &Arguments<'_, 'py>,
) -> Tried<'py, NamedChannel> {
    let Some(message) = arguments.only.and_then(exact_bytes) else { return Tried::SlowPath };
    match channel_messages::try_send(channel.py(), channel.get().slot(), message) {
        Some(Ok(true)) => Tried::Done(Ok(yes(channel.py()))),
        Some(Ok(false)) => Tried::WouldWait(wait_send_channel),
        None | Some(Err(_)) => Tried::SlowPath,
    }
}

fn wait_send_channel<'py>(
    channel: Borrowed<'_, 'py, NamedChannel>,
    arguments: &Arguments<'_, 'py>,
) -> Returned<'py> {
    let py = channel.py();
    let message = arguments.only.and_then(exact_bytes).unwrap_or_default();
    let slot = channel.get().slot();
    let sent = channel_messages::wait_send(py, slot, message, 0, Deadline::NEVER)?;
    Ok(PyBool::new(py, sent).to_owned().into_any())
}

#[inline(always)]
fn receive_channel<'py>(
    channel: Borrowed<'_, 'py, NamedChannel>,
    arguments: &Arguments<'_, 'py>,
) -> Tried<'py, NamedChannel> {
    let py = channel.py();
    if arguments.count > 0 {
        return Tried::SlowPath;
    }
    match channel_messages::try_receive(py, channel.get().slot(), 1) {
        Ok(mut messages) => match messages.pop() {
            Some((bytes, priority)) => Tried::Done(tuple(bytes, priority).map(Bound::into_any)),
            None => Tried::WouldWait(|channel, _| {
                let py = channel.py();
                let message = channel_messages::wait_receive(py, channel.get().slot())?;
                if message.is_none() {
                    channel.get().found_nothing(py);
                }
                message.into_bound_py_any(py)
            }),
        },
        Err(_) => Tried::SlowPath,
    }
}

fn yes(py: Python<'_>) -> Bound<'_, PyAny> {
    PyBool::new(py, true).to_owned().into_any()
}
