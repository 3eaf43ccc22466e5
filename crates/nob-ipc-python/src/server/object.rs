//! What all objects on servers have in common.

use std::sync::{Arc, OnceLock};

use nob_ipc_redis::{BoundedSemaphore, Handle, Lock, MessageQueue, Semaphore};
use pyo3::prelude::*;

use crate::interpreter::finalize::HandleThere;
use crate::interpreter::slot::closed;

/// An object on a server, of any kind.
pub(crate) trait Object: Send + Sync + 'static {
    fn handle(&self) -> &Handle;

    /// Whether the handle has something that goes with it.
    fn holds(&self) -> bool {
        false
    }
}

impl<T: Object + ?Sized> HandleThere for T {
    fn delete(&self) -> nob_ipc::Result<()> {
        self.handle().delete()
    }
}

impl Object for Semaphore {
    fn handle(&self) -> &Handle {
        self.handle()
    }
}

impl Object for BoundedSemaphore {
    fn handle(&self) -> &Handle {
        self.handle()
    }

    fn holds(&self) -> bool {
        self.held() > 0
    }
}

impl Object for Lock {
    fn handle(&self) -> &Handle {
        self.handle()
    }

    fn holds(&self) -> bool {
        self.is_held()
    }
}

impl Object for MessageQueue {
    fn handle(&self) -> &Handle {
        self.handle()
    }
}

/// The object of a handle, if it is on a server.
#[derive(Debug)]
pub(crate) struct There<T>(OnceLock<Arc<T>>);

impl<T> There<T> {
    pub(crate) fn new() -> Self {
        There(OnceLock::new())
    }

    /// Sets it; only the handle does, which lets nobody do so twice.
    pub(crate) fn set(&self, object: Arc<T>) {
        let _ = self.0.set(object);
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get().map(|object| &**object)
    }
}

/// Fails if the handle is closed, as one to an object on this machine does.
pub(crate) fn there_is_open(handle: &Handle) -> PyResult<()> {
    if handle.is_closed() { Err(closed()) } else { Ok(()) }
}
