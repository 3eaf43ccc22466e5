//! What the system shows of objects, without the crate under test.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nob_ipc::Kind;

use crate::calls::check;

/// The kinds whose objects are files in `/dev/shm`.
pub const KINDS: [Kind; 5] =
    [Kind::Semaphore, Kind::SharedMemory, Kind::Lock, Kind::BoundedSemaphore, Kind::Channel];

/// The file of an object, wherever it has one; queues have none.
pub fn path(kind: Kind, name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref().as_bytes();
    let bare = name.strip_prefix(b"/").unwrap_or(name);
    let prefix: &[u8] = match kind {
        Kind::Semaphore => b"sem.",
        Kind::SharedMemory => b"",
        Kind::MessageQueue => return None,
        Kind::Lock => b"nob.lock.",
        Kind::BoundedSemaphore => b"nob.permits.",
        Kind::Channel => b"nob.channel.",
    };
    Some(Path::new("/dev/shm").join(OsStr::from_bytes(&[prefix, bare].concat())))
}

/// The file of an object of a kind that has files.
pub fn file(kind: Kind, name: impl AsRef<OsStr>) -> PathBuf {
    path(kind, name).expect("a kind that has files")
}

/// Whether anything has the name.
pub fn exists(kind: Kind, name: impl AsRef<OsStr>) -> bool {
    let name = name.as_ref();
    if let Some(path) = path(kind, name) {
        return fs::symlink_metadata(path).is_ok();
    }
    let name = CString::new(name.as_bytes()).expect("names have no NUL");
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    let queue = unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if queue == -1 {
        let error = std::io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOENT) => false,
            Some(libc::EACCES) => true,
            _ => panic!("cannot look for a queue: {error}"),
        };
    }
    // SAFETY: this function has opened it, and nobody else knows it.
    unsafe { libc::mq_close(queue) };
    true
}

/// Opens what has the name for reading, as any program can.
pub fn open(kind: Kind, name: &str) -> OwnedFd {
    if let Some(path) = path(kind, name) {
        return fs::File::open(path).expect("it is there").into();
    }
    let name = CString::new(name).expect("names have no NUL");
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    let queue = check(unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) });
    // SAFETY: it was just opened, nobody else knows it, and on Linux it is a descriptor.
    unsafe { OwnedFd::from_raw_fd(queue) }
}

/// Whether an exclusive lock can be had, which is given back at once: nobody uses the object.
pub fn try_lock(object: &impl AsFd) -> bool {
    let fd = object.as_fd().as_raw_fd();
    // SAFETY: takes a descriptor, which `object` keeps open, and a number.
    let had = unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } == 0;
    if had {
        // SAFETY: the same.
        check(unsafe { libc::flock(fd, libc::LOCK_UN) });
    }
    had
}

/// What an object leaves in this process while it is open, whatever its name.
#[derive(Clone, Copy)]
pub struct Trace {
    device: u64,
    inode: u64,
}

impl Trace {
    /// Of what has a name, for kinds that have files.
    pub fn of(kind: Kind, name: &str) -> Trace {
        Trace::new(&fs::symlink_metadata(file(kind, name)).expect("it is there"))
    }

    /// Of what a descriptor leads to.
    pub fn of_open(object: &impl AsFd) -> Trace {
        Trace::new(&metadata(object))
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

/// What the system says about an open descriptor.
pub fn metadata(object: &impl AsFd) -> fs::Metadata {
    let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
    fs::metadata(path).expect("it is open")
}

/// Makes a FIFO (`S_IFIFO`) or device (`S_IFCHR`) in the place of an object.
pub fn make_node(kind: Kind, name: &str, node: libc::mode_t, device: libc::dev_t) {
    let path = CString::new(file(kind, name).into_os_string().into_encoded_bytes());
    let path = path.expect("names have no NUL");
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    check(unsafe { libc::mknod(path.as_ptr(), node | 0o600, device) });
}

/// Makes a file of `size` bytes whose only memory is the page at `memory`.
pub fn hollow(kind: Kind, name: &str, size: u64, memory: Option<i64>) {
    let file = fs::File::create_new(file(kind, name)).expect("the name is free");
    file.set_len(size).expect("it takes no memory");
    if let Some(offset) = memory {
        let keep = libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: takes a descriptor, which `file` keeps open, and numbers.
        check(unsafe { libc::fallocate(file.as_raw_fd(), keep, offset, 4096) });
    }
}

/// How many bytes `/dev/shm` has left.
pub fn free_in_shm() -> u64 {
    let mut room = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is NUL-terminated, and `room` is writable.
    check(unsafe { libc::statvfs(c"/dev/shm".as_ptr(), room.as_mut_ptr()) });
    // SAFETY: the structure is made of integers, for which zero is a value.
    let room = unsafe { room.assume_init() };
    room.f_bavail * room.f_frsize
}
