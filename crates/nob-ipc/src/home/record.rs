//! The creator's mark on a queue: a file in a private directory of the user.
//!
//! A record is called after the queue's device and inode and holds the mark and the name. Before
//! the queue exists its identity is unknown, so the record begins under a name of its own and is
//! renamed when the queue is there. A process that is killed between these two calls leaves a queue
//! that counts as unmarked: that it was about to create the queue does not prove that it has, since
//! another may have been quicker, and a queue has no other place for a mark.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::name::Name;
use crate::object::mark::{self, Mark};
use crate::sys::{self, Identity};

/// No creation of a queue takes so long.
const ABANDONED: Duration = Duration::from_secs(60);

/// A record whose queue is being created; dropped without [`keep`](Pending::keep), it goes.
pub(crate) struct Pending {
    path: PathBuf,
}

impl Pending {
    /// Writes the record of a queue that is about to be created.
    pub(crate) fn write(name: &Name) -> Option<Pending> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = sys::private::directory()?.join(format!("new-{}-{count}", std::process::id()));
        // A record of this pid and count is one of a process that died: its queue never was, or it
        // would have been renamed.
        let _ = fs::remove_file(&path);
        write_new(&path, name)?;
        Some(Pending { path })
    }

    /// The queue is there: gives the record its final name.
    pub(crate) fn keep(self, identity: Identity) {
        // Without the new name there is no mark, and no error; dropping removes the old name.
        let _ = fs::rename(&self.path, path_of(identity).unwrap_or_else(|| self.path.clone()));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `keep` there is nothing to remove, and a leftover does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Records that this process is due to unlink the queue, if no process is yet.
pub(crate) fn put(name: &Name, identity: Identity) {
    if let Some(path) = path_of(identity) {
        write_new(&path, name);
    }
}

/// Removes the record if it is this process's own.
pub(crate) fn take_back(identity: Identity) {
    let own = path_of(identity)
        .and_then(|path| fs::read_to_string(path).ok())
        .is_some_and(|text| text.lines().next() == mark::own());
    if own {
        forget(identity);
    }
}

/// Removes the record of a queue that is gone.
pub(crate) fn forget(identity: Identity) {
    if let Some(path) = path_of(identity) {
        // There may be none, and a leftover does no harm: it names a queue that is gone.
        let _ = fs::remove_file(path);
    }
}

/// Removes the records whose process was killed while it created a queue.
pub(crate) fn forget_abandoned() {
    let Some(directory) = sys::private::directory() else { return };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let pending = entry.file_name().to_str().is_some_and(|name| name.starts_with("new-"));
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| changed.elapsed().ok());
        if pending && age.is_some_and(|age| age > ABANDONED) {
            // Somebody else may have been quicker. If its process is only slow, its queue has no
            // mark, and no error.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn path_of(identity: Identity) -> Option<PathBuf> {
    let Identity { device, inode } = identity;
    Some(sys::private::directory()?.join(format!("queue-{device:x}-{inode:x}")))
}

/// The mark and the name in a record, with its slash; `None` for what is no record.
pub(crate) fn parse(text: &[u8]) -> Option<(Mark, &[u8])> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    let (mark, name) = (text.get(..end)?, text.get(end + 1..)?);
    Some((std::str::from_utf8(mark).ok()?.parse().ok()?, name))
}

/// The identity of the queue whose final record has this file name.
pub(crate) fn identity_of(file_name: &str) -> Option<Identity> {
    let (device, inode) = file_name.strip_prefix("queue-")?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(Identity { device: number(device)?, inode: number(inode)? })
}

/// The mark on the first line, the name on the second. Where it cannot be written there is none,
/// and no error.
fn write_new(path: &Path, name: &Name) -> Option<()> {
    let mut text = Vec::from(mark::own()?);
    text.push(b'\n');
    text.extend_from_slice(name.as_bytes());
    sys::private::write_new(path, &text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Kind;
    use std::time::SystemTime;

    #[test]
    fn what_a_killed_process_has_begun_is_removed() {
        let name = Name::random(Kind::MessageQueue).unwrap();
        let pending = [(); 2].map(|()| Pending::write(&name).expect("a record"));
        let long_ago = SystemTime::now() - 2 * ABANDONED;
        let file = fs::File::options().write(true).open(&pending[0].path).unwrap();
        file.set_modified(long_ago).unwrap();
        forget_abandoned();
        assert_eq!(pending.each_ref().map(|pending| pending.path.exists()), [false, true]);
    }

    /// As when the file system is full: nothing is left behind.
    #[test]
    fn what_cannot_be_written_is_not_there() {
        let name = Name::random(Kind::MessageQueue).unwrap();
        let taken = Pending::write(&name).expect("a record");
        assert!(write_new(&taken.path, &name).is_none());
        assert!(taken.path.exists(), "another's is left alone");
    }
}
