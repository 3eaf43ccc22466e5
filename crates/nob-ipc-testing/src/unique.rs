//! Names that no other test has.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nob_ipc::Kind;

use crate::{files, marks};

/// The names of all tests that are under way, for the watchdog to clean up.
static IN_USE: Mutex<BTreeSet<OsString>> = Mutex::new(BTreeSet::new());

fn in_use() -> MutexGuard<'static, BTreeSet<OsString>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name for one test, with its slash. When it is dropped, also by a panic, the objects of all kinds
/// that have it are removed; so they are when the watchdog ends the process.
pub struct Unique {
    name: String,
    longer: Mutex<Vec<OsString>>,
}

impl Unique {
    /// A name of letters, digits and `-`.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Unique {
        Unique::with("")
    }

    /// A name that ends with `end`.
    pub fn with(end: &str) -> Unique {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let random = RandomState::new().hash_one(count);
        let name = format!("/nob-rust-{}-{count}-{random:016x}{end}", process::id());
        in_use().insert(OsString::from(&name));
        Unique { name, longer: Mutex::new(Vec::new()) }
    }

    /// The name with `end` after it, of whatever bytes. What has that name is removed as well.
    pub fn followed_by(&self, end: &[u8]) -> OsString {
        let longer = OsString::from_vec([self.name.as_bytes(), end].concat());
        in_use().insert(longer.clone());
        self.longer.lock().unwrap_or_else(PoisonError::into_inner).push(longer.clone());
        longer
    }

    /// The name without its slash: what its file in `/dev/shm` is called.
    pub fn bare(&self) -> &str {
        &self.name[1..]
    }
}

impl Deref for Unique {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl AsRef<OsStr> for Unique {
    fn as_ref(&self) -> &OsStr {
        self.name.as_ref()
    }
}

impl fmt::Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Drop for Unique {
    fn drop(&mut self) {
        let longer = self.longer.get_mut().unwrap_or_else(PoisonError::into_inner);
        for name in longer.iter().map(OsString::as_os_str).chain([OsStr::new(&self.name)]) {
            in_use().remove(name);
            remove(name);
        }
    }
}

/// Removes what has the names of tests that are under way: the process is about to end.
pub(crate) fn clean_up() {
    for name in in_use().iter() {
        remove(name);
    }
}

/// Removes the objects of all kinds that have a name, without the crate under test.
fn remove(name: &OsStr) {
    for kind in Kind::ALL {
        let removed = match files::path(kind, name) {
            Some(path) => fs::remove_file(path),
            None => unlink_queue(name),
        };
        if let Err(error) = removed
            && !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename)
        {
            eprintln!("cannot remove the {kind} {}: {error}", name.display());
        }
    }
    // A creator that was killed leaves the record of its queue.
    for (record, _) in marks::records_of(name) {
        if let Err(error) = fs::remove_file(&record) {
            eprintln!("cannot remove {}: {error}", record.display());
        }
    }
}

fn unlink_queue(name: &OsStr) -> io::Result<()> {
    let name = CString::new(name.as_bytes())?;
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    match unsafe { libc::mq_unlink(name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use nob_ipc::{
        BoundedSemaphore, Channel, Existence, Lock, MessageQueue, Semaphore, SharedMemory,
    };

    use super::*;

    /// Leaves an object of each kind, as a process that is killed does.
    fn leave(name: &OsStr) {
        let existence = Existence::Create;
        let semaphore = Semaphore::options().existence(existence).open(name);
        let segment = SharedMemory::options().existence(existence).size(1).open(name);
        let queue = MessageQueue::options().existence(existence).max_messages(1).open(name);
        let lock = Lock::options().existence(existence).open(name);
        let permits = BoundedSemaphore::options().existence(existence).open(name);
        let channel = Channel::options().existence(existence).open(name);
        mem::forget((semaphore.unwrap(), segment.unwrap(), queue.unwrap()));
        mem::forget((lock.unwrap(), permits.unwrap(), channel.unwrap()));
    }

    fn left(name: &OsStr) -> usize {
        let objects = Kind::ALL.into_iter().filter(|&kind| files::exists(kind, name)).count();
        objects + marks::records_of(name).len()
    }

    #[test]
    fn what_a_test_leaves_is_removed() {
        let names = std::panic::catch_unwind(|| {
            let name = Unique::new();
            let longer = name.followed_by(b"\xff\n");
            let names = [name.as_ref(), &*longer].map(OsStr::to_os_string);
            for name in &names {
                leave(name);
            }
            // One of each kind, and the record of the queue.
            assert_eq!(names.each_ref().map(|name| left(name)), [Kind::ALL.len() + 1; 2]);
            std::panic::resume_unwind(Box::new(names));
        });
        let names = names.unwrap_err().downcast::<[OsString; 2]>().unwrap();
        assert_eq!(names.map(|name| left(&name)), [0; 2]);
    }
}
