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
//! All kinds but queues are files in `/dev/shm`. Queues are listed through the `mqueue` file
//! system: the one at `/dev/mqueue`, or one that is mounted for the moment where that is permitted;
//! otherwise only the queues of which this user has a record are listed, and
//! [`Listing::queues`] says so.
//!
//! Holders are the processes that have an object open or mapped, as `/proc` shows them. What may not
//! be looked at is counted ([`Object::unseen`]). Processes outside the pid namespace of this one cannot
//! be seen nor counted.
//!
//! The creator is known from the mark that this crate puts on what its maker is due to unlink. Who may
//! write to an object that is a file there may also write its mark.

use std::path::PathBuf;

mod creator;
mod holders;
mod measure;
mod object;
mod reap;

pub use crate::channel::ChannelState;
use crate::error::{Error, ErrorKind, Operation, Result};
pub use crate::home::Coverage;
use crate::home::{self, shm};
use crate::kind::{Kind, Place};
use crate::name::Name;
use crate::sys::mqueue_fs;
use crate::sys::records::{self, Squatted};
use crate::sys::{self, Errno, Identity};
pub use creator::Creator;
pub use measure::{Depth, LockState, Measure, PermitsState};
pub use object::{Holder, Object, State, Unlinked};
pub use reap::{Finding, Outcome, Reap};

/// The objects that exist.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listing {
    /// Each object, by kind and name.
    pub objects: Vec<Object>,
    /// What has lost its name and is still held, of these kinds.
    pub unlinked: Vec<Unlinked>,
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
    let mut queues = Coverage::All;
    let mut places = Place::ALL.to_vec();
    places.retain(|&place| kinds.iter().any(|kind| kind.place() == place));
    for &place in &places {
        let covered = home::at(place)
            .list(kinds, &mut |found| objects.push(Object::new(found)))
            .map_err(|errno| cannot_list(place, errno))?;
        if covered != Coverage::All {
            queues = covered;
        }
    }
    let key = |object: &Object| (object.kind(), object.name().as_bytes().to_vec());
    objects.sort_by_cached_key(key);
    let look = holders::find(&mut objects, &places);
    let mut unlinked = look.unlinked;
    unlinked.retain(|unlinked| kinds.contains(&unlinked.name.kind()));
    Ok(Listing { objects, unlinked, queues, unseen_processes: look.unseen })
}

/// Looks at one object.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if nothing has the name, [`ErrorKind::WrongType`] if a directory or the like
/// has it, or what the system says when it refuses.
pub fn find(name: &Name) -> Result<Object> {
    let found = home::of(name).find(name);
    let operation =
        |errno| if errno == Errno::NOENT { Operation::Link } else { Operation::Inspect };
    let object = found.map_err(|errno| Error::from_errno(operation(errno), name, errno))?;
    let Some(object) = object else {
        let why = "no regular file has its place; see what has it in /dev/shm";
        let errno = Some(Errno::INVAL);
        return Err(Error::new(Operation::Inspect, name, ErrorKind::WrongType, errno, why));
    };
    let mut objects = [Object::new(object)];
    holders::find(&mut objects, &[]);
    let [object] = objects;
    Ok(object)
}

/// Whether a creator's mark can be put on the files in `/dev/shm`, which is all kinds but queues: tmpfs keeps
/// it since Linux 6.6.
#[must_use]
pub fn marks_are_kept() -> bool {
    shm::marks_are_kept()
}

/// Whether an `mqueue` file system is mounted at `/dev/mqueue`, so that everybody can list queues.
#[must_use]
pub fn queues_are_mounted() -> bool {
    mqueue_fs::is_mounted()
}

/// What has the place of a user's records in `/tmp` and is not that user's alone: queues of that user
/// cannot be marked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SquattedRecords {
    /// What has the place.
    pub path: PathBuf,
    /// The user whose place it is.
    pub user: u32,
    /// Whom it belongs to; if it is the same user, others may read or write it.
    pub owner: u32,
}

/// Who cannot keep records, of all users.
#[must_use]
pub fn squatted_records() -> Vec<SquattedRecords> {
    let squatted = records::squatted().into_iter();
    squatted
        .map(|Squatted { path, user, owner }| {
            let path = records::os_str(path.to_bytes()).into();
            SquattedRecords { path, user, owner }
        })
        .collect()
}

/// Whether another process, or a mapping of this one, uses a segment; also where that cannot be told.
/// A constructor that is asked to shrink it may ask, although that takes a look at all processes: it
/// is the only way not to kill them.
pub(crate) fn is_used_by_others(name: &Name, identity: Identity) -> bool {
    if sys::process::has_mapped(identity.file) {
        return true;
    }
    match find(name) {
        Ok(object) => {
            let another = |pid| pid != std::process::id();
            object.system_identity() != identity
                || object.owner() != sys::unistd::effective_user()
                || object.unseen() > 0
                || object.holders().iter().any(|holder| another(holder.pid))
        }
        // Its name is gone or another's: who has it cannot be told.
        Err(_) => true,
    }
}

fn cannot_list(place: Place, errno: Errno) -> Error {
    let what = match place {
        Place::Shm => "/dev/shm",
        Place::Mqueue => "the message queues",
    };
    let kind = match errno {
        Errno::NOSYS => ErrorKind::Unsupported,
        Errno::ACCES | Errno::PERM => ErrorKind::PermissionDenied,
        _ => ErrorKind::Other,
    };
    let why = format!("cannot list {what}: the system refused with {:?}", errno.words());
    Error::unnamed(kind, Some(errno), why)
}
