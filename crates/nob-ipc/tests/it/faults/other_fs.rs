//! A `/dev/shm` that is no tmpfs.

use std::ffi::CString;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nob_ipc::{ErrorKind, Existence, Kind, Reservation, Semaphore, SharedMemory};

use crate::faults::limits::{in_role, refused, with_root};
use crate::support::{Object, Role, Unique, files, process};

pub const ROLES: &[Role] = &[
    ("other_fs::on_ramfs", |_| on_ramfs()),
    ("other_fs::used_again", |arguments| used_again(arguments.text(0))),
    ("other_fs::file_limit", |_| file_limit()),
];

/// Where memory cannot be reserved, it is written.
#[test]
fn without_fallocate() {
    with_root("other_fs::on_ramfs");
}

fn on_ramfs() {
    const SIZE: u64 = 1_000_001;
    if !process::own_shm_on_ramfs() {
        return;
    }
    let name = Unique::new();
    for reservation in [Reservation::Reserved, Reservation::Sparse] {
        let mut options = SharedMemory::options();
        options.reservation(reservation).existence(Existence::Create);
        let created = options.size(SIZE).open(&*name).expect("a new segment");
        created.map().expect("it has a size").write(0, b"first").expect("it is writable");
        let linked = options.existence(Existence::Link).size(2 * SIZE).open(&*name);
        let linked = linked.expect("it grows");
        assert_eq!(created.size().expect("a size"), 2 * SIZE);
        created.resize(3 * SIZE).expect("it grows");
        linked.resize(SIZE).expect("it shrinks");
        let mut bytes = [0; 5];
        linked.map().expect("it has a size").read(0, &mut bytes).expect("within it");
        assert_eq!(&bytes, b"first", "growing writes behind the end alone");
        if reservation == Reservation::Reserved {
            // What is given up half way is undone.
            let mut steps = 0;
            let given_up = created.resize_with(4 * SIZE, &mut || {
                steps += 1;
                if steps == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            refused(given_up, &name, ErrorKind::Interrupted, libc::EINTR);
            assert_eq!(created.size().expect("a size"), SIZE);
            let blocks = fs::metadata(files::path(Kind::SharedMemory, &name)).expect("it is there");
            assert!(std::os::unix::fs::MetadataExt::blocks(&blocks) * 512 >= SIZE);
        }
    }
    Object::create(Kind::Semaphore, &name).use_it();
}

/// A limit of file sizes is an error, and not the signal that ends a process.
#[test]
fn a_limit_of_file_sizes() {
    in_role("other_fs::file_limit");
}

fn file_limit() {
    let name = Unique::new();
    process::set_limit(libc::RLIMIT_FSIZE, 10_000);
    for reservation in [Reservation::Reserved, Reservation::Sparse] {
        let mut options = SharedMemory::options();
        options.reservation(reservation).existence(Existence::LinkOrCreate);
        refused(options.size(10_001).open(&*name), &name, ErrorKind::LimitExceeded, libc::EFBIG);
        let segment = options.size(10_000).open(&*name).expect("just within the limit");
        refused(segment.resize(10_001), &name, ErrorKind::LimitExceeded, libc::EFBIG);
        assert_eq!(segment.size().expect("a size"), 10_000);
    }
}

/// Removes a directory with what is in it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it is ours");
    }
}

/// Contract 4.5: a file that has got the inode number of a removed one is another object.
#[test]
fn an_inode_number_that_is_used_again() {
    let directory = Directory(std::env::temp_dir().join(Unique::new().trim_start_matches('/')));
    fs::create_dir(&directory.0).expect("the name is free");
    let path = CString::new(directory.0.as_os_str().as_bytes()).expect("no NUL");
    if process::is_root("mount something at /dev/shm") {
        crate::support::Child::run("other_fs::used_again", &[&path.to_string_lossy()]);
    }
}

fn used_again(directory: &str) {
    if !process::own_shm_in(&CString::new(directory).expect("no NUL")) {
        return;
    }
    let inode = |name: &str| {
        let metadata = fs::metadata(files::path(Kind::Semaphore, name)).expect("it is there");
        std::os::unix::fs::MetadataExt::ino(&metadata)
    };
    let name = Unique::new();
    let create = || Semaphore::options().existence(Existence::Create).open(&*name);
    let semaphore = create().expect("a new one");
    let (ownership, number) = (semaphore.ownership().clone(), inode(&name));
    // Closed, as a handle of Python can be while it still owns the name: nothing keeps the file.
    drop(semaphore);
    nob_ipc::unlink(ownership.name()).expect("it is ours");
    // The clock that dates files does not go on with each call.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let other =
        Semaphore::options().existence(Existence::Create).unlink_on_drop(false).open(&*name);
    let other = other.expect("the name is free");
    if inode(&name) != number {
        eprintln!("skipped: this file system uses no number again at once");
        return;
    }
    refused(ownership.unlink(), &name, ErrorKind::Replaced, libc::ENOENT);
    ownership.delete().expect("another's is left alone");
    drop(ownership);
    assert!(files::exists(Kind::Semaphore, &name));
    drop(other);
}
