//! The name and identity of an opened object, and who unlinks what when it is dropped.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::left;
use crate::error::{Error, Operation, Result};
use crate::home::{self, Home, Removal, usage};
use crate::name::Name;
use crate::sys::{self, Errno, Identity, Stat};

/// Removes a name without a handle to what has it: also what cannot be opened.
///
/// Handles that are open go on working. Source:
/// [sem_unlink(3)](https://man7.org/linux/man-pages/man3/sem_unlink.3.html),
/// [shm_unlink(3)](https://man7.org/linux/man-pages/man3/shm_unlink.3.html),
/// [mq_unlink(3)](https://man7.org/linux/man-pages/man3/mq_unlink.3.html).
///
/// ```
/// use nob_ipc::{ErrorKind, Kind, Name, unlink};
///
/// let name = Name::new(Kind::SharedMemory, "/nob-ipc-doc-unlink")?;
/// assert_eq!(unlink(&name).unwrap_err().kind(), ErrorKind::NotFound);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
///
/// # Errors
///
/// [`NotFound`](crate::ErrorKind::NotFound) if nothing has the name,
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it is not this user's to remove,
/// [`Busy`](crate::ErrorKind::Busy) if another process keeps an exclusive lock on it.
#[doc(alias = "sem_unlink")]
#[doc(alias = "shm_unlink")]
#[doc(alias = "mq_unlink")]
pub fn unlink(name: &Name) -> Result<()> {
    let fail = |errno| Error::from_errno(Operation::Unlink, name, errno);
    match home::of(name).remove(name).map_err(fail)? {
        Removal::Gone => Err(fail(Errno::NOENT)),
        Removal::Locked => Err(locked(name)),
        _ => Ok(()),
    }
}

/// Somebody keeps an exclusive lock on what has the name.
pub(crate) fn locked(name: &Name) -> Error {
    match home::of(name).open(name).and_then(|fresh| fresh.stat()) {
        Ok(stat) => usage::locked(Operation::Unlink, name, stat.identity.file),
        Err(errno) => Error::from_errno(Operation::Unlink, name, errno),
    }
}

/// A number that differs between a process and each child that it forks.
#[must_use]
pub fn fork_generation() -> u64 {
    sys::fork::generation()
}

/// How long the name of an object lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// As long as somebody uses the object: the name goes with the last handle, in whatever process. What
    /// [`LinkOrCreate`](crate::Existence::LinkOrCreate) creates is shared, unless told otherwise.
    Shared,
    /// As long as this handle: its deletion removes the name, whoever uses the object.
    Owned,
    /// Until somebody removes it: not this handle.
    Kept,
}

const SHARED: u8 = 0;
const OWNED: u8 = 1;
const KEPT: u8 = 2;

impl Lifetime {
    /// What a handle has: `asked` by the program, or else by what the object is.
    pub(crate) fn of_handle(asked: Option<bool>, created: bool, shared: bool) -> Lifetime {
        match asked {
            Some(true) => Lifetime::Owned,
            None if shared => Lifetime::Shared,
            None if created => Lifetime::Owned,
            Some(false) | None => Lifetime::Kept,
        }
    }

    fn code(self) -> u8 {
        match self {
            Lifetime::Shared => SHARED,
            Lifetime::Owned => OWNED,
            Lifetime::Kept => KEPT,
        }
    }
}

/// What deleting a handle did to the name of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deletion {
    /// Nothing: this handle does not remove the name, or did so before.
    NotDue,
    /// It removed the name.
    Unlinked,
    /// It left the name of a shared object, which others use or may alone remove.
    InUse,
    /// It found no name to remove: that is gone, or another object's, or may not be looked at.
    Gone,
}

/// The name and identity of an opened object, and who unlinks it.
///
/// Each handle shares one with whoever asks for it. When the last of them is dropped, the name is
/// removed as its [`Lifetime`] says. Only the object that was opened is removed: its identity is compared
/// immediately before, under a lock that those who link take as well. A forked child never removes what
/// its parent's handles own.
#[derive(Debug)]
pub struct Ownership {
    name: Name,
    identity: Identity,
    owner: u32,
    created: bool,
    /// Whether the object was shared when it was opened.
    shared: bool,
    /// The fork generation in which the handle is an owner.
    generation: AtomicU64,
    lifetime: AtomicU8,
    deleted: AtomicBool,
    /// Whether opening removed what killed processes had left behind.
    replaced: AtomicBool,
}

impl Ownership {
    /// A new object carries its creator's mark already, from before it was visible.
    pub(crate) fn new(name: &Name, stat: &Stat, created: bool, lifetime: Lifetime) -> Ownership {
        let ownership = Ownership {
            name: name.clone(),
            identity: stat.identity,
            owner: stat.owner,
            created,
            shared: stat.is_shared(),
            generation: AtomicU64::new(sys::fork::generation()),
            lifetime: AtomicU8::new(lifetime.code()),
            deleted: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
        };
        if lifetime == Lifetime::Owned && !created {
            ownership.home().mark(name, stat.identity);
        }
        ownership
    }

    /// The name that the object was opened by.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether this handle created the object; otherwise it linked to it.
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }

    /// Whether opening it with [`LinkOrCreate`](crate::Existence::LinkOrCreate) removed what killed
    /// processes had left behind under this name.
    #[must_use]
    pub fn replaced_left_behind(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    pub(crate) fn note_replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// How long the name lives, as far as this handle is concerned.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        match self.lifetime.load(Ordering::Relaxed) {
            SHARED => Lifetime::Shared,
            OWNED => Lifetime::Owned,
            _ => Lifetime::Kept,
        }
    }

    /// Whether dropping the handle can remove the name: it is owned or shared.
    #[must_use]
    pub fn unlink_on_drop(&self) -> bool {
        self.lifetime() != Lifetime::Kept
    }

    /// Says whether the name is to be removed on drop, and writes or removes the creator's mark
    /// accordingly.
    ///
    /// `false` keeps the object for good, also a shared one. `true` makes it this handle's own; a handle
    /// that shares it shares it still. In a forked child `true` makes the child an owner, besides its
    /// parent.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for a shared object of another
    /// user. Nothing has changed then.
    pub fn set_unlink_on_drop(&self, unlink: bool) -> Result<()> {
        // What is gone needs neither.
        if self.deleted.load(Ordering::Relaxed) && self.lifetime() != Lifetime::Shared {
            self.lifetime.store(if unlink { OWNED } else { KEPT }, Ordering::Relaxed);
            return Ok(());
        }
        match (self.lifetime(), unlink) {
            (Lifetime::Shared, true) => Ok(()),
            (Lifetime::Kept, false) => {
                self.end_sharing()?;
                // What another handle of this process owns is left to it.
                self.home().unmark(&self.name, self.identity, false);
                Ok(())
            }
            (Lifetime::Owned, true) if self.is_ours() => Ok(()),
            (Lifetime::Owned | Lifetime::Kept, true) => {
                self.end_sharing()?;
                self.home().mark(&self.name, self.identity);
                self.generation.store(sys::fork::generation(), Ordering::Relaxed);
                self.lifetime.store(OWNED, Ordering::Relaxed);
                Ok(())
            }
            (Lifetime::Owned | Lifetime::Shared, false) => {
                self.end_sharing()?;
                // A forked child does not speak for its parent.
                if self.is_ours() {
                    self.home().unmark(&self.name, self.identity, true);
                }
                self.lifetime.store(KEPT, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Gives up owning the name of an object that could not be opened as asked; one that is shared is
    /// left as the others leave it.
    pub(crate) fn disown(&self) {
        if self.lifetime() == Lifetime::Owned {
            self.home().unmark(&self.name, self.identity, true);
            self.lifetime.store(KEPT, Ordering::Relaxed);
        }
    }

    /// The object is shared no more.
    fn end_sharing(&self) -> Result<()> {
        if !self.shared {
            return Ok(());
        }
        match self.home().end_sharing(&self.name, self.identity) {
            // What is gone is shared by nobody who comes.
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::from_errno(Operation::Configure, &self.name, errno)),
        }
    }

    /// Whether the handle is an owner in this process, and not in one that forked it.
    fn is_ours(&self) -> bool {
        self.generation.load(Ordering::Relaxed) == sys::fork::generation()
    }

    /// Whether deletion in this process may remove the name.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let due = match self.lifetime() {
            Lifetime::Shared => true,
            Lifetime::Owned => self.is_ours(),
            Lifetime::Kept => false,
        };
        due && !self.deleted.load(Ordering::Relaxed)
    }

    /// Whether the name leads to another object now, or to none: those who link by it do not reach this
    /// object.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if what has the name may not be
    /// looked at.
    pub fn is_stale(&self) -> Result<bool> {
        match self.home().current(&self.name, self.identity) {
            Ok(identity) => Ok(identity != self.identity),
            Err(Errno::NOENT) => Ok(true),
            Err(errno) => Err(Error::from_errno(Operation::Inspect, &self.name, errno)),
        }
    }

    /// Removes the name now, whoever uses the object. Handles that are open go on working.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if nothing has the name any more,
    /// [`Replaced`](crate::ErrorKind::Replaced) if another object has it now (both with errno
    /// `ENOENT`), [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it is not this user's
    /// to remove, [`Busy`](crate::ErrorKind::Busy) if another process keeps an exclusive lock on
    /// it.
    pub fn unlink(&self) -> Result<()> {
        let fail = |errno| Error::from_errno(Operation::Unlink, &self.name, errno);
        match self.unlink_if(usage::BORNE).map_err(fail)? {
            Removal::Removed | Removal::InUse => {}
            Removal::Gone => return Err(fail(Errno::NOENT)),
            Removal::Replaced => return Err(Error::replaced(&self.name)),
            Removal::Locked => return Err(locked(&self.name)),
            // Without the right to look, the right to unlink still decides; deletion does not go so far.
            Removal::Unverifiable => {
                self.home().unlink(&self.name).map_err(fail)?;
                self.home().forget(self.identity, self.owner);
            }
        }
        // There is nothing left for deletion to do.
        self.deleted.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Does what dropping does, once: removes the name if that is [due](Ownership::is_due). That it is
    /// gone, or another's, is no error here; nor is it that others use a shared object, this process by
    /// a handle or mapping that is still open included.
    ///
    /// # Errors
    ///
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied), or what else the system says when
    /// it refuses to unlink.
    pub fn delete(&self) -> Result<Deletion> {
        self.delete_once()
    }

    /// Deletes while the handle may still use a shared object itself, by a mapping or by a call in another
    /// thread: dropping it tries again.
    ///
    /// # Errors
    ///
    /// As [`delete`](Ownership::delete).
    pub fn delete_early(&self) -> Result<Deletion> {
        let deletion = self.delete_once()?;
        if self.lifetime() == Lifetime::Shared && deletion == Deletion::InUse {
            self.deleted.store(false, Ordering::Relaxed);
        }
        Ok(deletion)
    }

    /// Removes the name, if that is due; nothing if it is not.
    fn delete_once(&self) -> Result<Deletion> {
        if !self.is_due() || self.deleted.swap(true, Ordering::Relaxed) {
            return Ok(Deletion::NotDue);
        }
        let fail = |errno| Error::from_errno(Operation::Unlink, &self.name, errno);
        let removed = match self.lifetime() {
            Lifetime::Shared => self.leave().map_err(fail),
            Lifetime::Owned | Lifetime::Kept => match self.unlink_if(usage::LOOK) {
                Ok(Removal::Locked) => Err(locked(&self.name)),
                removed => removed.map_err(fail),
            },
        };
        match removed {
            // What is kept beside the object goes with it.
            Ok(Removal::Gone | Removal::Replaced) => self.home().forget(self.identity, self.owner),
            Ok(_) => {}
            Err(_) => self.deleted.store(false, Ordering::Relaxed),
        }
        removed.map(|removal| match removal {
            Removal::Removed => Deletion::Unlinked,
            Removal::InUse | Removal::Locked => Deletion::InUse,
            Removal::Gone | Removal::Replaced | Removal::Unverifiable => Deletion::Gone,
        })
    }

    /// Removes the name of a shared object if nobody uses it any more.
    fn leave(&self) -> sys::Result<Removal> {
        let removal = match left::remove_if_unused(&self.name, self.identity, self.owner) {
            // Whoever may not remove the name leaves it to those who may.
            Err(Errno::ACCES | Errno::PERM) => return Ok(Removal::InUse),
            Err(errno) => {
                left::remember(&self.name, self.identity, self.owner);
                return Err(errno);
            }
            Ok(removal) => removal,
        };
        if matches!(removal, Removal::InUse | Removal::Locked) {
            if self.created && self.is_ours() {
                // While the creator's mark stands, what killed processes leave is not told from what he
                // will remove.
                self.home().unmark(&self.name, self.identity, true);
            }
            left::remember(&self.name, self.identity, self.owner);
        }
        Ok(removal)
    }

    fn unlink_if(&self, limit: Duration) -> sys::Result<Removal> {
        self.home().unlink_if(&self.name, self.identity, self.owner, limit)
    }

    fn home(&self) -> &'static dyn Home {
        home::of(&self.name)
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // Whoever wants to know calls `delete` before; a destructor has nobody to tell.
        let _ = self.delete();
    }
}
