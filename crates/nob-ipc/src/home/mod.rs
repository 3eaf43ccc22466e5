//! Where named objects live: one file or folder for each place, behind one trait.

pub(crate) mod mark;
pub(crate) mod mqueue;
pub(crate) mod shm;

use crate::name::{Kind, Name, Place};
use crate::sys::{self, Errno, Identity, QueueState, Stat};
use mark::Mark;

/// What became of a name that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    Removed,
    /// Nothing has the name.
    Gone,
    /// Another object has the name; it is left alone.
    Replaced,
    /// What has the name may not be looked at; it is left alone.
    Unverifiable,
}

/// An object as its home shows it.
#[derive(Debug)]
pub(crate) struct Found {
    pub name: Name,
    pub stat: Stat,
    pub content: Content,
    pub mark: Marked,
}

/// What an object holds; `None` inside: this user may not look, or could not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// The value of a semaphore.
    Value(Option<u32>),
    /// The bytes of a segment, as `Stat` tells.
    Bytes,
    /// The messages of a queue.
    Messages(Option<QueueState>),
}

/// The creator's mark as it was found.
#[derive(Clone, Debug)]
pub(crate) enum Marked {
    Unmarked,
    /// It may not be read, could not be, or is none.
    Unreadable,
    By(Mark),
}

/// Whether a list has all objects of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// All of this IPC namespace.
    All,
    /// Only those of which this user has a record: no `mqueue` file system is mounted at
    /// `/dev/mqueue`, and this process may not mount one.
    Recorded,
}

/// A place where named objects live.
pub(crate) trait Home: Sync {
    /// What has the name at this moment. `expected` is what it will be compared with: a place that has
    /// several views of its objects takes the one that could show that object.
    fn identity(&self, name: &Name, expected: Identity) -> sys::Result<Identity>;

    /// Whether the name is taken, where that can be told cheaply.
    fn is_taken(&self, name: &Name) -> bool;

    /// Removes the name and nothing else.
    fn unlink(&self, name: &Name) -> sys::Result<()>;

    /// Removes the name, whatever has it, and what is kept beside the object.
    fn remove(&self, name: &Name) -> sys::Result<()>;

    /// Marks an object as owned by this process, in place of a dead creator's mark.
    fn mark(&self, name: &Name, identity: Identity);

    /// Removes the mark if it is this process's own, or a dead creator's.
    fn unmark(&self, name: &Name, identity: Identity);

    /// The object is gone: removes what is kept beside it. `owner`: the user whom it belonged to.
    fn forget(&self, identity: Identity, owner: u32);

    /// One object; `None` if what has the name is none.
    fn find(&self, name: &Name) -> sys::Result<Option<Found>>;

    /// All objects of these kinds. What cannot be read is listed as that.
    fn list(&self, kinds: &[Kind]) -> sys::Result<(Vec<Found>, Coverage)>;

    /// Removes what is kept beside objects that are gone.
    fn forget_gone(&self);

    /// Removes the name if this very object has it. The one place where a name is compared and
    /// unlinked. Linux cannot do both in one step: a name that changes hands in the microseconds
    /// between is lost.
    fn unlink_if(&self, name: &Name, is: Identity, owner: u32) -> sys::Result<Removal> {
        match self.identity(name, is) {
            Ok(found) if found == is => {}
            Ok(_) => return Ok(Removal::Replaced),
            Err(Errno::NOENT) => return Ok(Removal::Gone),
            Err(Errno::ACCES) => return Ok(Removal::Unverifiable),
            Err(errno) => return Err(errno),
        }
        match self.unlink(name) {
            Ok(()) => {
                self.forget(is, owner);
                Ok(Removal::Removed)
            }
            Err(Errno::NOENT) => Ok(Removal::Gone),
            Err(errno) => Err(errno),
        }
    }
}

/// The home of a place.
pub(crate) fn at(place: Place) -> &'static dyn Home {
    match place {
        Place::Shm => &shm::Shm,
        Place::Mqueue => &mqueue::Mqueue,
    }
}

/// The home of what a name names.
pub(crate) fn of(name: &Name) -> &'static dyn Home {
    at(name.kind().place())
}
