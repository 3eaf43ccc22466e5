//! What a server's errors are in Python.

use std::sync::{Arc, Mutex, PoisonError};

use nob_ipc::{Deadline, Error, ErrorKind, Operation};
use nob_ipc_redis::{Outcome, Retry};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::convert::error as here;
use crate::convert::message::message_tuple;
use crate::convert::{self, Arg};
use crate::interpreter::ask::ask;
use crate::interpreter::wait;
use crate::once::intern;

pyo3::import_exception!(nob.ipc.errors, LockLost);

/// What a call returns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Returns {
    Nothing,
    Bool,
    /// How many messages were sent, besides those of earlier requests.
    CountAfter(usize),
    Message,
    Messages,
}

impl Returns {
    /// What came of a request, as the call returns it.
    pub(crate) fn value(self, py: Python<'_>, outcome: Outcome) -> PyResult<Bound<'_, PyAny>> {
        match (self, outcome) {
            (Returns::Bool, Outcome::Done(done)) => done.into_bound_py_any(py),
            (Returns::Bool, Outcome::Sent(count)) => (count > 0).into_bound_py_any(py),
            (Returns::CountAfter(before), Outcome::Sent(count)) => {
                (before + count).into_bound_py_any(py)
            }
            (Returns::Message, Outcome::Messages(mut messages)) => {
                let message = messages.pop();
                let message =
                    message.map(|(message, priority)| message_tuple(py, &message, priority));
                message.transpose()?.into_bound_py_any(py)
            }
            (Returns::Messages, Outcome::Messages(messages)) => {
                let list = PyList::empty(py);
                for (message, priority) in messages {
                    list.append(message_tuple(py, &message, priority)?)?;
                }
                Ok(list.into_any())
            }
            _ => Ok(py.None().into_bound(py)),
        }
    }
}

/// What a Python program sees of a failure of a call that returns nothing, or whether it has acquired.
#[cold]
pub(crate) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let acquires = error.operation() == Some(Operation::Acquire);
    raising(if acquires { Returns::Bool } else { Returns::Nothing })(py, error)
}

/// The same for a call that returns something else.
pub(crate) fn raising(returns: Returns) -> impl Fn(Python<'_>, &Error) -> PyErr {
    move |py, error| {
        if error.kind() == ErrorKind::Unsupported {
            return here::UnsupportedOperation::new_err(error.to_string());
        }
        let exception = here::raise(py, error);
        let attached = match error.kind() {
            ErrorKind::OutcomeUnknown => match error.detail::<Retry>() {
                None => Ok(()),
                Some(retry) => Request(Kind::Call { retry, returns }).attach(py, &exception),
            },
            ErrorKind::Unconfirmed => match error.detail::<Outcome>() {
                None => Ok(()),
                Some(outcome) => returns
                    .value(py, (*outcome).clone())
                    .and_then(|result| exception.value(py).setattr(intern!(py, "result"), result)),
            },
            _ => Ok(()),
        };
        attached.map_or_else(|failure| failure, |()| exception)
    }
}

/// A request that was not answered, to be repeated.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Request")]
pub(crate) struct Request(Kind);

enum Kind {
    Call {
        retry: Arc<Retry>,
        returns: Returns,
    },
    /// What opens the handle, once.
    Opening(Mutex<Option<Open>>),
}

type Open = Box<dyn FnOnce(Python<'_>) -> PyResult<Bound<'_, PyAny>> + Send>;

impl Request {
    pub(crate) fn opening(
        open: impl FnOnce(Python<'_>) -> PyResult<Bound<'_, PyAny>> + Send + 'static,
    ) -> Request {
        Request(Kind::Opening(Mutex::new(Some(Box::new(open)))))
    }

    /// Puts it where `retry` of the exception finds it.
    pub(crate) fn attach(self, py: Python<'_>, exception: &PyErr) -> PyResult<()> {
        let request = Bound::new(py, self)?;
        exception.value(py).setattr(intern!(py, "_request"), request)
    }
}

#[pymethods]
impl Request {
    /// Repeat the very request; what the call would have returned.
    fn again<'py>(&self, py: Python<'py>, timeout: Arg<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let deadline: Deadline = wait::deadline(convert::timeout(timeout)?);
        match &self.0 {
            Kind::Call { retry, returns } => {
                let outcome = ask(py, raising(*returns), || retry.again(deadline))?;
                returns.value(py, outcome)
            }
            Kind::Opening(open) => {
                let open = open.lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some(open) = open else {
                    return Err(PyValueError::new_err("the opening was repeated before"));
                };
                open(py)
            }
        }
    }
}
