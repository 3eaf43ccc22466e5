//! The native module `nob.ipc._native`: the list of what it exports.
//!
//! The module relies on the interpreter lock: it guards the state of every handle (`slot.rs`), which
//! is what makes the uncontended calls as fast as they are. A free-threaded interpreter that loads
//! it turns the lock on again.

#![allow(clippy::doc_markdown, reason = "docstrings are Python's, where backticks mean nothing")]

use pyo3::prelude::*;

mod asynchronous;
mod blocking;
mod convert;
mod error;
mod handle;
mod lifetime;
mod lookout;
mod message;
mod message_queue;
mod notification;
mod pickle;
mod posix_ipc;
mod quick;
mod registry;
mod semaphore;
mod shared_memory;
mod slot;
mod transfer;

#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::asynchronous::{message, ready, seconds};
    #[pymodule_export]
    use crate::lookout::Lookout;
    #[pymodule_export]
    use crate::message_queue::NamedMessageQueue;
    #[pymodule_export]
    use crate::notification::Watch;
    #[pymodule_export]
    use crate::pickle::restore;
    #[pymodule_export]
    use crate::posix_ipc::{
        MessageQueue, Semaphore, SharedMemory, queue_defaults, unlink_message_queue,
        unlink_semaphore, unlink_shared_memory,
    };
    #[pymodule_export]
    use crate::registry::{command, list_objects, reap};
    #[pymodule_export]
    use crate::semaphore::NamedSemaphore;
    #[pymodule_export]
    use crate::shared_memory::{Lease, NamedSharedMemory};

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        crate::lifetime::check_interpreter()?;
        crate::quick::install_all(module.py())?;
        crate::lifetime::register(module)
    }
}
