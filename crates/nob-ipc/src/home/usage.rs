//! Who uses an object: the kernel knows.
//!
//! Every handle has a shared lock on the open file description that its mapping or its descriptor
//! keeps, so the lock falls with the last of them, in whatever process, however it ends. Such a
//! description is never unlocked or converted, since forked children share it. Whoever removes a name
//! locks a description of his own, which he unlocks before he closes it: a child that another thread
//! forks meanwhile would keep the lock. All locks are taken without waiting; what is refused is closed,
//! and begun anew after a pause.

use std::thread;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Operation};
use crate::name::Name;
use crate::sys::flock::{self, Listed};
use crate::sys::time::monotonic;
use crate::sys::{self, AsFd, BorrowedFd, Errno, FileId, Stat};

/// A description that was opened afresh, to look at what has a name, and to lock it.
pub(crate) struct Fresh(Box<dyn AsFd>);

impl Fresh {
    pub(crate) fn new(opened: impl AsFd + 'static) -> Fresh {
        Fresh(Box::new(opened))
    }

    pub(crate) fn stat(&self) -> sys::Result<Stat> {
        sys::stat::of(self.as_fd())
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A lock on a description of one's own; given up when this is dropped.
pub(crate) struct Locked<'a>(BorrowedFd<'a>);

impl<'a> Locked<'a> {
    /// Nobody else uses the object; `None`: somebody does.
    pub(crate) fn exclusive(fresh: &'a Fresh) -> sys::Result<Option<Locked<'a>>> {
        let fd = fresh.as_fd();
        Ok(flock::try_exclusive(fd)?.then_some(Locked(fd)))
    }

    /// Nobody else is about to remove it; `None`: somebody is.
    pub(crate) fn shared(fresh: &'a Fresh) -> sys::Result<Option<Locked<'a>>> {
        let fd = fresh.as_fd();
        Ok(flock::try_shared(fd)?.then_some(Locked(fd)))
    }

    /// An exclusive lock in place of a shared one, which is lost if that fails.
    pub(crate) fn upgrade(self) -> sys::Result<Option<Locked<'a>>> {
        Ok(flock::try_exclusive(self.0)?.then_some(self))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        flock::unlock(self.0);
    }
}

/// Whether anybody uses an object, himself included. The look takes an instant, in which nobody can link
/// to it.
pub(crate) fn is_used(fresh: &Fresh) -> sys::Result<bool> {
    Locked::exclusive(fresh).map(|locked| locked.is_none())
}

/// Whether somebody is known to use an object that may not be opened. `/proc` does not list the locks of
/// other pid namespaces.
pub(crate) fn is_listed(file: FileId) -> bool {
    find_listed(|lock| lock.file == file).is_some()
}

/// Looks for a lock in the kernel's list. That is read in pieces; what changes between two of them can
/// move a lock from the one into the other, past the reader.
fn find_listed(wanted: impl Fn(&Listed) -> bool) -> Option<Listed> {
    const LOOKS: usize = 5;
    (0..LOOKS).find_map(|_| flock::listed().into_iter().find(&wanted))
}

/// What became of taking part in the use of an object that was opened to link to it.
pub(crate) enum Part {
    Taken(Stat),
    /// Its name is gone, or somebody is about to remove it: begin anew. The file whose lock was refused.
    Again(Option<FileId>),
}

/// Takes part in the use of an object, by a description that is to last as long as the handle.
pub(crate) fn take_part(fd: BorrowedFd<'_>) -> sys::Result<Part> {
    if !flock::try_shared(fd)? {
        return Ok(Part::Again(Some(sys::stat::of(fd)?.identity.file)));
    }
    let stat = sys::stat::of(fd)?;
    if stat.names == 0 {
        flock::unlock(fd);
        return Ok(Part::Again(None));
    }
    Ok(Part::Taken(stat))
}

/// How long an exclusive lock of somebody else is borne.
pub(crate) const BORNE: Duration = Duration::from_secs(1);

/// How long a deletion waits for somebody else's look, or removal.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The pauses of one who is refused, and begins anew.
#[derive(Default)]
pub(crate) struct Pauses {
    count: u32,
    since: Option<Duration>,
}

impl Pauses {
    /// Pauses; `false`, at once, if it has been so long since the first.
    pub(crate) fn pause(&mut self, limit: Duration) -> bool {
        let now = monotonic();
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) >= limit {
            return false;
        }
        match self.count {
            ..20 => thread::yield_now(),
            20..200 => thread::sleep(Duration::from_micros(50)),
            _ => thread::sleep(Duration::from_millis(1)),
        }
        self.count = self.count.saturating_add(1);
        true
    }
}

/// Somebody keeps an exclusive lock on the object.
pub(crate) fn locked(operation: Operation, name: &Name, file: FileId) -> Error {
    let holder = find_listed(|lock| lock.exclusive && lock.file == file);
    let holder = match holder {
        Some(lock) if lock.pid > 0 => format!("process {}", lock.pid),
        _ => "another process".to_string(),
    };
    let why = format!(
        "{holder} keeps an exclusive lock (flock) on it, as one that removes it does for an instant; \
         continue that process if it is stopped, or end it"
    );
    Error::new(operation, name, ErrorKind::Busy, Some(Errno::BUSY), why)
}
