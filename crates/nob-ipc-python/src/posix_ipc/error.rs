//! The exceptions of `posix_ipc`, with the sentences of this library.

use std::io;

use nob_ipc::{Error, ErrorKind, Operation};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;

use crate::convert::error::{self, os_error, raise};
use crate::interpreter::wait::Ended;

/// An exception of `nob.posix_ipc`.
fn exception(class: &str, message: impl Into<String>) -> PyErr {
    error::exception("nob.posix_ipc", class, message.into())
}

/// What a program that was written for `posix_ipc` sees of a failure of the core.
#[cold]
pub(super) fn refuse(py: Python<'_>, error: &Error) -> PyErr {
    let operation = error.operation();
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::AlreadyExists, _) => exception(
            "ExistentialError",
            words(
                error,
                "create",
                "the name is taken; choose another, or leave O_EXCL out to open what has it",
            ),
        ),
        (ErrorKind::NotFound, _) if operation == Some(Operation::Link) => exception(
            "ExistentialError",
            words(error, "open", "nothing has this name; create it first, or give O_CREAT"),
        ),
        (ErrorKind::NotFound | ErrorKind::Replaced, _) => {
            exception("ExistentialError", error.to_string())
        }
        (ErrorKind::PermissionDenied | ErrorKind::WrongDirection | ErrorKind::ReadOnly, _) => {
            exception("PermissionsError", error.to_string())
        }
        (ErrorKind::Interrupted, _) => exception("SignalError", error.to_string()),
        (ErrorKind::Overflow, Some(errno)) => os_error(py, error, errno),
        (ErrorKind::WrongType | ErrorKind::LimitExceeded | ErrorKind::Other, Some(errno)) => {
            match io::Error::from_raw_os_error(errno).kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => {
                    PyValueError::new_err(error.to_string())
                }
                io::ErrorKind::OutOfMemory => PyMemoryError::new_err(error.to_string()),
                _ => raise(py, error),
            }
        }
        _ => raise(py, error),
    }
}

/// The core's sentence with words of `posix_ipc` for what to do.
fn words(error: &Error, verb: &str, why: &str) -> String {
    match error.name() {
        Some(name) => format!("cannot {verb} the {} \"{name}\": {why}", name.kind()),
        None => error.to_string(),
    }
}

/// How a call on a handle ended.
#[cold]
pub(super) fn ended(py: Python<'_>, ended: Ended) -> PyErr {
    match ended {
        Ended::Raised(error) => error,
        Ended::Closed(error) => not_open(py, &error),
        Ended::Failed(error) => refuse(py, &error),
    }
}

/// The constructor has not run, or failed.
#[cold]
pub(super) fn never_opened() -> PyErr {
    exception("ExistentialError", "the handle was never opened: call __init__ first")
}

/// The handle is closed, or was never opened, as `error` says.
#[cold]
pub(super) fn not_open(py: Python<'_>, error: &PyErr) -> PyErr {
    exception("ExistentialError", error.value(py).to_string())
}

/// A wait that was over before it was served, or that was not to be.
#[cold]
pub(super) fn busy(message: String) -> PyErr {
    exception("BusyError", message)
}
