//! Shared objects (contract 3.10, 4.4): the name goes with the last handle, and never while another is
//! open, in whatever order the processes leave, and however they end.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::registry::{self, Outcome, Reap, State};
use nob_ipc::{
    Deletion, Direction, ErrorKind, Existence, Kind, Lifetime, MessageQueue, Name, Semaphore,
};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, drop_alone, files, forks, hear, say, users, watchdog,
};

use crate::support::{Object, assert_refused, for_the_race, race};

pub const ROLES: &[Role] = &[
    ("shared::hold", hold),
    ("shared::lock", lock),
    ("shared::churn", churn),
    ("shared::keep_exclusive", keep_exclusive),
    ("shared::visit", visit),
    ("shared::link_to_what_was_left", link_to_what_was_left),
    ("shared::inherited", |_| inherited()),
];

fn share(kind: Kind, name: &str) -> Object {
    Object::open(kind, name, Existence::LinkOrCreate).expect("it is there, or new")
}

/// Opens the object, says whether it created it, and keeps it until it is told to leave.
fn hold(arguments: &Arguments) {
    let object = share(arguments.kind(0), arguments.text(1));
    say(if object.ownership().created() { "created" } else { "linked" });
    match hear().as_str() {
        "leave" => drop(object),
        "exit" => forks::exit_now(0),
        other => panic!("{other}?"),
    }
}

fn holder(kind: Kind, name: &str) -> Child {
    Child::start("shared::hold", &[&kind.short_word(), &name])
}

/// The processes leave in the order in which they came, and in the reverse order.
#[test]
fn the_last_one_removes_the_name() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        for reverse in [false, true] {
            let name = Unique::new();
            let mut holders: Vec<Child> = (0..3).map(|_| holder(kind, &name)).collect();
            let mut created = 0;
            for holder in &mut holders {
                created += u32::from(holder.hear() == "created");
            }
            assert_eq!(created, 1, "{kind}");
            if reverse {
                holders.reverse();
            }
            for mut holder in holders {
                assert!(files::exists(kind, &name), "{kind}: somebody uses it");
                holder.say("leave");
                holder.finish();
            }
            assert!(!files::exists(kind, &name), "{kind}: nobody uses it");
        }
    }
}

/// Uses the object as somebody who may not remove its name.
fn visit(arguments: &Arguments) {
    users::become_user(users::NOBODY);
    let object = share(arguments.kind(0), arguments.text(1));
    let ownership = Arc::clone(object.ownership());
    say("open");
    assert_eq!(hear(), "leave");
    drop(object);
    ownership.delete().expect("it is left to those who may remove it");
}

#[test]
fn who_may_not_unlink_leaves_the_name() {
    let _watchdog = watchdog();
    if !users::is_root("become another user") {
        return;
    }
    for kind in files::KINDS {
        let name = Unique::new();
        let creator = share(kind, &name);
        let path = files::file(kind, &name);
        fs::set_permissions(path, Permissions::from_mode(0o1666)).expect("it is ours");
        let mut visitor = Child::start("shared::visit", &[&kind.short_word(), &name]);
        assert_eq!(visitor.hear(), "open");
        drop_alone(creator);
        visitor.say("leave");
        visitor.finish();
        assert!(files::exists(kind, &name), "{kind}");
        let next = share(kind, &name);
        assert_eq!(
            next.ownership().created(),
            kind == Kind::Semaphore || kind == Kind::SharedMemory
        );
        drop_alone(next);
        assert!(!files::exists(kind, &name), "{kind}");
    }
}

/// Links to what killed processes of another user have left, as one who may not remove it.
fn link_to_what_was_left(arguments: &Arguments) {
    users::become_user(users::NOBODY);
    let object = share(arguments.kind(0), arguments.text(1));
    assert!(!object.ownership().created(), "it was replaced");
    object.use_it();
}

/// Contract 4.4: who may not unlink what was left behind links to it as it is.
#[test]
fn what_another_user_left_is_linked_to() {
    let _watchdog = watchdog();
    if !users::is_root("become another user") {
        return;
    }
    for kind in files::KINDS {
        let name = Unique::new();
        let mut killed = holder(kind, &name);
        killed.expect("created");
        let path = files::file(kind, &name);
        fs::set_permissions(path, Permissions::from_mode(0o1666)).expect("it is ours");
        killed.kill();
        Child::run("shared::link_to_what_was_left", &[&kind.short_word(), &name]);
        assert!(files::exists(kind, &name), "{kind}");
    }
}

/// A handle that a forked child has inherited is one more user, and so is a mapping.
#[test]
fn a_forked_child_is_a_user() {
    Child::run("shared::inherited", &[]);
}

fn inherited() {
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = RefCell::new(Some(share(kind, &name)));
        let pipe = RefCell::new(Some(std::io::pipe().expect("there are descriptors")));
        let child = forks::fork(|| {
            let (mut reading, writing) = pipe.take().expect("inherited");
            drop(writing);
            let length = reading.read(&mut [0]).expect("it can be read");
            assert_eq!(length, 0, "the parent closes it");
            let object = object.take().expect("inherited");
            object.use_it();
        });
        drop(object.take());
        assert!(files::exists(kind, &name), "{kind}: the child has it open");
        assert!(!share(kind, &name).ownership().created(), "{kind}: it is in use");
        drop(pipe.take());
        assert!(forks::wait_for(child).success());
        assert!(!files::exists(kind, &name), "{kind}: the child was the last");
    }
}

/// Contract 3.9, 3.10: that an object is shared can be seen in its mode, and that somebody uses it in a
/// lock, by everybody who opens its file.
#[test]
fn what_everybody_can_see() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        for existence in [Existence::LinkOrCreate, Existence::Create, Existence::UnlinkAndCreate] {
            let name = Unique::new();
            let object = Object::open(kind, &name, existence).expect("a new object");
            let seen = files::open(kind, &name);
            let sticky = files::metadata(&seen).mode() & libc::S_ISVTX != 0;
            assert_eq!(sticky, existence == Existence::LinkOrCreate, "{kind} {existence:?}");
            assert!(!files::try_lock(&seen), "{kind}: somebody uses it");
            object.ownership().set_unlink_on_drop(false).expect("it is ours");
            let sticky = files::metadata(&seen).mode() & libc::S_ISVTX != 0;
            assert!(!sticky, "{kind}: it is kept");
            drop_alone(object);
            assert!(files::try_lock(&seen), "{kind}: nobody uses it");
        }
    }
}

/// Two handles of one process are two users, and a mapping is one.
#[test]
fn handles_of_one_process_count() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let (first, second) = (share(kind, &name), share(kind, &name));
        assert_eq!(first.ownership().lifetime(), Lifetime::Shared);
        assert!(first.ownership().unlink_on_drop());
        let mapping = match &first {
            Object::Segment(segment) => Some(segment.map().expect("it is not empty")),
            _ => None,
        };
        drop_alone(first);
        assert!(files::exists(kind, &name), "{kind}");
        drop_alone(second);
        assert_eq!(files::exists(kind, &name), mapping.is_some(), "{kind}");
        drop_alone(mapping);
        assert!(!files::exists(kind, &name), "{kind}");
    }
}

/// `false` never removes, `true` at once; a handle of `Link` takes part.
#[test]
fn handles_that_say_otherwise() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let creator = share(kind, &name);
        let keeps = Object::options(kind).unlink_on_drop(false).open(&name).expect("it is there");
        let linked = Object::open(kind, &name, Existence::Link).expect("it is there");
        assert_eq!(keeps.ownership().lifetime(), Lifetime::Kept);
        assert_eq!(linked.ownership().lifetime(), Lifetime::Shared);
        drop_alone(creator);
        drop_alone(linked);
        assert!(files::exists(kind, &name), "{kind}: one has it open");
        drop_alone(keeps);
        assert!(files::exists(kind, &name), "{kind}: who keeps it removes nothing");

        let user = share(kind, &name);
        let owner = Object::options(kind).unlink_on_drop(true).open(&name).expect("it is there");
        drop_alone(owner);
        assert!(!files::exists(kind, &name), "{kind}: whoever uses it");
        assert!(user.ownership().is_stale().expect("it can be looked at"));
    }
}

/// Keeping a shared object ends its sharing, for everybody; taking it over makes it owned.
#[test]
fn sharing_can_be_ended() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = share(kind, &name);
        object.ownership().set_unlink_on_drop(true).expect("nothing to change");
        assert_eq!(object.ownership().lifetime(), Lifetime::Shared);
        object.ownership().set_unlink_on_drop(false).expect("it is ours");
        assert_eq!(object.ownership().lifetime(), Lifetime::Kept);
        let linked = share(kind, &name);
        assert_eq!(linked.ownership().lifetime(), Lifetime::Kept, "{kind}");
        drop_alone((object, linked));
        assert!(files::exists(kind, &name), "{kind}");

        let owner = share(kind, &name);
        owner.ownership().set_unlink_on_drop(true).expect("it is ours");
        assert_eq!(owner.ownership().lifetime(), Lifetime::Owned);
        drop_alone(owner);
        assert!(!files::exists(kind, &name), "{kind}");
    }
}

/// What a kill may have broken is replaced, the rest is linked to with what is in it; the other flags tell
/// of it.
#[test]
fn what_killed_processes_left() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let mut killed = holder(kind, &name);
        killed.expect("created");
        if kind == Kind::MessageQueue {
            let queue = MessageQueue::options().direction(Direction::Send).open(&*name);
            let queue = queue.expect("it is there");
            queue.send(b"kept", 0).expect("there is room");
            drop_alone(queue);
        }
        killed.kill();
        assert!(files::exists(kind, &name), "{kind}: nobody could remove it");
        let found = registry::find(&nob_ipc::Name::new(kind, &*name).expect("a name"));
        let found = found.expect("it is there");
        assert_eq!((found.used(), found.orphan()), (Some(false), Some(true)), "{kind}");
        assert_eq!(found.state(), State::Orphan);

        let created = Object::open(kind, &name, Existence::Create);
        let error = assert_refused(created, &name, ErrorKind::AlreadyExists, Some(libc::EEXIST));
        assert!(error.message().contains("left behind"), "{error}");
        let again = share(kind, &name);
        let breaks = kind == Kind::Semaphore || kind == Kind::SharedMemory;
        assert_eq!(again.ownership().created(), breaks, "{kind}");
        assert_eq!(again.ownership().replaced_left_behind(), breaks, "{kind}");
        if let Object::Queue(queue) = &again {
            assert_eq!(queue.receive().expect("it is there"), (b"kept".to_vec(), 0));
        }
        drop_alone(again);
        assert!(!files::exists(kind, &name), "{kind}");
    }
}

/// Deletion says what became of the name.
#[test]
fn deletion_says_what_it_did() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let (first, last) = (share(kind, &name), share(kind, &name));
        let deletion = |object: &Object| object.ownership().delete().expect("it may be removed");
        assert!(!first.ownership().replaced_left_behind());
        assert_eq!(deletion(&first), Deletion::InUse, "{kind}");
        assert_eq!(deletion(&first), Deletion::NotDue, "{kind}: once");
        drop_alone((first, last));
        assert!(!files::exists(kind, &name), "{kind}");

        let owned = Object::create(kind, &name);
        nob_ipc::unlink(&Name::new(kind, &*name).expect("a name")).expect("it is there");
        assert_eq!(deletion(&owned), Deletion::Gone, "{kind}");
        let owned = Object::create(kind, &name);
        assert_eq!(deletion(&owned), Deletion::Unlinked, "{kind}");
    }
}

/// One of several is killed: the others go on, and the last of them removes the name.
#[test]
fn one_of_several_is_killed() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let mut killed = holder(kind, &name);
        killed.expect("created");
        let lives = share(kind, &name);
        killed.kill();
        let linked = share(kind, &name);
        assert!(!linked.ownership().created(), "{kind}: it is in use");
        drop_alone((lives, linked));
        assert!(!files::exists(kind, &name), "{kind}");
    }
}

/// After `_exit` of the last user the name stays, until the next one comes; `Link` makes it used again.
#[test]
fn the_last_one_exits_without_a_word() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let mut last = holder(kind, &name);
        last.expect("created");
        last.say("exit");
        last.finish();
        assert!(files::exists(kind, &name), "{kind}");
        drop_alone(Object::open(kind, &name, Existence::Link).expect("it is there"));
        assert!(!files::exists(kind, &name), "{kind}");
    }
}

/// `reap` takes what nobody uses, and leaves what somebody has linked to since.
#[test]
fn reaping() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let mut killed = holder(kind, &name);
        killed.expect("created");
        killed.kill();
        let ours = |(findings, _): (Vec<registry::Finding>, registry::Coverage)| {
            let mut outcomes = findings.into_iter().filter(|finding| {
                finding.object.name().as_bytes() == name.as_bytes() && finding.object.kind() == kind
            });
            outcomes.next().map(|finding| finding.outcome)
        };
        let reap = || Reap::new().kinds(&[kind]).named(name.trim_start_matches('/'));
        let dry = ours(reap().dry_run().expect("it can be listed"));
        assert!(matches!(dry, Some(Outcome::WouldRemove)), "{kind}: {dry:?}");
        let user = Object::open(kind, &name, Existence::Link).expect("it is there");
        let reaped = ours(reap().run().expect("it can be listed"));
        assert!(reaped.is_none(), "{kind}: {reaped:?}");
        // It is left as killed processes leave it.
        std::mem::forget(user);
        assert!(files::exists(kind, &name), "{kind}");
    }
}

/// Keeps an exclusive lock until it is told to end.
fn keep_exclusive(arguments: &Arguments) {
    let path = files::file(arguments.kind(0), arguments.text(1));
    let file = fs::File::options().read(true).write(true).open(path).expect("it is there");
    // SAFETY: takes a descriptor, which `file` keeps open, and a number.
    let done = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
    assert_eq!(done, 0);
    say("locked");
    assert_eq!(hear(), "end");
}

/// A foreign exclusive lock is never ignored: linking and removing are refused after a second, and the
/// error names who has it.
#[test]
fn an_exclusive_lock_of_somebody_else() {
    let _watchdog = watchdog();
    for kind in files::KINDS {
        let name = Unique::new();
        let options = Object::options(kind).existence(Existence::Create).unlink_on_drop(false);
        drop_alone(options.open(&name).expect("a new object"));
        let mut locker = Child::start("shared::keep_exclusive", &[&kind.short_word(), &name]);
        locker.expect("locked");
        let refused = |existence| {
            let began = Instant::now();
            let opened = Object::open(kind, &name, existence);
            let error = assert_refused(opened, &name, ErrorKind::Busy, Some(libc::EBUSY));
            assert!(began.elapsed() >= Duration::from_secs(1), "{kind} {existence:?}");
            assert!(error.message().contains(&format!("process {}", locker.id())), "{error}");
        };
        thread::scope(|scope| {
            for existence in [Existence::Link, Existence::LinkOrCreate, Existence::UnlinkAndCreate]
            {
                scope.spawn(move || refused(existence));
            }
        });
        assert!(files::exists(kind, &name));
        locker.say("end");
        locker.finish();
        let name = nob_ipc::Name::new(kind, &*name).expect("a name");
        nob_ipc::unlink(&name).expect("it is ours");
    }
}

/// The lock of the README: six processes open, acquire, release and leave in a loop.
#[test]
fn a_semaphore_is_a_lock() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let inside = Unique::new();
    let lockers = (0..6).map(|_| Child::start("shared::lock", &[&name, &inside])).collect();
    race(lockers);
    assert!(!files::exists(Kind::Semaphore, &name), "the last has removed it");
}

/// Nobody else is between acquire and release: a file that is made with `O_EXCL` tells.
fn lock(arguments: &Arguments) {
    let name = arguments.text(0);
    let inside = files::file(Kind::SharedMemory, arguments.text(1));
    for_the_race(|| {
        let semaphore = Semaphore::options()
            .existence(Existence::LinkOrCreate)
            .open(name)
            .expect("it is there, or new");
        let permit = semaphore.guard().expect("it comes");
        fs::File::create_new(&inside).expect("nobody else is here");
        fs::remove_file(&inside).expect("it is ours");
        drop(permit);
    });
}

/// While a handle is open its name leads to its object, whatever becomes of the others: they leave,
/// fork, are stopped and killed at random.
#[test]
fn a_storm() {
    let _watchdog = watchdog();
    thread::scope(|scope| {
        for kind in Kind::ALL {
            scope.spawn(move || storm(kind));
        }
    });
}

fn storm(kind: Kind) {
    let name = Unique::new();
    let start = || Child::start("shared::churn", &[&kind.short_word(), &name]);
    let mut workers: Vec<Child> = (0..5).map(|_| start()).collect();
    let end = Instant::now() + Duration::from_secs(2);
    let mut round = 0_usize;
    while Instant::now() < end {
        thread::sleep(Duration::from_millis(7));
        round += 1;
        let victim = &mut workers[round % 5];
        if round.is_multiple_of(3) {
            victim.kill();
            *victim = start();
        } else {
            victim.signal(libc::SIGSTOP);
            thread::sleep(Duration::from_millis(2));
            victim.signal(libc::SIGCONT);
        }
    }
    // A worker that has seen a violation has ended by itself, and `kill` tells.
    for mut worker in workers {
        worker.kill();
    }
    // Their children die with them, though not at once; then the next to leave is the last.
    while files::exists(kind, &name) {
        drop_alone(share(kind, &name));
        thread::sleep(Duration::from_millis(1));
    }
}

fn churn(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    for round in 0_u32.. {
        let object = share(kind, name);
        let holds = || {
            let stale = object.ownership().is_stale().expect("it can be looked at");
            assert!(!stale, "{kind}: another object has the name, or none, while this is in use");
        };
        holds();
        if round % 16 == 3 {
            forks::fork(|| {
                thread::sleep(Duration::from_millis(u64::from(round % 5)));
                holds();
            });
        }
        if round.is_multiple_of(4) {
            thread::sleep(Duration::from_micros(u64::from(round % 7) * 100));
        }
        holds();
        drop(object);
        forks::reap_children();
    }
}
