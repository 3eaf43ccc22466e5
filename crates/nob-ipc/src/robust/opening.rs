//! How a file of this format is made and opened, for whatever kind.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::RobustFile;
use super::file::Object;
use super::header::{Content, Unfit};
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
use crate::object::options::Common;
use crate::object::ownership::Ownership;
use crate::sys::mman::Mapped;
use crate::sys::{self, Errno, OpenMode, Stat};

/// What a new object, and the handle to it, is made with.
pub(crate) struct New<'a, T> {
    pub size: u64,
    pub permits: u32,
    pub reservation: Reservation,
    /// Whether the life of the handle can be handed on.
    pub inheritable: bool,
    /// Writes what is in it besides the header.
    pub fill: &'a dyn Fn(&T),
    pub on_step: OnStep<'a>,
}

/// Opens an object.
pub(crate) fn open<T: Content>(
    kind: Kind,
    name: &Name,
    common: Common,
    new: New<'_, T>,
) -> Result<RobustFile<T>> {
    let mut opening = OpeningRobust { kind, common, new, unnamed: None };
    let file = open::open(&mut opening, name, common.existence)?;
    live::add(file.ownership())?;
    Ok(file)
}

/// An object in the making.
struct OpeningRobust<'a, T: Content> {
    kind: Kind,
    common: Common,
    new: New<'a, T>,
    unnamed: Option<RobustFile<T>>,
}

impl<T: Content> OpeningRobust<'_, T> {
    /// The handle to an object in whose use this process takes part by `file`.
    fn handle(
        &self,
        name: &Name,
        file: OwnedFd,
        stat: &Stat,
        created: bool,
    ) -> Result<RobustFile<T>> {
        let operation = if created { Operation::Create } else { Operation::Link };
        let least = size_of::<T>() as u64;
        if stat.size < least {
            let why = format!("its file has {} bytes, and {least} are needed", stat.size);
            return Err(self.not_one(operation, name, &why));
        }
        // A hole in what every handle uses, which may lie before memory that there is.
        if !created && stat.allocated < stat.size {
            reserve::fill_hole(file.as_fd(), least, operation, name)?;
        }
        let content: Mapped<T> =
            Mapped::new(file.as_fd()).map_err(|errno| Error::map_failed(operation, name, errno))?;
        if created {
            (self.new.fill)(&content);
            content.header().fill(self.kind, stat.size, self.new.permits);
        }
        let permits = content
            .header()
            .check(self.kind, stat.size)
            .map_err(|why| self.not_one(operation, name, &why))?;
        let rest = content.map_rest(file.as_fd(), stat).map_err(|unfit| match unfit {
            Unfit::Content(why) => self.not_one(operation, name, &why),
            Unfit::System(errno) => Error::map_failed(operation, name, errno),
        })?;
        let lifetime = self.common.lifetime(stat, created);
        // Not before the handle is sure to be made: what is dropped as an owner removes the name.
        let own = || Arc::new(Ownership::new(name, stat, created, lifetime));
        let object = Object { file, content, rest, permits };
        RobustFile::new(object, name, stat, operation, self.new.inheritable, own)
    }

    fn not_one(&self, operation: Operation, name: &Name, why: &str) -> Error {
        let why = format!(
            "{why}; so it is no {}, or damaged: unlink it and create it anew, or choose another name",
            self.kind
        );
        Error::new(operation, name, ErrorKind::WrongType, Some(Errno::INVAL), why)
    }

    /// Makes a file without a name, of zeros.
    fn build(&mut self) -> std::result::Result<(OwnedFd, Stat), Stop> {
        let file = shm::create(self.common.mode_of_new())?;
        if self.common.is_marked() {
            shm::put_mark(file.as_fd());
        }
        match self.new.reservation {
            Reservation::Reserved => {
                reserve::fill(file.as_fd(), self.new.size, self.new.on_step)?;
            }
            Reservation::Sparse => {
                // What every handle uses is there in any case.
                reserve::fill(file.as_fd(), size_of::<T>() as u64, self.new.on_step)?;
                reserve::set_size(file.as_fd(), self.new.size)?;
            }
        }
        let stat = sys::stat::of(file.as_fd())?;
        Ok((file, stat))
    }
}

impl<T: Content> Opening for OpeningRobust<'_, T> {
    type Handle = RobustFile<T>;

    fn link(&mut self, name: &Name, _: Existence) -> Result<Linked<RobustFile<T>>> {
        let Some(file) = shm::open(name, OpenMode::ReadWrite)? else { return Ok(Linked::Missing) };
        // No death breaks it, and it tells of the deaths.
        match shm::link(name, file.as_fd(), None)? {
            Part::Taken(stat) => {
                let handle = self.handle(name, file, &stat, false);
                handle.map(Linked::Handle).inspect_err(|error| {
                    // Who has taken part leaves as the others do; what is none of ours is not ours to remove.
                    if error.kind() != ErrorKind::WrongType {
                        self.common.give_up(name, &stat);
                    }
                })
            }
            Part::Again(refused) => Ok(Linked::Contended(refused)),
        }
    }

    fn prepare(&mut self, name: &Name, _: Existence) -> Result<()> {
        let (file, stat) = self.build().map_err(|stop| {
            let lacks_header =
                stop == Stop::Failed(Errno::NOSPC) && self.new.reservation == Reservation::Sparse;
            let size = if lacks_header { size_of::<T>() as u64 } else { self.new.size };
            stop.into_build_error(name, size)
        })?;
        self.unnamed = Some(self.handle(name, file, &stat, true)?);
        Ok(())
    }

    fn publish(&mut self, name: &Name, _: Existence) -> Result<Option<RobustFile<T>>> {
        match self.unnamed.take() {
            Some(handle) if handle.publish(name)? => Ok(Some(handle)),
            unnamed => {
                self.unnamed = unnamed;
                Ok(None)
            }
        }
    }
}
