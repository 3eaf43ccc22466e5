//! The one conversion from the core's error to Python exceptions.

use nob_ipc::{Error, ErrorKind};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{
    PyNotImplementedError, PyOSError, PyOverflowError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyType;

pyo3::import_exception!(io, UnsupportedOperation);

/// What a Python program sees of a failure of the core.
#[cold]
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::InvalidName => invalid_argument(error.to_string()),
        ErrorKind::WrongDirection | ErrorKind::ReadOnly => {
            UnsupportedOperation::new_err(error.to_string())
        }
        ErrorKind::Empty | ErrorKind::TooLong | ErrorKind::Closed => {
            PyValueError::new_err(error.to_string())
        }
        ErrorKind::Overflow => PyOverflowError::new_err(error.to_string()),
        ErrorKind::Unsupported => {
            let object = error.name().map_or_else(
                || "named objects of POSIX".to_string(),
                |name| format!("a named {}", name.kind()),
            );
            PyNotImplementedError::new_err(format!(
                "The current OS does not provide {object}; nob.ipc needs Linux with glibc"
            ))
        }
        ErrorKind::ServerUnavailable => of_server(py, error, "ServerUnavailable"),
        ErrorKind::OutcomeUnknown => of_server(py, error, "OutcomeUnknown"),
        ErrorKind::Unconfirmed => of_server(py, error, "Unconfirmed"),
        ErrorKind::StaleHandle => of_server(py, error, "StaleHandle"),
        ErrorKind::LockLost => exception("nob.ipc.errors", "LockLost", error.to_string()),
        _ => match error.raw_os_error() {
            Some(errno) => os_error(py, error, errno),
            None => PyRuntimeError::new_err(error.to_string()),
        },
    }
}

/// An `OSError`; Python picks the subclass that belongs to the errno.
#[cold]
pub(crate) fn os_error(py: Python<'_>, error: &Error, errno: i32) -> PyErr {
    let name = error.name().map(ToString::to_string);
    match PyOSError::type_object(py).call1((errno, in_python(&error.message()), name)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

/// An `OSError` of a class of ours.
#[cold]
fn of_server(py: Python<'_>, error: &Error, class: &str) -> PyErr {
    let name = error.name().map(ToString::to_string);
    let class = py.import("nob.ipc.errors").and_then(|module| module.getattr(class));
    let arguments = (error.raw_os_error(), in_python(&error.message()), name);
    match class.and_then(|class| class.call1(arguments)) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

/// The core's sentence with the names that its advice has in Python.
fn in_python(message: &str) -> String {
    message
        .replace("link-or-create", "Flags.LINK_OR_CREATE")
        .replace("unlink-and-create", "Flags.UNLINK_AND_CREATE")
}

/// An argument of the wrong type, out of range, or a bad name.
#[cold]
pub(crate) fn invalid_argument(message: String) -> PyErr {
    exception("nob.ipc.errors", "InvalidArgument", message)
}

/// An exception of a class of ours. It is looked up each time, since a module that is imported again has
/// other classes.
#[cold]
pub(crate) fn exception(module: &str, class: &str, message: String) -> PyErr {
    Python::attach(|py| {
        let class = py.import(module).and_then(|module| module.getattr(class));
        match class.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
            Ok(class) => PyErr::from_type(class, message),
            Err(failure) => failure,
        }
    })
}

/// Something that the handle was not opened for.
#[cold]
pub(crate) fn unsupported_operation(message: &'static str) -> PyErr {
    UnsupportedOperation::new_err(message)
}
