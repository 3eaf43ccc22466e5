//! What a process holds, and what it has left under a name.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::os::unix::ffi::OsStrExt;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys;
use crate::{ErrorKind, Kind, Name};

/// How many names this process has used.
static USED: AtomicU32 = AtomicU32::new(0);

fn name(number: u32) -> String {
    format!("/nob-faults-{}-{number}", process::id())
}

/// A name that no other test has.
pub(super) fn unique() -> String {
    name(USED.fetch_add(1, Ordering::Relaxed))
}

/// Removes what has any of the names of this process.
pub(super) fn clean_all() {
    (0..USED.load(Ordering::Relaxed)).map(name).for_each(|name| clean(&name));
}

/// The descriptors of this process, by number, and its mappings of objects.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traces {
    descriptors: BTreeSet<OsString>,
    mappings: Vec<String>,
}

impl Traces {
    pub(super) fn take() -> Traces {
        let entries = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
        // One of them lists the others, and has the same number each time if the others have.
        let descriptors = entries.map(|entry| entry.expect("readable").file_name()).collect();
        let maps = fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
        let mappings =
            maps.lines().filter(|line| line.contains("/dev/shm/")).map(str::to_string).collect();
        Traces { descriptors, mappings }
    }
}

/// Leaves nothing behind, however the test ends.
pub(super) struct CleanAtEnd;

impl CleanAtEnd {
    pub(super) fn new() -> CleanAtEnd {
        // Whatever there is before the test begins is another's.
        assert_eq!(left_under(&name(0)), [""; 0]);
        assert_eq!(records_of(&name(0)), [""; 0]);
        CleanAtEnd
    }
}

impl Drop for CleanAtEnd {
    fn drop(&mut self) {
        clean_all();
        let unfinished = format!("new-{}-", std::process::id());
        for record in records() {
            if record.file_name().to_string_lossy().starts_with(&unfinished) {
                fs::remove_file(record.path()).expect("it is ours");
            }
        }
    }
}

/// What has the name, of whatever kind. A record that could not be removed names a queue that is gone,
/// and does no harm.
pub(super) fn left_under(name: &str) -> Vec<String> {
    let mut left = Vec::new();
    let entries = fs::read_dir("/dev/shm").expect("readable");
    let files = entries.map(|entry| entry.expect("readable").file_name());
    left.extend(
        files
            .filter(|file| file.as_bytes().ends_with(&name.as_bytes()[1..]))
            .map(|file| file.to_string_lossy().into_owned()),
    );
    let queue = Name::new(Kind::MessageQueue, name).expect("a legal name");
    if sys::mqueue::open(queue.as_c_str(), sys::OpenMode::ReadOnly).is_ok() {
        left.push(format!("{queue:?}"));
    }
    left
}

/// The records of a queue of this name.
pub(super) fn records_of(name: &str) -> Vec<String> {
    // There may be thousands of earlier ones, and this is asked for thousands of times.
    static EARLIER: OnceLock<HashSet<OsString>> = OnceLock::new();
    let earlier = EARLIER.get_or_init(|| records().map(|record| record.file_name()).collect());
    records()
        .filter(|record| !earlier.contains(&record.file_name()))
        // Those of other processes come and go.
        .filter(|record| {
            let text = fs::read_to_string(record.path());
            text.is_ok_and(|text| text.lines().nth(1) == Some(name))
        })
        .map(|record| record.path().display().to_string())
        .collect()
}

fn records() -> impl Iterator<Item = DirEntry> {
    let directory = sys::records::own_directory();
    let entries = fs::read_dir(sys::records::os_str(directory.to_bytes()));
    entries.into_iter().flatten().map(|entry| entry.expect("readable"))
}

/// Removes what has the name, of whatever kind.
pub(super) fn clean(name: &str) {
    for kind in Kind::ALL {
        let name = Name::new(kind, name).expect("a legal name");
        match crate::unlink(&name) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    for record in records_of(name) {
        fs::remove_file(record).expect("it is ours");
    }
}
