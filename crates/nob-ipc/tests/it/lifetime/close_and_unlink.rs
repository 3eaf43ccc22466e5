//! Who unlinks what, and when.

use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use std::sync::Arc;
use std::{fs, mem, thread};

use nob_ipc::{ErrorKind, Existence, Kind, Name, Operation, SharedMemory};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, drop_alone, files, files::Trace, hear, output, say, watchdog,
};

use crate::support::{
    Object, assert_refused,
    object::{MEASURE, MEASURED},
};

pub const ROLES: &[Role] = &[
    ("close_and_unlink::thousand_rounds", |_| thousand_rounds_role()),
    ("close_and_unlink::leave", leave),
    ("close_and_unlink::map_and_touch", map_and_touch),
];

/// C29: what is gone cannot be unlinked, and deleting it is no error.
#[test]
fn unlink_twice() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        object.ownership().unlink().expect("it is ours");
        let error = assert_refused(
            object.ownership().unlink(),
            &name,
            ErrorKind::NotFound,
            Some(libc::ENOENT),
        );
        assert_eq!(error.operation(), Some(Operation::Unlink));
        let by_name = nob_ipc::unlink(&Name::new(kind, &*name).expect("a legal name"));
        assert_refused(by_name, &name, ErrorKind::NotFound, Some(libc::ENOENT));
        object.ownership().delete().expect("gone is as good as deleted");
    }
}

/// Contract 4.2, 4.4: only the object that was opened is unlinked.
#[test]
fn a_name_that_has_changed_hands() {
    let _watchdog = watchdog();
    for kind in MEASURED {
        let name = Unique::new();
        let old = Object::options(kind)
            .measure(MEASURE + 5)
            .existence(Existence::Create)
            .open(&name)
            .expect("a new object");
        let new = Object::open(kind, &name, Existence::UnlinkAndCreate).expect("a new object");
        let refused = old.ownership().unlink();
        assert_refused(refused, &name, ErrorKind::Replaced, Some(libc::ENOENT));
        assert!(old.ownership().is_due());
        old.ownership().delete().expect("another's object is left alone");
        drop(old);
        let linked = Object::open(kind, &name, Existence::Link).expect("the new one is there");
        assert_eq!(linked.measure(), new.measure());
    }
}

/// Contract 4.4: a handle is stale when its name leads to another object, or to none.
#[test]
fn stale_handles() {
    let _watchdog = watchdog();
    let is_stale = |object: &Object| object.ownership().is_stale().expect("it can be looked at");
    for kind in Kind::ALL {
        let name = Unique::new();
        let created = Object::create(kind, &name);
        let linked = Object::open(kind, &name, Existence::Link).expect("it is there");
        assert!(!is_stale(&created) && !is_stale(&linked), "{kind}");
        let other = Object::open(kind, &name, Existence::UnlinkAndCreate).expect("a new object");
        assert!(is_stale(&created) && is_stale(&linked) && !is_stale(&other), "{kind}");
        other.ownership().unlink().expect("it is ours");
        assert!(is_stale(&created) && is_stale(&other), "{kind}");
        let again = Object::create(kind, &name);
        assert!(is_stale(&created) && is_stale(&other) && !is_stale(&again), "{kind}");
        created.use_it();
    }
}

/// Contract 4.3: whose handle unlinks is said when opening, and can be changed.
#[test]
fn due_or_not() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        for (created, asked) in
            [(true, None), (true, Some(false)), (false, None), (false, Some(true))]
        {
            let name = Unique::new();
            let stays = Object::options(kind).existence(Existence::Create).unlink_on_drop(false);
            let first = (!created).then(|| stays.open(&name).expect("a new object"));
            let mut options = Object::options(kind).existence(Existence::LinkOrCreate);
            if let Some(unlink) = asked {
                options = options.unlink_on_drop(unlink);
            }
            let object = options.open(&name).expect("an object");
            let due = asked.unwrap_or(created);
            assert_eq!((object.ownership().created(), object.ownership().is_due()), (created, due));
            drop_alone(object);
            assert_eq!(files::exists(kind, &name), !due, "{kind} {created} {asked:?}");
            drop(first);
        }
        let name = Unique::new();
        let object = Object::create(kind, &name);
        object.ownership().set_unlink_on_drop(false).expect("it is ours");
        assert!(!object.ownership().is_due());
        object.ownership().delete().expect("nothing is due");
        drop(object);
        assert!(files::exists(kind, &name));
        let object = Object::open(kind, &name, Existence::Link).expect("it is there");
        object.ownership().set_unlink_on_drop(true).expect("it is ours");
        assert!(object.ownership().unlink_on_drop());
        drop(object);
        assert!(!files::exists(kind, &name));
    }
}

/// Deleting happens once: what is created afterwards under the name is nobody's business.
#[test]
fn delete_is_idempotent() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        object.ownership().delete().expect("it is ours");
        assert!(!files::exists(kind, &name));
        assert!(!object.ownership().is_due());
        let next = Object::create(kind, &name);
        object.ownership().delete().expect("it is done already");
        drop(object);
        assert!(files::exists(kind, &name));
        next.use_it();
    }
}

/// The name stays until the last of those who hold the entry lets go, in whatever thread.
#[test]
fn an_entry_can_outlive_its_handle() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        let entry = Arc::clone(object.ownership());
        drop(object);
        assert!(files::exists(kind, &name));
        thread::spawn(move || drop(entry)).join().expect("dropping does not panic");
        assert!(!files::exists(kind, &name));
    }
}

/// Contract 4.5: a mapping keeps the name.
#[test]
fn a_mapping_keeps_the_name() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let Object::Segment(segment) = Object::create(Kind::SharedMemory, &name) else {
        panic!("a segment was asked for")
    };
    let [first, second] = [(); 2].map(|()| segment.map().expect("it is not empty"));
    let trace = Trace::of(Kind::SharedMemory, &name);
    drop(segment);
    assert_eq!((trace.descriptors(), trace.mappings()), (0, 2), "no descriptor stays");
    drop(first);
    assert!(files::exists(Kind::SharedMemory, &name));
    drop(second);
    assert!(!files::exists(Kind::SharedMemory, &name));
}

/// A handle that is never dropped leaves the name, as a process that dies does.
#[test]
fn a_forgotten_handle() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        mem::forget(Object::create(kind, &name));
        let linked = Object::open(kind, &name, Existence::Link).expect("it is there");
        if kind != Kind::Lock {
            assert_eq!(linked.measure(), MEASURE);
        }
        linked.use_it();
    }
}

/// C41: unwinding drops handles as returning does.
#[test]
fn unwinding() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let panicked = std::panic::catch_unwind(|| {
            let object = Object::create(kind, &name);
            object.use_it();
            std::panic::resume_unwind(Box::new("with a handle"));
        });
        assert!(panicked.is_err());
        assert!(!files::exists(kind, &name));
    }
}

/// C32, C33: what nobody is due to unlink outlives its creator, and who merely links.
#[test]
fn objects_outlive_processes() {
    let _watchdog = watchdog();
    let name = Unique::new();
    Child::run("close_and_unlink::leave", &[&name]);
    Child::run("close_and_unlink::leave", &[&name]);
    for kind in Kind::ALL {
        Object::open(kind, &name, Existence::Link).expect("it is there").use_it();
    }
}

fn leave(arguments: &Arguments) {
    for kind in Kind::ALL {
        let existence = Existence::LinkOrCreate;
        let options = Object::options(kind).existence(existence).unlink_on_drop(false);
        options.open(arguments.text(0)).expect("an object").use_it();
    }
}

/// C35: no descriptor survives `exec`.
#[test]
fn descriptors_close_on_exec() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let objects = Kind::ALL.map(|kind| Object::create(kind, &name));
    for object in &objects {
        let descriptor = match object {
            Object::Semaphore(_) | Object::Lock(_) | Object::Permits(_) | Object::Channel(_) => {
                continue;
            }
            Object::Segment(segment) => segment.as_fd(),
            Object::Queue(queue) => queue.as_fd(),
        };
        // SAFETY: takes numbers only.
        let flags = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }
    let listed = output(Command::new("ls").args(["-l", "/proc/self/fd"])).expect("ls runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("->"), "{listed}");
    assert!(!listed.contains(name.trim_start_matches('/')), "{listed}");
    for kind in Kind::ALL {
        assert!(files::exists(kind, &name));
    }
}

/// C42: descriptors, mappings and memory are afterwards as they were before.
#[test]
fn a_thousand_rounds() {
    let _watchdog = watchdog();
    Child::run("close_and_unlink::thousand_rounds", &[]);
}

fn thousand_rounds_role() {
    let name = Unique::new();
    let round = || {
        for kind in Kind::ALL {
            let created = Object::create(kind, &name);
            let linked = Object::open(kind, &name, Existence::Link).expect("it is there");
            linked.use_it();
            if let Object::Queue(queue) = &linked {
                drop(queue.watch().expect("an answer"));
            }
            created.ownership().unlink().expect("it is ours");
        }
    };
    let count = |path: &str| fs::read_dir(path).expect("/proc is mounted").count();
    let mappings = || fs::read_to_string("/proc/self/maps").expect("/proc").lines().count();
    let memory = || -> usize {
        let statm = fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
        statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("pages")
    };
    // The first rounds make what is kept: buffers of the allocator, what the process knows of
    // itself.
    (0..100).for_each(|_| round());
    let (descriptors, maps, pages) = (count("/proc/self/fd"), mappings(), memory());
    (0..1000).for_each(|_| round());
    assert_eq!((count("/proc/self/fd"), mappings()), (descriptors, maps));
    assert!(memory() <= pages + 64, "from {pages} pages to {}", memory());
}

/// Maps a segment and touches a byte when told.
fn map_and_touch(arguments: &Arguments) {
    let segment = SharedMemory::options().open(arguments.text(0)).expect("it is there");
    let mapping = segment.map().expect("it is not empty");
    say("mapped");
    assert_eq!(hear(), "touch");
    let offset = usize::try_from(arguments.number(1)).expect("a small offset");
    mapping.write(offset, b"x").expect("within the mapping");
    say("touched");
}
