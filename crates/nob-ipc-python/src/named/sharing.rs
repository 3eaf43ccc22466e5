//! Connections that unpickled handles share: one for each server, and each way to use it.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyWeakrefMethods, PyWeakrefReference};

use crate::interpreter::cell::Guarded;
use crate::named::place::Connection;
use crate::server::error::raise;

/// What a connection is made with: URL, patience in seconds, durability, namespace.
pub(crate) type Recipe = (String, f64, String, String);

/// The connections that unpickled handles have made.
static SHARED: Guarded<Vec<(Recipe, Py<PyWeakrefReference>)>> = Guarded::new(Vec::new());

/// How to make the same connection in another process.
pub(crate) fn recipe(server: &nob_ipc_redis::Connection) -> Recipe {
    let durability = server.durability().word().to_string();
    let patience = server.patience().as_secs_f64();
    (server.secret_url().into(), patience, durability, server.namespace().into())
}

/// The connection to a server that unpickled handles share.
#[pyfunction(name = "_shared")]
pub(crate) fn shared<'py>(recipe: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, Connection>> {
    let py = recipe.py();
    let recipe: Recipe = recipe.extract()?;
    if let Some(connection) = find(py, &recipe) {
        return Ok(connection);
    }
    let (url, patience, durability, namespace) = &recipe;
    let patience = Duration::try_from_secs_f64(*patience).ok();
    let durability = durability.parse().map_err(|error| raise(py, &error))?;
    let made = Connection::open(py, url, patience, Some(durability), Some(namespace))?;
    let made = Bound::new(py, made)?;
    // Another thread may have been quicker; then there are two, which does no harm.
    let reference = PyWeakrefReference::new(&made)?.unbind();
    let mut all = SHARED.replace(py, Vec::new());
    all.retain(|(_, connection)| connection.bind(py).upgrade().is_some());
    all.push((recipe, reference));
    SHARED.replace(py, all);
    Ok(made)
}

fn find<'py>(py: Python<'py>, recipe: &Recipe) -> Option<Bound<'py, Connection>> {
    let all = SHARED.replace(py, Vec::new());
    let found = all
        .iter()
        .filter(|(other, _)| other == recipe)
        .find_map(|(_, connection)| connection.bind(py).upgrade_as::<Connection>().ok().flatten());
    SHARED.replace(py, all);
    found.filter(|connection| !connection.get().is_closed(py))
}
