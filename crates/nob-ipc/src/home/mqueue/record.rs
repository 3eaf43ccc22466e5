//! What is kept beside a queue: a file in a private directory of the user, with the creator's mark.
//!
//! A record is called after the queue's device and inode and holds the mark and the name; that of a queue
//! whose name nobody owns, in place of the mark, the IPC namespace, so that its user can list it where the
//! kernel does not. Before the queue exists its identity is unknown, so the record begins under a name of its
//! own and is renamed when the queue is there. A process that is killed between these two calls leaves a queue
//! that counts as unmarked: that it was about to create the queue does not prove that it has, since
//! another may have been quicker, and a queue has no other place for a mark.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::descriptor::open_to_look;
use crate::home::interface::Marked;
use crate::home::mark::{self, Mark};
use crate::kind::Kind;
use crate::name::Name;
use crate::sys::mqueue_fs::QueueDirectory;
use crate::sys::records::{self, Directory};
use crate::sys::{self, Errno, FileId, Identity, Stat};

/// No creation of a queue takes so long.
const ABANDONED: Duration = Duration::from_secs(60);

/// A record whose queue is being created; dropped without [`keep`](Pending::keep), it goes.
pub(crate) struct Pending {
    directory: Directory,
    file: String,
}

impl Pending {
    /// Writes the record of a queue that is about to be created. `owned`: whether this process is to own its
    /// name.
    pub(crate) fn write(name: &Name, owned: bool) -> Option<Pending> {
        let head = if owned { mark::own()?.into() } else { head_of_kept() };
        Pending::write_in(Directory::own().ok()?, name, &head)
    }

    fn write_in(directory: Directory, name: &Name, head: &str) -> Option<Pending> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = format!("new-{}-{count}", std::process::id());
        // A record of this pid and count is one of a process that died: its queue never was, or it
        // would have been renamed.
        let _ = directory.remove(&file);
        write_new(&directory, &file, head, name)?;
        Some(Pending { directory, file })
    }

    /// The queue is there: gives the record its final name.
    pub(crate) fn keep(self, identity: Identity) {
        // Without the new name there is no mark, and no error; dropping removes the old name.
        let _ = self.directory.rename(&self.file, &file_of(identity.file));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `keep` there is nothing to remove, and a leftover does no harm.
        let _ = self.directory.remove(&self.file);
    }
}

/// Records that this process owns the queue's name, in place of a dead creator's record.
pub(super) fn put(name: &Name, identity: Identity) {
    let Ok(directory) = Directory::own() else { return };
    let file = file_of(identity.file);
    let Some(own) = mark::own() else { return };
    if let Some(record) = Record::read(&directory, &file)
        && record.mark().is_none_or(|mark| mark.is_alive() == Some(false))
    {
        // If it cannot be removed, it stays, and the new one is not written.
        let _ = directory.remove(&file);
    }
    write_new(&directory, &file, own, name);
}

/// Takes a dead creator's mark from the record, and this process's `own`. `is_there`: whether the queue still
/// has its name, so that a record is of use.
pub(super) fn revoke(name: &Name, identity: Identity, own: bool, is_there: bool) {
    let file = file_of(identity.file);
    let own = mark::own().filter(|_| own).and_then(|own| own.parse().ok());
    for directory in Directory::of(sys::unistd::effective_user()) {
        let Some(record) = Record::read(&directory, &file) else { continue };
        let Some(mark) = record.mark() else { continue };
        if Some(mark) == own.as_ref() || mark.is_alive() == Some(false) {
            // The new record takes its place, if this fails.
            let _ = directory.remove(&file);
            if is_there && let Some(kept) = Pending::write_in(directory, name, &head_of_kept()) {
                kept.keep(identity);
            }
        }
    }
}

/// Removes the record of a queue that is gone. `owner`: the user whom it belonged to.
pub(super) fn forget(identity: Identity, owner: u32) {
    let file = file_of(identity.file);
    for directory in Directory::of(owner) {
        // There may be none, and a leftover does no harm: it names a queue that is gone.
        let _ = directory.remove(&file);
    }
}

/// Removes the records whose process was killed while it created a queue.
pub(super) fn forget_abandoned() {
    for directory in Directory::of(sys::unistd::effective_user()) {
        for file in directory.names().iter().filter(|name| name.starts_with("new-")) {
            let age = directory.modified(file).ok().and_then(|modified| modified.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED) {
                // Somebody else may have been quicker. If its process is only slow, its queue has no
                // mark, and no error.
                let _ = directory.remove(file);
            }
        }
    }
}

/// Removes the records of this user whose queue is gone and whose process is dead, or that have none. Those
/// of other IPC namespaces are left: their queues cannot be seen from here.
pub(super) fn forget_gone() {
    let queues = QueueDirectory::open().and_then(|queues| Ok((queues.device()?, queues))).ok();
    let namespace = sys::proc::ipc_namespace();
    for directory in Directory::of(sys::unistd::effective_user()) {
        for file in directory.names() {
            let Some(id) = identity_of(&file) else { continue };
            let Some(record) = Record::read(&directory, &file) else { continue };
            if record.mark().is_some_and(|mark| mark.is_alive() != Some(false)) {
                continue;
            }
            let gone = match (&queues, &record.head) {
                (Some((device, queues)), _) => {
                    id.device == *device && record.is_of_none(id, queues)
                }
                (None, Head::Kept(of)) => {
                    *of == namespace && of.is_some() && record.names_another(id)
                }
                (None, Head::Owned(_)) => false,
            };
            if gone {
                // Somebody else may have been quicker, and a leftover does no harm.
                let _ = directory.remove(&file);
            }
        }
    }
}

/// The names of the queues of which this user has a record.
pub(super) fn names() -> Vec<Name> {
    let mut names: Vec<Name> = Directory::of(sys::unistd::effective_user())
        .flat_map(|directory| {
            let files = directory.names().into_iter().filter(|file| identity_of(file).is_some());
            let records = files.filter_map(|file| Record::read(&directory, &file)?.name());
            records.collect::<Vec<_>>()
        })
        .collect();
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    names.dedup();
    names
}

/// The mark on a queue. Only its owner's and root's records count, of which each is asked for by its
/// name: whatever else users put into their directories is never read. A record of an earlier boot is
/// another queue's, since none outlives its boot.
pub(super) fn mark_of(name: &Name, stat: &Stat) -> Marked {
    let boot = sys::proc::boot_id();
    let of_this = |record: Record| {
        let mark = record.mark().filter(|_| record.name == name.as_bytes())?;
        boot.as_ref().is_none_or(|boot| *boot == mark.boot_id).then(|| mark.clone())
    };
    let file = file_of(stat.identity.file);
    let root = (stat.owner != 0).then_some(0);
    let directories = std::iter::once(stat.owner).chain(root).flat_map(Directory::of);
    match directories.filter_map(|it| Record::read(&it, &file)).find_map(of_this) {
        Some(mark) => Marked::By(mark),
        None if has_readable_records(stat.owner) => Marked::Unmarked,
        None => Marked::Unreadable,
    }
}

/// The first line of a record.
#[derive(Debug, PartialEq)]
enum Head {
    /// Who owns the name.
    Owned(Mark),
    /// Nobody does. The IPC namespace of the queue, if that was known.
    Kept(Option<u64>),
}

/// What the first line begins with where nobody owns the name. No mark does.
const KEPT: &str = "kept ";

fn head_of_kept() -> String {
    let namespace = sys::proc::ipc_namespace().map_or("?".into(), |it| it.to_string());
    format!("{KEPT}{namespace}")
}

struct Record {
    head: Head,
    name: Vec<u8>,
}

impl Record {
    fn read(directory: &Directory, file: &str) -> Option<Record> {
        let text = directory.read(file).ok()?;
        let (head, name) = parse(&text)?;
        Some(Record { head, name: name.to_vec() })
    }

    fn mark(&self) -> Option<&Mark> {
        match &self.head {
            Head::Owned(mark) => Some(mark),
            Head::Kept(_) => None,
        }
    }

    fn name(&self) -> Option<Name> {
        Name::new(Kind::MessageQueue, records::os_str(&self.name)).ok()
    }

    /// Whether the queue is gone that the record is called after.
    fn is_of_none(&self, id: FileId, queues: &QueueDirectory) -> bool {
        self.name().is_some_and(|name| match queues.look(name.as_c_str()) {
            Ok(stat) => stat.identity.file != id,
            Err(errno) => errno == Errno::NOENT,
        })
    }

    /// The same, of a queue of this IPC namespace, where the kernel lists none.
    fn names_another(&self, id: FileId) -> bool {
        self.name().is_some_and(|name| match open_to_look(&name) {
            Ok(queue) => queue.identity().file != id,
            Err(errno) => errno == Errno::NOENT,
        })
    }
}

/// Whether a record of a user's, if there was one, could be read here: this user may, and nobody has taken
/// the place where it would be.
fn has_readable_records(owner: u32) -> bool {
    let user = sys::unistd::effective_user();
    (user == 0 || user == owner) && !records::is_squatted(owner)
}

fn file_of(FileId { device, inode }: FileId) -> String {
    format!("queue-{device:x}-{inode:x}")
}

/// The queue whose final record has this name.
fn identity_of(file: &str) -> Option<FileId> {
    let (device, inode) = file.strip_prefix("queue-")?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(FileId { device: number(device)?, inode: number(inode)? })
}

/// The first line and the name in a record, with its slash; `None` for what is no record.
fn parse(text: &[u8]) -> Option<(Head, &[u8])> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    let (head, name) = (std::str::from_utf8(text.get(..end)?).ok()?, text.get(end + 1..)?);
    let head = match head.strip_prefix(KEPT) {
        Some(namespace) => Head::Kept(namespace.parse().ok()),
        None => Head::Owned(head.parse().ok()?),
    };
    Some((head, name))
}

/// The name is on the second line. Where it cannot be written there is none, and no error.
fn write_new(directory: &Directory, file: &str, head: &str, name: &Name) -> Option<()> {
    let mut text = Vec::from(head);
    text.push(b'\n');
    text.extend_from_slice(name.as_bytes());
    directory.write_new(file, &text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;
    use std::time::SystemTime;

    fn path(pending: &Pending) -> PathBuf {
        let directory = records::own_directory().into_string().expect("a path");
        PathBuf::from(directory).join(&pending.file)
    }

    #[test]
    fn what_a_killed_process_has_begun_is_removed() {
        let name = Name::random(Kind::MessageQueue).unwrap();
        let pending = [(); 2].map(|()| Pending::write(&name, true).expect("a record"));
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        let file = fs::File::options().write(true).open(path(&pending[0])).unwrap();
        file.set_modified(long_ago).unwrap();
        forget_abandoned();
        assert_eq!(pending.each_ref().map(|pending| path(pending).exists()), [false, true]);
    }

    #[test]
    fn a_record_says_who_owns_a_name() {
        let own = mark::own().expect("/proc is mounted");
        let owned = format!("{own}\n/x\ny");
        let (head, name) = parse(owned.as_bytes()).expect("a record");
        assert_eq!((head, name), (Head::Owned(own.parse().expect("a mark")), &b"/x\ny"[..]));
        for (text, namespace) in [("kept 17\n/x", Some(17)), ("kept ?\n/x", None)] {
            assert_eq!(parse(text.as_bytes()), Some((Head::Kept(namespace), &b"/x"[..])));
        }
        for text in ["", "kept 17", "kept\n/x", "2 1\n/x", "\n/x"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    /// As when the file system is full: nothing is left behind.
    #[test]
    fn what_cannot_be_written_is_not_there() {
        let name = Name::random(Kind::MessageQueue).unwrap();
        let taken = Pending::write(&name, true).expect("a record");
        assert!(write_new(&taken.directory, &taken.file, "kept 1", &name).is_none());
        assert!(path(&taken).exists(), "another's is left alone");
    }
}
