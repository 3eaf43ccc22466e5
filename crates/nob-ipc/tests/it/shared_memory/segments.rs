//! Sizes, memory and mappings of segments.

use std::fs;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use nob_ipc::{
    Access, ErrorKind, Existence, Kind, Name, Operation, Reservation, SharedMemory,
    SharedMemoryOptions,
};
use nob_ipc_testing::{Unique, files, files::Trace, watchdog};

use crate::support::{assert_refused, new_segment};

const MIB: u64 = 1 << 20;
/// No file system has room for so much.
const TOO_MUCH: u64 = 1 << 60;

fn options(size: u64, existence: Existence) -> SharedMemoryOptions {
    let mut options = SharedMemory::options();
    options.size(size).existence(existence);
    options
}

fn link(name: &str) -> SharedMemory {
    SharedMemory::options().open(name).expect("the segment is there")
}

fn size(segment: &SharedMemory) -> u64 {
    segment.size().expect("a size")
}

/// How many bytes of memory the segment takes.
fn allocated(segment: &SharedMemory) -> u64 {
    let path = format!("/proc/self/fd/{}", segment.as_fd().as_raw_fd());
    fs::metadata(path).expect("it is open").blocks() * 512
}

/// Reads the whole segment.
fn content(segment: &SharedMemory) -> Vec<u8> {
    let mapping = segment.map().expect("it is not empty");
    let mut bytes = vec![0xaa; mapping.len()];
    mapping.read(0, &mut bytes).expect("all of it");
    bytes
}

/// H2, H5: exactly the size that was asked for, and zeros.
#[test]
fn sizes() {
    let _watchdog = watchdog();
    for bytes in [1, 3333, 4096, 4097, MIB] {
        let name = Unique::new();
        let segment = new_segment(&name, bytes);
        assert_eq!((size(&segment), size(&link(&name))), (bytes, bytes));
        let mapping = segment.map().expect("it is not empty");
        assert_eq!(u64::try_from(mapping.len()), Ok(bytes));
        assert!(content(&segment).iter().all(|&byte| byte == 0));
    }
}

/// H1, H3, H10.
#[test]
fn size_zero() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, 0);
    assert_eq!(size(&segment), 0);
    assert_refused(segment.map(), &name, ErrorKind::Empty, None);
    segment.resize(1).expect("there is room");
    assert_eq!(segment.map().expect("it is not empty").len(), 1);
}

/// H4, contract 3.4: linking grows, and never shrinks.
#[test]
fn linking_never_shrinks() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, 5000);
    let mapping = segment.map().expect("it is not empty");
    mapping.write(4999, b"x").expect("it is writable");
    for existence in [Existence::Link, Existence::LinkOrCreate] {
        for smaller in [0, 1, 4999, 5000] {
            let linked = options(smaller, existence).open(&*name).expect("it is there");
            assert_eq!(size(&linked), 5000);
        }
    }
    let linked = options(9000, Existence::Link).open(&*name).expect("it grows");
    assert_eq!((size(&linked), size(&segment)), (9000, 9000));
    let bytes = content(&linked);
    assert_eq!(bytes[4999], b'x');
    assert!(bytes[5000..].iter().all(|&byte| byte == 0));
}

/// Contract 3.4: a read-only handle grows nothing, and what it found stays as it was, also when
/// it would have been this handle's to unlink.
#[test]
fn a_constructor_that_fails_leaves_the_segment() {
    let _watchdog = watchdog();
    for unlink in [false, true] {
        let name = Unique::new();
        let segment = new_segment(&name, 5000);
        let mut read_only = options(5001, Existence::Link);
        read_only.access(Access::ReadOnly).unlink_on_drop(unlink);
        let error = assert_refused(read_only.open(&*name), &name, ErrorKind::InvalidArgument, None);
        assert!(error.message().contains("5000") && error.message().contains("5001"), "{error}");
        assert!(files::exists(Kind::SharedMemory, &name), "unlink_on_drop({unlink})");

        let mut too_large = options(TOO_MUCH, Existence::LinkOrCreate);
        too_large.unlink_on_drop(unlink);
        assert_refused(too_large.open(&*name), &name, ErrorKind::OutOfSpace, Some(libc::ENOSPC));
        assert!(files::exists(Kind::SharedMemory, &name), "unlink_on_drop({unlink})");
        assert_eq!(size(&segment), 5000);
    }
}

/// Contract 3.6: refused before anything is removed.
#[test]
fn creating_for_reading() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let old = new_segment(&name, 10);
    for existence in [Existence::UnlinkAndCreate, Existence::Create] {
        let mut read_only = options(1, existence);
        let opened = read_only.access(Access::ReadOnly).open(&*name);
        let kind = opened.expect_err("nothing could fill it").kind();
        assert!(matches!(kind, ErrorKind::InvalidArgument | ErrorKind::AlreadyExists));
        assert!(files::exists(Kind::SharedMemory, &name));
    }
    drop(old);
    let mut read_only = options(1, Existence::LinkOrCreate);
    let refused = read_only.access(Access::ReadOnly).open(&*name);
    assert_refused(refused, &name, ErrorKind::InvalidArgument, None);
    let empty = read_only.size(0).open(&*name).expect("an empty segment is fine");
    assert_eq!(empty.access(), Access::ReadOnly);
    assert!(empty.ownership().created());
}

/// Nobody gets an empty segment because he forgot its size; linking needs none.
#[test]
fn creating_without_a_size() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let sizeless = |existence| SharedMemory::options().existence(existence).open(&*name);
    for existence in [Existence::Create, Existence::LinkOrCreate, Existence::UnlinkAndCreate] {
        let error = assert_refused(sizeless(existence), &name, ErrorKind::InvalidArgument, None);
        assert!(error.message().contains("size"), "{error}");
        assert!(!files::exists(Kind::SharedMemory, &name));
    }
    let segment = new_segment(&name, 10);
    let taken = sizeless(Existence::Create);
    assert_refused(taken, &name, ErrorKind::AlreadyExists, Some(libc::EEXIST));
    assert!(sizeless(Existence::UnlinkAndCreate).is_err());
    let linked = sizeless(Existence::LinkOrCreate).expect("it is there");
    assert_eq!((size(&linked), size(&link(&name))), (10, 10));
    assert!(!segment.ownership().is_stale().expect("nothing was removed"));
    // An empty one for who says so.
    let other = Unique::new();
    assert_eq!(size(&new_segment(&other, 0)), 0);
}

/// H8.
#[test]
fn reading_only() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, 100);
    segment.map().expect("it is not empty").write(7, b"hello").expect("it is writable");
    let reader = SharedMemory::options().access(Access::ReadOnly).open(&*name).expect("readable");
    let mapping = reader.map().expect("it is not empty");
    let mut bytes = [0; 5];
    mapping.read(7, &mut bytes).expect("within the mapping");
    assert_eq!(&bytes, b"hello");
    assert_refused(mapping.write(7, b"x"), &name, ErrorKind::ReadOnly, None);
    assert_refused(reader.resize(50), &name, ErrorKind::ReadOnly, None);
    assert_refused(reader.resize(500), &name, ErrorKind::ReadOnly, None);
    assert_eq!(size(&segment), 100);
}

/// H14: ranges are checked, also those that wrap around.
#[test]
fn ranges_are_checked() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let mapping = new_segment(&name, 10).map().expect("it is not empty");
    for (offset, length) in [(0, 11), (10, 1), (11, 0), (usize::MAX, 1), (usize::MAX, 0), (5, 6)] {
        let mut bytes = vec![0; length];
        let read = mapping.read(offset, &mut bytes);
        let error = assert_refused(read, &name, ErrorKind::InvalidArgument, None);
        assert_eq!(error.operation(), Some(Operation::Read));
        let written = mapping.write(offset, &bytes);
        assert_refused(written, &name, ErrorKind::InvalidArgument, None);
    }
    mapping.write(10, b"").expect("nothing fits at the end");
    mapping.write(5, b"12345").expect("just to the end");
}

/// H6, contract 6: what was cut off does not come back.
#[test]
fn resizing() {
    let _watchdog = watchdog();
    for reservation in [Reservation::Reserved, Reservation::Sparse] {
        let name = Unique::new();
        let mut options = options(10_000, Existence::Create);
        let segment = options.reservation(reservation).open(&*name).expect("a new segment");
        let mapping = segment.map().expect("it is not empty");
        mapping.write(0, &[7; 10_000]).expect("it is writable");
        drop(mapping);
        segment.resize(4500).expect("it shrinks");
        assert_eq!(content(&segment), vec![7; 4500]);
        segment.resize(10_000).expect("it grows");
        let bytes = content(&segment);
        assert_eq!(bytes[..4500], vec![7; 4500]);
        assert!(bytes[4500..].iter().all(|&byte| byte == 0), "{reservation:?}");
        segment.resize(0).expect("it shrinks to nothing");
        assert_eq!((size(&segment), allocated(&segment)), (0, 0));
        segment.resize(0).expect("again");
    }
}

/// Contract 3.5: memory is there at once, or page by page.
#[test]
fn reserved_and_sparse() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, 3 * MIB);
    assert!(allocated(&segment) >= 3 * MIB);
    segment.resize(5 * MIB).expect("there is room");
    assert!(allocated(&segment) >= 5 * MIB);
    segment.resize(MIB).expect("it shrinks");
    assert!(allocated(&segment) < 2 * MIB);
    drop(segment);

    let mut options = options(3 * MIB, Existence::Create);
    let sparse = options.reservation(Reservation::Sparse).open(&*name).expect("a new segment");
    assert_eq!(allocated(&sparse), 0);
    sparse.resize(500 * MIB).expect("nothing is allocated");
    assert!(allocated(&sparse) < MIB);
    assert_eq!(size(&sparse), 500 * MIB);
}

/// H11, H12: want of memory is an error, and leaves all as it was.
#[test]
fn more_than_there_is() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for existence in [Existence::Create, Existence::LinkOrCreate, Existence::UnlinkAndCreate] {
        let opened = options(TOO_MUCH, existence).open(&*name);
        let error = assert_refused(opened, &name, ErrorKind::OutOfSpace, Some(libc::ENOSPC));
        assert!(error.message().contains("bytes are free"), "{error}");
        assert!(!files::exists(Kind::SharedMemory, &name));
    }
    let segment = new_segment(&name, 100);
    let before = allocated(&segment);
    assert_refused(segment.resize(TOO_MUCH), &name, ErrorKind::OutOfSpace, Some(libc::ENOSPC));
    assert_eq!((size(&segment), allocated(&segment)), (100, before));
    let replaced = options(TOO_MUCH, Existence::UnlinkAndCreate).open(&*name);
    assert_refused(replaced, &name, ErrorKind::OutOfSpace, Some(libc::ENOSPC));
    assert!(files::exists(Kind::SharedMemory, &name), "the old one stays");
}

/// Reserving can be given up between its steps, and is undone then.
#[test]
fn giving_up() {
    const LARGE: u64 = 200 << 20;
    let _watchdog = watchdog();
    if files::free_in_shm() < 2 * LARGE {
        eprintln!("skipped: /dev/shm is too small");
        return;
    }
    let name = Unique::new();
    let checked = Name::new(Kind::SharedMemory, &*name).expect("a legal name");
    for patience in 0..3 {
        let mut calls = 0;
        let mut on_step = || {
            calls += 1;
            if calls > patience { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let opened = options(LARGE, Existence::Create).open_with(&checked, &mut on_step);
        assert_refused(opened, &name, ErrorKind::Interrupted, Some(libc::EINTR));
        assert_eq!(calls, patience + 1);
        assert!(!files::exists(Kind::SharedMemory, &name));
    }
    let segment = new_segment(&name, 5000);
    let before = allocated(&segment);
    let grown = segment.resize_with(LARGE, &mut || ControlFlow::Break(()));
    assert_refused(grown, &name, ErrorKind::Interrupted, Some(libc::EINTR));
    assert_eq!((size(&segment), allocated(&segment)), (5000, before));
    let linking = options(LARGE, Existence::Link);
    let linked = linking.open_with(&checked, &mut || ControlFlow::Break(()));
    assert_refused(linked, &name, ErrorKind::Interrupted, Some(libc::EINTR));
    assert_eq!((size(&segment), allocated(&segment)), (5000, before));
}

/// H7, H17, H18: mappings are shared, and outlive handle and name.
#[test]
fn mappings_are_shared() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, 100);
    let mine = segment.map().expect("it is not empty");
    let theirs = link(&name).map().expect("it is not empty");
    let trace = Trace::of(Kind::SharedMemory, &name);
    assert_eq!((trace.descriptors(), trace.mappings()), (1, 2));
    segment.ownership().unlink().expect("it is ours");
    drop(segment);
    mine.write(50, b"still here").expect("it is writable");
    let mut bytes = [0; 10];
    theirs.read(50, &mut bytes).expect("within the mapping");
    assert_eq!(&bytes, b"still here");
    drop((mine, theirs));
    assert_eq!((trace.descriptors(), trace.mappings()), (0, 0));
    assert_eq!(size(&new_segment(&name, 7)), 7, "the name is free");
}

/// H19: what was written stays when nobody has it open.
#[test]
fn content_stays() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = options(100, Existence::Create).unlink_on_drop(false).open(&*name);
    let mapping = segment.expect("a new segment").map().expect("it is not empty");
    mapping.write(0, b"stays").expect("it is writable");
    drop(mapping);
    assert_eq!(content(&link(&name))[..5], *b"stays");
}

/// H23.
#[test]
fn all_that_were_created_are_there() {
    let _watchdog = watchdog();
    let names: Vec<Unique> = (0..32).map(|_| Unique::new()).collect();
    let segments: Vec<_> = names.iter().map(|name| new_segment(name, 1)).collect();
    let files: Vec<_> = fs::read_dir("/dev/shm")
        .expect("it is there")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    for name in &names {
        let listed = files.iter().any(|file| *file == *name.trim_start_matches('/'));
        assert!(listed, "{}", &**name);
    }
    assert_eq!(segments.len(), 32);
}
