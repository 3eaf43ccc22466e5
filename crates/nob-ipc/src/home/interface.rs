//! What every place does for the objects that live in it, and how a name is removed, wherever it is.

use std::time::Duration;

use super::mark::Mark;
use super::usage::{self, Fresh, Locked, Pauses};
use crate::kind::Kind;
use crate::name::Name;
use crate::sys::{self, Errno, Identity, Stat};

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
    /// Somebody uses the object; it is left alone.
    InUse,
    /// Somebody keeps an exclusive lock on it; it is left alone.
    Locked,
}

/// An object as its home shows it.
pub(crate) struct Found {
    pub name: Name,
    pub stat: Stat,
    /// What it holds can be read here; `None`: this user may not look, or could not.
    pub opened: Option<Fresh>,
    pub mark: Marked,
    /// Whether somebody has a lock on it; `None`: that could not be asked.
    pub used: Option<bool>,
}

/// The creator's mark as it was found.
#[derive(Clone, Debug)]
pub(crate) enum Marked {
    Unmarked,
    /// It may not be read, could not be, or is none.
    Unreadable,
    By(Mark),
}

impl Marked {
    /// Whether it is the mark of a creator that lives, who will remove the name.
    pub(crate) fn is_of_living(&self) -> bool {
        matches!(self, Marked::By(mark) if mark.is_alive() == Some(true))
    }
}

/// Whether a list has all objects of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// All of this IPC namespace.
    All,
    /// Only those of which this user has a record, which are those that this crate has made for this user: no
    /// `mqueue` file system is mounted at `/dev/mqueue`, and this process may not mount one.
    Recorded,
}

/// A place where named objects live.
pub(crate) trait Home: Sync {
    /// What has the name at this moment, where it may not be opened. `expected` is what it will be
    /// compared with: a place that has several views of its objects takes the one that could show it.
    fn identity(&self, name: &Name, expected: Identity) -> sys::Result<Identity>;

    /// Whether the name is taken, where that can be told cheaply.
    fn is_taken(&self, name: &Name) -> bool;

    /// Removes the name and nothing else.
    fn unlink(&self, name: &Name) -> sys::Result<()>;

    /// Marks an object as owned by this process, in place of a dead creator's mark.
    fn mark(&self, name: &Name, identity: Identity);

    /// Removes a dead creator's mark, and this process's if it is `own`ed no more.
    fn unmark(&self, name: &Name, identity: Identity, own: bool);

    /// The object is gone: removes what is kept beside it. `owner`: the user whom it belonged to.
    fn forget(&self, identity: Identity, owner: u32);

    /// One object; `None` if what has the name is none.
    fn find(&self, name: &Name) -> sys::Result<Option<Found>>;

    /// Shows all objects of these kinds, one after the other, since each is open meanwhile. What cannot be
    /// read is shown as that.
    fn list(&self, kinds: &[Kind], show: &mut dyn FnMut(Found)) -> sys::Result<Coverage>;

    /// The device of all objects here; `None` where that cannot be told.
    fn device(&self) -> Option<u64>;

    /// Removes what is kept beside objects that are gone.
    fn forget_gone(&self);

    /// Takes the sticky bit from an object, if it has it and still has the name.
    fn end_sharing(&self, name: &Name, identity: Identity) -> sys::Result<()> {
        let fresh = self.open(name)?;
        let stat = fresh.stat()?;
        if stat.identity != identity || !stat.is_shared() {
            return Ok(());
        }
        sys::stat::change_mode(fresh.as_fd(), stat.permissions & !Stat::SHARED)
    }

    /// What has the name at this moment.
    fn current(&self, name: &Name, expected: Identity) -> sys::Result<Identity> {
        match self.open(name).and_then(|fresh| fresh.stat()) {
            Ok(stat) => Ok(stat.identity),
            Err(Errno::NOENT) => Err(Errno::NOENT),
            Err(_) => self.identity(name, expected),
        }
    }

    /// Opens what has the name afresh.
    fn open(&self, name: &Name) -> sys::Result<Fresh>;

    /// The creator's mark on what was opened.
    fn mark_of(&self, name: &Name, fresh: &Fresh) -> Marked;

    /// Whether what has the name is a shared object that nobody uses and no living creator will remove:
    /// what killed processes left.
    fn is_left_behind(&self, name: &Name) -> bool {
        self.open(name).is_ok_and(|fresh| {
            fresh.stat().is_ok_and(|stat| stat.is_shared())
                && usage::is_used(&fresh) == Ok(false)
                && !self.mark_of(name, &fresh).is_of_living()
        })
    }

    /// Removes the name, whatever has it, and what is kept beside the object.
    fn remove(&self, name: &Name) -> sys::Result<Removal> {
        let mut pauses = Pauses::default();
        loop {
            let removal = match self.open(name).and_then(|fresh| fresh.stat()) {
                Ok(stat) => self.unlink_if(name, stat.identity, stat.owner, usage::BORNE)?,
                Err(Errno::NOENT) => return Ok(Removal::Gone),
                Err(_) => Removal::Unverifiable,
            };
            match removal {
                // Another object has the name now, and is removed as well.
                Removal::Replaced if pauses.pause(usage::BORNE) => {}
                Removal::Replaced => return Err(Errno::BUSY),
                // What cannot be opened can be removed all the same.
                Removal::Unverifiable => {
                    return match self.unlink(name) {
                        Ok(()) => Ok(Removal::Removed),
                        Err(Errno::NOENT) => Ok(Removal::Gone),
                        Err(errno) => Err(errno),
                    };
                }
                end => return Ok(end),
            }
        }
    }

    /// Removes the name if this very object has it, whoever uses it. `owner`: the user whom the object
    /// belongs to. `limit`: how long somebody else's exclusive lock is waited for.
    fn unlink_if(
        &self,
        name: &Name,
        is: Identity,
        owner: u32,
        limit: Duration,
    ) -> sys::Result<Removal> {
        let mut pauses = Pauses::default();
        loop {
            match self.open(name) {
                Ok(fresh) => {
                    let locked = match Locked::exclusive(&fresh)? {
                        None => Locked::shared(&fresh)?,
                        locked => locked,
                    };
                    if let Some(locked) = locked {
                        return self.compare_and_unlink(name, is, owner, &fresh, &locked);
                    }
                    // Nobody waits for the lock of another object.
                    if fresh.stat()?.identity != is {
                        return Ok(Removal::Replaced);
                    }
                }
                Err(Errno::NOENT) => return Ok(Removal::Gone),
                // What cannot be opened cannot be locked: it is compared from outside.
                Err(_) => return self.unlink_unopened(name, is, owner),
            }
            if !pauses.pause(limit) {
                return Ok(Removal::Locked);
            }
        }
    }

    /// Removes the name if this very object has it and nobody uses it any more, this process included.
    /// `still`: a last look at what was opened, when nobody can link to it.
    fn unlink_if_unused(
        &self,
        name: &Name,
        is: Identity,
        owner: u32,
        still: &dyn Fn(&Fresh) -> bool,
    ) -> sys::Result<Removal> {
        let mut pauses = Pauses::default();
        loop {
            let fresh = match self.open(name) {
                Ok(fresh) => fresh,
                Err(Errno::NOENT) => return Ok(Removal::Gone),
                Err(Errno::ACCES) => return Ok(Removal::Unverifiable),
                Err(errno) => return Err(errno),
            };
            if fresh.stat()?.identity != is {
                return Ok(Removal::Replaced);
            }
            if let Some(locked) = Locked::shared(&fresh)? {
                let Some(locked) = locked.upgrade()? else { return Ok(Removal::InUse) };
                if !still(&fresh) {
                    return Ok(Removal::InUse);
                }
                return self.compare_and_unlink(name, is, owner, &fresh, &locked);
            }
            drop(fresh);
            if !pauses.pause(usage::LOOK) {
                return Ok(Removal::Locked);
            }
        }
    }

    /// The one place where a name is compared and unlinked. Under the lock of `fresh` nobody of ours can
    /// give the name to another object in between; of others Linux has no way to exclude it.
    fn compare_and_unlink(
        &self,
        name: &Name,
        is: Identity,
        owner: u32,
        fresh: &Fresh,
        _: &Locked<'_>,
    ) -> sys::Result<Removal> {
        let stat = fresh.stat()?;
        if stat.identity != is {
            return Ok(Removal::Replaced);
        }
        if stat.names == 0 {
            return Ok(Removal::Gone);
        }
        self.unlink_and_forget(name, is, owner)
    }

    /// As `unlink_if`, for what cannot be opened.
    fn unlink_unopened(&self, name: &Name, is: Identity, owner: u32) -> sys::Result<Removal> {
        match self.identity(name, is) {
            Ok(found) if found == is => self.unlink_and_forget(name, is, owner),
            Ok(_) => Ok(Removal::Replaced),
            Err(Errno::NOENT) => Ok(Removal::Gone),
            Err(Errno::ACCES) => Ok(Removal::Unverifiable),
            Err(errno) => Err(errno),
        }
    }

    fn unlink_and_forget(&self, name: &Name, is: Identity, owner: u32) -> sys::Result<Removal> {
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
