//! The native module `nob.ipc._native`: the list of what it exports.
//!
//! The module relies on the GIL (the interpreter's lock): it guards the state of every handle
//! (`interpreter/cell.rs`), which is what makes the uncontended calls as fast as they are. A free-threaded
//! interpreter that loads the module turns the GIL on.

#![allow(clippy::doc_markdown, reason = "docstrings are Python's, where backticks mean nothing")]

use pyo3::prelude::*;

mod convert;
mod interpreter;
mod named;
mod once;
mod posix_ipc;
mod reserve;
mod server;

#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::named::asynchronous::{Poller, Readable, is_held_up, message, register, seconds};
    #[pymodule_export]
    use crate::named::base::Named;
    #[pymodule_export]
    use crate::named::bounded_semaphore::NamedBoundedSemaphore;
    #[pymodule_export]
    use crate::named::channel::NamedChannel;
    #[pymodule_export]
    use crate::named::connection::{ClassAt, connect};
    #[pymodule_export]
    use crate::named::lock::NamedLock;
    #[pymodule_export]
    use crate::named::message_queue::NamedMessageQueue;
    #[pymodule_export]
    use crate::named::notification::Watch;
    #[pymodule_export]
    use crate::named::pickle::restore;
    #[pymodule_export]
    use crate::named::place::Connection;
    #[pymodule_export]
    use crate::named::registry::{list_objects, reap};
    #[pymodule_export]
    use crate::named::semaphore::NamedSemaphore;
    #[pymodule_export]
    use crate::named::server_events::{
        EventsOf, PendingOf, start_acquire, start_receive, start_release, start_send,
    };
    #[pymodule_export]
    use crate::named::shared_memory::{Lease, NamedSharedMemory};
    #[pymodule_export]
    use crate::named::sharing::shared;
    #[pymodule_export]
    use crate::posix_ipc::{
        MessageQueue, PosixNamed, Semaphore, SharedMemory, queue_defaults, unlink_message_queue,
        unlink_semaphore, unlink_shared_memory,
    };
    #[pymodule_export]
    use crate::server::error::Request;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        crate::interpreter::finalize::check_interpreter()?;
        crate::named::fast_paths::install_all(module.py())?;
        crate::interpreter::finalize::register(module)
    }
}
