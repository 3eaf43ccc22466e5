//! How a file of this format is made and opened, for whatever kind.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::RobustFile;
use super::header::{FILE_SIZE, Header};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::shm;
use crate::home::usage::Part;
use crate::kind::Kind;
use crate::name::Name;
use crate::object::existence::Existence;
use crate::object::live;
use crate::object::open::{self, Linked, Opening};
use crate::object::options::Common;
use crate::object::ownership::Ownership;
use crate::sys::fcntl::AllocatedSize;
use crate::sys::mman::Mapped;
use crate::sys::{self, Errno, OpenMode, Stat};

/// Opens an object. `permits`: how many one that is created has; `inheritable`: whether the life of the
/// handle can be handed on.
pub(crate) fn open(
    kind: Kind,
    name: &Name,
    common: Common,
    permits: u32,
    inheritable: bool,
) -> Result<RobustFile> {
    let mut opening = OpeningRobust { kind, common, permits, inheritable, unnamed: None };
    let file = open::open(&mut opening, name, common.existence)?;
    live::add(file.ownership())?;
    Ok(file)
}

/// An object in the making.
struct OpeningRobust {
    kind: Kind,
    common: Common,
    permits: u32,
    inheritable: bool,
    unnamed: Option<RobustFile>,
}

impl OpeningRobust {
    /// The handle to an object in whose use this process takes part by `file`.
    fn handle(&self, name: &Name, file: OwnedFd, stat: &Stat, created: bool) -> Result<RobustFile> {
        let operation = if created { Operation::Create } else { Operation::Link };
        let fail = |errno| Error::from_errno(operation, name, errno);
        if stat.size != FILE_SIZE {
            let why = format!("its file has {} bytes, and {FILE_SIZE} are needed", stat.size);
            return Err(self.not_one(operation, name, &why));
        }
        // A hole in the file, and no memory to fill it, would be a bus error at the first use.
        if !created && stat.allocated < FILE_SIZE {
            match sys::fcntl::allocate(file.as_fd(), 0, FILE_SIZE, AllocatedSize::Keep) {
                // Where a file system cannot reserve memory, there is nothing to ask it for.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(Errno::NOSPC) => return Err(shm::out_of_space(operation, name, FILE_SIZE)),
                Err(errno) => return Err(fail(errno)),
            }
        }
        let header: Mapped<Header> =
            Mapped::new(file.as_fd()).map_err(|errno| Error::map_failed(operation, name, errno))?;
        if created {
            header.fill(self.kind, self.permits);
        }
        let permits = header.check(self.kind).map_err(|why| self.not_one(operation, name, &why))?;
        let lifetime = self.common.lifetime(stat, created);
        let ownership = Arc::new(Ownership::new(name, stat, created, lifetime));
        RobustFile::new(file, header, permits, ownership, self.inheritable, operation)
    }

    fn not_one(&self, operation: Operation, name: &Name, why: &str) -> Error {
        let why = format!(
            "{why}; so it is no {}, or damaged: unlink it and create it anew, or choose another name",
            self.kind
        );
        Error::new(operation, name, ErrorKind::WrongType, Some(Errno::INVAL), why)
    }

    /// Makes a file without a name, of zeros, with its memory.
    fn build(&self) -> sys::Result<(OwnedFd, Stat)> {
        let file = shm::create(self.common.mode_of_new())?;
        if self.common.is_marked() {
            shm::put_mark(file.as_fd());
        }
        match sys::fcntl::allocate(file.as_fd(), 0, FILE_SIZE, AllocatedSize::Grow) {
            Err(Errno::OPNOTSUPP) => sys::unistd::truncate(file.as_fd(), FILE_SIZE)?,
            allocated => allocated?,
        }
        let stat = sys::stat::of(file.as_fd())?;
        Ok((file, stat))
    }
}

impl Opening for OpeningRobust {
    type Handle = RobustFile;

    fn link(&mut self, name: &Name, existence: Existence) -> Result<Linked<RobustFile>> {
        let Some(file) = shm::open(name, OpenMode::ReadWrite)? else { return Ok(Linked::Missing) };
        match shm::link(name, file.as_fd(), existence == Existence::LinkOrCreate)? {
            Part::Taken(stat) => {
                let handle = self.handle(name, file, &stat, false);
                // Who has taken part leaves as the others do.
                handle.map(Linked::Handle).inspect_err(|_| self.common.give_up(name, &stat))
            }
            Part::Again(refused) => Ok(Linked::Contended(refused)),
        }
    }

    fn prepare(&mut self, name: &Name, _: Existence) -> Result<()> {
        let fail = |errno| shm::build_error(name, errno, FILE_SIZE);
        let (file, stat) = self.build().map_err(fail)?;
        self.unnamed = Some(self.handle(name, file, &stat, true)?);
        Ok(())
    }

    fn publish(&mut self, name: &Name, _: Existence) -> Result<Option<RobustFile>> {
        match self.unnamed.take() {
            Some(handle) if handle.publish(name)? => Ok(Some(handle)),
            unnamed => {
                self.unnamed = unnamed;
                Ok(None)
            }
        }
    }
}
