//! One object, and what can be said of it.

use std::time::{Duration, SystemTime};

use super::creator::Creator;
use super::measure::{Content, Measure};
use crate::error::{Error, Operation, Result};
use crate::home::usage::{self, Fresh};
use crate::home::{self, Found, Marked, Removal};
use crate::kind::{Kind, Place};
use crate::name::Name;
use crate::object::ownership;
use crate::sys::{self, Errno, Identity, Stat, UnlinkedFile};

/// A process that has an object open or mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its number in the pid namespace of this process.
    pub pid: u32,
    /// What the kernel calls it: the first 15 bytes of the program's name, or what it chose itself.
    pub command: Vec<u8>,
}

impl Holder {
    pub(super) fn new(pid: u32, command: Vec<u8>) -> Holder {
        Holder { pid, command }
    }
}

/// An object that has lost its name, and that processes still hold: nobody can link to it, and it takes
/// memory until the last of them lets go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unlinked {
    /// The name that it had.
    pub name: Name,
    /// The bytes of its file, where somebody has it open: of a segment its size.
    pub size: Option<u64>,
    /// The processes that are known to hold it.
    pub holders: Vec<Holder>,
}

impl Unlinked {
    pub(super) fn new(place: Place, lost: &UnlinkedFile) -> Option<Unlinked> {
        let (kind, bare) = Kind::of_file(place, &lost.name)?;
        let name = Name::new(kind, sys::records::os_str(bare)).ok()?;
        Some(Unlinked { name, size: lost.size, holders: Vec::new() })
    }
}

/// What an object is to those who clean up, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Its creator was due to unlink it and is dead.
    Orphan,
    /// At least one process holds it.
    InUse,
    /// Nobody holds it, and its creator, who is due to unlink it, lives.
    Awaited,
    /// Nobody holds it, and nobody is due to unlink it.
    Unused,
    /// Not all that would have to be known may be looked at.
    Unknown,
}

/// An object that exists, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Object {
    name: Name,
    stat: Stat,
    measure: Measure,
    is_damaged: bool,
    /// Whether a semaphore has the value that it was made with, and a lock has nothing to tell.
    at_rest: bool,
    creator: Creator,
    owners: Vec<u32>,
    pub(super) used: Option<bool>,
    pub(super) holders: Vec<Holder>,
    pub(super) unseen: usize,
}

impl Object {
    pub(super) fn new(found: Found) -> Object {
        let Content { measure, is_damaged, at_rest, owners } = Content::of(&found);
        let Found { name, stat, mark, used, .. } = found;
        let creator = Creator::from(&mark);
        let holders = Vec::new();
        let unseen = 0;
        Object { name, stat, measure, is_damaged, at_rest, creator, owners, used, holders, unseen }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.name.kind()
    }

    /// The user whom it belongs to.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.stat.owner
    }

    /// The group that it belongs to.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.stat.group
    }

    /// Its permission bits.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.stat.permissions & 0o777
    }

    /// When it was created, where the system keeps that (not for queues).
    #[must_use]
    pub fn created(&self) -> Option<SystemTime> {
        self.stat.identity.created
    }

    /// When it last changed: the content by a system call (which writing to mapped memory is not), or
    /// the attributes. Sending and receiving changes a queue.
    #[must_use]
    pub fn changed(&self) -> SystemTime {
        self.stat.changed
    }

    /// How long it has been there, or has not changed where that alone is known.
    #[must_use]
    pub fn age(&self) -> Duration {
        since(self.created().unwrap_or(self.changed()))
    }

    /// How long it has neither [changed](Object::changed) nor been mapped or read, as far as the file
    /// system notes that: once a day is usual. Use of a mapping is not noted at all.
    #[must_use]
    pub fn idle(&self) -> Duration {
        let last = self.changed().max(self.stat.accessed);
        since(self.created().map_or(last, |created| created.max(last)))
    }

    /// Whether a semaphore has the value that it was made with, so that nobody has a permit, and a lock has
    /// no death to tell of; true of the other kinds.
    pub(super) fn is_at_rest(&self) -> bool {
        self.at_rest
    }

    /// Value, size or messages.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Whether its file could be read, and is not what a file of its kind is: too short, scribbled over, or
    /// of another version of the format. Its [measure](Object::measure) is not known then.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// The processes whose living handles have the lock, or permits of the bounded semaphore, as they call
    /// themselves, one for each permit; none of the other kinds.
    #[must_use]
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// Who made it, if that one is due to unlink it.
    #[must_use]
    pub fn creator(&self) -> Creator {
        self.creator
    }

    /// The processes that are known to hold it, by pid.
    #[must_use]
    pub fn holders(&self) -> &[Holder] {
        &self.holders
    }

    /// How many processes could hold it besides, but may not be looked at: those of its owner and of
    /// anyone whom its mode admits. Root's are not counted.
    #[must_use]
    pub fn unseen(&self) -> usize {
        self.unseen
    }

    /// Device and inode number: what tells it from another object of the same name.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        (self.stat.identity.file.device, self.stat.identity.file.inode)
    }

    pub(crate) fn system_identity(&self) -> Identity {
        self.stat.identity
    }

    /// Whether it is shared: its name lives as long as somebody uses it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.stat.is_shared()
    }

    /// Whether a handle of this crate uses it, in whatever pid namespace; `None`: that cannot be told.
    /// Programs that call the C library are among the [holders](Object::holders) alone.
    #[must_use]
    pub fn used(&self) -> Option<bool> {
        self.used
    }

    /// Whether it was left behind: its creator, who owned its name, is dead; or it is shared, nobody
    /// uses it, and no creator lives who will remove it. `None`: that cannot be told.
    #[must_use]
    pub fn orphan(&self) -> Option<bool> {
        let creator_lives = match self.creator {
            Creator::Unmarked => None,
            Creator::Unreadable => Some(None),
            Creator::Process { alive, .. } => Some(alive),
        };
        if self.is_shared() {
            return self.used.map(|used| !used && creator_lives != Some(Some(true)));
        }
        creator_lives.map_or(Some(false), |lives| lives.map(|lives| !lives))
    }

    /// All of that in one word.
    #[must_use]
    pub fn state(&self) -> State {
        match (self.orphan(), self.creator()) {
            (Some(true), _) => State::Orphan,
            _ if self.is_held() => State::InUse,
            (None, _) => State::Unknown,
            (Some(false), Creator::Process { .. }) => State::Awaited,
            _ if self.unseen > 0 => State::Unknown,
            _ => State::Unused,
        }
    }

    /// Whether anybody holds it, as far as is known.
    pub(super) fn is_held(&self) -> bool {
        self.used == Some(true) || !self.holders.is_empty()
    }

    /// Removes the name, if this very object still has it, whoever uses it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) if nothing has the name any more,
    /// [`Replaced`](crate::ErrorKind::Replaced) if another object has it now,
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it is not this user's to remove,
    /// [`Busy`](crate::ErrorKind::Busy) if another process keeps an exclusive lock on it.
    pub fn unlink(&self) -> Result<()> {
        let fail = |errno| Error::from_errno(Operation::Unlink, &self.name, errno);
        let home = home::of(&self.name);
        match home
            .unlink_if(&self.name, self.stat.identity, self.stat.owner, usage::BORNE)
            .map_err(fail)?
        {
            Removal::Removed | Removal::InUse => Ok(()),
            Removal::Gone => Err(fail(Errno::NOENT)),
            Removal::Replaced => Err(Error::replaced(&self.name)),
            Removal::Unverifiable => Err(fail(Errno::ACCES)),
            Removal::Locked => Err(ownership::locked(&self.name)),
        }
    }

    /// Removes the name if this very object still has it, nobody uses it, and it is what it was when it was
    /// judged: all of that is looked at again when nobody can link to it. Whoever has adopted it meanwhile
    /// has changed its mark, or ended the sharing.
    pub(super) fn unlink_if_left(&self) -> Result<Removal> {
        let home = home::of(&self.name);
        let left = |fresh: &Fresh| {
            let is_left = match home.mark_of(&self.name, fresh) {
                mark if self.is_shared() => !mark.is_of_living(),
                Marked::By(mark) => {
                    mark.is_alive() == Some(false) && self.creator() != Creator::Unmarked
                }
                Marked::Unmarked => self.creator() == Creator::Unmarked,
                Marked::Unreadable => false,
            };
            is_left && fresh.stat().is_ok_and(|stat| stat.is_shared() == self.is_shared())
        };
        home.unlink_if_unused(&self.name, self.stat.identity, self.stat.owner, &left)
            .map_err(|errno| Error::from_errno(Operation::Unlink, &self.name, errno))
    }
}

/// A time in the future, by a wall clock that was set back, is now.
fn since(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::find;
    use crate::{Existence, Semaphore};

    /// Between the look and the removal somebody may link to it, keep it and close it.
    #[test]
    fn what_was_adopted_meanwhile_is_not_removed() {
        let name = Name::random(Kind::Semaphore).expect("random bytes");
        let mut options = Semaphore::options();
        let shared = options.existence(Existence::LinkOrCreate).open_named(&name);
        let shared = shared.expect("a new semaphore");
        let found = find(&name).expect("it is there");
        assert_eq!(found.unlink_if_left().expect("it is ours"), Removal::InUse);
        shared.ownership().set_unlink_on_drop(false).expect("it is ours");
        drop(shared);
        assert_eq!(found.unlink_if_left().expect("it is ours"), Removal::InUse);
        let found = find(&name).expect("it was kept");
        assert_eq!(found.unlink_if_left().expect("it is ours"), Removal::Removed);
        assert_eq!(found.unlink_if_left().expect("it is ours"), Removal::Gone);
    }
}
