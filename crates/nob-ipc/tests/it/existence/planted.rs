//! What others have planted under an object's name.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nob_ipc::{Access, ErrorKind, Existence, Kind, Name, Semaphore, SharedMemory};
use nob_ipc_testing::{Arguments, Child, Machine, Role, Unique, files, files::Trace, watchdog};

use crate::support::{Object, assert_refused, new_semaphore};

pub const ROLES: &[Role] =
    &[("planted::device", |_| device()), ("planted::use_garbage", use_garbage)];

const LINKING: [Existence; 2] = [Existence::Link, Existence::LinkOrCreate];

/// Opens what is planted in each way that would open it, and expects to be told what it is.
#[track_caller]
fn assert_wrong_type(kind: Kind, name: &str, errno: &[i32], words: &str) {
    let mut opened: Vec<_> =
        LINKING.map(|existence| Object::open(kind, name, existence).map(|_| ())).into();
    if kind == Kind::SharedMemory {
        let read_only = SharedMemory::options().access(Access::ReadOnly).open(name).map(|_| ());
        opened.push(read_only);
    }
    for result in opened {
        let error = result.expect_err("what is planted is no object");
        assert_eq!(error.kind(), ErrorKind::WrongType, "{error}");
        assert!(error.raw_os_error().is_some_and(|number| errno.contains(&number)), "{error:?}");
        assert!(error.message().contains(words), "{error}");
        assert!(error.message().contains(&*files::file(kind, name).to_string_lossy()), "{error}");
    }
    let created = Object::open(kind, name, Existence::Create);
    assert_refused(created, name, ErrorKind::AlreadyExists, Some(libc::EEXIST));
    let trace = Trace::of(kind, name);
    assert_eq!((trace.descriptors(), trace.mappings()), (0, 0));
}

/// C25: never followed, and its target is left alone.
#[test]
fn a_symlink() {
    let _watchdog = watchdog();
    for kind in files::KINDS {
        let (name, target) = (Unique::new(), Unique::new());
        let target = files::file(kind, &target);
        fs::write(&target, [7; 64]).expect("/dev/shm is writable");
        symlink(&target, files::file(kind, &name)).expect("/dev/shm is writable");
        assert_wrong_type(kind, &name, &[libc::ELOOP], "symbolic link");

        let new = Object::open(kind, &name, Existence::UnlinkAndCreate).expect("it may go");
        new.use_it();
        drop(new);
        assert_eq!(fs::read(&target).expect("it is there still"), [7; 64]);
        fs::remove_file(&target).expect("it is ours");
    }
}

/// C25: a symlink that leads nowhere is not created through.
#[test]
fn a_dangling_symlink() {
    let _watchdog = watchdog();
    for kind in files::KINDS {
        let (name, target) = (Unique::new(), Unique::new());
        let target = files::file(kind, &target);
        symlink(&target, files::file(kind, &name)).expect("/dev/shm is writable");
        assert_wrong_type(kind, &name, &[libc::ELOOP], "symbolic link");
        assert!(!target.exists());
    }
}

/// C26: opening does not wait for the other end.
#[test]
fn a_fifo() {
    let _watchdog = watchdog();
    for kind in files::KINDS {
        let name = Unique::new();
        files::make_node(kind, &name, libc::S_IFIFO, 0);
        assert_wrong_type(kind, &name, &[libc::EINVAL], "a FIFO");
    }
}

/// C26.
#[test]
fn a_directory() {
    let _watchdog = watchdog();
    for kind in files::KINDS {
        let name = Unique::new();
        let path = files::file(kind, &name);
        fs::create_dir(&path).expect("/dev/shm is writable");
        assert_wrong_type(kind, &name, &[libc::EISDIR, libc::EINVAL], "a directory");
        let replaced = Object::open(kind, &name, Existence::UnlinkAndCreate);
        let error = replaced.expect_err("unlinking removes no directory");
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR), "{error}");
        assert!(error.message().contains("directory"), "{error}");
        assert!(path.is_dir());
        fs::remove_dir(&path).expect("it is empty");
    }
}

/// C26.
#[test]
fn a_socket() {
    let _watchdog = watchdog();
    for kind in files::KINDS {
        let name = Unique::new();
        let _socket = UnixListener::bind(files::file(kind, &name)).expect("/dev/shm is writable");
        assert_wrong_type(kind, &name, &[libc::ENXIO], "no regular file");
    }
}

/// C26: a device is not opened for use, and so cannot do what its opening does.
#[test]
fn a_device() {
    Machine::with_users("size=1m").run("planted::device", &[]);
}

fn device() {
    for kind in files::KINDS {
        let name = Unique::new();
        // Reading it never ends.
        files::make_node(kind, &name, libc::S_IFCHR, libc::makedev(1, 5));
        assert_wrong_type(kind, &name, &[libc::EINVAL], "a device");
    }
}

/// Whatever value and number of waiters somebody writes into a semaphore: no crash, and no wait that does
/// not end.
#[test]
fn a_semaphore_of_garbage() {
    let _watchdog = watchdog();
    for word in [u64::MAX, 1 << 63, 0x8080_8080_8080_8080, 0x7fff_ffff, 5 << 32, u64::MAX << 32] {
        let name = Unique::new();
        let semaphore = new_semaphore(&name, 1);
        let file = fs::File::options().write(true).open(files::file(Kind::Semaphore, &name));
        file.expect("it is ours").write_all(&word.to_ne_bytes()).expect("it is as long");
        Child::run("planted::use_garbage", &[&name]);
        drop(semaphore);
    }
}

fn use_garbage(arguments: &Arguments) {
    let semaphore = Semaphore::options().open(arguments.text(0)).expect("it is long enough");
    let short = Duration::from_millis(5);
    for _ in 0..3 {
        assert!(semaphore.value() <= Semaphore::MAX_VALUE);
        semaphore.try_acquire();
        semaphore.acquire_timeout(short).expect("a wait");
        match semaphore.release() {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Overflow, "{error}"),
        }
    }
}

/// S31: a file that is too short for a semaphore is no bus error.
#[test]
fn a_short_file() {
    let _watchdog = watchdog();
    for length in [0, 1, 31] {
        let name = Unique::new();
        let path = files::file(Kind::Semaphore, &name);
        fs::write(&path, vec![0; length]).expect("/dev/shm is writable");
        for existence in LINKING {
            let opened = Object::open(Kind::Semaphore, &name, existence);
            let error = assert_refused(opened, &name, ErrorKind::WrongType, Some(libc::EINVAL));
            assert!(error.message().contains(&format!("{length} bytes")), "{error}");
        }
        assert_eq!(fs::read(&path).expect("it is there still").len(), length);
        assert_eq!(Trace::of(Kind::Semaphore, &name).mappings(), 0);

        let semaphore = Object::open(Kind::Semaphore, &name, Existence::UnlinkAndCreate);
        semaphore.expect("it may go").use_it();
    }
}

/// A longer file than ours is a semaphore all the same: what follows is not looked at.
#[test]
fn a_long_file() {
    let _watchdog = watchdog();
    let (name, long) = (Unique::new(), Unique::new());
    let semaphore = Semaphore::options()
        .initial_value(5)
        .existence(Existence::Create)
        .open(&*name)
        .expect("a new semaphore");
    let path = files::file(Kind::Semaphore, &long);
    fs::copy(files::file(Kind::Semaphore, &name), &path).expect("/dev/shm is writable");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("it is ours");
    file.write_all(&[0xff; 5000]).expect("/dev/shm has room");
    let copy = Semaphore::options().open(&*long).expect("it begins like a semaphore");
    assert!(copy.try_acquire());
    assert_eq!((copy.value(), semaphore.value()), (4, 5));
}

/// What cannot be opened can be unlinked by name.
#[test]
fn unlinking_does_not_open() {
    let _watchdog = watchdog();
    for kind in files::KINDS {
        let name = Unique::new();
        symlink("/nowhere", files::file(kind, &name)).expect("/dev/shm is writable");
        let checked = Name::new(kind, &*name).expect("a legal name");
        nob_ipc::unlink(&checked).expect("a symlink has no rights of its own");
        assert_refused(nob_ipc::unlink(&checked), &name, ErrorKind::NotFound, Some(libc::ENOENT));
    }
}

/// H1, H24: a segment whose maker is not done can be linked to; mapping it says so.
#[test]
fn an_empty_segment() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let path = files::file(Kind::SharedMemory, &name);
    fs::write(&path, []).expect("/dev/shm is writable");
    let segment = SharedMemory::options().open(&*name).expect("it is a segment");
    assert_eq!(segment.size().expect("a size"), 0);
    let error = assert_refused(segment.map(), &name, ErrorKind::Empty, None);
    assert!(error.message().contains("creator"), "{error}");
    fs::write(&path, b"done").expect("it is ours");
    let mut bytes = [0; 4];
    segment.map().expect("it has a size now").read(0, &mut bytes).expect("four bytes");
    assert_eq!(&bytes, b"done");
}

/// H13: a peer that truncates a segment makes touching it a bus error, in whoever touches it.
#[test]
fn a_truncating_peer() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let _segment = Object::options(Kind::SharedMemory)
        .measure(8192)
        .existence(Existence::Create)
        .open(&name)
        .expect("a new segment");
    let mut victim = Child::start("close_and_unlink::map_and_touch", &[&name, &5000]);
    victim.expect("mapped");
    let file = fs::OpenOptions::new().write(true).open(files::file(Kind::SharedMemory, &name));
    file.expect("it is ours").set_len(4096).expect("it shrinks");
    victim.say("touch");
    assert_eq!(victim.next_line(), None, "the victim has died");
    assert_eq!(victim.ended_by(), Some(libc::SIGBUS));
}

/// C3, C5: no name leads out of the directory.
#[test]
fn a_name_is_one_component() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        for name in ["/../nob-it-escape", "../nob-it-escape", "/a/../b", "//x", "/x/"] {
            let error = Object::open(kind, name, Existence::Create).expect_err("no legal name");
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        }
    }
    assert!(fs::symlink_metadata("/dev/nob-it-escape").is_err());
}
