//! Which objects exist, who holds them, and what dead processes left behind.
//!
//! ```
//! use nob_ipc::{Existence, Kind, Semaphore, registry};
//!
//! let semaphore = Semaphore::options()
//!     .existence(Existence::UnlinkAndCreate)
//!     .open("/nob-ipc-doc-registry")?;
//! let listing = registry::list(&[Kind::Semaphore])?;
//! let object = listing
//!     .objects
//!     .iter()
//!     .find(|object| object.name() == semaphore.ownership().name())
//!     .expect("it exists");
//! // This process has it mapped.
//! assert!(object.holders().iter().any(|holder| holder.pid == std::process::id()));
//! assert_eq!(object.orphan(), Some(false));
//! # Ok::<(), nob_ipc::Error>(())
//! ```
//!
//! # What it rests on
//!
//! Segments and semaphores are the files in `/dev/shm`. Queues are listed through the `mqueue` file
//! system: the one at `/dev/mqueue`, or one that is mounted for the moment where that is permitted;
//! otherwise only the queues of which this user has a record are listed, and
//! [`Listing::queues`] says so.
//!
//! Holders are the processes that have an object open or mapped, as `/proc` shows them. What may not
//! be looked at is counted ([`Object::unseen`]). Processes outside the pid namespace of this one cannot
//! be seen nor counted.
//!
//! The creator is known from the mark that this crate puts on what its maker is due to unlink. Who may
//! write to a semaphore or segment may also write its mark.

mod creator;
mod holders;
mod object;
mod queues;
mod reap;
mod shm;

pub use creator::Creator;
pub use object::{Depth, Holder, Measure, Object, State};
pub use queues::{Coverage, queues_are_mounted};
pub use reap::{Finding, Outcome, Reap};

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::name::{Kind, Name};
use crate::sys::{self, Errno};

/// The objects that exist.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listing {
    /// Each object, by kind and name.
    pub objects: Vec<Object>,
    /// Whether all queues are among them.
    pub queues: Coverage,
    /// How many processes may not be looked at, so that what they hold is unknown.
    pub unseen_processes: usize,
}

/// Lists the objects of the given kinds. What comes and goes meanwhile may be there or not.
///
/// # Errors
///
/// What the system says when `/dev/shm` cannot be read; [`ErrorKind::Unsupported`] where there are no
/// such objects.
pub fn list(kinds: &[Kind]) -> Result<Listing> {
    let mut objects = Vec::new();
    if kinds.contains(&Kind::Semaphore) || kinds.contains(&Kind::SharedMemory) {
        objects = shm::list(kinds).map_err(|errno| cannot_list("/dev/shm", errno))?;
    }
    let mut coverage = Coverage::All;
    if kinds.contains(&Kind::MessageQueue) {
        let (queues, covered) =
            queues::list().map_err(|errno| cannot_list("the message queues", errno))?;
        objects.extend(queues);
        coverage = covered;
    }
    let key = |object: &Object| (object.kind(), object.name().as_bytes().to_vec());
    objects.sort_by_cached_key(key);
    let unseen_processes = holders::find(&mut objects);
    Ok(Listing { objects, queues: coverage, unseen_processes })
}

/// Looks at one object.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if nothing has the name, [`ErrorKind::WrongType`] if a directory or the like
/// has it, or what the system says when it refuses.
pub fn find(name: &Name) -> Result<Object> {
    let found = match name.kind() {
        Kind::Semaphore | Kind::SharedMemory => shm::find(name),
        Kind::MessageQueue => queues::find(name),
    };
    let operation =
        |errno| if errno == Errno::NOENT { Operation::Link } else { Operation::Inspect };
    let object = found.map_err(|errno| Error::from_errno(operation(errno), name, errno))?;
    let Some(object) = object else {
        let why = "no regular file has its place; see what has it in /dev/shm";
        let errno = Some(Errno::INVAL);
        return Err(Error::new(Operation::Inspect, name, ErrorKind::WrongType, errno, why));
    };
    let mut objects = [object];
    holders::find(&mut objects);
    let [object] = objects;
    Ok(object)
}

/// Whether a creator's mark can be put on semaphores and segments here: tmpfs keeps it since
/// Linux 6.6.
#[must_use]
pub fn marks_are_kept() -> bool {
    use sys::AsFd;
    sys::fcntl::open_unnamed(sys::SHM_DIRECTORY, 0o600)
        .is_ok_and(|file| sys::xattr::set_mark(file.as_fd(), b"1").is_ok())
}

fn cannot_list(what: &str, errno: Errno) -> Error {
    let kind = match errno {
        Errno::NOSYS => ErrorKind::Unsupported,
        Errno::ACCES | Errno::PERM => ErrorKind::PermissionDenied,
        _ => ErrorKind::Other,
    };
    let why = format!("cannot list {what}: the system refused with {:?}", errno.words());
    Error::of_name(kind, Some(errno), why)
}
