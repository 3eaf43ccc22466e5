//! The bytes of an object that has a buffer, whatever it says of their meaning.
//!
//! PyO3 takes only what has a shape and strides, which ctypes and a numpy array without dimensions do not give.

use std::ffi::c_int;
use std::marker::PhantomData;

use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

/// A buffer of contiguous bytes, which is held until this is dropped. It does not leave the thread, which has
/// the GIL then.
///
/// Invariant: the view was filled by its exporter, and was not released.
pub(crate) struct Buffer<'py> {
    /// Exporters may keep pointers into it, so it stays where it is.
    view: Box<ffi::Py_buffer>,
    held: PhantomData<Python<'py>>,
}

/// Why there are no bytes.
pub(crate) enum NoBytes {
    /// The object has no buffer at all.
    NoBuffer,
    /// Its buffer is none of contiguous bytes, or may not be written to.
    Unfit,
    /// The object refuses it, in these words.
    Refused(String),
    /// Asking for it has failed.
    Failed(PyErr),
}

impl<'py> Buffer<'py> {
    /// For one who reads.
    pub(crate) fn to_read(object: &Bound<'py, PyAny>) -> Result<Buffer<'py>, NoBytes> {
        Buffer::get(object, ffi::PyBUF_C_CONTIGUOUS)
    }

    /// For one who writes.
    pub(crate) fn to_write(object: &Bound<'py, PyAny>) -> Result<Buffer<'py>, NoBytes> {
        Buffer::get(object, ffi::PyBUF_C_CONTIGUOUS | ffi::PyBUF_WRITABLE)
    }

    fn get(object: &Bound<'py, PyAny>, flags: c_int) -> Result<Buffer<'py>, NoBytes> {
        // SAFETY: looks at the object's type.
        if unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) } == 0 {
            return Err(NoBytes::NoBuffer);
        }
        match Buffer::fill(object, flags) {
            Ok(buffer) if buffer.is_contiguous() => Ok(buffer),
            Ok(_) => Err(NoBytes::Unfit),
            Err(error) => Err(NoBytes::of(object, error)),
        }
    }

    fn fill(object: &Bound<'py, PyAny>, flags: c_int) -> PyResult<Buffer<'py>> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: the view is writable, and of no use before.
        let status = unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &raw mut *view, flags) };
        if status != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Buffer { view, held: PhantomData })
    }

    /// What was asked of the exporter: it can be one that does not keep to that.
    fn is_contiguous(&self) -> bool {
        let order = b'C'.cast_signed();
        // SAFETY: the view is filled, by the invariant.
        unsafe { ffi::PyBuffer_IsContiguous(&raw const *self.view, order) != 0 }
    }

    /// Where the bytes begin, and how many there are. Their owner may change them meanwhile, from another
    /// thread or process.
    pub(crate) fn bytes(&self) -> (*mut u8, usize) {
        (self.view.buf.cast(), self.view.len.unsigned_abs())
    }
}

impl Drop for Buffer<'_> {
    fn drop(&mut self) {
        // SAFETY: the view is filled and was not released, by the invariant; the GIL is held.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
    }
}

impl NoBytes {
    /// What an exporter's refusal means: a buffer of another form it would have given.
    fn of(object: &Bound<'_, PyAny>, error: PyErr) -> NoBytes {
        let py = object.py();
        let is_refusal = error.is_instance_of::<PyBufferError>(py)
            || error.is_instance_of::<PyValueError>(py)
            || error.is_instance_of::<PyTypeError>(py);
        if !is_refusal {
            NoBytes::Failed(error)
        } else if Buffer::fill(object, ffi::PyBUF_FULL_RO).is_ok() {
            NoBytes::Unfit
        } else {
            NoBytes::Refused(error.value(py).to_string())
        }
    }
}
