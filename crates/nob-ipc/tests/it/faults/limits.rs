//! Limits of descriptors and queues, reached, and what is told then. Each test is a process of its
//! own; most need root to make a place where the limits are low.

use std::fs;

use nob_ipc::{ErrorKind, Existence, Kind, MessageQueue};
use nob_ipc_testing::{
    Arguments, Child, Machine, Role, Unique, files, limits, unshare, users, watchdog,
};

use crate::support::{EXISTENCES, Object, assert_words, refused};

pub const ROLES: &[Role] = &[
    ("limits::descriptors", |_| descriptors_role()),
    ("limits::queue_memory", |_| queue_memory_role()),
    ("limits::capacity", |_| capacity_role()),
    ("limits::number_of_queues", |_| number_of_queues_role()),
    ("limits::namespace", namespace_role),
];

/// C27: without a descriptor nothing is opened, nothing is lost, and later it works.
#[test]
fn descriptors() {
    Child::run("limits::descriptors", &[]);
}

/// M6, M7, M8: the exact byte of `RLIMIT_MSGQUEUE`, and who counts for how long.
#[test]
fn queue_memory() {
    if users::is_root("become another user") {
        Child::run("limits::queue_memory", &[]);
    }
}

/// M4, M5: a capacity that the system does not allow.
#[test]
fn capacity() {
    Machine::with_users("size=1m").run("limits::capacity", &[]);
}

/// M9.
#[test]
fn number_of_queues() {
    Machine::with_users("size=1m").run("limits::number_of_queues", &[]);
}

fn descriptors_role() {
    let before = limits::next_descriptor();
    let (old, new) = (Unique::new(), Unique::new());
    let objects = Kind::ALL.map(|kind| Object::create(kind, &old));
    let limit = limits::set(libc::RLIMIT_NOFILE, limits::next_descriptor());
    for kind in Kind::ALL {
        for existence in EXISTENCES {
            let opened = Object::open(kind, &old, existence);
            if existence == Existence::Create && kind != Kind::MessageQueue {
                refused(opened, &old, ErrorKind::AlreadyExists, libc::EEXIST);
            } else {
                let error = refused(opened, &old, ErrorKind::LimitExceeded, libc::EMFILE);
                assert_words(&error, &["descriptor", "RLIMIT_NOFILE"]);
            }
        }
        let created = Object::open(kind, &new, Existence::Create);
        refused(created, &new, ErrorKind::LimitExceeded, libc::EMFILE);
    }
    // What is open goes on working, also growing; and dropping removes the name.
    for object in &objects {
        object.use_it();
    }
    let Object::Segment(segment) = &objects[1] else { panic!("they come in this order") };
    segment.resize(100_000).expect("there is room");
    limits::set(libc::RLIMIT_NOFILE, limit);
    for kind in Kind::ALL {
        // Nothing was unlinked to be replaced.
        assert!(files::exists(kind, &old), "{kind}");
    }
    drop(objects);
    for kind in Kind::ALL {
        assert!(!files::exists(kind, &old), "{kind}");
        assert!(!files::exists(kind, &new), "{kind}");
        Object::create(kind, &new).use_it();
    }
    assert_eq!(limits::next_descriptor(), before, "no descriptor is lost");
}

/// What the kernel charges for a small queue on a 64-bit machine.
fn charge(max_messages: u64, max_message_size: u64) -> u64 {
    max_messages * (max_message_size + 96)
}

fn queue(name: &str, max_messages: u64, max_message_size: u64) -> nob_ipc::Result<MessageQueue> {
    MessageQueue::options()
        .max_messages(max_messages)
        .max_message_size(max_message_size)
        .existence(Existence::Create)
        .open(name)
}

fn queue_memory_role() {
    // A user whom nobody else is, so that nothing else is charged.
    users::become_user(100_000 + std::process::id());
    let names = [(); 3].map(|()| Unique::new());
    let exact = charge(5, 200);
    limits::set(libc::RLIMIT_MSGQUEUE, exact - 1);
    let error =
        refused(queue(&names[0], 5, 200), &names[0], ErrorKind::LimitExceeded, libc::EMFILE);
    let limit = (exact - 1).to_string();
    assert_words(&error, &["RLIMIT_MSGQUEUE", &exact.to_string(), &limit, "ulimit -q"]);
    assert!(!files::exists(Kind::MessageQueue, &names[0]));

    limits::set(libc::RLIMIT_MSGQUEUE, exact);
    let first = queue(&names[0], 5, 200).expect("just within the limit");
    refused(queue(&names[1], 1, 1), &names[1], ErrorKind::LimitExceeded, libc::EMFILE);
    first.ownership().unlink().expect("it is ours");
    refused(queue(&names[1], 1, 1), &names[1], ErrorKind::LimitExceeded, libc::EMFILE);
    drop(first);
    let again = queue(&names[1], 5, 200).expect("it ends with the last handle");

    // What cannot be created for want of memory does not cost the old queue its name, as far as
    // it can be known before.
    limits::set(libc::RLIMIT_MSGQUEUE, exact - 1);
    let mut options = MessageQueue::options();
    options.max_messages(5).max_message_size(200).existence(Existence::UnlinkAndCreate);
    refused(options.open(&*names[1]), &names[1], ErrorKind::LimitExceeded, libc::EMFILE);
    assert!(files::exists(Kind::MessageQueue, &names[1]));
    // Where it cannot, the error says so.
    limits::set(libc::RLIMIT_MSGQUEUE, exact);
    let error =
        refused(options.open(&*names[1]), &names[1], ErrorKind::LimitExceeded, libc::EMFILE);
    assert_words(&error, &["has been unlinked and is gone"]);
    assert!(!files::exists(Kind::MessageQueue, &names[1]));
    drop(again);
    options.open(&*names[1]).expect("there is room now");
}

fn capacity_role() {
    users::become_user(users::NOBODY);
    let name = Unique::new();
    let limit = |name: &str| -> u64 {
        let path = format!("/proc/sys/fs/mqueue/{name}");
        fs::read_to_string(path).expect("queues have limits").trim().parse().expect("a number")
    };
    let (messages, size) = (limit("msg_max"), limit("msgsize_max"));
    let error =
        refused(queue(&name, messages + 1, 1), &name, ErrorKind::LimitExceeded, libc::EINVAL);
    let asked = (messages + 1).to_string();
    assert_words(&error, &["msg_max", &messages.to_string(), &asked, "fs.mqueue.msg_max"]);
    let error = refused(queue(&name, 1, size + 1), &name, ErrorKind::LimitExceeded, libc::EINVAL);
    assert_words(&error, &["msgsize_max", &size.to_string(), "fs.mqueue.msgsize_max"]);
    for absurd in [1 << 20, 1 << 40, i64::MAX.unsigned_abs()] {
        refused(queue(&name, absurd, absurd), &name, ErrorKind::LimitExceeded, libc::EINVAL);
    }
    assert!(!files::exists(Kind::MessageQueue, &name));
    let existing = queue(&name, 1, 1).expect("within the limits");
    // What describes a new queue is not compared with limits when linking.
    let mut options = MessageQueue::options();
    options.max_messages(messages + 1).existence(Existence::LinkOrCreate);
    assert_eq!(options.open(&*name).expect("it is there").max_messages(), 1);
    drop(existing);
}

fn number_of_queues_role() {
    users::become_user(users::NOBODY);
    let names: Vec<Unique> = (0..=256).map(|_| Unique::new()).collect();
    let queues: Vec<_> =
        names[..256].iter().map(|name| queue(name, 1, 1).expect("one of 256")).collect();
    let error = refused(queue(&names[256], 1, 1), &names[256], ErrorKind::OutOfSpace, libc::ENOSPC);
    assert_words(&error, &["queues_max", "256", "fs.mqueue.queues_max"]);
    drop(queues);
    queue(&names[256], 1, 1).expect("there is room again");
}

/// M10: queues belong to their namespace, and files do not.
#[test]
fn namespaces() {
    let _watchdog = watchdog();
    if users::is_root("make an IPC namespace") {
        let name = Unique::new();
        let _objects = Kind::ALL.map(|kind| Object::create(kind, &name));
        Child::run("limits::namespace", &[&name]);
    }
}

fn namespace_role(arguments: &Arguments) {
    if unshare(libc::CLONE_NEWIPC) {
        let name = arguments.text(0);
        let link = |kind| Object::open(kind, name, Existence::Link);
        link(Kind::Semaphore).expect("it is there").use_it();
        link(Kind::SharedMemory).expect("it is there").use_it();
        refused(link(Kind::MessageQueue), name, ErrorKind::NotFound, libc::ENOENT);
    }
}
