//! A handle to a file: its slot, its mapping and its descriptor.

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::header::{Content, Header, SLOTS};
use super::life::{self, Claim, Life};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::shm;
use crate::name::Name;
use crate::object::ownership::Ownership;
use crate::sys::mman::Mapped;
use crate::sys::{self, Errno, Identity, OpenMode, Stat};

/// A handle to a file of this format. Dropping it leaves to others what it has.
#[derive(Debug)]
pub(crate) struct RobustFile<T: Content = Header> {
    /// The life byte falls before the rest goes.
    life: Life,
    /// The description of the first slot's life byte, if it is to be handed on.
    inheritable: Option<(u32, Kept)>,
    content: Mapped<T>,
    rest: T::Rest,
    kept: Kept,
    permits: u32,
    ownership: Arc<Ownership>,
}

/// A file that was opened, checked and mapped.
pub(super) struct Object<T: Content> {
    /// By which the handle takes part in the use of it.
    pub file: OwnedFd,
    pub content: Mapped<T>,
    pub rest: T::Rest,
    pub permits: u32,
}

/// The descriptor by which a handle takes part in the use of its object. Daemons close descriptors that
/// they do not know, and the number becomes another file's: so it is compared before it is used.
#[derive(Debug)]
struct Kept {
    /// There until this is dropped.
    file: Option<OwnedFd>,
    identity: Identity,
    size: u64,
}

impl Kept {
    /// The descriptor, and what it leads to; `None` if the number is not ours any more.
    fn borrow(&self) -> sys::Result<Option<(BorrowedFd<'_>, Stat)>> {
        let Some(file) = self.file.as_ref().map(AsFd::as_fd) else { return Ok(None) };
        match sys::stat::of(file) {
            Ok(stat) => Ok((stat.identity == self.identity).then_some((file, stat))),
            Err(Errno::BADF) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens the file afresh.
    fn reopen(&self, name: &Name) -> sys::Result<OwnedFd> {
        let by_name = || sys::fcntl::open(&name.path(), OpenMode::ReadWrite);
        let fresh = match self.borrow()? {
            Some((file, _)) => match sys::fcntl::reopen(file, OpenMode::ReadWrite) {
                // Where there is no /proc.
                Err(Errno::NOENT) => by_name()?,
                fresh => fresh?,
            },
            None => by_name()?,
        };
        let stat = sys::stat::of(fresh.as_fd())?;
        if stat.identity != self.identity {
            return Err(Errno::BADF);
        }
        if stat.size == self.size { Ok(fresh) } else { Err(Errno::UCLEAN) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Ok(None) = self.borrow()
            && let Some(file) = self.file.take()
        {
            // The number is not ours to close.
            let _ = file.into_raw_fd();
        }
    }
}

impl<T: Content> RobustFile<T> {
    /// The handle to a file that was opened, checked and mapped.
    /// `inheritable`: whether its life can be handed on.
    /// `own`: makes the ownership, when nothing can fail any more.
    pub(super) fn new(
        object: Object<T>,
        name: &Name,
        stat: &Stat,
        operation: Operation,
        inheritable: bool,
        own: impl FnOnce() -> Arc<Ownership>,
    ) -> Result<RobustFile<T>> {
        let Object { file, content, rest, permits } = object;
        let (identity, size) = (stat.identity, stat.size);
        let kept = Kept { file: Some(file), identity, size };
        let mut claim = claim(&*content, &kept, name, inheritable, operation)?;
        let file = claim.file.take();
        let inheritable = file.map(|file| (claim.slot, Kept { file: Some(file), identity, size }));
        Ok(RobustFile {
            life: Life::new(claim),
            inheritable,
            content,
            rest,
            kept,
            permits,
            ownership: own(),
        })
    }

    /// Gives a file without a name its name; `false` if it is taken.
    pub(super) fn publish(&self, name: &Name) -> Result<bool> {
        match &self.kept.file {
            Some(file) => shm::publish(file.as_fd(), name),
            None => Ok(false),
        }
    }

    pub(crate) fn header(&self) -> &Header {
        self.content.header()
    }

    #[inline]
    pub(crate) fn content(&self) -> &T {
        &self.content
    }

    /// What is mapped besides.
    #[inline]
    pub(crate) fn rest(&self) -> &T::Rest {
        &self.rest
    }

    /// The file, to map more of it.
    pub(crate) fn fresh(&self, operation: Operation) -> Result<OwnedFd> {
        let fresh = self.kept.reopen(self.name());
        fresh.map_err(|errno| refused(operation, self.name(), errno))
    }

    pub(crate) fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    pub(crate) fn name(&self) -> &Name {
        self.ownership.name()
    }

    /// How many permits there are, as the file said when it was opened.
    pub(crate) fn permits(&self) -> u32 {
        self.permits
    }

    /// The slot of this handle; `None` in a forked child that has not needed one yet, and so has nothing.
    #[inline]
    pub(crate) fn own_slot(&self) -> Option<u32> {
        self.life.slot()
    }

    /// The slot of this handle, to take something with.
    #[inline]
    pub(crate) fn slot(&self, operation: Operation) -> Result<u32> {
        match self.life.slot() {
            Some(slot) => Ok(slot),
            None => self.claim_in_child(operation),
        }
    }

    #[cold]
    fn claim_in_child(&self, operation: Operation) -> Result<u32> {
        let claim = claim(&*self.content, &self.kept, self.name(), false, operation)?;
        self.life.renew(claim).map_err(|errno| Error::from_errno(operation, self.name(), errno))
    }

    /// The descriptor that keeps this handle alive, if there is one; `None` in a forked child.
    pub(crate) fn life(&self) -> Option<BorrowedFd<'_>> {
        let (slot, kept) = self.inheritable.as_ref()?;
        let (file, _) = kept.borrow().ok().flatten()?;
        (self.own_slot() == Some(*slot)).then_some(file)
    }

    /// Whether the handle of a slot lives.
    pub(crate) fn is_alive(&self, slot: u32, operation: Operation) -> Result<bool> {
        if self.own_slot() == Some(slot) {
            return Ok(true);
        }
        let alive = match self.kept.borrow() {
            Ok(Some((_, stat))) if stat.size != self.kept.size => Err(Errno::UCLEAN),
            Ok(Some((file, _))) => life::is_alive(file, slot),
            Ok(None) => {
                self.kept.reopen(self.name()).and_then(|fresh| life::is_alive(fresh.as_fd(), slot))
            }
            Err(errno) => Err(errno),
        };
        alive.map_err(|errno| refused(operation, self.name(), errno))
    }

    /// Works while nobody can get a slot, if its handle is dead.
    pub(crate) fn while_dead<R>(
        &self,
        slot: u32,
        operation: Operation,
        work: impl FnOnce() -> R,
    ) -> Result<Option<R>> {
        let fresh = self.fresh(operation)?;
        life::while_dead(&fresh, slot, work).map_err(|errno| refused(operation, self.name(), errno))
    }

    /// Leaves to others what this handle has.
    pub(crate) fn abandon(&self) {
        if let Some(slot) = self.own_slot() {
            self.content.give_up(slot);
        }
    }

    /// Notes, for people, that a thread of this handle is about to sleep.
    pub(crate) fn note_sleeper(&self, slot: u32) -> Asleep<'_> {
        let waiting = self.header().slots.get(slot as usize).map(|slot| &slot.waiting);
        if let Some(waiting) = waiting {
            waiting.fetch_add(1, Ordering::Relaxed);
        }
        Asleep { waiting }
    }

    /// The process of a slot, as it calls itself.
    pub(crate) fn pid(&self, slot: u32) -> Option<u32> {
        Some(self.header().slots.get(slot as usize)?.pid.load(Ordering::Relaxed))
    }
}

impl<T: Content> Drop for RobustFile<T> {
    fn drop(&mut self) {
        self.abandon();
        if let (Some(slot), Some(file)) = (self.own_slot(), self.life()) {
            // Others may have the description; nothing is left that it could keep. Where that fails, the slot
            // is free when they have closed it.
            let _ = life::end(file, slot);
        }
    }
}

/// As long as a thread sleeps.
pub(crate) struct Asleep<'a> {
    waiting: Option<&'a std::sync::atomic::AtomicU32>,
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting {
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Gets a slot, and gives up what a dead handle had by it.
fn claim<T: Content>(
    content: &T,
    kept: &Kept,
    name: &Name,
    inheritable: bool,
    operation: Operation,
) -> Result<Claim> {
    let header = content.header();
    let claim = life::claim(header, || kept.reopen(name), inheritable)
        .map_err(|errno| refused(operation, name, errno))?
        .ok_or_else(|| too_many_handles(operation, name))?;
    content.give_up(claim.slot);
    if let Some(slot) = header.slots.get(claim.slot as usize) {
        slot.waiting.store(0, Ordering::Relaxed);
        slot.pid.store(std::process::id(), Ordering::Relaxed);
    }
    Ok(claim)
}

#[cold]
fn too_many_handles(operation: Operation, name: &Name) -> Error {
    let why = format!(
        "all of its {SLOTS} slots are in use, one by each handle that is open; close some, or share one \
         handle among the threads of a process"
    );
    Error::new(operation, name, ErrorKind::TooManyHandles, Some(Errno::MFILE), why)
}

#[cold]
fn refused(operation: Operation, name: &Name, errno: Errno) -> Error {
    let (kind, why) = match errno {
        Errno::UCLEAN => (
            ErrorKind::Corrupt,
            "somebody has changed the size of its file; unlink it and create it anew",
        ),
        Errno::BADF | Errno::NOENT => (
            ErrorKind::Other,
            "its descriptor was closed by others, and its name leads elsewhere, so the file cannot be \
             opened afresh; open it with a new handle",
        ),
        Errno::ACCES if operation == Operation::Create => (
            ErrorKind::PermissionDenied,
            "its mode, less the umask, must let this user both read and write its file; give another \
             mode",
        ),
        Errno::ACCES => (
            ErrorKind::PermissionDenied,
            "this user may not both read and write its file, as each handle must; ask the owner for a \
             wider mode",
        ),
        Errno::NOMEM => return Error::map_failed(operation, name, errno),
        errno => return Error::from_errno(operation, name, errno),
    };
    Error::new(operation, name, kind, Some(errno), why)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::kind::Kind;
    use crate::object::Reservation;
    use crate::object::existence::Existence;
    use crate::object::options::Common;
    use crate::robust::header::FILE_SIZE;
    use crate::robust::{self, New};

    /// A program that has inherited the descriptor of a handle keeps it from dying, but not from ending.
    #[test]
    fn a_copy_keeps_a_handle_alive_until_it_is_dropped() {
        let name = Name::random(Kind::Lock).expect("random bytes");
        let common = Common { existence: Existence::Create, ..Common::new() };
        let open = |common, inheritable| {
            let new = New {
                size: FILE_SIZE,
                permits: 0,
                reservation: Reservation::Reserved,
                inheritable,
                fill: &|_: &Header| (),
                on_step: &mut || ControlFlow::Continue(()),
            };
            robust::open(Kind::Lock, &name, common, new)
        };
        let handle = open(common, true).expect("a new lock");
        let other = open(Common::new(), false);
        let other = other.expect("it is there");
        assert!(other.life().is_none());
        let slot = handle.own_slot().expect("this is no child");
        let lives = || other.is_alive(slot, Operation::Inspect).expect("it can be told");
        let copy = handle.life().expect("it is inheritable").try_clone_to_owned();
        let copy = copy.expect("there are descriptors");
        assert!(lives());
        drop(handle);
        assert!(!lives());
        drop(copy);
    }
}
