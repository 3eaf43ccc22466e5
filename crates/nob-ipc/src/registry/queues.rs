//! Queues: the files of the `mqueue` file system, and the records of their creators.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use super::creator::{self, Mark};
use super::object::{Depth, Measure, Object};
use crate::home::record;
use crate::name::{Kind, Name};
use crate::object::mark;
use crate::object::ownership::open_to_look;
use crate::sys::mqueue_fs::{self, QueueDirectory};
use crate::sys::{self, Details, Errno, Identity, Result};

/// Which queues a listing has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// All of this IPC namespace.
    All,
    /// Only those of which this user has a record: no `mqueue` file system is mounted at
    /// `/dev/mqueue`, and this process may not mount one.
    Recorded,
}

/// Whether an `mqueue` file system is mounted at `/dev/mqueue`, so that everybody can list queues.
#[must_use]
pub fn queues_are_mounted() -> bool {
    mqueue_fs::is_mounted()
}

/// The queues, without their holders.
pub(super) fn list() -> Result<(Vec<Object>, Coverage)> {
    let records = Records::read();
    let (directory, names, coverage) = match QueueDirectory::open() {
        Ok(directory) => {
            let names = directory.names()?;
            let names = names.iter().filter_map(|name| Name::new(Kind::MessageQueue, name).ok());
            let names = names.collect();
            (Some(directory), names, Coverage::All)
        }
        Err(Errno::NOSYS) => return Err(Errno::NOSYS),
        // Not permitted, or a kernel without queues.
        Err(_) => (None, records.names(), Coverage::Recorded),
    };
    let look = |name: &Name| match look(name, directory.as_ref(), &records) {
        Ok(object) => Some(Ok(object)),
        // Unlinked meanwhile, or another user's without a directory to look at it.
        Err(Errno::NOENT | Errno::ACCES) => None,
        Err(errno) => Some(Err(errno)),
    };
    let queues: Result<Vec<Object>> = names.iter().filter_map(look).collect();
    Ok((queues?, coverage))
}

/// One queue, without its holders.
pub(super) fn find(name: &Name) -> Result<Option<Object>> {
    // Without a directory there is the queue itself to look at.
    let directory = QueueDirectory::open().ok();
    look(name, directory.as_ref(), &Records::read()).map(Some)
}

fn look(name: &Name, directory: Option<&QueueDirectory>, records: &Records) -> Result<Object> {
    let (details, depth) = match open_to_look(name) {
        Ok(queue) => {
            let depth = sys::mqueue::state(queue.as_fd())?;
            (sys::files::look_at(queue.as_fd())?, Some(Depth::new(&depth)))
        }
        Err(Errno::ACCES) => (directory.ok_or(Errno::ACCES)?.look(name.as_c_str())?, None),
        Err(errno) => return Err(errno),
    };
    let mark = records.mark_of(name, &details);
    Ok(Object::new(name.clone(), details, Measure::Depth(depth), mark))
}

/// What has the name at this moment.
pub(super) fn identity(name: &Name) -> Result<Identity> {
    match open_to_look(name) {
        Ok(queue) => Ok(queue.identity()),
        Err(Errno::ACCES) => {
            let directory = QueueDirectory::open().map_err(|_| Errno::ACCES)?;
            directory.look(name.as_c_str()).map(|details| details.identity)
        }
        Err(errno) => Err(errno),
    }
}

/// The records that this user may read.
struct Records(HashMap<Identity, Vec<Record>>);

struct Record {
    /// The user in whose directory it is: nobody else can have written it.
    user: u32,
    path: PathBuf,
    mark: mark::Mark,
    name: Vec<u8>,
}

impl Record {
    fn name(&self) -> Option<Name> {
        Name::new(Kind::MessageQueue, sys::records::os_str(&self.name)).ok()
    }
}

impl Records {
    fn read() -> Records {
        let mut records: HashMap<_, Vec<_>> = HashMap::new();
        for (directory, user) in sys::records::directories() {
            // Another user's may not be read.
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let identity = entry.file_name().to_str().and_then(record::identity_of);
                let (Some(identity), Ok(text)) = (identity, fs::read(entry.path())) else {
                    continue;
                };
                if let Some((mark, name)) = record::parse(&text) {
                    let (path, name) = (entry.path(), name.to_vec());
                    records.entry(identity).or_default().push(Record { user, path, mark, name });
                }
            }
        }
        Records(records)
    }

    fn names(&self) -> Vec<Name> {
        let names = self.0.values().flatten().filter_map(Record::name);
        let mut names: Vec<Name> = names.collect();
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        names.dedup();
        names
    }

    /// The mark on a queue. Only its owner's and root's records count. One of an earlier boot is
    /// another queue's, since none outlives its boot.
    fn mark_of(&self, name: &Name, details: &Details) -> Mark {
        let boot = sys::proc::boot_id();
        let of_this = |record: &&Record| {
            (record.user == details.owner || record.user == 0)
                && record.name == name.as_bytes()
                && boot.as_ref().is_none_or(|boot| *boot == record.mark.boot_id)
        };
        let records = self.0.get(&details.identity).map(Vec::as_slice).unwrap_or_default();
        match records.iter().find(of_this) {
            Some(record) => Mark::of(&record.mark, Some(record.path.clone())),
            None if may_read_records_of(details.owner) => Mark::UNMARKED,
            None => Mark::UNREADABLE,
        }
    }
}

fn may_read_records_of(owner: u32) -> bool {
    let user = sys::unistd::effective_user();
    user == 0 || user == owner
}

/// Removes the records of this user whose process is dead and whose queue is gone. Those of other IPC
/// namespaces are left: their queues cannot be seen from here.
pub(super) fn forget_gone() {
    record::forget_abandoned();
    let Ok(directory) = QueueDirectory::open() else { return };
    let Ok(device) = directory.device() else { return };
    let user = sys::unistd::effective_user();
    let records = Records::read().0.into_iter().filter(|(identity, _)| identity.device == device);
    for (identity, record) in records.flat_map(|(id, all)| all.into_iter().map(move |it| (id, it)))
    {
        let dead = || creator::is_alive(&record.mark) == Some(false);
        let gone = || {
            record.name().is_some_and(|name| match directory.look(name.as_c_str()) {
                Ok(details) => details.identity != identity,
                Err(errno) => errno == Errno::NOENT,
            })
        };
        if record.user == user && dead() && gone() {
            // Somebody else may have been quicker, and a leftover does no harm.
            let _ = fs::remove_file(record.path);
        }
    }
}
