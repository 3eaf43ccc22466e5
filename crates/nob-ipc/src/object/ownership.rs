//! The name and identity of an opened object, and who unlinks what when it is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::record;
use crate::message_queue::notification::QueueFd;
use crate::name::{Kind, Name};
use crate::object::mark;
use crate::sys::mqueue_fs::QueueDirectory;
use crate::sys::{self, Errno, Identity, OpenMode};

/// Removes a name, whatever has it, and the record of a queue.
pub(crate) fn remove(name: &Name) -> sys::Result<()> {
    if name.kind() != Kind::MessageQueue {
        return remove_name(name);
    }
    // Whose record it is can be told only as long as the queue has its name. Where it cannot be
    // looked at, the record stays behind, for `registry::Reap`.
    let identity = open_to_look(name).map(|queue| queue.identity());
    remove_name(name)?;
    if let Ok(identity) = identity {
        record::forget(identity);
    }
    Ok(())
}

/// Removes a name and nothing else.
pub(crate) fn remove_name(name: &Name) -> sys::Result<()> {
    match name.kind() {
        Kind::Semaphore | Kind::SharedMemory => {
            // The errno of a sticky directory becomes the one that POSIX has, as in glibc.
            let posix = |errno| if errno == Errno::PERM { Errno::ACCES } else { errno };
            sys::unistd::unlink(&name.path()).map_err(posix)
        }
        Kind::MessageQueue => sys::mqueue::unlink(name.as_c_str()),
    }
}

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
    remove(name).map_err(|errno| Error::from_errno(Operation::Unlink, name, errno))
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
            mark::put(name, identity);
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
        if !changed || !self.is_ours() {
            return;
        }
        if due {
            mark::put(&self.name, self.identity);
        } else {
            mark::take_back(&self.name, self.identity);
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
        match self.identity_of_name() {
            Ok(identity) if identity == self.identity => {}
            // Without the right to look, the right to unlink still decides; deletion does not go
            // so far.
            Err(Errno::ACCES) => {}
            Ok(_) => {
                let why = "the name belongs to another object now, which is left alone";
                let errno = Some(Errno::NOENT);
                let kind = ErrorKind::Replaced;
                return Err(Error::new(Operation::Unlink, &self.name, kind, errno, why));
            }
            Err(errno) => return Err(Error::from_errno(Operation::Unlink, &self.name, errno)),
        }
        self.remove().map_err(|errno| Error::from_errno(Operation::Unlink, &self.name, errno))?;
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
        let removed = match self.identity_of_name() {
            Ok(identity) if identity == self.identity => self.remove(),
            // Not to be verified: left alone, and so is its mark.
            Err(Errno::ACCES) => return Ok(()),
            // Gone, or another's.
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno),
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => {
                mark::forget(self.name.kind(), self.identity);
                Ok(())
            }
            Err(errno) => {
                self.deleted.store(false, Ordering::Relaxed);
                Err(Error::from_errno(Operation::Unlink, &self.name, errno))
            }
        }
    }

    /// What has the name at this moment.
    fn identity_of_name(&self) -> sys::Result<Identity> {
        match self.name.kind() {
            Kind::Semaphore | Kind::SharedMemory => {
                sys::stat::lstat(&self.name.path()).map(|stat| stat.identity)
            }
            Kind::MessageQueue => match open_to_look(&self.name) {
                Err(Errno::ACCES) => self.listed_identity().ok_or(Errno::ACCES),
                queue => queue.map(|queue| queue.identity()),
            },
        }
    }

    /// What has the name of a queue that may not be opened, where a file system shows that.
    fn listed_identity(&self) -> Option<Identity> {
        let details = QueueDirectory::open().ok()?.look(self.name.as_c_str()).ok()?;
        // The file system may be that of another IPC namespace.
        Some(details.identity).filter(|identity| identity.device == self.identity.device)
    }

    fn remove(&self) -> sys::Result<()> {
        remove_name(&self.name)?;
        mark::forget(self.name.kind(), self.identity);
        Ok(())
    }
}

/// A queue has no path that is always there, so it is opened to be looked at. Closing it again ends
/// the kernel's registration for a notification in this process, which is renewed.
pub(crate) fn open_to_look(name: &Name) -> sys::Result<QueueFd> {
    let open = |mode| sys::mqueue::open(name.as_c_str(), mode);
    let queue = match open(OpenMode::ReadOnly) {
        Err(Errno::ACCES) => open(OpenMode::WriteOnly)?,
        other => other?,
    };
    QueueFd::new(queue)
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // Whoever wants to know calls `delete` before; a destructor has nobody to tell.
        let _ = self.delete();
    }
}
