//! `posix_ipc.SharedMemory`.

use std::ffi::CString;
use std::sync::Arc;

use nob_ipc::{Access, Kind, SizePolicy};
use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::arguments::{self, Request};
use super::base::{Object, PosixNamed};
use super::error::refuse;
use crate::convert::error::invalid_argument;
use crate::convert::{self, Arg};
use crate::interpreter::detach::in_steps;

/// A segment of memory that processes share by name: a descriptor for mmap.mmap.
///
/// name: str or bytes; None with O_CREX makes a random free one.
/// flags: int, 0 opens, O_CREAT opens or creates, O_CREX creates; O_TRUNC empties one that exists.
/// mode: int, permission bits of a new segment, subject to the umask.
/// size: int, bytes; 0 leaves the size as it is. A segment that exists is resized to it; but one that
/// is in use is never made smaller: a RuntimeWarning says so.
/// read_only: bool, opens for reading; not together with a size.
///
/// Raises ExistentialError, PermissionsError, ValueError, OSError (ENOSPC: the memory is reserved here,
/// and not at first touch). Source: shm_open(3).
#[pyclass(module = "nob.posix_ipc", extends = PosixNamed, subclass, frozen)]
pub(crate) struct SharedMemory {
    object: Object<nob_ipc::SharedMemory>,
}

#[pymethods]
impl SharedMemory {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(name, flags=0, mode=0o600, size=0, read_only=False)"
    )]
    fn new(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyClassInitializer<Self> {
        PosixNamed::initializer(SharedMemory { object: Object::new() })
    }

    #[pyo3(signature = (
        name,
        flags = Arg::NOTHING,
        mode = Arg::NOTHING,
        size = Arg::NOTHING,
        read_only = Arg::NOTHING,
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        name: Arg<'_, '_>,
        flags: Arg<'_, '_>,
        mode: Arg<'_, '_>,
        size: Arg<'_, '_>,
        read_only: Arg<'_, '_>,
    ) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        slf.as_super().get().check_unset()?;
        let size = convert::narrow(convert::bounded("size", size, 0, (0, i64::MAX))?)?;
        let read_only = arguments::truth(read_only, false)?;
        let request = Request::new(py, Kind::SharedMemory, name, flags, mode)?;
        if read_only && (size > 0 || request.truncate) {
            let message = "a read-only handle cannot resize the shared memory: leave size at 0 and \
                           O_TRUNC out, or open it for writing";
            return Err(invalid_argument(message.into()));
        }
        let policy = match (request.truncate, size) {
            (true, _) => SizePolicy::Truncate,
            (false, 0) => SizePolicy::Grow,
            (false, _) => SizePolicy::Exact,
        };
        let mut options = nob_ipc::SharedMemory::options();
        options.existence(request.existence).mode(request.permissions()).unlink_on_drop(false);
        options.size(size).size_policy(policy);
        if read_only {
            options.access(Access::ReadOnly);
        }
        let segment = in_steps(py, refuse, |on_step| options.open_with(&request.name, on_step))?;
        if segment.kept_larger() {
            let now = segment.size().map_err(|error| refuse(py, &error))?;
            warn_kept_larger(py, &request, now)?;
        }
        let ownership = Arc::clone(segment.ownership());
        slf.as_super().get().open(py, &this.object, segment, ownership, request)
    }

    /// The size in bytes at this moment; the kernel is asked at each use (int; fstat(2)).
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<u64> {
        let size = self.object.with(py, nob_ipc::SharedMemory::size)?;
        size.map_err(|error| refuse(py, &error))
    }

    /// The descriptor, open until close_fd is called; -1 after that (int).
    #[getter]
    fn fd(&self, py: Python<'_>) -> i32 {
        self.object.lend(py, std::mem::forget)
    }

    /// The descriptor, open until close_fd is called; -1 after that (int).
    fn fileno(&self, py: Python<'_>) -> i32 {
        self.fd(py)
    }

    /// Close the descriptor; never unlinks, leaves mappings alone, and twice is fine.
    fn close_fd(&self, py: Python<'_>) {
        self.object.slot().close(py);
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        slf.as_super().get().describe("SharedMemory", "")
    }
}

/// Says that a segment was not made smaller.
fn warn_kept_larger(py: Python<'_>, request: &Request, now: u64) -> PyResult<()> {
    let message = format!(
        "the shared memory \"{}\" is in use, or another user's, and was not made smaller or emptied: \
         whoever has it mapped would die of a bus error; it has {now} bytes, and os.ftruncate would \
         change that by force",
        request.name
    );
    let category = py.get_type::<PyRuntimeWarning>();
    // Names have no NUL byte.
    PyErr::warn(py, &category, &CString::new(message)?, 1)
}
