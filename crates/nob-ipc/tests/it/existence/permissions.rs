//! Who may do what: users, modes and the umask.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use nob_ipc::{
    Access, Direction, Error, ErrorKind, Existence, Kind, MessageQueue, Name, SharedMemory,
};
use nob_ipc_testing::{Arguments, Child, Role, Unique, files, users, users::NOBODY, watchdog};

use crate::support::{EXISTENCES, Object, assert_refused, assert_words, object::MEASURE};

pub const ROLES: &[Role] = &[
    ("permissions::stranger", stranger),
    ("permissions::reader", reader),
    ("permissions::modes", |_| modes()),
    ("permissions::creator", |_| creator()),
];

/// C23: another user can neither open, nor replace, nor unlink, and the objects do not notice.
#[test]
fn not_permitted() {
    let _watchdog = watchdog();
    if !users::is_root("become another user") {
        return;
    }
    let name = Unique::new();
    let objects = Kind::ALL.map(|kind| Object::create(kind, &name));
    Child::run("permissions::stranger", &[&name]);
    for (object, kind) in objects.iter().zip(Kind::ALL) {
        assert!(files::exists(kind, &name));
        if kind != Kind::Lock {
            assert_eq!(object.measure(), MEASURE);
        }
        object.use_it();
    }
}

fn stranger(arguments: &Arguments) {
    users::become_user(NOBODY);
    let name = arguments.text(0);
    for kind in Kind::ALL {
        for existence in EXISTENCES {
            let refused = Object::open(kind, name, existence);
            if existence == Existence::Create {
                assert_refused(refused, name, ErrorKind::AlreadyExists, Some(libc::EEXIST));
            } else {
                assert_denied(refused, name);
            }
        }
        assert_denied(nob_ipc::unlink(&Name::new(kind, name).expect("a legal name")), name);
    }
}

/// Permission is lacking: the errno is the one of the C library, whatever the kernel says.
#[track_caller]
fn assert_denied<T>(result: nob_ipc::Result<T>, name: &str) -> Error {
    assert_refused(result, name, ErrorKind::PermissionDenied, Some(libc::EACCES))
}

/// C22: with read permission alone a segment and a queue can be read; what gives out permits needs both.
#[test]
fn read_permission_alone() {
    let _watchdog = watchdog();
    if !users::is_root("become another user") {
        return;
    }
    let name = Unique::new();
    let options = |kind| Object::options(kind).mode(0o644).existence(Existence::Create);
    let objects = Kind::ALL.map(|kind| options(kind).open(&name).expect("a new object"));
    let [_, _, Object::Queue(queue), ..] = &objects else { panic!("the third kind is the queue") };
    queue.send(b"for everybody", 0).expect("there is room");
    Child::run("permissions::reader", &[&name]);
    assert_eq!(queue.current_messages().expect("a number"), 0, "the reader took it");
}

fn reader(arguments: &Arguments) {
    users::become_user(NOBODY);
    let name = arguments.text(0);
    for kind in Kind::ALL {
        // What can be opened for less is told how; what cannot is told what it needs.
        let advice = match kind {
            Kind::SharedMemory => "open it for reading only",
            Kind::MessageQueue => "open it for sending or receiving only",
            _ => "both read and write",
        };
        let denied = assert_denied(Object::open(kind, name, Existence::Link), name).to_string();
        assert!(denied.contains(advice), "{denied}");
    }
    let segment = SharedMemory::options().access(Access::ReadOnly).open(name).expect("readable");
    let mapping = segment.map().expect("readable");
    let written = mapping.write(0, b"x");
    assert_refused(written, name, ErrorKind::ReadOnly, None);
    assert_refused(segment.resize(1), name, ErrorKind::ReadOnly, None);

    let mut options = MessageQueue::options();
    assert_denied(options.direction(Direction::Send).open(name), name);
    let queue = options.direction(Direction::Receive).open(name).expect("readable");
    assert_eq!(queue.receive().expect("one message").0, b"for everybody");
    let sent = queue.try_send(b"x", 0);
    assert_refused(sent, name, ErrorKind::WrongDirection, None);
    assert_denied(queue.ownership().unlink(), name);
}

/// C19, C20.
#[test]
fn modes_are_subject_to_the_umask() {
    let _watchdog = watchdog();
    Child::run("permissions::modes", &[]);
}

fn modes() {
    for (umask, asked, given) in [(0o022, 0o666, 0o644), (0o027, 0o666, 0o640), (0, 0o777, 0o777)] {
        users::set_umask(umask);
        for kind in Kind::ALL {
            let name = Unique::new();
            let object = Object::options(kind)
                .mode(asked)
                .existence(Existence::Create)
                .open(&name)
                .expect("a new object");
            let metadata = match &object {
                Object::Semaphore(_)
                | Object::Lock(_)
                | Object::Permits(_)
                | Object::Channel(_) => fs::metadata(files::file(kind, &name)),
                Object::Segment(segment) => by_descriptor(segment),
                Object::Queue(queue) => by_descriptor(queue),
            }
            .expect("it is there");
            assert_eq!(metadata.mode() & 0o777, given, "{kind}");
            assert_eq!(metadata.uid(), users::effective());
        }
    }
}

fn by_descriptor(object: &impl AsFd) -> std::io::Result<fs::Metadata> {
    fs::metadata(format!("/proc/self/fd/{}", object.as_fd().as_raw_fd()))
}

/// C21: the creator's handle works whatever the mode says, and so does removing the name. A handle of a
/// lock or a bounded semaphore has to open its file afresh, and so needs a mode that lets it.
#[test]
fn the_mode_does_not_bind_the_creator() {
    let _watchdog = watchdog();
    Child::run("permissions::creator", &[]);
}

fn creator() {
    if users::effective() == 0 {
        users::become_user(NOBODY);
    }
    for kind in Kind::ALL {
        let name = Unique::new();
        if matches!(kind, Kind::Lock | Kind::BoundedSemaphore | Kind::Channel) {
            for mode in [0, 0o400, 0o200, 0o066] {
                let options = Object::options(kind).mode(mode).existence(Existence::Create);
                let error = assert_denied(options.open(&name), &name);
                assert_words(&error, &["mode", "umask", "read and write"]);
                assert!(!files::exists(kind, &name), "{mode:o}");
            }
            continue;
        }
        let options = Object::options(kind).mode(0).existence(Existence::Create);
        let object = options.open(&name).expect("the creator's handle");
        object.use_it();
        if let Object::Segment(segment) = &object {
            segment.resize(10_000).expect("the creator's handle writes");
        }
        assert_denied(Object::open(kind, &name, Existence::Link), &name);
        object.ownership().unlink().expect("the directory is ours to change");
        assert!(!files::exists(kind, &name));
    }
    let name = Unique::new();
    let mut options = SharedMemory::options();
    options.size(0).mode(0).access(Access::ReadOnly).existence(Existence::Create);
    let segment = options.open(&*name).expect("the creator's handle");
    assert_eq!(segment.size().expect("a size"), 0);
    drop(segment);
    assert!(!files::exists(Kind::SharedMemory, &name));
}
