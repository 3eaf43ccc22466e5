//! Creators' marks: extended attributes of files, and records of queues.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use nob_ipc::Kind;

use crate::calls::check;
use crate::{files, users};

const ATTRIBUTE: &std::ffi::CStr = c"user.nob-ipc";

/// No test takes so long.
const RECENT: Duration = Duration::from_secs(300);

/// What begins the record of a queue whose name nobody owns, in place of a mark.
const KEPT: &str = "kept ";

/// The records of this user's queues: path and content.
pub fn records() -> Vec<(PathBuf, String)> {
    let user = users::effective();
    let directories = [format!("/run/user/{user}/nob-ipc"), format!("/tmp/nob-ipc-{user}")];
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    entries
        .filter_map(|entry| {
            let (path, metadata) = entry.and_then(|it| Ok((it.path(), it.metadata()?))).ok()?;
            // There may be thousands that others have left, and this is asked for often.
            let age = metadata.modified().ok()?.elapsed().unwrap_or_default();
            // Those of other processes come and go meanwhile.
            let content = if age < RECENT { fs::read(&path).ok()? } else { return None };
            Some((path, String::from_utf8_lossy(&content).into_owned()))
        })
        .collect()
}

/// The records that name this queue.
pub fn records_of(name: impl AsRef<OsStr>) -> Vec<(PathBuf, String)> {
    let name = String::from_utf8_lossy(name.as_ref().as_bytes());
    let mut records = records();
    records.retain(|(_, content)| content.split_once('\n').is_some_and(|(_, named)| named == name));
    records
}

/// The mark that an object has, wherever it is kept.
pub fn mark(kind: Kind, name: &str) -> Option<String> {
    if kind == Kind::MessageQueue {
        let mut records = records_of(name);
        assert!(records.len() <= 1, "{records:?}");
        let (_, content) = records.pop()?;
        let head = content.lines().next().unwrap_or_default();
        return (!head.starts_with(KEPT)).then(|| head.to_string());
    }
    match marking(kind, name) {
        Marking::Marked(mark) => Some(mark),
        Marking::Unmarked | Marking::Missing => None,
    }
}

/// The mark of a process of this machine.
pub fn mark_of(pid: i32) -> String {
    // The process's own file, qemu-user invents.
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat"));
    let stat = stat.expect("the process lives");
    let (_, fields) = stat.rsplit_once(')').expect("the command is in parentheses");
    let start_time = fields.split_whitespace().nth(19).expect("field 22 of the file");
    let namespace = |kind| {
        let link = fs::metadata(format!("/proc/{pid}/ns/{kind}"));
        link.expect("the process lives").ino()
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux has one");
    let (pids, times) = (namespace("pid"), namespace("time"));
    format!("2 {pid} {start_time} {pids} {times} {}", boot.trim())
}

/// The mark of this process.
pub fn own_mark() -> String {
    mark_of(std::process::id().try_into().expect("a pid is an i32"))
}

/// The mark with another field: 1 the pid, 2 the start time, 3 the pid namespace, 4 the time namespace,
/// 5 the boot.
pub fn changed(mark: &str, field: usize, to: &str) -> String {
    let mut fields: Vec<&str> = mark.split(' ').collect();
    fields[field] = to;
    fields.join(" ")
}

/// The mark of a process that lived here and is dead, and whose pid was used again: this process has it,
/// and began later.
pub fn mark_of_the_dead() -> String {
    changed(&own_mark(), 2, "1")
}

/// Gives an object this mark in place of the one that it has.
pub fn set_mark(kind: Kind, name: &str, mark: &str) {
    let Some(path) = files::path(kind, name) else {
        let [(path, _)] = records_of(name).try_into().expect("one record");
        return fs::write(&path, format!("{mark}\n{name}")).expect("it is ours");
    };
    let path = CString::new(path.as_os_str().as_bytes()).expect("names have no NUL");
    // SAFETY: both strings are NUL-terminated, and the mark is readable for its length.
    check(unsafe {
        libc::lsetxattr(path.as_ptr(), ATTRIBUTE.as_ptr(), mark.as_ptr().cast(), mark.len(), 0)
    });
}

/// How the file is marked that has the name at this moment.
#[derive(Debug, PartialEq, Eq)]
pub enum Marking {
    /// No file has the name.
    Missing,
    /// It has no mark.
    Unmarked,
    /// It has this mark.
    Marked(String),
}

/// How the file of a semaphore or segment is marked.
pub fn marking(kind: Kind, name: &str) -> Marking {
    let Ok(file) = fs::File::open(files::file(kind, name)) else { return Marking::Missing };
    let mut buffer = [0_u8; 256];
    // SAFETY: the name is NUL-terminated, and the buffer is writable for its length.
    let length = unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            ATTRIBUTE.as_ptr(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
        )
    };
    match usize::try_from(length).ok().and_then(|length| buffer.get(..length)) {
        Some(mark) => Marking::Marked(String::from_utf8_lossy(mark).into_owned()),
        None => Marking::Unmarked,
    }
}
