//! A short way into the methods that are called all the time.
//!
//! PyO3 counts attachments and sorts arguments around every call. After a system call, which leaves
//! the processor's predictions cold, that takes about as long as all the rest of a binding. So these
//! methods are entered here: the plainest call, if it can be had at once, is done; every other goes on
//! to the method as PyO3 made it, which can do all of them.

use std::ffi::{CStr, CString};

use nob_ipc::{MessageQueue, Semaphore};
use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use pyo3::{Borrowed, PyClass};

use crate::convert::message::{exact_bytes, message_tuple};
use crate::interpreter::slot::GilCell;
use crate::named::message_queue::NamedMessageQueue;
use crate::named::semaphore::NamedSemaphore;
use crate::named::send_receive::with_buffer;

/// How the interpreter calls such a method, and the flags that tell it so.
type Function = ffi::PyCFunctionFastWithKeywords;
const FLAGS: i32 = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;

/// The method as PyO3 made it; nothing until the short way is installed.
type LongWay = GilCell<Option<Function>>;

/// What a call gives back; `None` if it was not done.
type Done<'py> = Option<PyResult<Bound<'py, PyAny>>>;

/// The only argument of a call, if there is one.
type Argument<'a, 'py> = Option<Borrowed<'a, 'py, PyAny>>;

/// A method with a short way in.
trait Quick {
    type Class: PyClass;
    const NAME: &'static CStr;

    fn long_way() -> &'static LongWay;

    /// Does the call if it can be had at once. It must not panic, and it drops no `Py`: PyO3, which was
    /// not told of this call, would put the reference aside.
    fn at_once<'py>(
        object: Borrowed<'_, 'py, Self::Class>,
        argument: Argument<'_, 'py>,
    ) -> Done<'py>;
}

macro_rules! quick {
    ($method:ident, $class:ty, $name:literal, $at_once:ident) => {
        struct $method;

        impl Quick for $method {
            type Class = $class;
            const NAME: &'static CStr = $name;

            fn long_way() -> &'static LongWay {
                static LONG_WAY: LongWay = GilCell::new(None);
                &LONG_WAY
            }

            #[inline]
            fn at_once<'py>(
                object: Borrowed<'_, 'py, $class>,
                argument: Argument<'_, 'py>,
            ) -> Done<'py> {
                $at_once(object.py(), object.get(), argument)
            }
        }
    };
}

quick!(SemaphoreAcquire, NamedSemaphore, c"acquire", acquire);
quick!(SemaphoreRelease, NamedSemaphore, c"release", release);
quick!(QueueSend, NamedMessageQueue, c"send", send);
quick!(QueueReceive, NamedMessageQueue, c"receive", receive);

#[inline]
fn acquire<'py>(
    py: Python<'py>,
    semaphore: &NamedSemaphore,
    argument: Argument<'_, 'py>,
) -> Done<'py> {
    let acquired = argument.is_none() && semaphore.look(py, Semaphore::try_acquire)?;
    acquired.then(|| Ok(yes(py)))
}

#[inline]
fn release<'py>(
    py: Python<'py>,
    semaphore: &NamedSemaphore,
    argument: Argument<'_, 'py>,
) -> Done<'py> {
    let released = argument.is_none() && semaphore.look(py, Semaphore::release)?.is_ok();
    released.then(|| Ok(py.None().into_bound(py)))
}

#[inline]
fn send<'py>(py: Python<'py>, queue: &NamedMessageQueue, argument: Argument<'_, 'py>) -> Done<'py> {
    let message = exact_bytes(argument?)?;
    let sent = queue.look(py, |queue| queue.try_send(message, 0))?;
    sent.is_ok_and(|sent| sent).then(|| Ok(yes(py)))
}

#[inline]
fn receive<'py>(
    py: Python<'py>,
    queue: &NamedMessageQueue,
    argument: Argument<'_, 'py>,
) -> Done<'py> {
    if argument.is_some() {
        return None;
    }
    with_buffer(py, queue.look(py, MessageQueue::max_message_size)?, |buffer| {
        let received = queue.look(py, |queue| queue.try_receive(buffer))?.ok()??;
        // The kernel wrote no more than there is room for, so from here on the call is done.
        let message = message_tuple(py, buffer.get(..received.length)?, received.priority);
        Some(message.map(Bound::into_any))
    })
}

fn yes(py: Python<'_>) -> Bound<'_, PyAny> {
    PyBool::new(py, true).to_owned().into_any()
}

/// The function by which the interpreter enters the method.
unsafe extern "C" fn enter<Q: Quick>(
    object: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls methods with its lock held.
    let py = unsafe { Python::assume_attached() };
    if keywords.is_null() && count <= 1 {
        // SAFETY: the interpreter has checked that this is an instance of the class, and keeps it
        // for the call.
        let object = unsafe { Borrowed::from_ptr(py, object).cast_unchecked::<Q::Class>() };
        let argument = (count == 1).then(|| {
            // SAFETY: there are `count` arguments, which the interpreter keeps for the call.
            unsafe { Borrowed::from_ptr(py, arguments.read()) }
        });
        match Q::at_once(object, argument) {
            Some(Ok(done)) => return done.into_ptr(),
            Some(Err(error)) => {
                error.restore(py);
                return std::ptr::null_mut();
            }
            None => {}
        }
    }
    match Q::long_way().with(py, |function| *function) {
        // SAFETY: the call is passed on as it came to a function of the same kind.
        Some(function) => unsafe { function(object, arguments, count, keywords) },
        // It is installed before this function is.
        None => std::ptr::null_mut(),
    }
}

/// Puts the short way in front of the method.
fn install<Q: Quick>(py: Python<'_>) -> PyResult<()> {
    // The classes outlive the module, which may be imported again.
    if Q::long_way().with(py, |long_way| long_way.is_some()) {
        return Ok(());
    }
    let class = py.get_type::<Q::Class>();
    let name = Q::NAME.to_string_lossy();
    let method = class.getattr(&*name)?;
    // What the interpreter takes apart into `__text_signature__` and `__doc__`.
    let text = format!(
        "{name}{}\n--\n\n{}",
        method.getattr("__text_signature__")?,
        method.getattr("__doc__")?
    );
    // A bound method tells which function is behind it. The handle was never opened.
    let bound = class.call_method1("__new__", (&class,))?.getattr(&*name)?;
    // SAFETY: these ask, and fail for what is no built-in method.
    let (function, flags) = unsafe {
        (ffi::PyCFunction_GetFunction(bound.as_ptr()), ffi::PyCFunction_GetFlags(bound.as_ptr()))
    };
    let function = function.filter(|_| flags == FLAGS).ok_or_else(|| {
        PyErr::take(py).unwrap_or_else(|| PySystemError::new_err(format!("{name}: flags {flags}")))
    })?;
    // SAFETY: the flags say that it is such a function.
    let function = unsafe { std::mem::transmute::<ffi::PyCFunction, Function>(function) };
    // For as long as the class lives, which is as long as the process.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: Q::NAME.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: enter::<Q> },
        ml_flags: FLAGS,
        ml_doc: CString::new(text)?.into_raw(),
    }));
    // SAFETY: the class is one, and the definition with all it points to lives for ever.
    let short_way = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    Q::long_way().with(py, |long_way| *long_way = Some(function));
    class.setattr(&*name, short_way)
}

/// Puts the short ways in front of the methods that have one.
pub(crate) fn install_all(py: Python<'_>) -> PyResult<()> {
    install::<SemaphoreAcquire>(py)?;
    install::<SemaphoreRelease>(py)?;
    install::<QueueSend>(py)?;
    install::<QueueReceive>(py)
}
