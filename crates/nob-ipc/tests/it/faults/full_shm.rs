//! `/dev/shm` full, read-only or missing, and processes that may have little of it. Each test is a
//! process of its own; most need root to make such a place.

use std::fs;
use std::os::unix::fs::FileExt;

use nob_ipc::{Access, Channel, ErrorKind, Existence, Kind, Reservation, Semaphore, SharedMemory};
use nob_ipc_testing::{Child, Machine, Role, Unique, files, files::Trace, limits, mounts};

use crate::support::{EXISTENCES, Object, assert_words, refused};

pub const ROLES: &[Role] = &[
    ("full_shm::full", |_| full_role()),
    ("full_shm::sparse_channel", |_| sparse_channel_role()),
    ("full_shm::no_inodes", |_| no_inodes_role()),
    ("full_shm::read_only", |_| read_only_role()),
    ("full_shm::no_directory", |_| no_directory_role()),
    ("full_shm::address_space", |_| address_space_role()),
    ("full_shm::mappings", |_| mappings_role()),
    ("full_shm::file_size", |_| file_size_role()),
];

/// H12, S32, contract 3.5: a full `/dev/shm`.
#[test]
fn full() {
    Machine::new("size=256k").run("full_shm::full", &[]);
}

/// Contract 3.5, 3.7: a channel without memory for its messages opens, or there is too little for that.
#[test]
fn sparse_channel() {
    Machine::new("size=256k").run("full_shm::sparse_channel", &[]);
}

/// S32: as full, of files.
#[test]
fn no_inodes() {
    Machine::new("size=1m,nr_inodes=6").run("full_shm::no_inodes", &[]);
}

/// H27.
#[test]
fn read_only() {
    Machine::new("size=1m").run("full_shm::read_only", &[]);
}

/// H27.
#[test]
fn no_directory() {
    Machine::new("size=1m").run("full_shm::no_directory", &[]);
}

/// A process that may not have one more mapping (`vm.max_map_count`).
#[test]
fn mappings() {
    Child::run("full_shm::mappings", &[]);
}

/// A process without room for a mapping.
#[test]
fn address_space() {
    Child::run("full_shm::address_space", &[]);
}

/// H11: a limit of file sizes is an error, and not the signal that ends a process.
#[test]
fn file_size() {
    Child::run("full_shm::file_size", &[]);
}

fn segment(name: &str, size: u64, existence: Existence) -> nob_ipc::Result<SharedMemory> {
    SharedMemory::options().size(size).existence(existence).open(name)
}

fn full_role() {
    let [old, big, other] = [(); 3].map(|()| Unique::new());
    let keeps = segment(&old, 100, Existence::Create).expect("there is room");
    let kept = Semaphore::options().existence(Existence::Create).open(&*old).expect("a new one");
    for existence in [Existence::Create, Existence::LinkOrCreate, Existence::UnlinkAndCreate] {
        let error =
            refused(segment(&big, 1 << 20, existence), &big, ErrorKind::OutOfSpace, libc::ENOSPC);
        assert_words(&error, &["1048576 bytes", "of 262144 bytes are free", "--shm-size"]);
        assert!(!files::exists(Kind::SharedMemory, &big));
    }
    // Files without memory, or with memory behind their first page, or behind their end.
    let holes = [(32, None), (2 * 4096, Some(4096)), (32, Some(4096))].map(|(size, memory)| {
        let hole = Unique::new();
        files::hollow(Kind::Semaphore, &hole, size, memory);
        hole
    });
    // A lock without memory behind its first page.
    let lock = Object::create(Kind::Lock, &old);
    let hollow = Unique::new();
    let whole = fs::read(files::file(Kind::Lock, &old)).expect("it is ours");
    let path = files::file(Kind::Lock, &hollow);
    fs::write(&path, &whole[..4096]).expect("there is room");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("it is ours");
    file.set_len(whole.len().try_into().expect("it is small")).expect("it takes no memory");
    // A channel that was opened when nothing was missing.
    let channel = Object::create(Kind::Channel, &old);
    // One without memory behind its first page, though there is some behind that.
    let whole = fs::read(files::file(Kind::Channel, &old)).expect("it is ours");
    let path = files::file(Kind::Channel, &hollow);
    let file = fs::File::create(&path).expect("there is room");
    file.write_all_at(&whole[..4096], 0).expect("there is room");
    file.write_all_at(&whole[8192..], 8192).expect("there is room");
    // All that there is, to the last page: what failed before has given everything back.
    let free = files::free_in_shm();
    let fills = segment(&big, free, Existence::Create).expect("just enough");
    assert_eq!(files::free_in_shm(), 0);
    let mapping = fills.map().expect("it is not empty");
    mapping.write(mapping.len() - 1, b"x").expect("it is there");
    drop(mapping);

    for kind in [Kind::Semaphore, Kind::Lock, Kind::BoundedSemaphore, Kind::Channel] {
        for existence in [Existence::Create, Existence::LinkOrCreate, Existence::UnlinkAndCreate] {
            let created = Object::open(kind, &other, existence);
            refused(created, &other, ErrorKind::OutOfSpace, libc::ENOSPC);
            assert!(!files::exists(kind, &other));
        }
    }
    assert_eq!(files::free_in_shm(), 0);
    channel.use_it();
    let replaced = Object::open(Kind::Channel, &old, Existence::UnlinkAndCreate);
    refused(replaced, &old, ErrorKind::OutOfSpace, libc::ENOSPC);
    channel.use_it();
    let replaced = Object::open(Kind::Semaphore, &old, Existence::UnlinkAndCreate);
    refused(replaced, &old, ErrorKind::OutOfSpace, libc::ENOSPC);
    let replaced = Object::open(Kind::Lock, &old, Existence::UnlinkAndCreate);
    refused(replaced, &old, ErrorKind::OutOfSpace, libc::ENOSPC);
    lock.use_it();
    let replaced = segment(&old, 5000, Existence::UnlinkAndCreate);
    refused(replaced, &old, ErrorKind::OutOfSpace, libc::ENOSPC);
    for grown in [keeps.resize(5000), segment(&old, 5000, Existence::Link).map(|_| ())] {
        refused(grown, &old, ErrorKind::OutOfSpace, libc::ENOSPC);
        assert_eq!(keeps.size().expect("a size"), 100);
    }
    assert!(files::exists(Kind::SharedMemory, &old) && files::exists(Kind::Semaphore, &old));
    assert!(!files::exists(Kind::Semaphore, &other));
    kept.release().expect("what is there works");

    // The file of a semaphore that is a hole would be a bus error at its first use.
    for hole in &holes {
        let linked = Object::open(Kind::Semaphore, hole, Existence::Link);
        refused(linked, hole, ErrorKind::OutOfSpace, libc::ENOSPC);
    }
    for kind in [Kind::Lock, Kind::Channel] {
        let linked = Object::open(kind, &hollow, Existence::Link);
        refused(linked, &hollow, ErrorKind::OutOfSpace, libc::ENOSPC);
    }

    // Sparse memory is not asked for now.
    let mut options = SharedMemory::options();
    options.size(1 << 30).reservation(Reservation::Sparse).existence(Existence::Create);
    assert_eq!(
        options.open(&*other).expect("no memory is needed").size().expect("a size"),
        1 << 30
    );

    drop(fills);
    Object::open(Kind::Lock, &hollow, Existence::Link).expect("there is room again").use_it();
    keeps.resize(5000).expect("there is room again");
    assert!(segment(&big, free, Existence::Create).is_err(), "some of it is in use now");
}

fn sparse_channel_role() {
    // More than there is; what every handle uses takes four pages of it.
    const CAPACITY: u64 = 1 << 20;
    const NEEDED: u64 = 4 * 4096;
    let (name, rest) = (Unique::new(), Unique::new());
    let size = files::free_in_shm();
    let mut options = Channel::options();
    options.capacity(CAPACITY).reservation(Reservation::Sparse).existence(Existence::LinkOrCreate);
    for pages in 0..8 {
        let fills = segment(&rest, size - pages * 4096, Existence::Create).expect("there is room");
        assert_eq!(files::free_in_shm(), pages * 4096);
        if pages * 4096 < NEEDED {
            let error = refused(options.open(&*name), &name, ErrorKind::OutOfSpace, libc::ENOSPC);
            assert_words(&error, &["16384 bytes", &format!("({} of", pages * 4096)]);
            assert!(!files::exists(Kind::Channel, &name));
        } else {
            // So many handles that each page of the header is written to.
            let handles: Vec<_> =
                (0..600).map(|_| options.open(&*name).expect("there is room")).collect();
            assert_eq!(files::free_in_shm(), pages * 4096 - NEEDED);
            assert_eq!(handles[599].capacity() as u64, CAPACITY);
        }
        drop(fills);
    }
    options.open(&*name).expect("there is room").send(&[1; 4096], 0).expect("there is memory");
}

fn no_inodes_role() {
    let names: Vec<Unique> = (0..6).map(|_| Unique::new()).collect();
    let options = |kind| Object::options(kind).existence(Existence::LinkOrCreate);
    let mut objects = Vec::new();
    // The directory takes one of the six; marks take room, too.
    let refused_at = names.iter().position(|name| match options(Kind::Semaphore).open(name) {
        Ok(object) => {
            objects.push(object);
            false
        }
        Err(_) => true,
    });
    let name = &names[refused_at.expect("there cannot be six")];
    for kind in files::KINDS {
        let created = options(kind).open(name);
        let error = refused(created, name, ErrorKind::OutOfSpace, libc::ENOSPC);
        assert_words(&error, &["nr_inodes=NUMBER"]);
        assert!(!error.to_string().contains("size=SIZE"), "more room does not help: {error}");
        assert!(!files::exists(kind, name));
    }
    objects.pop();
    Object::create(Kind::SharedMemory, name).use_it();
}

fn read_only_role() {
    let (old, new) = (Unique::new(), Unique::new());
    let kinds = files::KINDS;
    let objects = kinds.map(|kind| Object::create(kind, &old));
    // Mappings for writing would hold it up.
    for object in &objects {
        object.ownership().set_unlink_on_drop(false).expect("it is ours");
    }
    drop(objects);
    mounts::remount_shm(libc::MS_RDONLY);
    for kind in kinds {
        let created = Object::open(kind, &new, Existence::Create);
        let error = refused(created, &new, ErrorKind::Other, libc::EROFS);
        assert_words(&error, &["read-only"]);
        let linked = Object::open(kind, &old, Existence::Link);
        refused(linked, &old, ErrorKind::Other, libc::EROFS);
    }
    let mut options = SharedMemory::options();
    options.access(Access::ReadOnly).open(&*old).expect("reading is allowed");
    mounts::remount_shm(0);
}

fn no_directory_role() {
    mounts::hide(c"/dev");
    let name = Unique::new();
    for kind in files::KINDS {
        for existence in EXISTENCES {
            let opened = Object::open(kind, &name, existence);
            let error = refused(opened, &name, ErrorKind::Other, libc::ENOENT);
            assert_words(&error, &["no directory /dev/shm", "mount"]);
        }
    }
}

fn address_space_role() {
    let name = Unique::new();
    let mut options = SharedMemory::options();
    options.size(1 << 42).reservation(Reservation::Sparse).existence(Existence::Create);
    let segment = options.open(&*name).expect("no memory is needed");
    limits::set(libc::RLIMIT_AS, 1 << 40);
    let error = refused(segment.map(), &name, ErrorKind::LimitExceeded, libc::ENOMEM);
    assert_words(&error, &["vm.max_map_count", "RLIMIT_AS"]);
    assert_eq!(Trace::of_open(&segment).mappings(), 0);
    segment.resize(4096).expect("it shrinks");
    segment.map().expect("there is room").write(0, b"x").expect("it is writable");
}

fn mappings_role() {
    const MANY: usize = 1 << 20;
    let most = fs::read_to_string("/proc/sys/vm/max_map_count").expect("Linux has it");
    if most.trim().parse::<usize>().expect("a number") >= MANY {
        eprintln!("skipped: a process may have {most} mappings");
        return;
    }
    let (name, other) = (Unique::new(), Unique::new());
    let segment = segment(&name, 1, Existence::Create).expect("there is room");
    let mut mappings = Vec::with_capacity(MANY);
    let error = loop {
        match segment.map() {
            Ok(mapping) => mappings.push(mapping),
            failed => break refused(failed, &name, ErrorKind::LimitExceeded, libc::ENOMEM),
        }
    };
    assert_words(&error, &["vm.max_map_count"]);
    // A semaphore needs a mapping, too; what cannot be made leaves no name.
    let created = Object::open(Kind::Semaphore, &other, Existence::Create);
    refused(created, &other, ErrorKind::LimitExceeded, libc::ENOMEM);
    assert!(!files::exists(Kind::Semaphore, &other));
    // A lock needs two, and a channel four: there is room for none, then for one, and so on.
    for (kind, needed) in [(Kind::Lock, 2), (Kind::Channel, 4)] {
        for _ in 0..needed {
            let created = Object::open(kind, &other, Existence::Create);
            let error = refused(created, &other, ErrorKind::LimitExceeded, libc::ENOMEM);
            assert_words(&error, &["vm.max_map_count"]);
            assert!(!files::exists(kind, &other));
            mappings.pop();
        }
        Object::create(kind, &other).use_it();
        while let Ok(mapping) = segment.map() {
            mappings.push(mapping);
        }
    }
    mappings.pop();
    Object::create(Kind::Semaphore, &other).use_it();
    let last = mappings.pop().expect("there are many");
    last.write(0, b"x").expect("it is writable");
    mappings.clear();
    assert_eq!(Trace::of_open(&segment).mappings(), 1);
}

fn file_size_role() {
    let name = Unique::new();
    let old = segment(&name, 5000, Existence::Create).expect("within the limit");
    limits::set(libc::RLIMIT_FSIZE, 10_000);
    for reservation in [Reservation::Reserved, Reservation::Sparse] {
        for existence in [Existence::Link, Existence::UnlinkAndCreate] {
            let mut options = SharedMemory::options();
            options.size(10_001).reservation(reservation).existence(existence);
            let error = refused(options.open(&*name), &name, ErrorKind::LimitExceeded, libc::EFBIG);
            assert_words(&error, &["10001 bytes", "RLIMIT_FSIZE"]);
            assert!(files::exists(Kind::SharedMemory, &name));
            assert_eq!(old.size().expect("a size"), 5000);
        }
    }
    refused(old.resize(10_001), &name, ErrorKind::LimitExceeded, libc::EFBIG);
    assert_eq!(old.size().expect("a size"), 5000);
    old.resize(10_000).expect("just within the limit");
    let new = Unique::new();
    refused(
        segment(&new, 10_001, Existence::LinkOrCreate),
        &new,
        ErrorKind::LimitExceeded,
        libc::EFBIG,
    );
    assert!(!files::exists(Kind::SharedMemory, &new));
    segment(&new, 10_000, Existence::LinkOrCreate).expect("just within the limit");
}
