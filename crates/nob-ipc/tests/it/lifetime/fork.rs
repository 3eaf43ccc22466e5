//! Forked children: what they inherit, and what they must not do to their parent. Each test is a
//! role, since the harness has threads.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nob_ipc::{
    BoundedSemaphore, Channel, Deadline, Existence, Kind, Lock, MessageQueue, Semaphore,
    fork_generation,
};
use nob_ipc_testing::{Child, Role, Unique, files, forks, marks, thread_id, wait_until_in};

use crate::support::{
    Object, new_channel, new_lock, new_permits, new_queue, new_semaphore, object::MEASURE,
};

pub const ROLES: &[Role] = &[
    ("fork::child_deletes", |_| child_deletes()),
    ("fork::child_creates", |_| child_creates()),
    ("fork::all_at_the_end", |_| all_at_the_end()),
    ("fork::child_changes_the_duty", |_| child_changes_the_duty()),
    ("fork::handles_are_shared", |_| handles_are_shared()),
    ("fork::notifications", |_| notifications()),
    ("fork::threads_at_work", |_| threads_at_work()),
    ("fork::a_waiter_is_not_inherited", |_| a_waiter_is_not_inherited()),
];

/// Contract 4.4: deletion in a child unlinks nothing of its parent's, whichever way.
#[test]
fn deletion_in_a_child() {
    Child::run("fork::child_deletes", &[]);
}

/// What a child creates is its own to unlink, and has its own mark.
#[test]
fn creation_in_a_child() {
    Child::run("fork::child_creates", &[]);
}

/// `delete_all` removes what this process is due to, in a child as well, and leaves handles usable.
#[test]
fn delete_all_in_a_child() {
    Child::run("fork::all_at_the_end", &[]);
}

/// A child changes neither duty nor mark.
#[test]
fn duty_in_a_child() {
    Child::run("fork::child_changes_the_duty", &[]);
}

/// C34, M14, H21: handles work in both, and what they lead to is one.
#[test]
fn handles_in_a_child() {
    Child::run("fork::handles_are_shared", &[]);
}

/// M44: a child that closes its inherited handle leaves the registration.
#[test]
fn notifications_and_children() {
    Child::run("fork::notifications", &[]);
}

/// C43: forking while threads are inside the crate.
#[test]
fn fork_with_threads_at_work() {
    Child::run("fork::threads_at_work", &[]);
}

/// A thread that waits when the process forks does not wait in the child.
#[test]
fn a_wait_stays_behind() {
    Child::run("fork::a_waiter_is_not_inherited", &[]);
}

fn child_deletes() {
    let name = Unique::new();
    let generation = fork_generation();
    let objects = RefCell::new(Some(Kind::ALL.map(|kind| Object::create(kind, &name))));
    forks::in_child(|| {
        assert_ne!(fork_generation(), generation);
        let objects = objects.borrow_mut().take().expect("inherited");
        for object in objects {
            assert!(object.ownership().unlink_on_drop() && !object.ownership().is_due());
            object.ownership().delete().expect("nothing is due here");
            object.use_it();
            drop(object);
        }
    });
    forks::in_child(|| forks::in_child(|| drop(objects.borrow_mut().take())));
    assert_eq!(fork_generation(), generation);
    let objects = objects.take().expect("still the parent's");
    for object in objects {
        let kind = object.ownership().name().kind();
        assert!(files::exists(kind, &name));
        assert!(object.ownership().is_due());
        drop(object);
        assert!(!files::exists(kind, &name));
    }
}

fn child_creates() {
    let (parents, childs) = (Unique::new(), Unique::new());
    let _parents = Kind::ALL.map(|kind| Object::create(kind, &parents));
    forks::in_child(|| {
        for kind in Kind::ALL {
            let object = Object::create(kind, &childs);
            assert!(object.ownership().is_due());
            let pid = std::process::id().try_into().expect("pids are small");
            let own = marks::mark_of(pid);
            if kind == Kind::MessageQueue {
                let [(_, record)] = marks::records_of(&childs).try_into().expect("one record");
                assert_eq!(record.lines().next(), Some(&*own));
            } else if let Some(mark) = marks::mark(kind, &childs) {
                assert_eq!(mark, own);
            }
            drop(object);
            assert!(!files::exists(kind, &childs));
        }
    });
}

/// Contract 4.5: a child owns nothing of its parent's, until it says so.
fn child_changes_the_duty() {
    let name = Unique::new();
    let objects = Kind::ALL.map(|kind| Object::create(kind, &name));
    let marks = || {
        let file = |kind| marks::mark(kind, &name);
        (file(Kind::Semaphore), file(Kind::SharedMemory), marks::records_of(&name))
    };
    let before = marks();
    forks::in_child(|| {
        for object in &objects {
            object.ownership().set_unlink_on_drop(false).expect("it is ours");
            assert!(!object.ownership().is_due());
        }
    });
    assert_eq!(marks(), before);
    forks::in_child(|| {
        for object in &objects {
            assert!(!object.ownership().is_due());
            object.ownership().set_unlink_on_drop(true).expect("it is ours");
            assert!(object.ownership().is_due());
            object.ownership().delete().expect("it is ours");
        }
    });
    assert!(Kind::ALL.iter().all(|&kind| !files::exists(kind, &name)));
    assert!(objects.iter().all(|object| object.ownership().is_due()));
}

fn handles_are_shared() {
    let name = Unique::new();
    let objects = Kind::ALL.map(|kind| Object::create(kind, &name));
    let [
        Object::Semaphore(semaphore),
        Object::Segment(segment),
        Object::Queue(queue),
        Object::Lock(lock),
        Object::Permits(permits),
        Object::Channel(channel),
    ] = &objects
    else {
        panic!("they come in this order")
    };
    let mapping = segment.map().expect("it is not empty");
    lock.acquire().expect("it is free").leak();
    permits.acquire().expect("it is free");
    forks::in_child(|| {
        // The parent holds these, and the child takes what is left.
        assert!(lock.is_locked().expect("an answer") && !lock.is_held());
        assert!(lock.try_acquire().expect("an answer").is_none());
        assert_eq!(permits.held(), 0);
        for left in (0..MEASURE - 1).rev() {
            assert!(permits.try_acquire().expect("an answer"));
            assert_eq!(permits.value().expect("an answer"), left);
        }
        assert!(!permits.try_acquire().expect("an answer"));
        semaphore.release().expect("far from the maximum");
        mapping.write(1, b"!").expect("it is writable");
        segment.resize(5000).expect("there is room");
        queue.send(b"from the child", 3).expect("there is room");
        queue.set_blocking(false).expect("it can be changed");
        channel.send(b"from the child", 0).expect("there is room");
        channel.set_blocking(false);
    });
    assert!(lock.is_held());
    assert_eq!((permits.held(), permits.value().expect("an answer")), (1, MEASURE - 1));
    assert_eq!(semaphore.value(), MEASURE + 1);
    let mut byte = [0];
    mapping.read(1, &mut byte).expect("within the mapping");
    assert_eq!((&byte, segment.size().expect("a size")), (b"!", 5000));
    assert_eq!(queue.receive().expect("a message"), (b"from the child".to_vec(), 3));
    assert!(!queue.is_blocking().expect("a flag"), "the open description is shared");
    assert_eq!(channel.receive().expect("a message"), (b"from the child".to_vec(), 0));
    assert!(channel.is_blocking(), "it is the handle's own");
}

fn all_at_the_end() {
    let (parents, childs, kept) = (Unique::new(), Unique::new(), Unique::new());
    for kind in Kind::ALL {
        let object = Object::create(kind, &parents);
        let kept =
            Object::options(kind).existence(Existence::Create).unlink_on_drop(false).open(&kept);
        let kept = kept.expect("a new object");
        forks::in_child(|| {
            let own = Object::create(kind, &childs);
            assert!(nob_ipc::delete_all().is_empty());
            assert!(!files::exists(kind, &childs) && files::exists(kind, &parents));
            own.use_it();
            object.use_it();
        });
        assert!(nob_ipc::delete_all().is_empty());
        assert!(!files::exists(kind, &parents));
        object.use_it();
        // Said later, it is heard as well.
        kept.ownership().set_unlink_on_drop(true).expect("it is ours");
        assert!(nob_ipc::delete_all().is_empty());
        kept.use_it();
    }
    assert!(Kind::ALL.iter().all(|kind| !files::exists(*kind, &kept)));
}

fn notifications() {
    let name = Unique::new();
    let Object::Queue(queue) = Object::create(Kind::MessageQueue, &name) else {
        panic!("a queue was asked for")
    };
    let queue = RefCell::new(Some(queue));
    let watch = RefCell::new(queue.borrow().as_ref().expect("it is here").watch().expect("works"));
    assert!(watch.borrow().is_some());
    forks::in_child(|| {
        // The child's own requests find the parent registered.
        let other = MessageQueue::options().open(&*name).expect("it is there");
        assert!(other.watch().expect("an answer").is_none());
        other.cancel_notification().expect("another's registration is left alone");
        drop(other);
        drop(watch.borrow_mut().take());
        drop(queue.borrow_mut().take());
    });
    forks::in_child(|| {
        let queue = queue.borrow();
        queue.as_ref().expect("inherited").send(b"x", 0).expect("there is room");
    });
    assert!(watch.take().expect("the parent's").wait().expect("a notification"));
}

/// What the threads of the next test work on.
struct Work {
    semaphore: Semaphore,
    queue: MessageQueue,
    lock: Lock,
    permits: BoundedSemaphore,
    channel: Channel,
    churned: Unique,
}

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(20);

impl Work {
    /// Takes and gives one of all that there is to take, if it can be had.
    fn take_turns(&self) {
        if self.semaphore.acquire_timeout(SHORT).expect("a wait") {
            self.semaphore.release().expect("far from the maximum");
        }
        drop(self.lock.acquire_timeout(SHORT).expect("a wait"));
        if self.permits.acquire_timeout(SHORT).expect("a wait") {
            self.permits.release().expect("it is held");
        }
    }
}

fn threads_at_work() {
    let shared = Unique::new();
    let work = Work {
        semaphore: new_semaphore(&shared, MEASURE),
        queue: new_queue(&shared, MEASURE.into(), 16),
        lock: new_lock(&shared),
        permits: new_permits(&shared, MEASURE),
        channel: new_channel(&shared),
        churned: Unique::new(),
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let start = |body: fn(&Work)| {
            let (work, done) = (&work, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    body(work);
                }
            });
        };
        start(Work::take_turns);
        start(|work| {
            // Whoever takes the message.
            work.queue.send_timeout(b"x", 0, SHORT).expect("a wait");
            work.queue.receive_timeout(SHORT).expect("a wait");
        });
        for _ in 0..2 {
            start(|work| {
                assert!(work.channel.send_timeout(b"x", 0, LONG).expect("a wait"));
                work.channel.receive_timeout(SHORT).expect("a wait");
            });
        }
        start(|work| {
            drop(work.channel.readable().expect("a descriptor"));
            drop(work.channel.writable().expect("a descriptor"));
        });
        start(|work| {
            for kind in Kind::ALL {
                let churned = Object::open(kind, &work.churned, Existence::UnlinkAndCreate);
                churned.expect("a new object");
            }
        });
        start(|work| {
            drop(work.queue.watch().expect("an answer"));
        });
        for _ in 0..60 {
            forks::in_child(|| {
                let name = Unique::new();
                for kind in Kind::ALL {
                    Object::create(kind, &name).use_it();
                }
                assert!(!work.lock.is_held() && work.permits.held() == 0);
                work.take_turns();
                work.queue.receive_timeout(SHORT).expect("a wait");
                assert!(work.channel.send_timeout(b"y", 0, LONG).expect("a wait"));
                let readable = work.channel.readable().expect("a descriptor");
                work.channel.receive_timeout(SHORT).expect("a wait");
                readable.clear();
                drop(work.queue.watch().expect("an answer"));
            });
        }
        done.store(true, Ordering::Relaxed);
    });
    // No child has taken anything along, nor kept anybody alive.
    assert!(work.lock.try_acquire().expect("an answer").is_some());
    assert_eq!(work.permits.value().expect("an answer"), MEASURE);
    assert!(work.channel.try_send(b"x", 0).expect("an answer"), "nobody is amid a copy");
}

fn a_waiter_is_not_inherited() {
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    thread::scope(|scope| {
        let (announce, thread) = mpsc::channel();
        let semaphore = &semaphore;
        let waiter = scope.spawn(move || {
            announce.send(thread_id()).expect("the test listens");
            semaphore.acquire()
        });
        let pid = std::process::id().try_into().expect("pids are small");
        wait_until_in(pid, thread.recv().expect("an id"), &[libc::SYS_futex]);
        forks::in_child(|| {
            assert!(!semaphore.acquire_timeout(Duration::from_millis(5)).expect("a wait"));
            semaphore.release_many(2).expect("far from the maximum");
            assert!(semaphore.acquire_until(Deadline::NEVER).expect("there were two"));
        });
        waiter.join().expect("no panic").expect("the child has released");
    });
}
