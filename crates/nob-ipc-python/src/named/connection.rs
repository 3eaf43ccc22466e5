//! `connect`, and the methods of the `Connection` that it makes.

use std::env;

use nob_ipc::Kind;
use nob_ipc_redis::ObjectInfo;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType};
use pyo3::{IntoPyObjectExt, PyTypeInfo};

use crate::convert::error::invalid_argument;
use crate::convert::{self, Arg};
use crate::interpreter::ask::ask;
use crate::interpreter::modules;
use crate::named::bounded_semaphore::NamedBoundedSemaphore;
use crate::named::channel::NamedChannel;
use crate::named::lock::NamedLock;
use crate::named::message_queue::NamedMessageQueue;
use crate::named::place::{Connection, LOCAL};
use crate::named::registry;
use crate::named::semaphore::NamedSemaphore;
use crate::named::shared_memory::NamedSharedMemory;
use crate::named::sharing;
use crate::once::intern;
use crate::server::error::raise;

/// What tells where objects are, if the program does not.
const VARIABLE: &str = "NOB_IPC_URL";

/// Open a place where named objects live.
///
/// Args:
///     url: `"local:"` is this machine, which needs no server. `None`: what the environment variable
///         `NOB_IPC_URL` says, or this machine where that is unset or empty.
///     patience: Seconds for which a call goes on trying to reach the server.
///     durability: What has to be done before a call returns: `"memory"`, `"replica"` or `"fsync"`.
///     namespace: The first part of all keys on the server. On this machine the three are checked,
///         and have no effect.
///
/// Raises:
///     InvalidArgument: What is no such URL, for example.
#[pyfunction]
#[pyo3(
    signature = (
        url = Arg::NOTHING,
        *,
        patience = Arg::NOTHING,
        durability = Arg::NOTHING,
        namespace = Arg::NOTHING,
    ),
    text_signature = "(url=None, *, patience=None, durability=None, namespace=None)"
)]
pub(crate) fn connect(
    py: Python<'_>,
    url: Arg<'_, '_>,
    patience: Arg<'_, '_>,
    durability: Arg<'_, '_>,
    namespace: Arg<'_, '_>,
) -> PyResult<Connection> {
    let url = match convert::optional_text("url", url)? {
        Some(url) => url,
        None => from_environment()?.unwrap_or_else(|| LOCAL.into()),
    };
    let patience = convert::patience(patience)?;
    let durability = convert::durability(durability)?;
    let namespace = convert::optional_text("namespace", namespace)?;
    Connection::open(py, &url, patience, durability, namespace.as_deref())
}

/// What the environment says, if it does.
fn from_environment() -> PyResult<Option<String>> {
    let Some(url) = env::var_os(VARIABLE).filter(|url| !url.is_empty()) else { return Ok(None) };
    url.into_string().map(Some).map_err(|_| {
        invalid_argument(format!("the environment variable {VARIABLE} is not valid UTF-8"))
    })
}

#[pymethods]
impl Connection {
    /// The class `NamedSemaphore`, at this place.
    #[getter(NamedSemaphore)]
    fn named_semaphore(slf: &Bound<'_, Self>) -> ClassAt {
        ClassAt::new::<NamedSemaphore>(slf)
    }

    /// The class `NamedSharedMemory`, at this place.
    #[getter(NamedSharedMemory)]
    fn named_shared_memory(slf: &Bound<'_, Self>) -> ClassAt {
        ClassAt::new::<NamedSharedMemory>(slf)
    }

    /// The class `NamedMessageQueue`, at this place.
    #[getter(NamedMessageQueue)]
    fn named_message_queue(slf: &Bound<'_, Self>) -> ClassAt {
        ClassAt::new::<NamedMessageQueue>(slf)
    }

    /// The class `NamedChannel`, at this place.
    #[getter(NamedChannel)]
    fn named_channel(slf: &Bound<'_, Self>) -> ClassAt {
        ClassAt::new::<NamedChannel>(slf)
    }

    /// The class `NamedLock`, at this place.
    #[getter(NamedLock)]
    fn named_lock(slf: &Bound<'_, Self>) -> ClassAt {
        ClassAt::new::<NamedLock>(slf)
    }

    /// The class `NamedBoundedSemaphore`, at this place.
    #[getter(NamedBoundedSemaphore)]
    fn named_bounded_semaphore(slf: &Bound<'_, Self>) -> ClassAt {
        ClassAt::new::<NamedBoundedSemaphore>(slf)
    }

    /// The URL, with `***` for a password (str).
    #[getter]
    pub(crate) fn url(&self) -> String {
        self.server().map_or_else(|| LOCAL.into(), nob_ipc_redis::Connection::url)
    }

    /// Whether the objects live on a server; False: on this machine (bool).
    #[getter]
    fn remote(&self) -> bool {
        self.server().is_some()
    }

    /// List the named objects of this place.
    ///
    /// On this machine, what `nob.ipc.list_objects` returns.
    ///
    /// Returns:
    ///     A `dict` for each object on a server, with `kind` (`"sem"`, `"mq"`, `"lock"` or `"permits"`),
    ///         `name`, `generation` (which tells it from others that have had the name), `host` and `pid`
    ///         of its creator, and, where it has them, `bound` or `max_messages` and
    ///         `max_message_size`.
    ///
    /// Raises:
    ///     PermissionError: The server does not let this user look.
    fn list_objects<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.check_open(py)?;
        let Some(server) = self.server() else { return registry::list_objects(py) };
        let objects = PyList::empty(py);
        for object in ask(py, raise, || server.list_objects())? {
            objects.append(described(py, &object)?)?;
        }
        Ok(objects)
    }

    /// Say what is likely to hurt here: a sentence for each finding (list of str).
    ///
    /// On this machine, what `nob-ipc doctor` marks; of a server, what of its settings can lose
    /// objects.
    fn check(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.check_open(py)?;
        if let Some(server) = self.server() {
            return ask(py, raise, || server.findings());
        }
        let module = modules::import(intern!(py, "nob.ipc._check"))?;
        module.call_method0("check")?.extract()
    }

    /// Whether the connection is closed (bool).
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.is_closed(py)
    }

    /// Close the handles that were opened here, and remove the names that their deletion would;
    /// twice is fine.
    ///
    /// A wait of another thread on one of them ends with `ValueError` within half a second.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py)
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().check_open(slf.py())?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (exc_type, exc, traceback, /))]
    #[expect(unused_variables, reason = "what ended the block changes nothing")]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: Arg<'_, '_>,
        exc: Arg<'_, '_>,
        traceback: Arg<'_, '_>,
    ) -> PyResult<()> {
        self.close(py)
    }

    /// Pickle as the connection to the same place that unpickled handles share; ValueError when
    /// closed. The URL with its password is in the pickle.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        this.check_open(py)?;
        let module = py.import("nob.ipc._native")?;
        match this.server() {
            None => (module.getattr("connect")?, (LOCAL,)).into_bound_py_any(py),
            Some(server) => {
                let shared = module.getattr("_shared")?;
                (shared, (sharing::recipe(server),)).into_bound_py_any(py)
            }
        }
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let state = if self.closed(py) { "closed" } else { "open" };
        format!("<Connection '{}' ({state})>", self.url())
    }
}

/// An object on a server, as it is listed.
fn described<'py>(py: Python<'py>, object: &ObjectInfo) -> PyResult<Bound<'py, PyDict>> {
    let entry = PyDict::new(py);
    entry.set_item("kind", object.name.kind().short_word())?;
    entry.set_item("name", object.name.to_string())?;
    entry.set_item("generation", &object.generation)?;
    entry.set_item("host", &object.creator_host)?;
    entry.set_item("pid", object.creator_pid)?;
    if object.name.kind() == Kind::MessageQueue {
        entry.set_item("max_messages", object.bound)?;
        entry.set_item("max_message_size", object.max_message_size)?;
    } else if let Some(bound) = object.bound {
        entry.set_item("bound", bound)?;
    }
    Ok(entry)
}

/// A class of objects, at a place: it is called as the class is.
#[pyclass(module = "nob.ipc._native", name = "_ClassAt", frozen)]
pub(crate) struct ClassAt {
    class: Py<PyType>,
    connection: Py<Connection>,
}

impl ClassAt {
    fn new<T: PyTypeInfo>(connection: &Bound<'_, Connection>) -> Self {
        let class = connection.py().get_type::<T>().unbind();
        ClassAt { class, connection: connection.clone().unbind() }
    }

    /// The keywords of a call, and the connection.
    fn here<'py>(
        &self,
        py: Python<'py>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let keywords = keywords.map_or_else(|| Ok(PyDict::new(py)), PyDictMethods::copy)?;
        if keywords.contains("connection")? {
            let message = "connection is given by the attribute of a connection that is called";
            return Err(PyTypeError::new_err(message));
        }
        keywords.set_item("connection", &self.connection)?;
        Ok(keywords)
    }
}

#[pymethods]
impl ClassAt {
    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.class.bind(py).call(args, Some(&self.here(py, kwargs)?))
    }

    /// Remove a name without opening what has it, as the class does.
    fn unlink_name(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let class = self.class.bind(py);
        class.call_method("unlink_name", (name,), Some(&self.here(py, None)?))?;
        Ok(())
    }

    /// The class, whose signature it has (type).
    #[getter]
    fn __wrapped__<'py>(&self, py: Python<'py>) -> Bound<'py, PyType> {
        self.class.bind(py).clone()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let connection = self.connection.bind(py).repr()?;
        Ok(format!("<{} at {connection}>", self.class.bind(py).name()?))
    }
}
