//! Where objects live: this machine or a server, and the handles that were opened there. What Python calls
//! of a `Connection` is in `connection.rs`, since it names every class.

use std::time::Duration;

use nob_ipc::{Kind, unlink};
use nob_ipc_redis::Durability;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::convert::error::{invalid_argument, unsupported_operation};
use crate::convert::{self, Arg};
use crate::interpreter::ask::{ask, may_go_on};
use crate::interpreter::cell::Guarded;
use crate::interpreter::detach::without_gil;
use crate::interpreter::finalize;
use crate::named::base::{self, Named};
use crate::server::error::raise;

/// The URL of this machine.
pub(crate) const LOCAL: &str = "local:";

/// What has no scheme is not shown: it may have a password in it.
const NO_SCHEME: &str = "url has no scheme: give \"local:\" for this machine, or the URL of a server, as in \
                         redis://host:6379";

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

impl Connection {
    /// Connects, if it is to a server.
    pub(crate) fn open(
        py: Python<'_>,
        url: &str,
        patience: Option<Duration>,
        durability: Option<Durability>,
        namespace: Option<&str>,
    ) -> PyResult<Connection> {
        let server = if url == LOCAL {
            None
        } else if !url.contains("://") {
            return Err(invalid_argument(NO_SCHEME.into()));
        } else {
            let mut options = nob_ipc_redis::Connection::options();
            if let Some(patience) = patience {
                options.patience(patience);
            }
            if let Some(durability) = durability {
                options.durability(durability);
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

    /// The server; `None` is this machine.
    pub(crate) fn server(&self) -> Option<&nob_ipc_redis::Connection> {
        self.server.as_ref()
    }

    pub(crate) fn is_closed(&self, py: Python<'_>) -> bool {
        self.closed.get(py)
    }

    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_closed(py) {
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
            self.end(py)?;
            return Err(closed);
        }
        Ok(())
    }

    /// Closes, and ends the handles that were opened here.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
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
        self.0.as_ref()?.get().server()
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

/// The default of `mode` is the only one on a server: a wish for security is not ignored.
pub(crate) fn refuse_mode(mode: u32) -> PyResult<()> {
    if mode == 0o600 {
        return Ok(());
    }
    Err(unsupported_operation(
        "mode has no meaning on a server, where its ACL says who may do what; leave it out",
    ))
}

/// Removes a name without opening what has it.
pub(crate) fn unlink_name(
    py: Python<'_>,
    kind: Kind,
    name: &Bound<'_, PyAny>,
    connection: Arg<'_, '_>,
) -> PyResult<()> {
    let place = Place::of(connection)?;
    let name = convert::given_name(kind, name)?;
    if let Some(server) = place.server() {
        return ask(py, raise, || server.unlink(&name));
    }
    base::unlinked(py, &name, without_gil(py, || unlink(&name)))
}
