//! A machine that lacks something: `/proc`, `/dev/shm`, descriptors.

use std::ffi::OsStr;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nob_ipc::registry::Coverage;
use nob_ipc::{Existence, Kind, MessageQueue, Semaphore, SharedMemory, registry};
use serde_json::Value;

use crate::support::role::Role;
use crate::support::{namespace, nob, nob_with, text, watchdog};

pub const ROLES: &[Role] = &[
    ("bare::without_proc", |_| without_proc()),
    ("bare::without_descriptors", |_| without_descriptors()),
    ("bare::without_shm", |_| without_shm()),
];

/// Hides what is at a place.
fn hide(place: &str) {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "tmpfs", place]);
    assert!(mount.status().expect("mount runs").success());
}

type Argument<'a> = &'a (dyn AsRef<OsStr> + Sync);

fn as_arguments<'a>(words: &'a [&str]) -> Vec<Argument<'a>> {
    words.iter().map(|word| word as Argument<'a>).collect()
}

fn json(arguments: &[&str]) -> Vec<Value> {
    serde_json::from_str(&text(nob(&as_arguments(arguments)))).expect("it is JSON")
}

/// Without `/proc` everything is listed; who holds it is unknown, and so nothing is removed.
#[test]
fn a_machine_without_proc() {
    let _watchdog = watchdog();
    namespace::play("bare::without_proc", "", "1m");
}

fn without_proc() {
    for arguments in
        [&["sem", "create", "x"][..], &["shm", "create", "x", "1K"], &["mq", "create", "x"]]
    {
        text(nob(&as_arguments(arguments)));
    }
    hide("/proc");
    let listed = json(&["ls", "--json"]);
    let kinds: Vec<&Value> = listed.iter().map(|object| &object["kind"]).collect();
    assert_eq!(kinds, ["sem", "shm", "mq"]);
    for object in &listed {
        assert_eq!(
            (&object["state"], &object["unseen"]),
            (&"unknown".into(), &1.into()),
            "{object}"
        );
    }
    let unused = nob(&[&"reap", &"--unused", &"--older-than", &"0s", &"--yes"]);
    assert!(text(unused).lines().all(|line| line.starts_with("left ")));
    assert_eq!(json(&["ls", "--json"]).len(), 3);
    let checks = json(&["doctor", "--json"]);
    let check = checks.iter().find(|check| check["check"] == "/proc").expect("it is told");
    assert_eq!((&check["value"], &check["hurts"]), (&"not mounted".into(), &true.into()));
}

/// What cannot be opened for want of descriptors is listed as unreadable.
#[test]
fn a_process_without_descriptors() {
    let _watchdog = watchdog();
    namespace::play("bare::without_descriptors", "", "1m");
}

fn without_descriptors() {
    let existence = Existence::Create;
    let _held = (
        Semaphore::options().existence(existence).open("/x").expect("a new one"),
        SharedMemory::options().existence(existence).size(1).open("/x").expect("a new one"),
        MessageQueue::options().existence(existence).max_messages(1).open("/x").expect("a new one"),
    );
    let listed = |left: u64| {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        let used = std::fs::File::open("/dev/null").expect("there are descriptors");
        let next = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&used)).expect("a descriptor");
        drop(used);
        setrlimit(Resource::RLIMIT_NOFILE, next + left, hard).expect("it is lowered");
        let listing = registry::list(&Kind::ALL);
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it is raised");
        listing
    };
    // Not even the directory can be read.
    listed(0).expect_err("it cannot be listed");
    for left in 1..6 {
        // To list the queues takes a descriptor or two more; that they are not among them is told.
        let listing = listed(left).expect("it can be listed");
        let kinds: Vec<Kind> =
            listing.objects.iter().map(nob_ipc::registry::Object::kind).collect();
        let missing = kinds == Kind::ALL[..2] && listing.queues == Coverage::Recorded;
        assert!(kinds == Kind::ALL || missing, "{left}: {listing:?}");
    }
}

/// Without `/dev/shm` the error names it, and not the object.
#[test]
fn a_machine_without_shm() {
    let _watchdog = watchdog();
    namespace::play("bare::without_shm", "", "1m");
}

fn without_shm() {
    hide("/dev");
    for arguments in
        [&["sem", "value", "x"][..], &["shm", "create", "x", "1"], &["sem", "post", "x"]]
    {
        // There is no /dev/null to read from.
        let output = nob_with(b"", &as_arguments(arguments));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains("there is no directory /dev/shm"), "{arguments:?}: {errors}");
    }
}
