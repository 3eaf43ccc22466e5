//! Acquiring and releasing on a server.

use nob_ipc::{Deadline, Result};
use nob_ipc_redis::{BoundedSemaphore, Events, Lock, Pending, Semaphore};
use pyo3::prelude::*;

use crate::interpreter::ask::ask;
use crate::server::error::{LockLost, raise};

/// What gives out permits on a server.
pub(crate) trait Permits: nob_ipc::Permits {
    fn start_acquire(&self, events: &Events, token: u64, deadline: Deadline) -> Result<Pending>;

    fn start_release(&self, events: &Events, token: u64) -> Result<Pending>;
}

macro_rules! permits {
    ($class:ty $(, $count:literal)?) => {
        impl Permits for $class {
            fn start_acquire(
                &self,
                events: &Events,
                token: u64,
                deadline: Deadline,
            ) -> Result<Pending> {
                self.start_acquire(events, token, deadline)
            }

            fn start_release(&self, events: &Events, token: u64) -> Result<Pending> {
                self.start_release(events, token $(, $count)?)
            }
        }
    };
}

permits!(Semaphore, 1);
permits!(BoundedSemaphore);
permits!(Lock);

/// Takes a permit; `false` when there was none in time.
pub(crate) fn acquire(py: Python<'_>, permits: &dyn Permits, deadline: Deadline) -> PyResult<bool> {
    ask(py, raise, || permits.acquire_until(deadline))
}

/// Gives one permit back.
pub(crate) fn release(py: Python<'_>, permits: &dyn Permits) -> PyResult<()> {
    ask(py, raise, || permits.release())
}

/// Gives one permit back at the end of a block. What ended the block goes out, with a note, if the lock
/// was lost within it.
pub(crate) fn leave(
    py: Python<'_>,
    permits: &dyn Permits,
    exception: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    match (release(py, permits), exception) {
        (Err(error), Some(exception)) if error.is_instance_of::<LockLost>(py) => {
            exception.call_method1("add_note", (error.value(py).str()?,))?;
            Ok(())
        }
        (released, _) => released,
    }
}
