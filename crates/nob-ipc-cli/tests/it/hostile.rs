//! Names that want to do something to the terminal of who lists them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use nob_ipc_testing::{Arguments, Child, Machine, Role, hold, watchdog};
use serde_json::Value;

use crate::support::each::{KINDS, create_each};
use crate::support::pty::OnTerminal;
use crate::support::{Argument, json, nob};

pub const ROLES: &[Role] =
    &[("hostile::hold", hold_hostile), ("hostile::on_terminals", |_| on_terminals())];

const NAME: &[u8] = b"/x\x1b[31m\x1b]0;own\x07\n\r\x9b2J\xc2\x9b\xe2\x80\xae\xff";

/// Creates objects with a hostile name, and gives itself a hostile command.
fn hold_hostile(_: &Arguments) {
    std::fs::write("/proc/self/comm", b"evil\x1b[2J").expect("it is ours");
    let _held = create_each(OsString::from_vec(NAME.to_vec()));
    hold();
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
    Machine::new("size=1m").run("hostile::on_terminals", &[]);
}

fn on_terminals() {
    let mut holder = Child::holding("hostile::hold", &[]);

    let (status, printed) = OnTerminal::start(&[&"ls"]).end();
    assert!(status.success());
    is_safe(&printed);
    let (_, printed) = OnTerminal::start(&[&"ls", &"--json"]).end();
    is_safe(&printed);
    let printed = String::from_utf8(printed).expect("it is UTF-8");
    // A word on standard error may follow.
    let mut values = serde_json::Deserializer::from_str(&printed).into_iter();
    let objects: Vec<Value> = values.next().expect("a value").expect("it is JSON");
    assert_eq!(objects.len(), KINDS.len());
    for object in objects {
        assert!(object["name"].is_string() && object["name_base64"].is_string(), "{object}");
    }

    for kind in KINDS {
        let address = OsString::from_vec([kind.as_bytes(), b":", NAME].concat());
        for arguments in [&[&"show" as Argument, &address][..], &[&"show", &address, &"--json"]] {
            let (status, printed) = OnTerminal::start(arguments).end();
            assert!(status.success(), "{printed:?}");
            is_safe(&printed);
        }
        let raw = nob(&[&"show", &address]);
        let names = raw.stdout.windows(NAME.len()).filter(|it| *it == NAME).count();
        assert_eq!(names, 1, "in a pipe the name is as it is");
        let json: Value = json(&[&"show", &address, &"--json"]);
        assert_eq!(json["holders"][0]["command"], "evil\u{1b}[2J", "{json}");
    }

    // Orphans, now that their creator is dead.
    holder.kill();
    let (_, printed) = OnTerminal::start(&[&"reap"]).end();
    is_safe(&printed);
    let printed = String::from_utf8(printed).expect("it is UTF-8");
    assert!(printed.contains("would remove") && printed.contains("/x"), "{printed}");
}

/// Also in sentences about what was typed.
#[test]
fn errors_are_escaped() {
    let _watchdog = watchdog();
    let hostile = OsString::from_vec([b"x", &NAME[2..]].concat());
    let mut address = OsString::from("bad:");
    address.push(&hostile);
    for arguments in [
        &[&"show" as Argument, &address][..],
        &[&"sem", &"value", &hostile],
        &[&"shm", &"create", &"x", &hostile],
        &[&"sem", &"run", &"nob-cli-none", &"--create", &hostile, &"--", &"true"],
        &[&"lock", &"show", &hostile],
        &[&"permits", &"run", &"nob-cli-none", &"--value", &hostile, &"--", &"true"],
        &[&"channel", &"receive", &hostile],
        &[&"channel", &"create", &"x", &"--capacity", &hostile],
        &[&hostile],
    ] {
        let output = nob(arguments);
        assert!(matches!(output.status.code(), Some(2 | 3)), "{output:?}");
        is_safe(&output.stderr);
    }
}
