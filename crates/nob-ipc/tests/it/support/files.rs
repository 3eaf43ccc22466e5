//! What the system shows of objects, without the crate.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use nob_ipc::Kind;

/// The file of a semaphore or segment.
pub fn path(kind: Kind, name: &str) -> PathBuf {
    let bare = name.trim_start_matches('/');
    match kind {
        Kind::Semaphore => PathBuf::from(format!("/dev/shm/sem.{bare}")),
        Kind::SharedMemory => PathBuf::from(format!("/dev/shm/{bare}")),
        Kind::MessageQueue => panic!("a queue has no path"),
    }
}

/// Whether anything has the name.
pub fn exists(kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Semaphore | Kind::SharedMemory => fs::symlink_metadata(path(kind, name)).is_ok(),
        Kind::MessageQueue => {
            let name = CString::new(name).expect("names have no NUL");
            // SAFETY: `name` is a NUL-terminated string that outlives the call.
            let queue = unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
            if queue == -1 {
                let error = std::io::Error::last_os_error();
                return error.raw_os_error() != Some(libc::ENOENT);
            }
            // SAFETY: this function has opened it, and nobody else knows it.
            unsafe { libc::mq_close(queue) };
            true
        }
    }
}

/// What an object leaves in this process while it is open, whatever its name.
#[derive(Clone, Copy)]
pub struct Trace {
    device: u64,
    inode: u64,
}

impl Trace {
    /// Of what has the name of a semaphore or segment.
    pub fn of(kind: Kind, name: &str) -> Trace {
        Trace::new(&fs::symlink_metadata(path(kind, name)).expect("it is there"))
    }

    pub fn of_open(object: &impl AsFd) -> Trace {
        let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
        Trace::new(&fs::metadata(path).expect("it is open"))
    }

    fn new(metadata: &fs::Metadata) -> Trace {
        Trace { device: metadata.dev(), inode: metadata.ino() }
    }

    /// How many descriptors of this process lead to it.
    pub fn descriptors(self) -> usize {
        let entries = fs::read_dir("/proc/self/fd").expect("/proc is mounted");
        entries
            // Others come and go meanwhile.
            .filter_map(|entry| fs::metadata(entry.ok()?.path()).ok())
            .filter(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode))
            .count()
    }

    /// How many mappings of this process lead to it.
    pub fn mappings(self) -> usize {
        let (major, minor) = (libc::major(self.device), libc::minor(self.device));
        let ours = [format!("{major:02x}:{minor:02x}"), self.inode.to_string()];
        let maps = fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
        maps.lines()
            .filter(|line| line.split_ascii_whitespace().skip(3).take(2).eq(ours.iter()))
            .count()
    }
}

/// No test takes so long.
const RECENT: Duration = Duration::from_secs(300);

/// The records of queues that this user's processes are due to unlink: path and content.
pub fn records() -> Vec<(PathBuf, String)> {
    let user = super::process::effective_user();
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
pub fn records_of(name: &str) -> Vec<(PathBuf, String)> {
    let mut records = records();
    records.retain(|(_, content)| content.lines().nth(1) == Some(name));
    records
}

/// The creator's mark on a file, if there is one.
pub fn mark(kind: Kind, name: &str) -> Option<String> {
    match marking(kind, name) {
        Marking::Marked(mark) => Some(mark),
        Marking::Unmarked | Marking::Missing => None,
    }
}

/// The mark of a process that lived here and is dead: process 1 began at another time.
pub fn mark_of_the_dead() -> String {
    let own = mark_of(i32::try_from(std::process::id()).expect("a pid"));
    let fields: Vec<&str> = own.split(' ').collect();
    [fields[0], fields[1], "1", fields[3], fields[4], fields[5]].join(" ")
}

/// What the mark of a process has to be.
pub fn mark_of(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
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

/// Gives a file without a mark one.
pub fn set_mark(kind: Kind, name: &str, mark: &str) {
    let path = CString::new(path(kind, name).into_os_string().into_encoded_bytes())
        .expect("names have no NUL");
    // SAFETY: both strings are NUL-terminated, and the mark is readable for its length.
    let done = unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            c"user.nob-ipc".as_ptr(),
            mark.as_ptr().cast(),
            mark.len(),
            0,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Makes a file of `size` bytes whose only memory is the page at `memory`.
pub fn hollow(kind: Kind, name: &str, size: u64, memory: Option<i64>) {
    let file = fs::File::create_new(path(kind, name)).expect("the name is free");
    file.set_len(size).expect("it takes no memory");
    if let Some(offset) = memory {
        let keep = libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: takes a descriptor, which `file` keeps open, and numbers.
        let done = unsafe { libc::fallocate(file.as_raw_fd(), keep, offset, 4096) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
}

/// How many bytes `/dev/shm` has left.
pub fn free_in_shm() -> u64 {
    let mut room = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is NUL-terminated, and `room` is writable.
    let done = unsafe { libc::statvfs(c"/dev/shm".as_ptr(), room.as_mut_ptr()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the structure is made of integers, for which zero is a value.
    let room = unsafe { room.assume_init() };
    room.f_bavail * room.f_frsize
}

/// How the file is marked that has the name at this moment.
#[derive(Debug, PartialEq, Eq)]
pub enum Marking {
    Missing,
    Unmarked,
    Marked(String),
}

pub fn marking(kind: Kind, name: &str) -> Marking {
    let Ok(file) = fs::File::open(path(kind, name)) else { return Marking::Missing };
    let mut buffer = [0_u8; 256];
    // SAFETY: the name is NUL-terminated, and the buffer is writable for its length.
    let length = unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            c"user.nob-ipc".as_ptr(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
        )
    };
    match usize::try_from(length).ok().and_then(|length| buffer.get(..length)) {
        Some(mark) => Marking::Marked(String::from_utf8_lossy(mark).into_owned()),
        None => Marking::Unmarked,
    }
}
