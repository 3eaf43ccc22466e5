//! Each `Existence` against what is there and what is not.

use std::os::fd::{AsFd, AsRawFd};

use nob_ipc::{
    BoundedSemaphore, Channel, Direction, ErrorKind, Existence, Kind, Lock, MessageQueue,
    Semaphore, SharedMemory,
};
use nob_ipc_testing::{Child, Role, Unique, drop_alone, files, limits, watchdog};

use crate::support::{
    EXISTENCES, Object, assert_refused,
    object::{MEASURE, MEASURED},
};

pub const ROLES: &[Role] = &[("flags::descriptor_zero", |_| descriptor_zero_role())];

/// What an object has that was there before.
const OLD: u32 = 7;

fn old_object(kind: Kind, name: &str) -> Object {
    let options = Object::options(kind).existence(Existence::Create).measure(OLD);
    options.open(name).expect("a new object")
}

/// C13.
#[test]
fn missing() {
    let _watchdog = watchdog();
    for kind in MEASURED {
        for existence in EXISTENCES {
            let name = Unique::new();
            let opened = Object::open(kind, &name, existence);
            if existence == Existence::Link {
                assert_refused(opened, &name, ErrorKind::NotFound, Some(libc::ENOENT));
                assert!(!files::exists(kind, &name));
                continue;
            }
            let object = opened.expect("a new object");
            assert!(object.ownership().created(), "{kind} {existence:?}");
            assert!(object.ownership().unlink_on_drop());
            assert_eq!(object.measure(), MEASURE);
            object.use_it();
            assert!(files::exists(kind, &name));
            drop_alone(object);
            assert!(!files::exists(kind, &name), "{kind} {existence:?}");
        }
    }
}

/// C14, C15.
#[test]
fn existing() {
    let _watchdog = watchdog();
    for kind in MEASURED {
        for existence in EXISTENCES {
            let name = Unique::new();
            let old = old_object(kind, &name);
            let opened = Object::open(kind, &name, existence);
            match existence {
                Existence::Create => {
                    assert_refused(opened, &name, ErrorKind::AlreadyExists, Some(libc::EEXIST));
                }
                Existence::Link | Existence::LinkOrCreate => {
                    let linked = opened.expect("a link to what is there");
                    assert!(!linked.ownership().created());
                    assert!(!linked.ownership().unlink_on_drop());
                    assert_eq!(linked.measure(), OLD, "{kind} {existence:?}");
                    linked.use_it();
                }
                Existence::UnlinkAndCreate => {
                    let new = opened.expect("a new object");
                    assert!(new.ownership().created());
                    assert_eq!(new.measure(), MEASURE);
                    new.use_it();
                    drop(new);
                    assert!(!files::exists(kind, &name), "the new one's creator removes it");
                }
            }
            // The old object is untouched in any case, and works also without its name.
            assert_eq!(old.measure(), OLD);
            old.use_it();
            assert_eq!(files::exists(kind, &name), existence != Existence::UnlinkAndCreate);
        }
    }
}

/// C30: after `unlink` the name is free at once, and what is created then is another object.
#[test]
fn a_name_is_free_after_unlink() {
    let _watchdog = watchdog();
    for kind in MEASURED {
        let name = Unique::new();
        let old = old_object(kind, &name);
        old.ownership().unlink().expect("it is ours");
        assert!(!files::exists(kind, &name));
        let new = Object::create(kind, &name);
        assert_eq!((old.measure(), new.measure()), (OLD, MEASURE));
        old.use_it();
    }
}

/// S24: the same name again and again.
#[test]
fn rounds_of_create_and_unlink() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        for _ in 0..20 {
            let object = Object::create(kind, &name);
            object.use_it();
            object.ownership().unlink().expect("it is ours");
        }
    }
}

/// C12.
#[test]
fn one_name_for_all_kinds() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let objects = Kind::ALL.map(|kind| Object::create(kind, &name));
    for object in &objects {
        object.use_it();
    }
    let [semaphore, rest @ ..] = objects;
    drop(semaphore);
    for object in &rest {
        object.use_it();
        assert!(files::exists(object.ownership().name().kind(), &name));
    }
}

/// C1: the leading slash is optional, and the name always has it.
#[test]
fn with_and_without_a_slash() {
    let _watchdog = watchdog();
    for kind in MEASURED {
        let name = Unique::new();
        let created = Object::create(kind, name.trim_start_matches('/'));
        assert_eq!(created.ownership().name().to_string(), *name);
        let linked = Object::open(kind, &name, Existence::Link).expect("the same object");
        assert_eq!(linked.measure(), created.measure());
    }
}

/// Contract 3.4: arguments of a new object are checked also when linking, and otherwise ignored.
#[test]
fn what_describes_a_new_object_is_ignored_when_linking() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let _old = Object::create(kind, &name);
        let linked = Object::options(kind)
            .measure(1)
            .mode(0o777)
            .existence(Existence::LinkOrCreate)
            .open(&name)
            .expect("a link to what is there");
        assert!(!linked.ownership().created());
        if kind != Kind::Lock {
            assert_eq!(linked.measure(), MEASURE);
        }
        let refused = Object::options(kind).mode(0o1000).open(&name);
        assert_refused(refused, &name, ErrorKind::InvalidArgument, None);
    }
}

/// S2, H3, M3: refused before anything is touched, also before what has the name is unlinked.
#[test]
fn arguments_out_of_range_are_refused() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let _old = Kind::ALL.map(|kind| Object::create(kind, &name));
    for existence in EXISTENCES {
        let refused = |result: Option<nob_ipc::Error>| {
            let error = result.expect("an argument out of range");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert_eq!(error.raw_os_error(), None);
        };
        let mut semaphore = Semaphore::options();
        semaphore.initial_value(Semaphore::MAX_VALUE + 1).existence(existence);
        refused(semaphore.open(&*name).err());
        let mut segment = SharedMemory::options();
        segment.size(i64::MAX.unsigned_abs() + 1).existence(existence);
        refused(segment.open(&*name).err());
        for count in [0, i64::MAX.unsigned_abs() + 1] {
            let mut queue = MessageQueue::options();
            refused(queue.max_messages(count).existence(existence).open(&*name).err());
            let mut queue = MessageQueue::options();
            refused(queue.max_message_size(count).existence(existence).open(&*name).err());
        }
        for bound in [0, BoundedSemaphore::MAX_BOUND + 1, u32::MAX] {
            let mut permits = BoundedSemaphore::options();
            refused(permits.bound(bound).existence(existence).open(&*name).err());
        }
        for priorities in [0, Channel::MAX_PRIORITIES + 1, u32::MAX] {
            let mut channel = Channel::options();
            refused(channel.priorities(priorities).existence(existence).open(&*name).err());
        }
    }
    for kind in MEASURED {
        let linked = Object::open(kind, &name, Existence::Link).expect("it was left alone");
        assert_eq!(linked.measure(), MEASURE);
    }
}

/// M4: a capacity beyond the limits does not cost the old queue its name.
#[test]
fn unlink_and_create_looks_at_the_limits_first() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let old = Object::create(Kind::MessageQueue, &name);
    let too_much = MessageQueue::options()
        .max_messages(70_000)
        .existence(Existence::UnlinkAndCreate)
        .open(&*name);
    let error = assert_refused(too_much, &name, ErrorKind::LimitExceeded, Some(libc::EINVAL));
    assert!(error.message().contains("70000"), "{error}");
    assert!(files::exists(Kind::MessageQueue, &name));
    old.use_it();
}

/// C36: descriptor 0 is one like any other.
#[test]
fn descriptor_zero() {
    let _watchdog = watchdog();
    Child::run("flags::descriptor_zero", &[]);
}

fn descriptor_zero_role() {
    for kind in Kind::ALL {
        let name = Unique::new();
        limits::close_standard_input();
        let object = Object::create(kind, &name);
        match &object {
            Object::Segment(segment) => assert_eq!(segment.as_fd().as_raw_fd(), 0),
            // A semaphore keeps none. The directory of a queue's record has it while the queue is
            // created, and the next handle after it. A lock opens its file twice, and keeps the first
            // descriptor.
            Object::Semaphore(_)
            | Object::Queue(_)
            | Object::Lock(_)
            | Object::Permits(_)
            | Object::Channel(_) => {}
        }
        object.use_it();
        let linked = Object::open(kind, &name, Existence::Link).expect("the same object");
        if let Object::Queue(queue) = &linked {
            assert_eq!(queue.as_fd().as_raw_fd(), 0);
        }
        linked.use_it();
        drop((object, linked));
        assert!(!files::exists(kind, &name));
    }
}

/// A name of another kind is refused by the options.
#[test]
fn a_name_has_a_kind() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let of = |kind| nob_ipc::Name::new(kind, &*name).expect("a legal name");
    let semaphore = Semaphore::options().open_named(&of(Kind::SharedMemory)).map(|_| ());
    let segment = SharedMemory::options().open_named(&of(Kind::MessageQueue)).map(|_| ());
    let mut options = MessageQueue::options();
    let queue = options.direction(Direction::Send).open_named(&of(Kind::Semaphore)).map(|_| ());
    let lock = Lock::options().open_named(&of(Kind::BoundedSemaphore)).map(|_| ());
    let permits = BoundedSemaphore::options().open_named(&of(Kind::Lock)).map(|_| ());
    let channel = Channel::options().open_named(&of(Kind::SharedMemory)).map(|_| ());
    for refused in [semaphore, segment, queue, lock, permits, channel] {
        assert_refused(refused, &name, ErrorKind::InvalidArgument, None);
    }
}
