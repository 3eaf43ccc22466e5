//! `nob-ipc sem`, but for `run`.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nob_ipc_testing::{Running, Unique, prepare, watchdog};
use serde_json::Value;

use crate::support::pty::OnTerminal;
use crate::support::{Argument, PROGRAM, json, nob, shell, start, text, words};

fn value(name: &str) -> String {
    text(nob(&[&"sem", &"value", &name]))
}

#[test]
fn create_wait_post_value() {
    let _watchdog = watchdog();
    let name = Unique::new();
    assert_eq!(text(nob(&[&"sem", &"create", &name, &"--value", &"2"])), "");
    assert_eq!(value(&name), "2\n");
    // One that exists is left as it is, and that is told if it is not what was asked for.
    let again = nob(&[&"sem", &"create", &name, &"--value", &"9", &"--mode", &"666"]);
    assert_eq!((again.status.code(), again.stdout.len()), (Some(0), 0));
    let said = String::from_utf8(again.stderr).expect("it is UTF-8");
    let expected = format!(
        "nob-ipc: the semaphore \"{name}\" exists and was left as it is: its value is 2, not 9, its \
         mode is 0600, not 0666\n"
    );
    assert_eq!(said, expected);
    for arguments in [&["--value", "2", "--mode", "600"][..], &[]] {
        let mut all: Vec<Argument> = vec![&"sem", &"create", &name];
        all.extend(words(arguments));
        let again = nob(&all);
        assert_eq!((again.status.code(), again.stderr.len()), (Some(0), 0), "{arguments:?}");
    }
    assert_eq!(value(&name), "2\n");
    assert_eq!(text(nob(&[&"sem", &"wait", &name])), "");
    // The slash may be left out.
    assert_eq!(value(&name[1..]), "1\n");
    assert_eq!(text(nob(&[&"sem", &"post", &name, &"--count", &"3"])), "");
    assert_eq!(value(&name), "4\n");
}

#[test]
fn statuses() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for command in ["wait", "post", "value"] {
        let output = nob(&[&"sem", &command, &name]);
        assert_eq!(output.status.code(), Some(3), "{command}");
        let said = String::from_utf8(output.stderr).expect("it is UTF-8");
        assert!(said.starts_with("nob-ipc: there is no semaphore"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    text(nob(&[&"sem", &"create", &name, &"--value", &"0", &"--exclusive"]));
    let again = nob(&[&"sem", &"create", &name, &"--exclusive"]);
    assert_eq!(again.status.code(), Some(4));
    assert!(again.stderr.starts_with(b"nob-ipc: "));

    let begin = Instant::now();
    let late = nob(&[&"sem", &"wait", &name, &"--timeout", &"0.2"]);
    assert_eq!((late.status.code(), late.stderr.len()), (Some(124), 0));
    assert!(begin.elapsed() >= Duration::from_millis(200));
    // The notations of a time are the same everywhere.
    for timeout in ["0", "0s", "20ms", "0.02", "0m1ms"] {
        let late = nob(&[&"sem", &"wait", &name, &"--timeout", &timeout]);
        assert_eq!(late.status.code(), Some(124), "{timeout}");
    }
    for timeout in ["-1", "soon", "1x"] {
        let wrong = nob(&[&"sem", &"wait", &name, &"--timeout", &timeout]);
        assert_eq!(wrong.status.code(), Some(2), "{timeout}");
    }

    // Past the maximum.
    text(nob(&[&"sem", &"post", &name]));
    let over = nob(&[&"sem", &"post", &name, &"--count", &"2147483647"]);
    assert_eq!(over.status.code(), Some(1));
    assert_eq!(value(&name), "1\n");
}

/// As with `mkfifo -m`, whatever the umask is, which stays what it is for what is run.
#[test]
fn a_mode_is_exact() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for (create, asked) in [
        ("sem create NAME --mode 666", "0666"),
        ("shm create NAME 10 --mode 666", "0666"),
        ("mq create NAME --mode 622", "0622"),
        ("channel create NAME --capacity 4K --mode 660", "0660"),
        ("lock run NAME --mode 666 -- sh -c umask", "0666"),
        ("permits run NAME --mode 666 -- sh -c umask", "0666"),
        ("sem run NAME --create 2 -- sh -c umask", "0600"),
        ("sem create NAME-2 --mode 400", "0400"),
        ("sem create NAME-3", "0600"),
    ] {
        let create = create.replace("NAME", &name);
        let printed = text(shell(&format!("umask 277; {PROGRAM} {create}")));
        assert!(printed.is_empty() || printed == "0277\n", "{create}: {printed}");
        let words: Vec<&str> = create.split(' ').collect();
        let address = format!("{}:{}", words[0], words[2]);
        let object: Value = json(&[&"show", &address, &"--json"]);
        assert_eq!(object["mode"], asked, "{create}");
        text(nob(&[&"rm", &address]));
    }
}

#[test]
fn one_shell_waits_for_another() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"sem", &"create", &name, &"--value", &"0"]));
    let mut waiter = start(&[&"sem", &"wait", &name]);
    waiter.wait_until_in(&[nix::libc::SYS_futex]);
    assert!(waiter.is_running());
    text(nob(&[&"sem", &"post", &name]));
    assert!(waiter.end().success());
    assert_eq!(value(&name), "0\n");
}

/// Ctrl-C on a terminal, and SIGTERM: the wait ends, and nothing is taken.
#[test]
fn interrupted_waits() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"sem", &"create", &name, &"--value", &"0"]));
    let mut person = OnTerminal::start(&[&"sem", &"wait", &name]);
    person.wait_until_in(&[nix::libc::SYS_futex]);
    person.press(b"\x03");
    let (status, _) = person.end();
    assert_eq!((status.code(), status.signal()), (Some(130), None));

    let mut waiter = start(&[&"sem", &"wait", &name]);
    waiter.wait_until_in(&[nix::libc::SYS_futex]);
    waiter.signal(nix::libc::SIGTERM);
    assert_eq!(waiter.end().code(), Some(143));
    text(nob(&[&"sem", &"post", &name]));
    assert_eq!(value(&name), "1\n");
}

/// A signal that was ignored when it was started, as under `nohup`, does not end a wait.
#[test]
fn ignored_signals_are_ignored() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"sem", &"create", &name, &"--value", &"0"]));
    let line = format!("trap '' INT HUP; exec {PROGRAM} sem wait {name}");
    let mut waiter = Running::start(prepare(Command::new("sh").args(["-c", &line])));
    waiter.wait_until_in(&[nix::libc::SYS_futex]);
    for signal in [nix::libc::SIGINT, nix::libc::SIGHUP] {
        waiter.signal(signal);
    }
    text(nob(&[&"sem", &"post", &name]));
    assert_eq!(waiter.end().code(), Some(0));
}
