//! `nob-ipc sem`, but for `run`.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nob_ipc_testing::{Running, Unique, files, prepare, watchdog};

use crate::support::pty::OnTerminal;
use crate::support::{PROGRAM, nob, start, text};

fn value(name: &str) -> String {
    text(nob(&[&"sem", &"value", &name]))
}

#[test]
fn create_wait_post_value() {
    let _watchdog = watchdog();
    let name = Unique::new();
    assert_eq!(text(nob(&[&"sem", &"create", &name, &"--value", &"2"])), "");
    assert_eq!(value(&name), "2\n");
    // One that exists is left as it is.
    assert_eq!(text(nob(&[&"sem", &"create", &name, &"--value", &"9"])), "");
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
    assert_eq!(nob(&[&"sem", &"wait", &name, &"--timeout", &"0"]).status.code(), Some(124));

    // Past the maximum.
    text(nob(&[&"sem", &"post", &name]));
    let over = nob(&[&"sem", &"post", &name, &"--count", &"2147483647"]);
    assert_eq!(over.status.code(), Some(1));
    assert_eq!(value(&name), "1\n");
}

#[test]
fn a_mode_is_subject_to_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"sem", &"create", &name, &"--mode", &"400"]));
    let file = files::file(nob_ipc::Kind::Semaphore, &name);
    let mode = std::fs::metadata(file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
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
