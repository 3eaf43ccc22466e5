//! What exists on the machine, what dead processes left behind, and the command `nob-ipc`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nob_ipc::Kind;
use nob_ipc::registry::{self, Measure, Object, Outcome, Reap};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::convert::error::raise;
use crate::convert::{self, Arg};
use crate::interpreter::detach::without_gil;
use crate::interpreter::log;

/// List all named objects of the machine that this user can see.
///
/// Queues are listed through `/dev/mqueue`, or a private mount where that is permitted; otherwise
/// those of which this user has a record. Bytes of a name or command that are not UTF-8 are
/// surrogates, as in the module `os`.
///
/// Returns:
///     A `dict` for each object, with `kind` (`"sem"`, `"shm"`, `"mq"`, `"lock"`, `"permits"` or
///         `"channel"`), `name`, `mode` (octal, as `str`), `uid`, `gid`, `holders` (who has it open: a list of
///         `dict` with `pid` and `command`), `orphan` (`True` if its creator was due to unlink it
///         and is dead, `None` if that is unknown), and what it holds. A semaphore has `value`; a
///         segment `size`; a queue `messages`, `max_messages` and `max_message_size`; a lock
///         `owner`, `owner_died`, `waiters` and `deaths`; a bounded semaphore `value`, `bound`,
///         `owners` (a list of pids), `waiters` and `deaths`; a channel what a queue has, and `used_bytes`
///         and `capacity` in bytes, `priorities`, `waiters` and `deaths`. `None` is what this user may not see,
///         or a lock without an owner.
///
/// Raises:
///     OSError: The system does not let it look.
#[pyfunction]
pub(crate) fn list_objects(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let listing =
        without_gil(py, || registry::list(&Kind::ALL)).map_err(|error| raise(py, &error))?;
    let objects = PyList::empty(py);
    for object in &listing.objects {
        objects.append(described(py, object)?)?;
    }
    Ok(objects)
}

/// Remove what dead processes left behind; with dry_run, only say what would be removed.
///
/// Only what is proven to be an orphan, and held by nobody, is ever removed.
///
/// Args:
///     dry_run: Remove nothing.
///
/// Returns:
///     A `dict`, as of `list_objects`, for each object whose creator is dead, and in it `outcome`:
///         `"removed"` (`"would be removed"` in a dry run), `"held"`, `"unseen"`,
///         `"unknown creator"`, `"not permitted"`, or a sentence that says why it could not be
///         removed.
///
/// Raises:
///     OSError: The system does not let it look.
#[pyfunction]
#[pyo3(signature = (dry_run = Arg::NOTHING), text_signature = "(dry_run=True)")]
pub(crate) fn reap<'py>(py: Python<'py>, dry_run: Arg<'_, '_>) -> PyResult<Bound<'py, PyList>> {
    let dry_run = convert::switch("dry_run", dry_run, true)?;
    let reaped = without_gil(py, || {
        let reap = Reap::new();
        if dry_run { reap.dry_run() } else { reap.run() }
    });
    let (findings, _) = reaped.map_err(|error| raise(py, &error))?;
    let found = PyList::empty(py);
    for finding in &findings {
        let entry = described(py, &finding.object)?;
        entry.set_item("outcome", outcome(&finding.outcome))?;
        if matches!(finding.outcome, Outcome::Removed) {
            log::removed_left_behind(py, finding.object.name())?;
        }
        found.append(entry)?;
    }
    Ok(found)
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Removed => "removed".into(),
        Outcome::WouldRemove => "would be removed".into(),
        Outcome::Held => "held".into(),
        Outcome::Unseen(_) => "unseen".into(),
        Outcome::UnknownCreator => "unknown creator".into(),
        Outcome::NotPermitted => "not permitted".into(),
        Outcome::Failed(error) => error.to_string(),
        _ => "left alone".into(),
    }
}

fn described<'py>(py: Python<'py>, object: &Object) -> PyResult<Bound<'py, PyDict>> {
    let entry = PyDict::new(py);
    entry.set_item("kind", object.kind().short_word())?;
    entry.set_item("name", OsStr::from_bytes(object.name().as_bytes()))?;
    entry.set_item("mode", format!("{:04o}", object.mode()))?;
    entry.set_item("uid", object.owner())?;
    entry.set_item("gid", object.group())?;
    entry.set_item("orphan", object.orphan())?;
    let holders = PyList::empty(py);
    for holder in object.holders() {
        let each = PyDict::new(py);
        each.set_item("pid", holder.pid)?;
        each.set_item("command", OsStr::from_bytes(&holder.command))?;
        holders.append(each)?;
    }
    entry.set_item("holders", holders)?;
    match object.measure() {
        Measure::Value(value) => entry.set_item("value", value)?,
        Measure::Size { bytes, .. } => entry.set_item("size", bytes)?,
        Measure::Depth(depth) => {
            entry.set_item("messages", depth.map(|depth| depth.messages))?;
            entry.set_item("max_messages", depth.map(|depth| depth.max_messages))?;
            entry.set_item("max_message_size", depth.map(|depth| depth.max_message_size))?;
        }
        Measure::Lock(lock) => {
            entry.set_item("owner", lock.and_then(|lock| lock.holder))?;
            entry.set_item("owner_died", lock.map(|lock| lock.owner_died))?;
            entry.set_item("waiters", lock.map(|lock| lock.waiters))?;
            entry.set_item("deaths", lock.map(|lock| lock.deaths))?;
        }
        Measure::Permits(permits) => {
            entry.set_item("value", permits.map(|permits| permits.free))?;
            entry.set_item("bound", permits.map(|permits| permits.bound))?;
            entry.set_item("owners", permits.map(|_| object.owners().to_vec()))?;
            entry.set_item("waiters", permits.map(|permits| permits.waiters))?;
            entry.set_item("deaths", permits.map(|permits| permits.deaths))?;
        }
        Measure::Channel(channel) => {
            entry.set_item("messages", channel.map(|it| it.messages))?;
            entry.set_item("max_messages", channel.map(|it| it.max_messages))?;
            entry.set_item("max_message_size", channel.map(|it| it.max_message_size))?;
            entry.set_item("used_bytes", channel.map(|it| it.used))?;
            entry.set_item("capacity", channel.map(|it| it.capacity))?;
            entry.set_item("priorities", channel.map(|it| it.priorities))?;
            entry.set_item("waiters", channel.map(|it| it.waiters))?;
            entry.set_item("deaths", channel.map(|it| it.deaths))?;
        }
        _ => {}
    }
    Ok(entry)
}
