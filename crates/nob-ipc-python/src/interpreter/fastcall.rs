//! A fast path into methods that are called all the time.
//!
//! PyO3 counts attachments and sorts arguments around every call. After a system call, which leaves
//! the processor's predictions cold, that takes about as long as all the rest of a binding. So these
//! methods are entered here: the plainest call is done; every other goes on to the method as PyO3 made
//! it, which can do all of them. Which methods they are is in `named/fast_paths.rs`.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::ffi::{CStr, CString};

use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{Borrowed, PyClass};

use crate::interpreter::cell::Guarded;

/// A method with a fast path.
pub(crate) trait FastCall {
    type Class: PyClass;
    const NAME: &'static CStr;

    /// Where its slow path is.
    fn slow_path() -> &'static SlowPath;

    /// Does the call if it need not wait. PyO3, which was not told of this call, would put a `Py` that
    /// is dropped here aside: none is.
    fn try_call<'py>(
        object: Borrowed<'_, 'py, Self::Class>,
        arguments: &Arguments<'_, 'py>,
    ) -> Tried<'py, Self::Class>;
}

/// The positional arguments of a call that has no others.
pub(crate) struct Arguments<'a, 'py> {
    pub(crate) count: isize,
    /// The first, if there is no other.
    pub(crate) only: Option<Borrowed<'a, 'py, PyAny>>,
}

/// What came of a first try.
pub(crate) enum Tried<'py, C> {
    Done(Returned<'py>),
    /// It would have to wait, which this does.
    WouldWait(for<'any> fn(Borrowed<'_, 'any, C>, &Arguments<'_, 'any>) -> Returned<'any>),
    /// Not the plainest call, or it fails: the method as PyO3 made it knows what to do.
    SlowPath,
}

/// What a call gives back.
pub(crate) type Returned<'py> = PyResult<Bound<'py, PyAny>>;

/// A method as PyO3 made it.
#[derive(Clone, Copy)]
pub(crate) enum Method {
    NoArguments(ffi::PyCFunction),
    Keywords(ffi::PyCFunctionFastWithKeywords),
}

const KEYWORDS: i32 = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;

/// The slow path, once the fast one is installed.
pub(crate) type SlowPath = Guarded<Option<Method>>;

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
    match F::slow_path().get(py) {
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
    match (called, F::slow_path().get(py)) {
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
pub(crate) fn install<F: FastCall>(py: Python<'_>) -> PyResult<()> {
    // The classes outlive the module, which may be imported again.
    if F::slow_path().get(py).is_some() {
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
    F::slow_path().replace(py, Some(slow_path));
    class.setattr(&*name, descriptor)
}
