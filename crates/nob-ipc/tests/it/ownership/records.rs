//! The directory of a user's records of queues, as others or an umask have left it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use nob_ipc::registry::{Coverage, Creator, Reap};
use nob_ipc::{Existence, Kind, MessageQueue, Name, registry};
use nob_ipc_testing::{Machine, Role, Unique, marks, mounts, users};

use crate::support::Object;

pub const ROLES: &[Role] = &[
    ("records::closed_umask", |_| closed_umask()),
    ("records::closed_directory", |_| closed_directory()),
    ("records::squatted", |_| squatted()),
    ("records::own_queues", |_| own_queues()),
];

/// A user who has no directory yet.
const USER: u32 = 54_332;
const OTHER: u32 = 54_333;
const DIRECTORY: &str = "/tmp/nob-ipc-54332";

/// The first process of a user makes the directory; an umask of 777 takes no record from it or from
/// those that follow.
#[test]
fn an_umask_that_leaves_nothing() {
    Machine::with_users("size=1m").run("records::closed_umask", &[]);
}

/// A process that was killed between making the directory and opening it to its owner.
#[test]
fn a_directory_that_an_umask_has_closed() {
    Machine::with_users("size=1m").run("records::closed_directory", &[]);
}

/// What another user has put in its place, or may write to, is not used and not changed.
#[test]
fn a_directory_that_is_not_the_users_alone() {
    Machine::with_users("size=1m").run("records::squatted", &[]);
}

/// A user sees all queues that he has made, where no `mqueue` file system is mounted.
#[test]
fn a_user_sees_his_own_queues() {
    Machine::with_users("size=1m").run("records::own_queues", &[]);
}

fn own_queues() {
    mounts::hide(c"/dev");
    let create = |name: &str, existence: Existence, unlink: Option<bool>| {
        let mut options = MessageQueue::options();
        if let Some(unlink) = unlink {
            options.unlink_on_drop(unlink);
        }
        options.existence(existence).max_messages(1).open(name).expect("a new queue")
    };
    let _of_root = create("/of-root", Existence::Create, None);
    users::become_user(USER);
    let listed = || {
        let listing = registry::list(&[Kind::MessageQueue]).expect("it can be listed");
        assert_eq!(listing.queues, Coverage::Recorded);
        let name = |object: &registry::Object| {
            String::from_utf8_lossy(object.name().as_bytes()).into_owned()
        };
        listing.objects.iter().map(name).collect::<Vec<_>>()
    };
    let head = |name: &str| {
        let [(_, record)] = marks::records_of(name).try_into().expect("one record");
        record.split(' ').next().unwrap_or_default().to_string()
    };
    drop(create("/kept", Existence::LinkOrCreate, Some(false)));
    let owned = create("/owned", Existence::Create, None);
    let _shared = create("/shared", Existence::LinkOrCreate, None);
    assert_eq!(listed(), ["/kept", "/owned", "/shared"]);
    assert_eq!(["/kept", "/owned"].map(head), ["kept", "2"]);
    let state = |name: &str| {
        let name = Name::new(Kind::MessageQueue, name).expect("a legal name");
        registry::find(&name).expect("it is there").creator()
    };
    assert_eq!(state("/kept"), Creator::Unmarked);

    // Who gives a name up still sees it, and who takes it over owns it.
    owned.ownership().set_unlink_on_drop(false).expect("it is ours");
    assert_eq!((head("/owned"), state("/owned")), ("kept".into(), Creator::Unmarked));
    drop(owned);
    assert_eq!(listed(), ["/kept", "/owned", "/shared"]);
    let linked = create("/owned", Existence::Link, Some(true));
    assert_eq!(head("/owned"), "2");
    drop(linked);
    assert_eq!(
        (listed(), marks::records_of("/owned").len()),
        (vec!["/kept".into(), "/shared".into()], 0)
    );

    // A record goes with its queue, or is cleared away if another program has removed that.
    let gone = || marks::records_of("/kept").is_empty();
    let unlink = || {
        // SAFETY: a NUL-terminated string.
        assert_eq!(unsafe { libc::mq_unlink(c"/kept".as_ptr()) }, 0);
    };
    unlink();
    assert!(!gone() && listed() == ["/shared"]);
    Reap::new().run().expect("it can be listed");
    assert!(gone());
    drop(create("/kept", Existence::LinkOrCreate, Some(false)));
    unlink();
    // Another one with the name has a record of its own.
    drop(create("/kept", Existence::LinkOrCreate, Some(false)));
    assert_eq!((marks::records_of("/kept").len(), listed().len()), (2, 2));
    Reap::new().run().expect("it can be listed");
    assert_eq!((marks::records_of("/kept").len(), listed().len()), (1, 2));
    // That of another IPC namespace is left.
    let [(path, record)] = marks::records_of("/kept").try_into().expect("one record");
    unlink();
    let (_, name) = record.split_once('\n').expect("two lines");
    fs::write(&path, format!("kept 1\n{name}")).expect("it is ours");
    Reap::new().run().expect("it can be listed");
    assert!(!gone());
    fs::remove_file(path).expect("it is ours");
    let kept = create("/kept", Existence::Create, Some(false));
    nob_ipc::unlink(kept.ownership().name()).expect("it is ours");
    assert!(gone());
}

#[track_caller]
fn assert_marked(expected: bool) {
    let name = Unique::new();
    let queue = Object::create(Kind::MessageQueue, &name);
    let records = marks::records_of(&name);
    assert_eq!(records.len(), usize::from(expected), "{records:?}");
    // Deletion would leave what its mode does not let it look at.
    queue.ownership().unlink().expect("it is ours");
    assert_eq!(marks::records_of(&name), []);
}

/// Whether its creator is known to be dead.
fn orphan(queue: &Object) -> Option<bool> {
    registry::find(queue.ownership().name()).expect("it is there").orphan()
}

fn closed_umask() {
    users::become_user(USER);
    users::set_umask(0o777);
    assert_marked(true);
    users::set_umask(0o022);
    assert_marked(true);
}

fn closed_directory() {
    fs::create_dir(DIRECTORY).expect("it is free");
    fs::set_permissions(DIRECTORY, Permissions::from_mode(0o000)).expect("it is ours");
    chown(DIRECTORY, Some(USER), None).expect("this is root");
    users::become_user(USER);
    assert_marked(true);
}

fn squatted() {
    let squatted = || registry::squatted_records().into_iter().map(|it| (it.user, it.owner));
    assert_eq!(squatted().collect::<Vec<_>>(), []);
    for (owner, mode) in [(OTHER, 0o700), (USER, 0o777), (USER, 0o750)] {
        fs::create_dir(DIRECTORY).expect("it is free");
        fs::set_permissions(DIRECTORY, Permissions::from_mode(mode)).expect("it is ours");
        chown(DIRECTORY, Some(owner), None).expect("this is root");
        let (marked, told) = users::as_user(USER, || {
            let name = Unique::new();
            let queue = Object::create(Kind::MessageQueue, &name);
            let marked = (marks::records_of(&name).len(), orphan(&queue));
            (marked, squatted().collect::<Vec<_>>())
        });
        assert_eq!((marked, told), ((0, None), vec![(USER, owner)]), "{mode:o}");
        let left = fs::metadata(DIRECTORY).expect("it is there").permissions().mode();
        assert_eq!(left & 0o777, mode, "it is not this crate's to change");
        fs::remove_dir(DIRECTORY).expect("it is empty");
    }
    // Where it leads to is the user's own, and not followed all the same.
    let elsewhere = "/tmp/elsewhere";
    fs::create_dir(elsewhere).expect("it is free");
    fs::set_permissions(elsewhere, Permissions::from_mode(0o700)).expect("it is ours");
    chown(elsewhere, Some(USER), None).expect("this is root");
    symlink(elsewhere, DIRECTORY).expect("it is free");
    users::become_user(USER);
    assert_marked(false);
}
