//! Where objects live: `connect`, and the `Connection` that it makes.

use std::env;
use std::time::Duration;

use nob_ipc::Kind;
use nob_ipc_redis::ObjectInfo;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};
use pyo3::{IntoPyObjectExt, PyTypeInfo};

use crate::convert::error::{invalid_argument, unsupported_operation};
use crate::convert::{self, Arg};
use crate::interpreter::ask::{ask, may_go_on};
use crate::interpreter::cell::{Guarded, intern};
use crate::interpreter::{finalize, modules};
use crate::named::base::{self, Named};
use crate::named::bounded_semaphore::NamedBoundedSemaphore;
use crate::named::channel::NamedChannel;
use crate::named::lock::NamedLock;
use crate::named::message_queue::NamedMessageQueue;
use crate::named::registry;
use crate::named::semaphore::NamedSemaphore;
use crate::named::shared_memory::NamedSharedMemory;
use crate::named::sharing;
use crate::server::error::raise;

/// The URL of this machine.
const LOCAL: &str = "local:";

/// What tells where objects are, if the program does not.
const VARIABLE: &str = "NOB_IPC_URL";

/// A place where named objects live; `connect` makes one.
///
/// Its attributes `NamedSemaphore`, `NamedMessageQueue` and so on are called as the classes are, and give
/// handles to objects of that place. They take the same arguments, and have `unlink_name` as well.
/// `with place:` closes on exit. Threads may share it.
#[pyclass(module = "nob.ipc", frozen, weakref)]
pub(crate) struct Connection {
    /// `None` is this machine.
    server: Option<nob_ipc_redis::Connection>,
    /// Weak references to the handles that were opened here, for `close`. Those that are gone are left
    /// out when there is no room.
    handles: Guarded<Vec<Py<PyWeakrefReference>>>,
    closed: Guarded<bool>,
}

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
    Connection::open(py, &url, patience, durability.as_deref(), namespace.as_deref())
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
        self.server.as_ref().map_or_else(|| LOCAL.into(), nob_ipc_redis::Connection::url)
    }

    /// Whether the objects live on a server; False: on this machine (bool).
    #[getter]
    fn remote(&self) -> bool {
        self.server.is_some()
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
        let Some(server) = &self.server else { return registry::list_objects(py) };
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
        if let Some(server) = &self.server {
            return ask(py, raise, || server.findings());
        }
        let module = modules::import(intern!(py, "nob.ipc._check"))?;
        module.call_method0("check")?.extract()
    }

    /// Whether the connection is closed (bool).
    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        self.closed.get(py)
    }

    /// Close the handles that were opened here, and remove the names that their deletion would;
    /// twice is fine.
    ///
    /// A wait of another thread on one of them ends with `ValueError` within half a second.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.closed.replace(py, true);
        let mut result = Ok(());
        for reference in self.handles.replace(py, Vec::new()) {
            let Some(handle) = reference.bind(py).upgrade() else { continue };
            if let Err(error) = base::end(handle.cast::<Named>()?) {
                // The first one is raised; all handles are closed nevertheless.
                match &result {
                    Ok(()) => result = Err(error),
                    Err(_) => error.write_unraisable(py, Some(&handle)),
                }
            }
        }
        match &self.server {
            Some(server) => result.and(ask(py, raise, || server.close())),
            None => result,
        }
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
        match &this.server {
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

impl Connection {
    /// Connects, if it is to a server.
    pub(crate) fn open(
        py: Python<'_>,
        url: &str,
        patience: Option<Duration>,
        durability: Option<&str>,
        namespace: Option<&str>,
    ) -> PyResult<Connection> {
        let server = if url == LOCAL {
            None
        } else {
            let mut options = nob_ipc_redis::Connection::options();
            if let Some(patience) = patience {
                options.patience(patience);
            }
            if let Some(durability) = durability {
                options.durability(durability.parse().map_err(|error| raise(py, &error))?);
            }
            if let Some(namespace) = namespace {
                options.namespace(namespace);
            }
            options.check(may_go_on);
            let server = ask(py, raise, || options.open(url))?;
            let background = server.background().map_err(|error| raise(py, &error))?;
            finalize::remember_server(py, background)?;
            Some(server)
        };
        let (handles, closed) = (Guarded::new(Vec::new()), Guarded::new(false));
        Ok(Connection { server, handles, closed })
    }

    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.closed(py)
    }

    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed(py) {
            let message = "the connection is closed: make another one with nob.ipc.connect()";
            return Err(PyValueError::new_err(message));
        }
        Ok(())
    }

    /// Remembers a handle that was opened here. It is closed at once if the connection was meanwhile.
    fn add(&self, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = handle.py();
        let reference = PyWeakrefReference::new(handle)?.unbind();
        // Nothing here runs Python code, so nobody sees the list that is missing meanwhile.
        let mut handles = self.handles.replace(py, Vec::new());
        if handles.len() == handles.capacity() {
            handles.retain(|handle| handle.bind(py).upgrade().is_some());
        }
        handles.push(reference);
        self.handles.replace(py, handles);
        if let Err(closed) = self.check_open(py) {
            self.close(py)?;
            return Err(closed);
        }
        Ok(())
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

/// The connection to a server that unpickled handles share.
#[pyfunction(name = "_shared")]
pub(crate) fn shared<'py>(recipe: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Connection>> {
    sharing::shared(recipe)
}

/// The default of `mode` is the only one on a server: a wish for security is not ignored.
pub(crate) fn refuse_mode(mode: u32) -> PyResult<()> {
    if mode == 0o600 {
        return Ok(());
    }
    Err(unsupported_operation(
        "mode has no meaning on a server, where its ACL says who may do what; leave it out",
    ))
}

/// Where an object is opened or removed, as the argument `connection` says.
pub(crate) struct Place<'py>(Option<Bound<'py, Connection>>);

impl<'py> Place<'py> {
    /// `None` is this machine.
    pub(crate) fn of(connection: Arg<'_, 'py>) -> PyResult<Self> {
        let Some(value) = connection.0.filter(|value| !value.is_none()) else {
            return Ok(Place(None));
        };
        let Ok(connection) = value.cast::<Connection>() else {
            let kind = value.get_type().name()?.to_string();
            return Err(invalid_argument(format!(
                "connection must be what nob.ipc.connect() returns, or None, not {kind}"
            )));
        };
        connection.get().check_open(value.py())?;
        Ok(Place(Some(connection.to_owned())))
    }

    /// The place of a connection that was found open before.
    pub(crate) fn there(connection: &Bound<'py, Connection>) -> Self {
        Place(Some(connection.clone()))
    }

    /// The server, if it is one.
    pub(crate) fn server(&self) -> Option<&nob_ipc_redis::Connection> {
        self.0.as_ref()?.get().server.as_ref()
    }

    /// The connection, which there is if there is a server.
    pub(crate) fn connection(&self) -> PyResult<&Bound<'py, Connection>> {
        let missing = || PyRuntimeError::new_err("this machine is no connection");
        self.0.as_ref().ok_or_else(missing)
    }

    /// Fails for a server, with this sentence.
    pub(crate) fn only_here(&self, why: &'static str) -> PyResult<()> {
        if self.server().is_some() { Err(unsupported_operation(why)) } else { Ok(()) }
    }

    /// Has the connection close the handle, which was opened there.
    pub(crate) fn add<T>(&self, handle: &Bound<'py, T>) -> PyResult<()> {
        match &self.0 {
            None => Ok(()),
            Some(connection) => connection.get().add(handle.as_any()),
        }
    }
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
