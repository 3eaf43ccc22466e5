//! Classes whose handles hold what they have: it goes with the handle, and Python is warned of that.

use std::ffi::CString;
use std::sync::Arc;

use nob_ipc::{BoundedSemaphore, Lock, Name, Ownership};
use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;

use crate::interpreter::slot::Closable;
use crate::named::base::Named;
use crate::server;

/// An object whose handle may hold something.
pub(crate) trait Holds: Send + Sync + 'static {
    fn holds(&self) -> bool;

    /// Leaves that to others, as a death does.
    fn abandon(&self);

    fn ownership(&self) -> &Arc<Ownership>;
}

impl Holds for Lock {
    fn holds(&self) -> bool {
        self.is_held()
    }

    fn abandon(&self) {
        self.abandon();
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

impl Holds for BoundedSemaphore {
    fn holds(&self) -> bool {
        self.held() > 0
    }

    fn abandon(&self) {
        self.abandon();
    }

    fn ownership(&self) -> &Arc<Ownership> {
        self.ownership()
    }
}

/// `close()`.
pub(crate) fn close<T: Holds>(handle: &Bound<'_, Named>, slot: &Closable<T>) -> PyResult<()> {
    let py = handle.py();
    let warned = held_name(py, slot, handle.get().there()).map_or(Ok(()), |name| warn(py, &name));
    // A call of another thread may keep the object for a while.
    let _ = slot.with(py, T::abandon);
    warned.and(handle.get().close(py))
}

/// Warns of a handle that is being deleted, and holds something. Nobody can be told of what that raises.
pub(crate) fn warn_of_deletion<T: Holds>(
    py: Python<'_>,
    slot: &Closable<T>,
    there: Option<&dyn server::Object>,
) {
    let Some(name) = held_name(py, slot, there) else { return };
    if let Err(error) = warn(py, &name) {
        error.write_unraisable(py, None);
    }
}

/// The name, if the handle holds something.
fn held_name<T: Holds>(
    py: Python<'_>,
    slot: &Closable<T>,
    there: Option<&dyn server::Object>,
) -> Option<Name> {
    if let Some(there) = there {
        return (!there.handle().is_closed() && there.holds())
            .then(|| there.handle().name().clone());
    }
    let name = |object: &T| object.holds().then(|| object.ownership().name().clone());
    // One that is closed holds nothing.
    slot.with(py, name).ok().flatten()
}

/// Fails where warnings are errors.
fn warn(py: Python<'_>, name: &Name) -> PyResult<()> {
    let category = py.get_type::<PyResourceWarning>();
    let message = format!(
        "the {} '{name}' was given up while it was held; release it before its handle goes",
        name.kind()
    );
    PyErr::warn(py, &category, &CString::new(message)?, 1)
}
