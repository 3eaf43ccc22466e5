//! What Rust does when the interpreter deallocates an object.

use pyo3::prelude::*;

/// Does it. The interpreter may be on its way with an exception, which unwinds the frames that held the
/// object; Python's API must not be called with it, and would lose it.
pub(crate) fn deallocate(work: impl FnOnce(Python<'_>)) {
    // The GIL is held then; this takes it once more.
    Python::attach(|py| {
        let pending = PyErr::take(py);
        work(py);
        if let Some(pending) = pending {
            pending.restore(py);
        }
    });
}
