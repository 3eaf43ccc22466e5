//! Names that nobody else has.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::fs;
use std::hash::BuildHasher;
use std::ops::Deref;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use nob_ipc::{ErrorKind, Name};

use super::{KINDS, files};

/// The names in use, for the watchdog to clean up.
static IN_USE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A name for one test, with its slash. What has it at the end is unlinked, whatever its kind.
pub struct Unique(String);

impl Unique {
    pub fn new() -> Unique {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let random = RandomState::new().hash_one(count);
        let name = format!("/nob-it-{}-{count}-{random:016x}", process::id());
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        Unique(name)
    }
}

impl Deref for Unique {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Unique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Drop for Unique {
    fn drop(&mut self) {
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        unlink_all(&self.0);
    }
}

/// Unlinks the names of all tests that are under way: the process is about to end.
pub fn clean_up() {
    for name in IN_USE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        unlink_all(name);
    }
}

fn unlink_all(name: &str) {
    for kind in KINDS {
        let unlinked = Name::new(kind, name).and_then(|name| nob_ipc::unlink(&name));
        if let Err(error) = unlinked
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("cannot clean up: {error}");
        }
    }
    // Of a queue that its creator has not unlinked itself.
    for (record, _) in files::records_of(name) {
        if let Err(error) = fs::remove_file(&record) {
            eprintln!("cannot clean up {}: {error}", record.display());
        }
    }
}
