//! The name and identity of an opened object, and who unlinks what when it is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Operation, Result};
use crate::home::{self, Home, Removal};
use crate::name::Name;
use crate::sys::{self, Errno, Identity};

/// Removes a name without opening what has it: also what cannot be opened.
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
/// [`ErrorKind::NotFound`] if nothing has the name, [`ErrorKind::PermissionDenied`] if it is not
/// this user's to remove.
#[doc(alias = "sem_unlink")]
#[doc(alias = "shm_unlink")]
#[doc(alias = "mq_unlink")]
pub fn unlink(name: &Name) -> Result<()> {
    home::of(name).remove(name).map_err(|errno| Error::from_errno(Operation::Unlink, name, errno))
}

/// A number that differs between a process and each child that it forks.
#[must_use]
pub fn fork_generation() -> u64 {
    sys::fork::generation()
}

/// The name and identity of an opened object, and who is due to unlink it.
///
/// Each handle shares one with whoever asks for it. When the last of them is dropped, the name is
/// removed if this process is [due](Ownership::is_due) to: by default if the handle created the object.
/// Only the object that was opened is removed: its device and inode are compared immediately
/// before. (Linux cannot compare and unlink at once, so a name that changes hands in the
/// microseconds between is lost.) A forked child never removes what its parent's handles are due to.
#[derive(Debug)]
pub struct Ownership {
    name: Name,
    identity: Identity,
    created: bool,
    generation: u64,
    due: AtomicBool,
    deleted: AtomicBool,
}

impl Ownership {
    /// `marked`: the creator's mark is there already, from before the object was visible.
    pub(crate) fn new(
        name: &Name,
        identity: Identity,
        created: bool,
        due: bool,
        marked: bool,
    ) -> Ownership {
        let ownership = Ownership {
            name: name.clone(),
            identity,
            created,
            generation: sys::fork::generation(),
            due: AtomicBool::new(due),
            deleted: AtomicBool::new(false),
        };
        if due && !marked {
            home::of(name).mark(name, identity);
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

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the name is to be removed on drop.
    #[must_use]
    pub fn unlink_on_drop(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// Says whether the name is to be removed on drop, and writes or removes the creator's mark
    /// accordingly. A forked child changes neither the duty of its parent nor the mark.
    pub fn set_unlink_on_drop(&self, due: bool) {
        let changed = self.due.swap(due, Ordering::Relaxed) != due;
        // What is gone needs no mark.
        if !changed || !self.is_ours() || self.deleted.load(Ordering::Relaxed) {
            return;
        }
        if due {
            self.home().mark(&self.name, self.identity);
        } else {
            self.home().unmark(&self.name, self.identity);
        }
    }

    /// Whether the handle was opened in this process, and not in one that forked it.
    fn is_ours(&self) -> bool {
        self.generation == sys::fork::generation()
    }

    /// Whether deletion in this process removes the name.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.unlink_on_drop() && self.is_ours() && !self.deleted.load(Ordering::Relaxed)
    }

    /// Removes the name now. Handles that are open go on working.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if nothing has the name any more, [`ErrorKind::Replaced`] if another
    /// object has it now (both with errno `ENOENT`), [`ErrorKind::PermissionDenied`] if it is not
    /// this user's to remove.
    pub fn unlink(&self) -> Result<()> {
        let fail = |errno| Error::from_errno(Operation::Unlink, &self.name, errno);
        match self.unlink_if().map_err(fail)? {
            Removal::Removed => {}
            Removal::Gone => return Err(fail(Errno::NOENT)),
            Removal::Replaced => return Err(Error::replaced(&self.name)),
            // Without the right to look, the right to unlink still decides; deletion does not go so far.
            Removal::Unverifiable => {
                self.home().unlink(&self.name).map_err(fail)?;
                self.home().forget(self.identity, sys::unistd::effective_user());
            }
        }
        // There is nothing left for deletion to do.
        if self.is_ours() {
            self.deleted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Does what dropping does, once: removes the name if [due](Ownership::is_due). That it is gone,
    /// or another's, is no error here.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PermissionDenied`], or what else the system says when it refuses to unlink.
    pub fn delete(&self) -> Result<()> {
        if !self.is_due() || self.deleted.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        match self.unlink_if() {
            Ok(Removal::Removed | Removal::Unverifiable) => Ok(()),
            // What is kept beside the object goes with it.
            Ok(Removal::Gone | Removal::Replaced) => {
                self.home().forget(self.identity, sys::unistd::effective_user());
                Ok(())
            }
            Err(errno) => {
                self.deleted.store(false, Ordering::Relaxed);
                Err(Error::from_errno(Operation::Unlink, &self.name, errno))
            }
        }
    }

    fn unlink_if(&self) -> sys::Result<Removal> {
        self.home().unlink_if(&self.name, self.identity, sys::unistd::effective_user())
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
