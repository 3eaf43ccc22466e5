//! A machine that lacks something: `/proc`, `/dev/shm`, descriptors.

use nob_ipc::registry::Coverage;
use nob_ipc::{Kind, registry};
use nob_ipc_testing::{Machine, Role, limits, mounts};
use serde_json::Value;

use crate::support::each::{KINDS, create_each};
use crate::support::{json, nob, nob_with, text, words};

pub const ROLES: &[Role] = &[
    ("bare::without_proc", |_| without_proc()),
    ("bare::without_descriptors", |_| without_descriptors()),
    ("bare::without_shm", |_| without_shm()),
];

/// Without `/proc` everything is listed; who holds it is unknown, and so nothing is removed.
#[test]
fn a_machine_without_proc() {
    Machine::new("size=1m").run("bare::without_proc", &[]);
}

fn without_proc() {
    for arguments in [
        &["sem", "create", "x"][..],
        &["shm", "create", "x", "1K"],
        &["mq", "create", "x"],
        &["lock", "run", "x", "--", "true"],
        &["permits", "run", "x", "--", "true"],
        &["channel", "create", "x", "--capacity", "4096"],
    ] {
        text(nob(&words(arguments)));
    }
    mounts::hide(c"/proc");
    let listed: Vec<Value> = json(&[&"ls", &"--json"]);
    let kinds: Vec<&Value> = listed.iter().map(|object| &object["kind"]).collect();
    assert_eq!(kinds, KINDS);
    for object in &listed {
        assert_eq!(
            (&object["state"], &object["unseen"]),
            (&"unknown".into(), &1.into()),
            "{object}"
        );
    }
    let unused = nob(&[&"reap", &"--unused", &"--older-than", &"0s", &"--yes"]);
    assert!(text(unused).lines().all(|line| line.starts_with("left ")));
    assert_eq!(json::<Vec<Value>>(&[&"ls", &"--json"]).len(), KINDS.len());
    let checks: Vec<Value> = json(&[&"doctor", &"--json"]);
    let check = checks.iter().find(|check| check["check"] == "/proc").expect("it is told");
    assert_eq!((&check["value"], &check["hurts"]), (&"not mounted".into(), &true.into()));
}

/// What cannot be opened for want of descriptors is listed as unreadable.
#[test]
fn a_process_without_descriptors() {
    Machine::new("size=1m").run("bare::without_descriptors", &[]);
}

fn without_descriptors() {
    let _held = create_each("/x");
    let listed = |left| limits::with_descriptors(left, || registry::list(&Kind::ALL));
    // Not even the directory can be read.
    listed(0).expect_err("it cannot be listed");
    for left in 1..6 {
        // To list the queues takes a descriptor or two more; that they are not among them is told.
        let listing = listed(left).expect("it can be listed");
        let kinds: Vec<Kind> =
            listing.objects.iter().map(nob_ipc::registry::Object::kind).collect();
        let files = Kind::ALL.into_iter().filter(|&kind| kind != Kind::MessageQueue);
        let missing = files.eq(kinds.iter().copied()) && listing.queues == Coverage::Recorded;
        assert!(kinds == Kind::ALL || missing, "{left}: {listing:?}");
    }
}

/// Without `/dev/shm` the error names it, and not the object.
#[test]
fn a_machine_without_shm() {
    Machine::new("size=1m").run("bare::without_shm", &[]);
}

fn without_shm() {
    mounts::hide(c"/dev");
    for arguments in
        [&["sem", "value", "x"][..], &["shm", "create", "x", "1"], &["sem", "post", "x"]]
    {
        // There is no /dev/null to read from.
        let output = nob_with(b"", &words(arguments));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(errors.contains("there is no directory /dev/shm"), "{arguments:?}: {errors}");
    }
    let checked = nob_with(b"", &words(&["doctor", "--check"]));
    let page = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{page}");
    assert!(page.contains("! /dev/shm               not there\n"), "{page}");
    assert!(!page.contains("marks"), "nobody can tell: {page}");
}
