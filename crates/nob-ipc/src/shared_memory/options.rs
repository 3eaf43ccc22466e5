//! How a segment is opened.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Access, SharedMemory, SizePolicy, check_size, size_policy};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::reserve::{self, OnStep, Stop};
use crate::home::shm;
use crate::home::usage::Part;
use crate::kind::Kind;
use crate::name::Name;
use crate::object::Reservation;
use crate::object::existence::Existence;
use crate::object::live;
use crate::object::open::{self, Linked, Opening};
use crate::object::options::{Common, common_setters};
use crate::object::ownership::Ownership;
use crate::sys::{self, AsFd, Errno, OpenMode, OwnedFd, Stat, flock};

/// How a [`SharedMemory`] is opened; made by [`SharedMemory::options`].
#[derive(Clone, Debug)]
pub struct SharedMemoryOptions {
    /// None was given: 0 is one, too.
    size: Option<u64>,
    size_policy: SizePolicy,
    access: Access,
    reservation: Reservation,
    common: Common,
}

impl SharedMemory {
    /// Options to open a segment with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options() -> SharedMemoryOptions {
        SharedMemoryOptions::new()
    }
}

impl SharedMemoryOptions {
    fn new() -> Self {
        SharedMemoryOptions {
            size: None,
            size_policy: SizePolicy::default(),
            access: Access::default(),
            reservation: Reservation::default(),
            common: Common::new(),
        }
    }

    /// The size in bytes of a segment that is created, which must be given for that: 0 makes an empty one.
    /// A smaller one that exists is grown to it, a larger one stays as it is unless the
    /// [`size_policy`](Self::size_policy) says otherwise.
    pub fn size(&mut self, size: u64) -> &mut Self {
        self.size = Some(size);
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

    common_setters!();

    /// What linking needs at the least.
    fn least_size(&self) -> u64 {
        self.size.unwrap_or(0)
    }

    /// Opens the segment called `name`; one leading slash is optional.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`], [`ErrorKind::InvalidArgument`] for a size or mode out of range, for a size
    /// that a read-only handle cannot give and for none where a segment is to be created,
    /// [`ErrorKind::AlreadyExists`] or [`ErrorKind::NotFound`] as the [`Existence`] says,
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::WrongType`] when something else has its place,
    /// [`ErrorKind::OutOfSpace`], [`ErrorKind::LimitExceeded`], [`ErrorKind::Unsupported`].
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
        self.common.check(name, Kind::SharedMemory)?;
        check_size(Operation::Create, name, self.least_size())?;
        let mut opening = OpeningSegment { options: self, unnamed: None, replaced: false, on_step };
        let segment = open::open(&mut opening, name, self.common.existence)?;
        if opening.replaced {
            segment.ownership.note_replaced();
        }
        live::add(&segment.ownership)?;
        Ok(segment)
    }
}

/// A segment in the making.
struct OpeningSegment<'a> {
    options: &'a SharedMemoryOptions,
    unnamed: Option<SharedMemory>,
    /// Whether what killed processes had left behind was removed.
    replaced: bool,
    on_step: OnStep<'a>,
}

impl OpeningSegment<'_> {
    fn build(&mut self, size: u64) -> std::result::Result<(OwnedFd, Stat), Stop> {
        let SharedMemoryOptions { access, reservation, ref common, .. } = *self.options;
        let mut file = shm::create(common.mode_of_new())?;
        if common.is_marked() {
            shm::put_mark(file.as_fd());
        }
        match reservation {
            Reservation::Reserved => reserve::fill(file.as_fd(), size, self.on_step)?,
            Reservation::Sparse => reserve::set_size(file.as_fd(), size)?,
        }
        if access == Access::ReadOnly {
            match sys::fcntl::reopen(file.as_fd(), OpenMode::ReadOnly) {
                Err(Errno::ACCES) => {}
                reopened => {
                    file = reopened?;
                    // A description of its own, of a file that nobody else knows.
                    flock::try_shared(file.as_fd())?;
                }
            }
        }
        let stat = sys::stat::of(file.as_fd())?;
        Ok((file, stat))
    }

    /// The handle to a segment in whose use this process takes part by `file`.
    fn handle(&self, name: &Name, file: OwnedFd, stat: &Stat, created: bool) -> SharedMemory {
        let SharedMemoryOptions { access, reservation, ref common, .. } = *self.options;
        let lifetime = common.lifetime(stat, created);
        let ownership = Arc::new(Ownership::new(name, stat, created, lifetime));
        SharedMemory { file, access, reservation, kept_larger: false, ownership }
    }

    /// Gives a segment that was linked to the size that was asked for, as far as it may be changed.
    fn adjust_size(&mut self, segment: &mut SharedMemory, mut size: u64) -> Result<()> {
        let wanted = self.options.least_size();
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

    fn link(&mut self, name: &Name, existence: Existence) -> Result<Linked<SharedMemory>> {
        let Some(file) = shm::open(name, self.options.access.into())? else {
            return Ok(Linked::Missing);
        };
        let replaced = (existence == Existence::LinkOrCreate).then_some(&mut self.replaced);
        match shm::link(name, file.as_fd(), replaced)? {
            Part::Taken(stat) => {
                let mut segment = self.handle(name, file, &stat, false);
                match self.adjust_size(&mut segment, stat.size) {
                    Ok(()) => Ok(Linked::Handle(segment)),
                    Err(error) => {
                        // What is not shared was not this call's to keep, nor is it to remove.
                        segment.ownership.disown();
                        Err(error)
                    }
                }
            }
            Part::Again(refused) => Ok(Linked::Contended(refused)),
        }
    }

    fn prepare(&mut self, name: &Name, _: Existence) -> Result<()> {
        let Some(size) = self.options.size else {
            let why = "a new segment needs a size, and none was given; give it one in bytes, 1 or more, or \
                       link to a segment that exists";
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(Operation::Create, name, kind, None, why));
        };
        if self.options.access == Access::ReadOnly && size > 0 {
            let why = format!(
                "a new segment of {size} bytes could never be filled through a read-only handle; \
                 open it for writing, or link to one that exists"
            );
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(Operation::Create, name, kind, None, why));
        }
        let (file, stat) = self.build(size).map_err(|stop| stop.into_build_error(name, size))?;
        self.unnamed = Some(self.handle(name, file, &stat, true));
        Ok(())
    }

    fn is_costly(&self) -> bool {
        self.options.least_size() > reserve::SMALLEST_STEP
    }

    fn publish(&mut self, name: &Name, _: Existence) -> Result<Option<SharedMemory>> {
        match self.unnamed.take() {
            Some(segment) if shm::publish(segment.file.as_fd(), name)? => Ok(Some(segment)),
            unnamed => {
                self.unnamed = unnamed;
                Ok(None)
            }
        }
    }
}
