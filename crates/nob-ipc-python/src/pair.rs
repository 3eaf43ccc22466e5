//! The tuple of a message and its priority.

use std::ffi::c_ulong;

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

/// From Python 3.14 on a tuple remembers its hash, and somebody may have one that counts no reference.
const UNIQUE_UNTIL: c_ulong = 0x030e_0000;

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
        if unsafe { ffi::Py_Version } < UNIQUE_UNTIL {
            let last = Last { pair: pair.clone().unbind(), priority };
            if let Some(other) = LAST.with(py, |kept| kept.replace(last)) {
                other.pair.drop_ref(py);
            }
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
    let (message, priority) = (bytes(py, message)?, number(py, priority)?);
    // SAFETY: the result is null or a new tuple.
    let pair = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(2))? };
    set(&pair, 0, message)?;
    set(&pair, 1, priority)?;
    // SAFETY: it is a tuple.
    Ok(unsafe { pair.cast_into_unchecked() })
}

// As PyO3's conversions, which panic for want of memory.

fn bytes<'py>(py: Python<'py>, message: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let length = message.len().cast_signed();
    // SAFETY: copies the bytes, which are readable for the length, into a new object, or returns null.
    unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(message.as_ptr().cast(), length);
        Bound::from_owned_ptr_or_err(py, bytes)
    }
}

fn number(py: Python<'_>, number: u32) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the result is null or a number.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLong(number.into())) }
}

/// Fills a place of a tuple that nobody else has.
fn set(pair: &Bound<'_, PyAny>, place: ffi::Py_ssize_t, item: Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: takes the item over, also when it fails: for a tuple that others have.
    match unsafe { ffi::PyTuple_SetItem(pair.as_ptr(), place, item.into_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(pair.py())),
    }
}

impl Last {
    /// Whether nobody else has the tuple.
    fn is_free(&self) -> bool {
        // SAFETY: the tuple lives as long as this, which is reached through `LAST` with the lock held.
        unsafe { ffi::Py_REFCNT(self.pair.as_ptr()) == 1 }
    }

    /// Of a tuple that is free. It runs no Python code: what it deletes is exactly bytes and a number.
    fn refill<'py>(
        &mut self,
        py: Python<'py>,
        message: &[u8],
        priority: u32,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let pair = self.pair.bind(py);
        set(pair, 0, bytes(py, message)?)?;
        if priority != self.priority {
            set(pair, 1, number(py, priority)?)?;
            self.priority = priority;
        }
        Ok(pair.clone())
    }
}
