//! A `/dev/shm` that is no tmpfs.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nob_ipc::{ErrorKind, Existence, Kind, Reservation, Semaphore, SharedMemory};
use nob_ipc_testing::{Directory, Machine, Role, Unique, files, mounts};

use crate::support::{Object, refused};

pub const ROLES: &[Role] = &[
    ("other_fs::on_ramfs", |_| on_ramfs()),
    ("other_fs::used_again", |arguments| used_again(arguments.text(0))),
];

/// Where memory cannot be reserved, it is written.
#[test]
fn without_fallocate() {
    Machine::new("size=1m").run("other_fs::on_ramfs", &[]);
}

fn on_ramfs() {
    const SIZE: u64 = 1_000_001;
    mounts::ramfs_at_shm();
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
            let file = fs::metadata(files::file(Kind::SharedMemory, &name)).expect("it is there");
            assert!(file.blocks() * 512 >= SIZE);
        }
    }
    for kind in files::KINDS {
        Object::create(kind, &name).use_it();
    }
}

/// Contract 4.5: a file that has got the inode number of a removed one is another object.
#[test]
fn an_inode_number_that_is_used_again() {
    let directory = Directory::within(Path::new(env!("CARGO_TARGET_TMPDIR")));
    Machine::new("size=1m").run("other_fs::used_again", &[&directory.display()]);
}

fn used_again(directory: &str) {
    mounts::bind(Path::new(directory), Path::new("/dev/shm"));
    let inode =
        |name: &str| fs::metadata(files::file(Kind::Semaphore, name)).expect("it is there").ino();
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
