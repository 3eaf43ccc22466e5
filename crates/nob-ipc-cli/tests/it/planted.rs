//! What other users put where everybody looks: records, leased files, another's directory.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use nob_ipc::{Existence, MessageQueue};
use nob_ipc_testing::{Machine, Role, signals};
use serde_json::Value;

use crate::support::{Argument, json, nob, text};

pub const ROLES: &[Role] = &[
    ("planted::records", |_| records()),
    ("planted::leased", |_| leased()),
    ("planted::channels", |_| channels()),
    ("planted::damaged", |_| damaged()),
];

/// Two users who are nobody here.
const OTHER: u32 = 54_321;
const VICTIM: u32 = 54_330;

fn directory_of(user: u32, owner: u32) -> String {
    let path = format!("/tmp/nob-ipc-{user}");
    fs::create_dir(&path).expect("it is free");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("it is ours");
    chown(&path, Some(owner), None).expect("this is root");
    path
}

/// Neither waits for a FIFO nor reads without end, and believes nobody else's records.
#[test]
fn in_the_directory_of_records() {
    Machine::with_users("size=1m").run("planted::records", &[]);
}

fn records() {
    let name = format!("/planted-{}", std::process::id());
    let queue = MessageQueue::options().existence(Existence::Create).open(&name);
    let _queue = queue.expect("a new queue");
    let directory = directory_of(OTHER, OTHER);
    let place = |file: &str| format!("{directory}/{file}");
    mkfifo(place("queue-1-1").as_str(), Mode::from_bits_truncate(0o644)).expect("it is free");
    chown(place("queue-1-1"), Some(OTHER), None).expect("this is root");
    symlink("/dev/zero", place("queue-1-2")).expect("it is free");
    fs::write(place("queue-1-3"), vec![b'2'; 1 << 20]).expect("it is free");
    chown(place("queue-1-3"), Some(OTHER), None).expect("this is root");
    // Somebody else's file in the directory.
    fs::write(place("queue-1-4"), "2 1 1 1 1 boot\n/x").expect("it is free");
    fs::create_dir(place("queue-1-5")).expect("it is free");
    for command in ["ls", "reap", "doctor"] {
        text(nob(&[&command]));
    }
    let listed: Value = json(&[&"ls", &"mq", &"--json"]);
    assert_eq!(listed[0]["name"], name.as_str());

    directory_of(VICTIM, OTHER);
    let checks: Vec<Value> = json(&[&"doctor", &"--json"]);
    let squatted: Vec<_> =
        checks.iter().filter(|check| check["check"] == "records of queues").collect();
    let [check] = &squatted[..] else { panic!("{squatted:?}") };
    assert_eq!(check["value"], format!("/tmp/nob-ipc-{VICTIM} belongs to user {OTHER}"));
    assert_eq!(check["hurts"], true);
}

/// A file that cannot be opened is listed as unreadable, and the others are listed.
#[test]
fn a_lease_in_the_directory_of_segments() {
    Machine::new("size=1m").run("planted::leased", &[]);
}

fn leased() {
    text(nob(&[&"shm", &"create", &"readable", &"10"]));
    let path = Path::new("/dev/shm/leased");
    let file = fs::File::options().read(true).write(true).create_new(true).open(path);
    let file = file.expect("it is free");
    // Whoever opens the file would send SIGIO to this process.
    signals::ignore(nix::libc::SIGIO);
    // SAFETY: takes a descriptor, which `file` keeps open, and numbers.
    let leased =
        unsafe { nix::libc::fcntl(file.as_raw_fd(), nix::libc::F_SETLEASE, nix::libc::F_WRLCK) };
    assert_eq!(leased, 0, "{}", std::io::Error::last_os_error());
    let listed: Vec<Value> = json(&[&"ls", &"shm", &"--json"]);
    let orphan = |name: &str| {
        let object = listed.iter().find(|object| object["name"] == name);
        object.unwrap_or_else(|| panic!("{name} is not in {listed:?}"))["orphan"].clone()
    };
    assert_eq!(orphan("/leased"), Value::Null);
    assert_eq!(orphan("/readable"), false);
    text(nob(&[&"reap"]));
}

/// Files with a channel's name that hold something else are listed, used by nobody, and can be removed.
#[test]
fn what_is_no_channel() {
    Machine::new("size=1m").run("planted::channels", &[]);
}

fn channels() {
    text(nob(&[&"channel", &"create", &"real", &"--capacity", &"4K"]));
    let real = fs::read("/dev/shm/nob.channel.real").expect("it is there");
    let mut damaged = real.clone();
    damaged[..4096].fill(0xff);
    let files = [
        ("short", b"garbage".to_vec()),
        ("empty", Vec::new()),
        ("zero", vec![0; real.len()]),
        ("damaged", damaged),
    ];
    for (name, bytes) in &files {
        fs::write(format!("/dev/shm/nob.channel.{name}"), bytes).expect("it is free");
    }
    let listed: Vec<Value> = json(&[&"ls", &"channel", &"--json"]);
    assert_eq!(listed.len(), files.len() + 1, "{listed:?}");
    for (name, _) in &files {
        let address = format!("channel:/{name}");
        let shown: Value = json(&[&"show", &address, &"--json"]);
        assert_eq!(shown["messages"], Value::Null, "{shown}");
        let page = text(nob(&[&"show", &address]));
        assert!(page.contains("damaged") && !page.contains("may not look"), "{page}");
        for verb in ["send", "receive"] {
            let mut arguments: Vec<Argument> = vec![&"channel", &verb, name, &"--timeout", &"0"];
            if verb == "send" {
                arguments.push(&"x");
            }
            assert_eq!(nob(&arguments).status.code(), Some(1), "{verb} {name}");
        }
        text(nob(&[&"rm", &address]));
    }
    let listed: Vec<Value> = json(&[&"ls", &"channel", &"--json"]);
    assert_eq!(listed[0]["messages"], 0, "{listed:?}");
}

/// Likewise what has the name of a semaphore, a lock or a bounded semaphore.
#[test]
fn what_is_damaged() {
    Machine::new("size=1m").run("planted::damaged", &[]);
}

fn damaged() {
    for (kind, prefix) in [("sem", "sem."), ("lock", "nob.lock."), ("permits", "nob.permits.")] {
        fs::write(format!("/dev/shm/{prefix}short"), b"garbage").expect("it is free");
        let address = format!("{kind}:/short");
        let page = text(nob(&[&"show", &address]));
        assert!(page.contains("damaged") && !page.contains("may not look"), "{page}");
        let list = text(nob(&[&"ls", &kind]));
        assert!(list.contains("damaged"), "{list}");
        text(nob(&[&"rm", &address]));
    }
}
