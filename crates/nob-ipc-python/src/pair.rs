//! The tuple of a message and its priority.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::slot::GilCell;

/// The tuple that was given out last. Once nobody else has it, it is filled anew and given out again,
/// as the interpreter itself does in `zip`: to make and delete a tuple takes half as long as all the
/// rest of the binding.
static LAST: GilCell<Option<Last>> = GilCell::new(None);

struct Last {
    pair: Py<PyTuple>,
    priority: u32,
}

/// A longer message does not stay in memory until the next one is received.
const KEPT: usize = 4096;

/// From Python 3.14 on a tuple remembers its hash, and must not change any more.
const REMEMBERS_HASH: u64 = 0x030e_0000;

/// `(bytes, int)`, in a tuple that may have been given out before.
#[inline]
pub(crate) fn pair<'py>(
    py: Python<'py>,
    message: &[u8],
    priority: u32,
) -> PyResult<Bound<'py, PyTuple>> {
    if message.len() > KEPT {
        return new_pair(py, message, priority);
    }
    let refilled = LAST.with(py, |last| {
        let last = last.as_mut().filter(|last| last.is_free())?;
        Some(last.refill(py, message, priority))
    });
    refilled.unwrap_or_else(|| {
        let pair = new_pair(py, message, priority)?;
        // SAFETY: the interpreter's version, which never changes.
        if unsafe { ffi::Py_Version } < REMEMBERS_HASH {
            let last = Last { pair: pair.clone().unbind(), priority };
            drop(LAST.with(py, |kept| kept.replace(last)));
        }
        Ok(pair)
    })
}

/// `(bytes, int)`, in a tuple of its own.
pub(crate) fn new_pair<'py>(
    py: Python<'py>,
    message: &[u8],
    priority: u32,
) -> PyResult<Bound<'py, PyTuple>> {
    (bytes(py, message)?, priority).into_pyobject(py)
}

/// As `PyBytes::new`, which panics for want of memory.
fn bytes<'py>(py: Python<'py>, message: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let length = message.len().cast_signed();
    // SAFETY: copies the bytes, which are readable for the length, into a new object.
    unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(message.as_ptr().cast(), length);
        Bound::from_owned_ptr_or_err(py, bytes)
    }
}

impl Last {
    /// Whether nobody else has the tuple.
    fn is_free(&self) -> bool {
        // SAFETY: the tuple lives as long as this. Where the count has other bits beside it, it is
        // not 1.
        unsafe { ffi::Py_REFCNT(self.pair.as_ptr()) == 1 }
    }

    /// Of a tuple that is free. It runs no Python code: what it deletes is bytes and a number.
    fn refill<'py>(
        &mut self,
        py: Python<'py>,
        message: &[u8],
        priority: u32,
    ) -> PyResult<Bound<'py, PyTuple>> {
        self.set(0, bytes(py, message)?)?;
        if priority != self.priority {
            self.set(1, priority.into_pyobject(py)?.into_any())?;
            self.priority = priority;
        }
        Ok(self.pair.bind(py).clone())
    }

    fn set(&self, index: ffi::Py_ssize_t, item: Bound<'_, PyAny>) -> PyResult<()> {
        let py = item.py();
        // SAFETY: takes the item over, also when it fails: for a tuple that is not free.
        match unsafe { ffi::PyTuple_SetItem(self.pair.as_ptr(), index, item.into_ptr()) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(py)),
        }
    }
}
