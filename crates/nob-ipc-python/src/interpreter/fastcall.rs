//! The fast path into the methods that are called all the time.
//!
//! PyO3 counts attachments and sorts arguments around every call. After a system call, which leaves
//! the processor's predictions cold, that takes about as long as all the rest of a binding. So these
//! methods are entered here: the plainest call is done; every other goes on to the method as PyO3 made
//! it, which can do all of them.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::ffi::{CStr, CString};

use nob_ipc::{Deadline, Permits};
use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyBool;
use pyo3::{Borrowed, IntoPyObjectExt, PyClass};

use crate::convert::message::{exact_bytes, message_tuple, tuple};
use crate::interpreter::cell::Guarded;
use crate::interpreter::wait::{AfterSignal, Ended};
use crate::named::acquire::{self, GivesPermits};
use crate::named::bounded_semaphore::NamedBoundedSemaphore;
use crate::named::channel::NamedChannel;
use crate::named::channel_messages;
use crate::named::lock::NamedLock;
use crate::named::message_queue::NamedMessageQueue;
use crate::named::semaphore::NamedSemaphore;
use crate::named::send_receive::{self, with_buffer};

/// A method with a fast path.
trait FastCall {
    type Class: PyClass;
    const NAME: &'static CStr;
    /// Where its slow path is.
    const INDEX: usize;

    /// Does the call if it need not wait. PyO3, which was not told of this call, would put a `Py` that
    /// is dropped here aside: none is.
    fn try_call<'py>(
        object: Borrowed<'_, 'py, Self::Class>,
        arguments: &Arguments<'_, 'py>,
    ) -> Tried<'py, Self::Class>;
}

/// The positional arguments of a call that has no others.
struct Arguments<'a, 'py> {
    count: isize,
    /// The first, if there is no other.
    only: Option<Borrowed<'a, 'py, PyAny>>,
}

/// What came of a first try.
enum Tried<'py, C> {
    Done(Returned<'py>),
    /// It would have to wait, which this does.
    WouldWait(for<'any> fn(Borrowed<'_, 'any, C>, &Arguments<'_, 'any>) -> Returned<'any>),
    /// Not the plainest call, or it fails: the method as PyO3 made it knows what to do.
    SlowPath,
}

/// What a call gives back.
type Returned<'py> = PyResult<Bound<'py, PyAny>>;

/// A method as PyO3 made it.
#[derive(Clone, Copy)]
enum Method {
    NoArguments(ffi::PyCFunction),
    Keywords(ffi::PyCFunctionFastWithKeywords),
}

const KEYWORDS: i32 = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;

/// The slow paths, once the fast ones are installed.
static SLOW_PATHS: [Guarded<Option<Method>>; 16] = [const { Guarded::new(None) }; 16];

/// A class that gives out permits.
trait PermitClass: GivesPermits + PyClass<Frozen = True> {}

impl<C: GivesPermits + PyClass<Frozen = True>> PermitClass for C {}

macro_rules! fast_call {
    ($method:ident, $class:ty, $index:literal, $name:literal, $try_call:ident) => {
        struct $method;

        impl FastCall for $method {
            type Class = $class;
            const NAME: &'static CStr = $name;
            const INDEX: usize = $index;

            #[inline(always)]
            fn try_call<'py>(
                object: Borrowed<'_, 'py, $class>,
                arguments: &Arguments<'_, 'py>,
            ) -> Tried<'py, $class> {
                $try_call(object, arguments)
            }
        }
    };
}

fast_call!(Send, NamedMessageQueue, 0, c"send", send);
fast_call!(Receive, NamedMessageQueue, 1, c"receive", receive);
fast_call!(Acquire, NamedSemaphore, 2, c"acquire", acquire);
fast_call!(Release, NamedSemaphore, 3, c"release", release);
fast_call!(Enter, NamedSemaphore, 4, c"__enter__", enter);
fast_call!(Exit, NamedSemaphore, 5, c"__exit__", exit);
fast_call!(AcquireLock, NamedLock, 6, c"acquire", acquire);
fast_call!(ReleaseLock, NamedLock, 7, c"release", release);
fast_call!(EnterLock, NamedLock, 8, c"__enter__", enter);
fast_call!(ExitLock, NamedLock, 9, c"__exit__", exit);
fast_call!(AcquireBounded, NamedBoundedSemaphore, 10, c"acquire", acquire);
fast_call!(ReleaseBounded, NamedBoundedSemaphore, 11, c"release", release);
fast_call!(EnterBounded, NamedBoundedSemaphore, 12, c"__enter__", enter);
fast_call!(ExitBounded, NamedBoundedSemaphore, 13, c"__exit__", exit);

fast_call!(SendChannel, NamedChannel, 14, c"send", send_channel);
fast_call!(ReceiveChannel, NamedChannel, 15, c"receive", receive_channel);

/// Puts the fast paths in front of the methods that have one.
pub(crate) fn install_all(py: Python<'_>) -> PyResult<()> {
    install::<Send>(py)?;
    install::<Receive>(py)?;
    install::<Acquire>(py)?;
    install::<Release>(py)?;
    install::<Enter>(py)?;
    install::<Exit>(py)?;
    install::<AcquireLock>(py)?;
    install::<ReleaseLock>(py)?;
    install::<EnterLock>(py)?;
    install::<ExitLock>(py)?;
    install::<AcquireBounded>(py)?;
    install::<ReleaseBounded>(py)?;
    install::<EnterBounded>(py)?;
    install::<ExitBounded>(py)?;
    install::<SendChannel>(py)?;
    install::<ReceiveChannel>(py)
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

/// The function by which the interpreter enters a method that takes keywords.
unsafe extern "C" fn enter_keywords<F: FastCall>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls methods with the GIL held.
    let py = unsafe { Python::assume_attached() };
    if keywords.is_null() {
        let only = (count == 1).then(|| {
            // SAFETY: there are `count` arguments, which the interpreter keeps for the call.
            unsafe { Borrowed::from_ptr(py, arguments.read()) }
        });
        // SAFETY: the interpreter has checked that this is an instance of the class, and keeps it for
        // the call.
        let called = unsafe { call::<F>(py, object, &Arguments { count, only }) };
        if let Some(returned) = called {
            return returned;
        }
    }
    match SLOW_PATHS[F::INDEX].get(py) {
        // SAFETY: the call is passed on as it came to a function of the same kind.
        Some(Method::Keywords(function)) => unsafe { function(object, arguments, count, keywords) },
        // It is installed before this function is.
        _ => std::ptr::null_mut(),
    }
}

/// The function by which the interpreter enters a method without arguments.
unsafe extern "C" fn enter_no_arguments<F: FastCall>(
    object: *mut ffi::PyObject,
    nothing: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls methods with the GIL held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the interpreter has checked that this is an instance of the class, and keeps it for the
    // call.
    let called = unsafe { call::<F>(py, object, &Arguments { count: 0, only: None }) };
    match (called, SLOW_PATHS[F::INDEX].get(py)) {
        (Some(returned), _) => returned,
        // SAFETY: the call is passed on as it came to a function of the same kind.
        (None, Some(Method::NoArguments(function))) => unsafe { function(object, nothing) },
        // It is installed before this function is.
        (None, _) => std::ptr::null_mut(),
    }
}

/// Makes a call; nothing if the slow path is to make it.
///
/// # Safety
///
/// `object` is an instance of the class, and stays for the call.
#[inline(always)]
unsafe fn call<F: FastCall>(
    py: Python<'_>,
    object: *mut ffi::PyObject,
    arguments: &Arguments<'_, '_>,
) -> Option<*mut ffi::PyObject> {
    // SAFETY: what the caller promises.
    let object = unsafe { Borrowed::from_ptr(py, object).cast_unchecked::<F::Class>() };
    match F::try_call(object, arguments) {
        Tried::Done(returned) => Some(into_ptr(py, returned)),
        Tried::WouldWait(wait) => {
            // PyO3 is told of the call, since Python code may run.
            // SAFETY: this thread holds the GIL.
            Some(unsafe { Python::attach_unchecked(|_| into_ptr(py, wait(object, arguments))) })
        }
        Tried::SlowPath => None,
    }
}

#[inline(always)]
fn into_ptr(py: Python<'_>, returned: Returned<'_>) -> *mut ffi::PyObject {
    match returned {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

/// Puts the fast path in front of the method.
fn install<F: FastCall>(py: Python<'_>) -> PyResult<()> {
    // The classes outlive the module, which may be imported again.
    if SLOW_PATHS[F::INDEX].get(py).is_some() {
        return Ok(());
    }
    let class = py.get_type::<F::Class>();
    let name = F::NAME.to_string_lossy();
    let method = class.getattr(&*name)?;
    // What the interpreter takes apart into `__text_signature__` and `__doc__`.
    let text = match method.getattr("__text_signature__")? {
        signature if signature.is_none() => method.getattr("__doc__")?.to_string(),
        signature => format!("{name}{signature}\n--\n\n{}", method.getattr("__doc__")?),
    };
    // A bound method tells which function is behind it. The handle was never opened.
    let bound = class.call_method1("__new__", (&class,))?.getattr(&*name)?;
    // SAFETY: these ask, and fail for what is no built-in method.
    let (function, flags) = unsafe {
        (ffi::PyCFunction_GetFunction(bound.as_ptr()), ffi::PyCFunction_GetFlags(bound.as_ptr()))
    };
    let function = function.ok_or_else(|| PyErr::fetch(py))?;
    let (slow_path, fast_path) = match flags {
        ffi::METH_NOARGS => (
            Method::NoArguments(function),
            ffi::PyMethodDefPointer { PyCFunction: enter_no_arguments::<F> },
        ),
        KEYWORDS => (
            // SAFETY: the flags say that it is such a function.
            Method::Keywords(unsafe {
                std::mem::transmute::<ffi::PyCFunction, ffi::PyCFunctionFastWithKeywords>(function)
            }),
            ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: enter_keywords::<F> },
        ),
        flags => return Err(PySystemError::new_err(format!("{name}: flags {flags}"))),
    };
    // For as long as the class lives, which is as long as the process.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: F::NAME.as_ptr(),
        ml_meth: fast_path,
        ml_flags: flags,
        ml_doc: CString::new(text)?.into_raw(),
    }));
    // SAFETY: the class is one, and the definition with all it points to lives for ever.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    SLOW_PATHS[F::INDEX].replace(py, Some(slow_path));
    class.setattr(&*name, descriptor)
}
