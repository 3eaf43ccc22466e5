//! How a semaphore is opened.

use std::ffi::OsStr;
use std::sync::Arc;

use super::{Semaphore, mapping};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::usage::Part;
use crate::home::{reserve, shm};
use crate::kind::Kind;
use crate::name::Name;
use crate::object::existence::Existence;
use crate::object::live;
use crate::object::open::{self, Linked, Opening};
use crate::object::options::{Common, common_setters};
use crate::object::ownership::Ownership;
use crate::sys::semaphore::FILE_SIZE;
use crate::sys::{self, AsFd, BorrowedFd, Errno, OpenMode, OwnedFd, Stat};
use crate::wait::spin::Waiters;

/// How a [`Semaphore`] is opened; made by [`Semaphore::options`].
#[derive(Clone, Debug)]
pub struct SemaphoreOptions {
    initial_value: u32,
    common: Common,
}

impl Semaphore {
    /// Options to open a semaphore with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options() -> SemaphoreOptions {
        SemaphoreOptions::new()
    }
}

impl SemaphoreOptions {
    fn new() -> Self {
        SemaphoreOptions { initial_value: 1, common: Common::new() }
    }

    /// The value of a semaphore that is created, 0 to [`Semaphore::MAX_VALUE`]; default 1. Ignored
    /// when linking.
    pub fn initial_value(&mut self, value: u32) -> &mut Self {
        self.initial_value = value;
        self
    }

    common_setters!();

    /// Opens the semaphore called `name`; one leading slash is optional.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`], [`ErrorKind::InvalidArgument`] for a value or mode out of
    /// range, [`ErrorKind::AlreadyExists`] or [`ErrorKind::NotFound`] as the
    /// [`Existence`] says, [`ErrorKind::PermissionDenied`], [`ErrorKind::WrongType`] when something
    /// else has its place, [`ErrorKind::OutOfSpace`], [`ErrorKind::LimitExceeded`],
    /// [`ErrorKind::Unsupported`].
    #[doc(alias = "sem_open")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Semaphore> {
        self.open_named(&Name::new(Kind::Semaphore, name)?)
    }

    /// Opens the semaphore that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](SemaphoreOptions::open); a name of another kind is
    /// [`ErrorKind::InvalidArgument`].
    pub fn open_named(&self, name: &Name) -> Result<Semaphore> {
        self.common.check(name, Kind::Semaphore)?;
        if self.initial_value > Semaphore::MAX_VALUE {
            let why = format!(
                "the initial value {} is out of range; give 0 to {}",
                self.initial_value,
                Semaphore::MAX_VALUE
            );
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(Operation::Create, name, kind, None, why));
        }
        let mut opening = OpeningSemaphore { options: self, unnamed: None, replaced: false };
        let semaphore = open::open(&mut opening, name, self.common.existence)?;
        if opening.replaced {
            semaphore.ownership.note_replaced();
        }
        live::add(&semaphore.ownership)?;
        Ok(semaphore)
    }
}

/// A semaphore in the making.
struct OpeningSemaphore<'a> {
    options: &'a SemaphoreOptions,
    unnamed: Option<(OwnedFd, Semaphore)>,
    /// Whether what killed processes had left behind was removed.
    replaced: bool,
}

impl OpeningSemaphore<'_> {
    /// The handle to a semaphore in whose use this process takes part by `file`.
    fn handle(
        &self,
        name: &Name,
        file: BorrowedFd<'_>,
        stat: &Stat,
        created: bool,
    ) -> Result<Semaphore> {
        let operation = if created { Operation::Create } else { Operation::Link };
        let fail = |errno| Error::from_errno(operation, name, errno);
        if stat.size < FILE_SIZE as u64 {
            let why = format!(
                "its file has {} bytes and a semaphore {FILE_SIZE}, so it is none, or damaged; \
                 unlink it and create it anew",
                stat.size
            );
            let errno = Some(Errno::INVAL);
            return Err(Error::new(operation, name, ErrorKind::WrongType, errno, why));
        }
        if !created && sys::unistd::begins_with_hole(file).map_err(fail)? {
            reserve::fill_hole(file, FILE_SIZE as u64, operation, name)?;
        }
        let mapping = mapping::map(file, stat.identity)
            .map_err(|errno| Error::map_failed(operation, name, errno))?;
        let lifetime = self.options.common.lifetime(stat, created);
        let ownership = Arc::new(Ownership::new(name, stat, created, lifetime));
        Ok(Semaphore { mapping, waiters: Waiters::new(), ownership })
    }

    /// Writes a whole semaphore to a file without a name.
    fn build(&self) -> sys::Result<(OwnedFd, Stat)> {
        let image = sys::semaphore::image(self.options.initial_value)?;
        let file = shm::create(self.options.common.mode_of_new())?;
        if self.options.common.is_marked() {
            shm::put_mark(file.as_fd());
        } else {
            // For `registry::Reap`, which takes what nobody owns only with this value. Where no
            // attributes are kept it takes none.
            let _ = sys::xattr::set_initial_value(file.as_fd(), self.options.initial_value);
        }
        if sys::unistd::write(file.as_fd(), &image)? != image.len() {
            return Err(Errno::NOSPC);
        }
        let stat = sys::stat::of(file.as_fd())?;
        Ok((file, stat))
    }
}

impl Opening for OpeningSemaphore<'_> {
    type Handle = Semaphore;

    fn link(&mut self, name: &Name, existence: Existence) -> Result<Linked<Semaphore>> {
        let Some(file) = shm::open(name, OpenMode::ReadWrite)? else { return Ok(Linked::Missing) };
        let replaced = (existence == Existence::LinkOrCreate).then_some(&mut self.replaced);
        match shm::link(name, file.as_fd(), replaced)? {
            Part::Taken(stat) => {
                let handle = self.handle(name, file.as_fd(), &stat, false);
                drop(file);
                // Who has taken part leaves as the others do.
                handle.map(Linked::Handle).inspect_err(|_| self.options.common.give_up(name, &stat))
            }
            Part::Again(refused) => Ok(Linked::Contended(refused)),
        }
    }

    fn prepare(&mut self, name: &Name, _: Existence) -> Result<()> {
        let (file, stat) =
            self.build().map_err(|errno| shm::build_error(name, errno, FILE_SIZE as u64))?;
        let handle = self.handle(name, file.as_fd(), &stat, true)?;
        self.unnamed = Some((file, handle));
        Ok(())
    }

    fn publish(&mut self, name: &Name, _: Existence) -> Result<Option<Semaphore>> {
        match self.unnamed.take() {
            Some((file, handle)) if shm::publish(file.as_fd(), name)? => Ok(Some(handle)),
            unnamed => {
                self.unnamed = unnamed;
                Ok(None)
            }
        }
    }
}
