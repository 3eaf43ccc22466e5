//! How a segment is opened.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Access, Reservation, SharedMemory, SizePolicy, check_size, size_policy};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::shm;
use crate::name::{Kind, Name};
use crate::object::existence::Existence;
use crate::object::open::{self, Opening};
use crate::object::ownership::Ownership;
use crate::shared_memory::reserve::{self, OnStep, Stop};
use crate::sys::{self, AsFd, Errno, OpenMode, OwnedFd};

/// How a [`SharedMemory`] is opened; made by [`SharedMemory::options`].
#[derive(Clone, Debug)]
pub struct SharedMemoryOptions {
    size: u64,
    size_policy: SizePolicy,
    access: Access,
    reservation: Reservation,
    existence: Existence,
    mode: u32,
    unlink_on_drop: Option<bool>,
}

impl SharedMemoryOptions {
    pub(super) fn new() -> Self {
        SharedMemoryOptions {
            size: 0,
            size_policy: SizePolicy::default(),
            access: Access::default(),
            reservation: Reservation::default(),
            existence: Existence::default(),
            mode: 0o600,
            unlink_on_drop: None,
        }
    }

    /// The size in bytes of a segment that is created; default 0. A smaller one that exists is
    /// grown to it, a larger one stays as it is unless the
    /// [`size_policy`](Self::size_policy) says otherwise.
    pub fn size(&mut self, size: u64) -> &mut Self {
        self.size = size;
        self
    }

    /// What linking does to a larger segment that exists; default [`SizePolicy::Grow`].
    pub fn size_policy(&mut self, policy: SizePolicy) -> &mut Self {
        self.size_policy = policy;
        self
    }

    /// What the handle may do; default [`Access::ReadWrite`].
    pub fn access(&mut self, access: Access) -> &mut Self {
        self.access = access;
        self
    }

    /// Whether memory is allocated at once; default [`Reservation::Reserved`].
    pub fn reservation(&mut self, reservation: Reservation) -> &mut Self {
        self.reservation = reservation;
        self
    }

    /// What to do about a segment that exists, or does not; default [`Existence::Link`].
    pub fn existence(&mut self, existence: Existence) -> &mut Self {
        self.existence = existence;
        self
    }

    /// The permission bits of a segment that is created, subject to the umask; default `0o600`.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode;
        self
    }

    /// Whether dropping the handle removes the name; default: if this handle created it.
    pub fn unlink_on_drop(&mut self, unlink: bool) -> &mut Self {
        self.unlink_on_drop = Some(unlink);
        self
    }

    /// Opens the segment called `name`; one leading slash is optional.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`], [`ErrorKind::InvalidArgument`] for a size or mode out of
    /// range and for a size that a read-only handle cannot give, [`ErrorKind::AlreadyExists`] or
    /// [`ErrorKind::NotFound`] as the [`Existence`] says, [`ErrorKind::PermissionDenied`],
    /// [`ErrorKind::WrongType`] when something else has its place, [`ErrorKind::OutOfSpace`],
    /// [`ErrorKind::LimitExceeded`], [`ErrorKind::Unsupported`].
    #[doc(alias = "shm_open")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<SharedMemory> {
        self.open_named(&Name::new(Kind::SharedMemory, name)?)
    }

    /// Opens the segment that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](SharedMemoryOptions::open).
    pub fn open_named(&self, name: &Name) -> Result<SharedMemory> {
        self.open_with(name, &mut || ControlFlow::Continue(()))
    }

    /// Opens a segment whose memory may take long to reserve: `on_step` is called between the steps
    /// and after each signal, and ends it with [`Break`](ControlFlow::Break).
    ///
    /// # Errors
    ///
    /// As [`open`](SharedMemoryOptions::open); [`ErrorKind::Interrupted`] when `on_step` ended it:
    /// all is as it was before.
    pub fn open_with(
        &self,
        name: &Name,
        on_step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<SharedMemory> {
        open::check_kind(name, Kind::SharedMemory)?;
        open::check_mode(name, self.mode)?;
        check_size(Operation::Create, name, self.size)?;
        open::open(
            &mut OpeningSegment { options: self, unnamed: None, on_step },
            name,
            self.existence,
        )
    }
}

/// A segment in the making.
struct OpeningSegment<'a> {
    options: &'a SharedMemoryOptions,
    unnamed: Option<SharedMemory>,
    on_step: OnStep<'a>,
}

impl OpeningSegment<'_> {
    fn build(&mut self) -> std::result::Result<OwnedFd, Stop> {
        let SharedMemoryOptions { size, access, reservation, mode, unlink_on_drop, .. } =
            *self.options;
        let file = shm::create(mode)?;
        match reservation {
            Reservation::Reserved => reserve::fill(file.as_fd(), size, self.on_step)?,
            Reservation::Sparse => sys::unistd::truncate(file.as_fd(), size)?,
        }
        if unlink_on_drop.unwrap_or(true) {
            shm::put_mark(file.as_fd());
        }
        match access {
            Access::ReadWrite => Ok(file),
            Access::ReadOnly => match sys::fcntl::reopen(file.as_fd(), OpenMode::ReadOnly) {
                Err(Errno::ACCES) => Ok(file),
                other => Ok(other?),
            },
        }
    }

    /// The handle, and the size that the segment has.
    fn handle(&self, name: &Name, file: OwnedFd, created: bool) -> Result<(SharedMemory, u64)> {
        let SharedMemoryOptions { access, reservation, unlink_on_drop, .. } = *self.options;
        let operation = if created { Operation::Create } else { Operation::Link };
        let stat = sys::stat::of(file.as_fd())
            .map_err(|errno| Error::from_errno(operation, name, errno))?;
        shm::check(name, &stat)?;
        let due = unlink_on_drop.unwrap_or(created);
        let ownership = Arc::new(Ownership::new(name, stat.identity, created, due, created));
        Ok((SharedMemory { file, access, reservation, kept_larger: false, ownership }, stat.size))
    }

    /// Gives a segment that was linked to the size that was asked for, as far as it may be changed.
    fn adjust_size(&mut self, segment: &mut SharedMemory, mut size: u64) -> Result<()> {
        let wanted = self.options.size;
        let most = match self.options.size_policy {
            SizePolicy::Grow => u64::MAX,
            SizePolicy::Exact => wanted,
            SizePolicy::Truncate => 0,
        };
        if size > most {
            segment.kept_larger = !size_policy::shrink(segment, most)?;
            if !segment.kept_larger {
                size = most;
            }
        }
        if wanted <= size {
            return Ok(());
        }
        if self.options.access == Access::ReadOnly {
            let why = format!(
                "it has {size} bytes and {wanted} were asked for, and a read-only handle cannot grow \
                 it; ask for less, or open it for writing"
            );
            let name = segment.ownership.name();
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(Operation::Link, name, kind, None, why));
        }
        segment
            .grow(wanted, self.on_step)
            .map_err(|stop| stop.into_error(Operation::Resize, segment.ownership.name(), wanted))
    }
}

impl Opening for OpeningSegment<'_> {
    type Handle = SharedMemory;

    fn link(&mut self, name: &Name) -> Result<Option<SharedMemory>> {
        let Some(file) = shm::open(name, self.options.access.into())? else { return Ok(None) };
        let (mut segment, size) = self.handle(name, file, false)?;
        if let Err(error) = self.adjust_size(&mut segment, size) {
            // It was not this call's to keep, nor is it to remove.
            segment.ownership.set_unlink_on_drop(false);
            return Err(error);
        }
        Ok(Some(segment))
    }

    fn prepare(&mut self, name: &Name, _: Existence) -> Result<()> {
        let size = self.options.size;
        if self.options.access == Access::ReadOnly && size > 0 {
            let why = format!(
                "a new segment of {size} bytes could never be filled through a read-only handle; \
                 open it for writing, or link to one that exists"
            );
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(Operation::Create, name, kind, None, why));
        }
        let file = self.build().map_err(|stop| match stop {
            Stop::Failed(errno) if !matches!(errno, Errno::FBIG | Errno::OPNOTSUPP) => {
                shm::build_error(name, errno, size)
            }
            stop => stop.into_error(Operation::Create, name, size),
        })?;
        let (segment, _) = self.handle(name, file, true)?;
        self.unnamed = Some(segment);
        Ok(())
    }

    fn is_costly(&self) -> bool {
        self.options.size > reserve::SMALLEST_STEP
    }

    fn publish(&mut self, name: &Name) -> Result<Option<SharedMemory>> {
        match self.unnamed.take() {
            Some(segment) if shm::publish(segment.file.as_fd(), name)? => Ok(Some(segment)),
            unnamed => {
                self.unnamed = unnamed;
                Ok(None)
            }
        }
    }
}
