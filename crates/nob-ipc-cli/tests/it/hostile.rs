//! Names that want to do something to the terminal of who lists them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use nob_ipc::{Existence, Kind, MessageQueue, Name, Semaphore, SharedMemory};

use crate::support::pty::OnTerminal;
use crate::support::role::{self, Role};
use crate::support::{Unique, nob, text, wait_until, watchdog};

pub const ROLES: &[Role] = &[("hostile::hold", hold)];

const END: &[u8] = b"\x1b[31m\x1b]0;own\x07\n\r\x9b2J\xc2\x9b\xe2\x80\xae\xff";

/// Creates objects with hostile names, and gives itself a hostile command.
fn hold(name: &str) {
    std::fs::write("/proc/self/comm", b"evil\x1b[2J").expect("it is ours");
    let name = OsString::from_vec([name.as_bytes(), END].concat());
    let existence = Existence::Create;
    let _semaphore = Semaphore::options().existence(existence).open(&name).expect("a new one");
    let segment = SharedMemory::options().existence(existence).size(5).open(&name);
    let queue = MessageQueue::options().existence(existence).max_messages(1).open(&name);
    let _held = (segment.expect("a new one"), queue.expect("a new one"));
    role::ready();
}

/// Removes the objects also when the test fails.
struct CleanUp(OsString);

impl Drop for CleanUp {
    fn drop(&mut self) {
        for kind in [Kind::Semaphore, Kind::SharedMemory, Kind::MessageQueue] {
            let name = Name::new(kind, &self.0).expect("the system takes it");
            nob_ipc::unlink(&name).expect("its creator was killed");
        }
    }
}

/// Nothing in it but lines of printable characters.
#[track_caller]
fn is_safe(printed: &[u8]) {
    let printed = std::str::from_utf8(printed).expect("it is UTF-8");
    for character in printed.chars() {
        let harmless = matches!(character, '\n' | '\r') || !character.is_control();
        assert!(harmless && character != '\u{202e}', "{character:?} in {printed:?}");
    }
}

#[test]
fn never_reach_a_terminal_raw() {
    let _watchdog = watchdog();
    let unique = Unique::new();
    let name = OsString::from_vec([unique.as_bytes(), END].concat());
    let holder = role::start("hostile::hold", &unique);
    let clean_up = CleanUp(name.clone());

    let (status, printed) = OnTerminal::start(&[&"ls"]).end();
    assert!(status.success());
    is_safe(&printed);
    let (_, printed) = OnTerminal::start(&[&"ls", &"--json"]).end();
    is_safe(&printed);
    let printed = String::from_utf8(printed).expect("it is UTF-8");
    // A word on standard error may follow.
    let mut values = serde_json::Deserializer::from_str(&printed).into_iter();
    let objects: Vec<serde_json::Value> = values.next().expect("a value").expect("it is JSON");
    let ours = objects.iter().filter(|it| {
        it["name"].as_str().is_some_and(|it| it.starts_with(&*unique))
            && it["name_base64"].is_string()
    });
    assert_eq!(ours.count(), 3);

    for kind in ["sem:", "shm:", "mq:"] {
        let mut address = OsString::from(kind);
        address.push(&name);
        for arguments in
            [&[&"show", &address as &(dyn AsRef<_> + Sync)][..], &[&"show", &address, &"--json"]]
        {
            let (status, printed) = OnTerminal::start(arguments).end();
            assert!(status.success(), "{printed:?}");
            is_safe(&printed);
        }
        let raw = nob(&[&"show", &address]);
        let lines = raw.stdout.windows(END.len()).filter(|it| *it == END).count();
        assert_eq!(lines, 1, "in a pipe the name is as it is");
        let json: serde_json::Value =
            serde_json::from_str(&text(nob(&[&"show", &address, &"--json"]))).expect("it is JSON");
        assert_eq!(json["holders"][0]["command"], "evil\u{1b}[2J", "{json}");
    }

    // Orphans, once their creator is dead.
    drop(holder);
    wait_until(|| {
        let (_, printed) = OnTerminal::start(&[&"reap"]).end();
        is_safe(&printed);
        String::from_utf8_lossy(&printed).contains(&*unique)
    });
    drop(clean_up);
}

/// Also in sentences about what was typed.
#[test]
fn errors_are_escaped() {
    let _watchdog = watchdog();
    let hostile = OsString::from_vec([b"x", END].concat());
    let mut address = OsString::from("bad:");
    address.push(&hostile);
    for arguments in [
        &[&"show" as &(dyn AsRef<_> + Sync), &address][..],
        &[&"sem", &"value", &hostile],
        &[&"shm", &"create", &"x", &hostile],
        &[&"sem", &"run", &"nob-cli-none", &"--create", &hostile, &"--", &"true"],
        &[&hostile],
    ] {
        let output = nob(arguments);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{output:?}");
        is_safe(&output.stderr);
    }
}
