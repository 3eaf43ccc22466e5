//! `NamedSharedMemory`, and the lease that its mappings hold.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nob_ipc::{Access, Kind, Reservation, SharedMemory, fork_generation};
use pyo3::exceptions::{PyAttributeError, PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::convert::error::{raise, unsupported_operation};
use crate::convert::{self, Arg};
use crate::interpreter::cell::Guarded;
use crate::interpreter::deallocation::deallocate;
use crate::interpreter::detach::{in_steps, without_gil};
use crate::interpreter::modules;
use crate::interpreter::slot::Closable;
use crate::named::base::{self, Named};
use crate::named::pickle;
use crate::named::place::{self, Place};
use crate::once::intern;

/// Between two looks whether the segment is still being made smaller.
const PAUSE: Duration = Duration::from_millis(1);

/// What to do instead, for who looks for the bytes where `multiprocessing.shared_memory` has them.
const BYTES: &str = "mmap() maps its bytes, as in memoryview(shm.mmap()), and ndarray(shape, dtype) is an \
                     array of numpy over them";

/// A segment of memory that processes share by name.
///
/// `mmap` gives its bytes. `with shm:` closes on exit. See shm_overview(7), shm_open(3).
///
/// Args:
///     name: One leading slash is optional. `None` together with `Flags.RAISE_IF_EXISTS` makes a
///         random free name.
///     size: Bytes of a new segment, to be given for that; a smaller one that exists is grown to it,
///         never shrunk.
///     read_only: Opens for reading only.
///     handle_existence: What to do about a segment that exists, or does not.
///     unlink_on_delete: `None`: deletion of the last handle removes the name, unless the object is
///         owned or kept. `True`: deletion of this handle does. `False`: none does.
///     mode: Permission bits of a new segment, subject to the umask.
///     reserve: Allocates the memory at creation and growth. `False`: at first touch, where running
///         out of memory is a bus error.
///     connection: The place, as `nob.ipc.connect` returns it; `None` is this machine.
///
/// Raises:
///     FileExistsError: The name is taken, with `RAISE_IF_EXISTS`.
///     FileNotFoundError: The name is free, with `RAISE_IF_NOT_EXISTS`.
///     PermissionError: The system does not permit it to this user.
///     OSError: There is not as much memory (`ENOSPC`), or what has the name is no segment.
///     ValueError: `read_only=True` with a size that would create or grow the segment.
///     InvalidArgument: An argument of the wrong type, out of its range, or a bad name; or no size for
///         a new segment.
#[pyclass(module = "nob.ipc", extends = Named, subclass, frozen)]
pub(crate) struct NamedSharedMemory {
    slot: Arc<Closable<SharedMemory>>,
    /// How many mappings of this handle live.
    mappings: Guarded<usize>,
    /// The fork generation in which a thread makes the segment smaller, without the GIL; 0 when none does.
    shrinking: AtomicU64,
}

#[pymethods]
impl NamedSharedMemory {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, size=0, read_only=False, handle_existence=..., \
                          unlink_on_delete=None, *, mode=0o600, reserve=True, connection=None)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        Named::initializer(base::close, |slot| NamedSharedMemory {
            slot,
            mappings: Guarded::new(0),
            shrinking: AtomicU64::new(0),
        })
    }

    #[pyo3(signature = (
        name,
        size = Arg::NOTHING,
        read_only = Arg::NOTHING,
        handle_existence = Arg::NOTHING,
        unlink_on_delete = Arg::NOTHING,
        *,
        mode = Arg::NOTHING,
        reserve = Arg::NOTHING,
        connection = Arg::NOTHING,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are the constructor's")]
    fn __init__<'py>(
        slf: &Bound<'py, Self>,
        name: Arg<'_, '_>,
        size: Arg<'_, '_>,
        read_only: Arg<'_, '_>,
        handle_existence: Arg<'_, '_>,
        unlink_on_delete: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        reserve: Arg<'_, '_>,
        connection: Arg<'_, 'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().check_unset()?;
        let place = Place::of(connection)?;
        place.only_here(
            "there is no shared memory on a server: send what is to be shared through a \
             NamedMessageQueue",
        )?;
        let existence = convert::existence(handle_existence)?;
        let mut options = SharedMemory::options();
        options.existence(existence);
        // 0 makes an empty segment, but not by being left out.
        if size.0.is_some() {
            options.size(convert::narrow(convert::bounded("size", size, 0, (0, i64::MAX))?)?);
        }
        if convert::switch("read_only", read_only, false)? {
            options.access(Access::ReadOnly);
        }
        if !convert::switch("reserve", reserve, true)? {
            options.reservation(Reservation::Sparse);
        }
        options.mode(convert::mode(mode)?);
        if let Some(unlink) = convert::optional_switch("unlink_on_delete", unlink_on_delete)? {
            options.unlink_on_drop(unlink);
        }
        let name = convert::name(Kind::SharedMemory, name, existence)?;
        let segment = in_steps(py, raise, |on_step| options.open_with(&name, on_step))?;
        let ownership = Arc::clone(segment.ownership());
        slf.as_super().get().open(py, &slf.get().slot, segment, ownership)?;
        place.add(slf)
    }

    /// The size in bytes at this moment; the kernel is asked at each use (int; fstat(2)).
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<u64> {
        self.slot.with(py, SharedMemory::size)?.map_err(|error| raise(py, &error))
    }

    /// The descriptor, open as long as the handle is (int).
    #[getter]
    fn fd(&self, py: Python<'_>) -> PyResult<i32> {
        self.slot.with(py, |segment| segment.as_fd().as_raw_fd())
    }

    /// The descriptor, open as long as the handle is (int).
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.fd(py)
    }

    /// Whether the handle was opened for reading only (bool).
    #[getter]
    fn read_only(&self, py: Python<'_>) -> PyResult<bool> {
        self.slot.with(py, |segment| segment.access() == Access::ReadOnly)
    }

    /// Map all of it as it is now: an mmap.mmap of exactly .size bytes.
    ///
    /// Read-only for a read-only handle. The mapping keeps this handle, and so the name, until it
    /// is closed; closing the handle leaves the mapping alone. Closing the mapping while a view of
    /// it lives (`memoryview`, `numpy.frombuffer`) is a `BufferError`, and changes nothing. See
    /// mmap(2).
    ///
    /// Raises:
    ///     ValueError: The segment has size 0, or the handle is closed.
    ///     OSError: There is no address space for it (`ENOMEM`).
    fn mmap<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        // Not kept: a package that is imported again has another class.
        let mapping =
            modules::import(intern!(py, "nob.ipc._mapping"))?.getattr(intern!(py, "Mapping"))?;
        let access = if this.read_only(py)? {
            let access = PyDict::new(py);
            access.set_item(
                "access",
                modules::import(intern!(py, "mmap"))?.getattr("ACCESS_READ")?,
            )?;
            Some(access)
        } else {
            None
        };
        this.wait_while_shrinking(py)?;
        // Counted from here on: no Python code has run since, so no thread shrinks the segment.
        let lease = Bound::new(py, Lease::new(slf))?;
        // The descriptor stays until the mapping is made, whatever another thread closes. Length 0
        // stands for the size that the file has then.
        let (made, is_empty) = this.slot.with(py, |segment| {
            let fd = segment.as_fd().as_raw_fd();
            let made = mapping.call((fd, 0), access.as_ref());
            let is_empty = made.is_err() && segment.size().is_ok_and(|size| size == 0);
            (made, is_empty)
        })?;
        let made = match made {
            Err(error) if is_empty => {
                let message = format!(
                    "cannot map the shared memory {:?}: it has size 0, so there is nothing to map; \
                     its creator may not be done: try again, or resize it",
                    slf.as_super().get().name()?
                );
                let refused = PyValueError::new_err(message);
                refused.set_cause(py, Some(error));
                return Err(refused);
            }
            made => made?,
        };
        made.setattr(intern!(py, "_lease"), lease)?;
        Ok(made)
    }

    /// An array of numpy over the bytes, without a copy.
    ///
    /// Read-only for a read-only handle. It maps the segment as it is now, and keeps the mapping and
    /// this handle, and so the name, as long as it or a slice of it lives. Only this needs numpy.
    ///
    /// Args:
    ///     shape: The lengths of the dimensions, or one length.
    ///     dtype: What `numpy.dtype` takes; without references to Python objects.
    ///     offset: Bytes of the segment before the array.
    ///
    /// Raises:
    ///     InvalidArgument: The segment is too small for it, or the dtype cannot be shared.
    ///     ModuleNotFoundError: numpy is not installed.
    ///     ValueError: The handle is closed; and what else `mmap` raises.
    #[pyo3(signature = (shape, dtype = Arg::NOTHING, offset = Arg::NOTHING),
           text_signature = "($self, shape, dtype='float64', offset=0)")]
    fn ndarray<'py>(
        slf: &Bound<'py, Self>,
        shape: &Bound<'py, PyAny>,
        dtype: Arg<'_, 'py>,
        offset: Arg<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let array = modules::import(intern!(py, "nob.ipc._array"))?.getattr("array")?;
        let dtype = dtype.0.unwrap_or(intern!(py, "float64").as_any().as_borrowed());
        let zero = 0_i32.into_pyobject(py)?;
        let offset = offset.0.unwrap_or(zero.as_any().as_borrowed());
        array.call1((Self::mmap(slf)?, shape, dtype, offset))
    }

    /// Change the size; new bytes read as zeros.
    ///
    /// Growing reserves the memory as the constructor does. See ftruncate(2), fallocate(2).
    ///
    /// Args:
    ///     size: Bytes.
    ///
    /// Raises:
    ///     BufferError: It would get smaller while a mapping of this handle lives.
    ///     io.UnsupportedOperation: The handle is read-only.
    ///     OSError: There is not as much memory (`ENOSPC`); the size is as it was.
    ///     ValueError: The handle is closed.
    ///     InvalidArgument: A negative size, for example.
    fn resize(&self, py: Python<'_>, size: Arg<'_, '_>) -> PyResult<()> {
        let size = convert::narrow(convert::bounded("size", size, 0, (0, i64::MAX))?)?;
        if self.read_only(py)? {
            return Err(unsupported_operation(
                "cannot resize the shared memory: the handle is read-only; open it for writing",
            ));
        }
        self.slot.with(py, |segment| {
            self.wait_while_shrinking(py)?;
            if size >= segment.size().map_err(|error| raise(py, &error))? {
                return in_steps(py, raise, |on_step| segment.grow_with(size, on_step));
            }
            // Mappings are counted before they are made, and wait until this is done.
            if self.mappings.get(py) > 0 {
                return Err(PyBufferError::new_err(
                    "cannot make the shared memory smaller while a mapping of this handle lives: \
                     close the mapping first",
                ));
            }
            self.shrinking.store(fork_generation(), Ordering::Relaxed);
            let done = without_gil(py, || {
                let done = segment.resize(size);
                // Without the GIL, which a thread does not get back from an interpreter that ends.
                self.shrinking.store(0, Ordering::Release);
                done
            });
            done.map_err(|error| raise(py, &error))
        })?
    }

    #[expect(clippy::unused_self, reason = "the interpreter passes the object")]
    fn __getattr__(&self, name: &str) -> PyResult<Py<PyAny>> {
        let advice = if name == "buf" { format!(": {BYTES}") } else { String::new() };
        let message = format!("a NamedSharedMemory has no attribute '{name}'{advice}");
        Err(PyAttributeError::new_err(message))
    }

    /// Refuses: a view would have to keep a mapping of its own.
    #[expect(clippy::unused_self, reason = "the interpreter passes the object")]
    unsafe fn __getbuffer__(&self, view: *mut ffi::Py_buffer, _flags: c_int) -> PyResult<()> {
        if !view.is_null() {
            // SAFETY: the interpreter passes a view that is to be filled; without an owner it is empty.
            unsafe { (*view).obj = std::ptr::null_mut() };
        }
        Err(PyTypeError::new_err(format!("a NamedSharedMemory is no buffer: {BYTES}")))
    }

    /// Remove a name without opening what has it.
    ///
    /// See shm_unlink(3).
    ///
    /// Raises:
    ///     FileNotFoundError: Nothing has the name.
    ///     PermissionError: The system does not permit it to this user.
    ///     InvalidArgument: No segment can have this name.
    #[classmethod]
    #[pyo3(
        signature = (name, connection = Arg::NOTHING),
        text_signature = "($cls, name, connection=None)"
    )]
    fn unlink_name(
        cls: &Bound<'_, PyType>,
        name: &Bound<'_, PyAny>,
        connection: Arg<'_, '_>,
    ) -> PyResult<()> {
        place::unlink_name(cls.py(), Kind::SharedMemory, name, connection)
    }

    /// Pickle as a handle that links by name; ValueError when closed.
    ///
    /// It shares a shared object, and unlinks no other.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let options = PyDict::new(slf.py());
        options.set_item("read_only", slf.get().read_only(slf.py())?)?;
        pickle::reduce::<Self>(slf, &options)
    }
}

impl NamedSharedMemory {
    /// Waits until no other thread of this process makes the segment smaller through this handle.
    fn wait_while_shrinking(&self, py: Python<'_>) -> PyResult<()> {
        while self.shrinking.load(Ordering::Acquire) == fork_generation() {
            without_gil(py, || thread::sleep(PAUSE));
            py.check_signals()?;
        }
        Ok(())
    }
}

/// What a Mapping holds of its segment handle until it is closed.
#[pyclass(module = "nob.ipc._native", frozen)]
pub(crate) struct Lease {
    segment: Py<NamedSharedMemory>,
}

impl Lease {
    fn new(segment: &Bound<'_, NamedSharedMemory>) -> Lease {
        segment.get().mappings.update(segment.py(), |count| *count += 1);
        Lease { segment: segment.clone().unbind() }
    }
}

#[pymethods]
impl Lease {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.segment)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        deallocate(|py| self.segment.get().mappings.update(py, |count| *count -= 1));
    }
}
