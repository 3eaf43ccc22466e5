//! The bytes of a message, whatever Python object holds them.

use pyo3::Borrowed;
use pyo3::exceptions::PyUnicodeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::convert::Arg;
use crate::convert::buffer::{Buffer, NoBytes};
use crate::convert::error::invalid_argument;

/// A received message and its priority: `(bytes, int)`. Unlike PyO3's conversions, which panic, it is
/// a `MemoryError` when the interpreter is out of memory.
pub(crate) fn message_tuple<'py>(
    py: Python<'py>,
    message: &[u8],
    priority: u32,
) -> PyResult<Bound<'py, PyTuple>> {
    let length = message.len().cast_signed();
    // SAFETY: copies the bytes, which are readable for the length, into a new object, or returns null.
    let bytes = unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(message.as_ptr().cast(), length);
        Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked()
    };
    tuple(bytes, priority)
}

/// A message and its priority: `(bytes, int)`.
pub(crate) fn tuple(bytes: Bound<'_, PyBytes>, priority: u32) -> PyResult<Bound<'_, PyTuple>> {
    let py = bytes.py();
    // SAFETY: the result is null or a new reference.
    let priority =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLong(priority.into()))? };
    // SAFETY: the result is null or a new tuple of two places, which nobody else has; setting one of them
    // takes the reference over, and fails for no such place.
    unsafe {
        let tuple = Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(2))?;
        ffi::PyTuple_SetItem(tuple.as_ptr(), 0, bytes.into_ptr());
        ffi::PyTuple_SetItem(tuple.as_ptr(), 1, priority.into_ptr());
        Ok(tuple.cast_into_unchecked())
    }
}

/// A message that keeps its bytes where they are.
pub(crate) enum Message<'py> {
    /// Also a `str`, as UTF-8.
    Bytes(Bound<'py, PyBytes>),
    Buffer(Buffer<'py>),
}

impl<'py> Message<'py> {
    /// An argument that must be there.
    #[inline]
    pub(crate) fn given(value: Arg<'_, 'py>) -> PyResult<Message<'py>> {
        match value.0 {
            Some(message) => Message::of(message.to_owned()),
            None => Err(invalid_argument("the message is missing".into())),
        }
    }

    /// Takes anything bytes-like, or a `str`.
    #[inline]
    pub(crate) fn of(value: Bound<'py, PyAny>) -> PyResult<Message<'py>> {
        if value.is_exact_instance_of::<PyBytes>() {
            // SAFETY: it is `bytes`.
            return Ok(Message::Bytes(unsafe { value.cast_into_unchecked() }));
        }
        Message::of_other(&value)
    }

    #[cold]
    fn of_other(value: &Bound<'py, PyAny>) -> PyResult<Message<'py>> {
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Ok(Message::Bytes(bytes.clone()));
        }
        if let Ok(text) = value.cast::<PyString>() {
            return text.encode_utf8().map(Message::Bytes).map_err(|error| {
                if error.is_instance_of::<PyUnicodeError>(value.py()) {
                    let message = "message must be bytes-like, or a str that UTF-8 can express";
                    invalid_argument(message.into())
                } else {
                    error
                }
            });
        }
        Buffer::to_read(value).map(Message::Buffer).map_err(|why| match why {
            NoBytes::NoBuffer => {
                let kind = match value.get_type().name() {
                    Ok(kind) => kind.to_string(),
                    Err(error) => return error,
                };
                let message = format!(
                    "message must be bytes-like or str, not {kind}: encode it first, with json.dumps \
                     or pickle.dumps for example"
                );
                invalid_argument(message)
            }
            NoBytes::Unfit => {
                let message = "message must be contiguous: pass bytes(message) instead";
                invalid_argument(message.into())
            }
            NoBytes::Refused(why) => invalid_argument(format!("message cannot be read: {why}")),
            NoBytes::Failed(error) => error,
        })
    }

    /// As an object that nobody can change; `bytes` are taken as they are.
    pub(crate) fn into_bytes(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if let Message::Bytes(bytes) = self {
            return Ok(bytes);
        }
        let message = self.bytes();
        PyBytes::new_with(py, message.len(), |copy| {
            copy.copy_from_slice(message);
            Ok(())
        })
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            // SAFETY: it is `bytes`.
            Message::Bytes(bytes) => unsafe { content(bytes.as_any().as_borrowed()) },
            Message::Buffer(buffer) => match buffer.bytes() {
                (_, 0) => &[],
                // SAFETY: the buffer is held, so its memory stays for its length as long as `self`.
                // Its owner, a bytearray for example, may change the bytes meanwhile, from another
                // thread or process; they are only copied as they are.
                (start, length) => unsafe { std::slice::from_raw_parts(start, length) },
            },
        }
    }
}

/// The content of exactly `bytes`; `None` for anything else.
#[inline]
pub(crate) fn exact_bytes<'a>(value: Borrowed<'a, '_, PyAny>) -> Option<&'a [u8]> {
    // SAFETY: looks at the object's type.
    if unsafe { ffi::PyBytes_CheckExact(value.as_ptr()) } == 0 {
        return None;
    }
    // SAFETY: it is `bytes`.
    Some(unsafe { content(value) })
}

/// The content of `bytes`, in one call of the interpreter, where PyO3 makes two.
///
/// # Safety
///
/// The object is `bytes`.
#[inline]
unsafe fn content<'a>(bytes: Borrowed<'a, '_, PyAny>) -> &'a [u8] {
    let (mut start, mut length) = (std::ptr::null_mut(), 0);
    // SAFETY: the object is bytes; both variables are writable.
    let status =
        unsafe { ffi::PyBytes_AsStringAndSize(bytes.as_ptr(), &raw mut start, &raw mut length) };
    debug_assert_eq!(status, 0, "it fails only for what is not bytes");
    // SAFETY: the bytes stay, unchanged, as long as the object, which is borrowed for 'a.
    unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length.unsigned_abs()) }
}
