//! Named segments of shared memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::reserve::{self, OnStep, Stop};
use crate::name::Name;
use crate::object::Reservation;
use crate::object::ownership::Ownership;
use crate::sys::mman::Map;
use crate::sys::{self, AsFd, BorrowedFd, Errno, OwnedFd};

mod mapping;
pub use mapping::{Access, Mapping};

mod size_policy;
pub use size_policy::SizePolicy;

mod options;
pub use options::SharedMemoryOptions;

/// A segment of memory that processes share by name.
///
/// The file is the one of [`shm_open`](https://man7.org/linux/man-pages/man3/shm_open.3.html), so
/// a C program can share it. A segment appears under its name with its full size, its memory
/// reserved and zeroed.
///
/// ```
/// use nob_ipc::{Existence, SharedMemory};
///
/// let segment = SharedMemory::options()
///     .size(4096)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-segment")?;
/// let here = segment.map()?;
/// let there = SharedMemory::options().open("/nob-ipc-doc-segment")?.map()?;
/// here.write(100, b"hello")?;
/// let mut buffer = [0; 5];
/// there.read(100, &mut buffer)?;
/// assert_eq!(&buffer, b"hello");
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedMemory {
    file: OwnedFd,
    access: Access,
    reservation: Reservation,
    kept_larger: bool,
    ownership: Arc<Ownership>,
}

fn check_size(operation: Operation, name: &Name, size: u64) -> Result<()> {
    if i64::try_from(size).is_ok() {
        return Ok(());
    }
    let why = format!("the size {size} is out of range; give 0 to {} bytes", i64::MAX);
    Err(Error::new(operation, name, ErrorKind::InvalidArgument, None, why))
}

impl SharedMemory {
    /// The name, and who unlinks it.
    #[must_use]
    pub fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    /// What this handle may do.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether linking did not make the segment smaller as its [`SizePolicy`] asked, since another would
    /// have suffered.
    #[must_use]
    pub fn kept_larger(&self) -> bool {
        self.kept_larger
    }

    /// The size in bytes at this moment; another process may change it.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell
    /// ([fstat(2)](https://man7.org/linux/man-pages/man2/fstat.2.html)).
    pub fn size(&self) -> Result<u64> {
        sys::stat::of(self.file.as_fd())
            .map(|stat| stat.size)
            .map_err(|errno| Error::from_errno(Operation::Inspect, self.ownership.name(), errno))
    }

    /// Maps the whole segment as it is now: for writing unless the handle is read-only.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Empty`] for size 0, [`ErrorKind::LimitExceeded`] when the process has no room
    /// for the mapping.
    #[doc(alias = "mmap")]
    pub fn map(&self) -> Result<Mapping> {
        let name = self.ownership.name();
        let size = self.size()?;
        if size == 0 {
            let why = "it has size 0, so there is nothing to map; its creator may not be done: try \
                       again, or resize it";
            return Err(Error::new(Operation::Map, name, ErrorKind::Empty, None, why));
        }
        let fail = |errno| Error::map_failed(Operation::Map, name, errno);
        let length = usize::try_from(size).map_err(|_| fail(Errno::NOMEM))?;
        let map =
            Map::new(self.file.as_fd(), length, self.access == Access::ReadWrite).map_err(fail)?;
        Ok(Mapping::new(map, self.access, Arc::clone(&self.ownership)))
    }

    /// Changes the size. New bytes read as zeros. Bytes behind a smaller size are gone, and touching
    /// them through a mapping that any process still has is a bus error.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReadOnly`], [`ErrorKind::OutOfSpace`], [`ErrorKind::LimitExceeded`],
    /// [`ErrorKind::InvalidArgument`] for a size out of range. The size is as it was then.
    #[doc(alias = "ftruncate")]
    pub fn resize(&self, size: u64) -> Result<()> {
        self.resize_with(size, &mut || ControlFlow::Continue(()))
    }

    /// Changes the size as [`resize`](SharedMemory::resize) does; `on_step` is called between the
    /// steps of growing and after each signal, and ends it with [`Break`](ControlFlow::Break).
    ///
    /// # Errors
    ///
    /// As [`resize`](SharedMemory::resize); [`ErrorKind::Interrupted`] when `on_step` ended it: the
    /// size is as it was before.
    pub fn resize_with(
        &self,
        size: u64,
        on_step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<()> {
        let name = self.ownership.name();
        self.check_writable()?;
        check_size(Operation::Resize, name, size)?;
        let resized = if size > self.size()? {
            self.grow(size, on_step)
        } else {
            sys::unistd::truncate(self.file.as_fd(), size).map_err(Stop::from)
        };
        resized.map_err(|stop| stop.into_error(Operation::Resize, name, size))
    }

    /// Grows the segment to `size` as [`resize_with`](SharedMemory::resize_with) does, and leaves one that
    /// is larger as it is.
    ///
    /// # Errors
    ///
    /// As [`resize_with`](SharedMemory::resize_with).
    pub fn grow_with(&self, size: u64, on_step: &mut dyn FnMut() -> ControlFlow<()>) -> Result<()> {
        let name = self.ownership.name();
        self.check_writable()?;
        check_size(Operation::Resize, name, size)?;
        if size <= self.size()? {
            return Ok(());
        }
        self.grow(size, on_step).map_err(|stop| stop.into_error(Operation::Resize, name, size))
    }

    fn check_writable(&self) -> Result<()> {
        if self.access == Access::ReadWrite {
            return Ok(());
        }
        let why = "it was opened for reading; open it for writing";
        let name = self.ownership.name();
        Err(Error::new(Operation::Resize, name, ErrorKind::ReadOnly, None, why))
    }

    fn grow(&self, size: u64, on_step: OnStep<'_>) -> std::result::Result<(), Stop> {
        match self.reservation {
            Reservation::Reserved => reserve::grow(self.file.as_fd(), size, on_step),
            Reservation::Sparse => reserve::extend(self.file.as_fd(), size, on_step),
        }
    }
}

impl AsFd for SharedMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
