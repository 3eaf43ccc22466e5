//! The native part of `nob.posix_ipc`, which stands in for the package `posix_ipc`: its classes and
//! functions over the same handles as those of `nob.ipc`.
//!
//! Three things differ from `nob.ipc` by design, because programs rely on them: nothing is unlinked
//! but on request, a signal ends a wait, and a descriptor that was given out is never closed behind
//! its user's back.

mod arguments;
mod base;
mod error;
mod message_queue;
mod semaphore;
mod shared_memory;

use nob_ipc::{Kind, unlink};
use pyo3::prelude::*;

use crate::interpreter::detach::without_gil;

pub(crate) use base::PosixNamed;
pub(crate) use message_queue::{MessageQueue, queue_defaults};
pub(crate) use semaphore::Semaphore;
pub(crate) use shared_memory::SharedMemory;

/// Remove the name of a semaphore; handles that are open go on working.
///
/// name: str or bytes. Raises ExistentialError, PermissionsError, ValueError. Source: sem_unlink(3).
#[pyfunction]
pub(crate) fn unlink_semaphore(name: &Bound<'_, PyAny>) -> PyResult<()> {
    unlink_name(Kind::Semaphore, name)
}

/// Remove the name of a segment; handles and mappings that are open go on working.
///
/// name: str or bytes. Raises ExistentialError, PermissionsError, ValueError. Source: shm_unlink(3).
#[pyfunction]
pub(crate) fn unlink_shared_memory(name: &Bound<'_, PyAny>) -> PyResult<()> {
    unlink_name(Kind::SharedMemory, name)
}

/// Remove the name of a message queue; handles that are open go on working.
///
/// name: str or bytes. Raises ExistentialError, PermissionsError, ValueError. Source: mq_unlink(3).
#[pyfunction]
pub(crate) fn unlink_message_queue(name: &Bound<'_, PyAny>) -> PyResult<()> {
    unlink_name(Kind::MessageQueue, name)
}

fn unlink_name(kind: Kind, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = name.py();
    let name = arguments::name(kind, &arguments::given_name(name)?, py)?;
    without_gil(py, || unlink(&name)).map_err(|error| error::refuse(py, &error))
}
