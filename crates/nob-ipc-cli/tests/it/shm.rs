//! `nob-ipc shm`.

use std::process::Command;

use nob_ipc_testing::{Unique, output, watchdog};

use crate::support::{PROGRAM, nob, nob_with, shell, text};

#[test]
fn create_write_read_resize() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"shm", &"create", &name, &"64K"]));
    text(nob_with(b"hello", &[&"shm", &"write", &name, &"--offset", &"100"]));
    let read = nob(&[&"shm", &"read", &name, &"--offset", &"98", &"--length", &"9"]);
    assert_eq!(text(read), "\0\0hello\0\0");
    assert_eq!(nob(&[&"shm", &"read", &name]).stdout.len(), 64 << 10);

    text(nob(&[&"shm", &"resize", &name, &"1MiB"]));
    assert_eq!(nob(&[&"shm", &"read", &name]).stdout.len(), 1 << 20);
    text(nob(&[&"shm", &"resize", &name, &"102"]));
    assert_eq!(nob(&[&"shm", &"read", &name, &"--offset", &"100"]).stdout, b"he");

    // One that exists is left as it is, whatever size is asked for.
    let again = nob(&[&"shm", &"create", &name, &"2G"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("its size is 102, not 2147483648"), "{said}");
    text(nob(&[&"shm", &"create", &name, &"102"]));
    assert_eq!(nob(&[&"shm", &"read", &name]).stdout.len(), 102);
    assert_eq!(nob(&[&"shm", &"create", &name, &"1", &"--exclusive"]).status.code(), Some(4));
}

#[test]
fn what_goes_beyond_the_end() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"shm", &"create", &name, &"8"]));
    let output = nob_with(b"123456789", &[&"shm", &"write", &name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"nob-ipc: standard input has more than the 8 bytes"));
    assert_eq!(nob(&[&"shm", &"read", &name]).stdout, [0; 8], "nothing was written");
    text(nob_with(b"12345678", &[&"shm", &"write", &name]));
    assert_eq!(nob(&[&"shm", &"read", &name]).stdout, b"12345678");
    for command in ["read", "write", "dump"] {
        let output = nob(&[&"shm", &command, &name, &"--offset", &"9"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
    }
    assert_eq!(nob(&[&"shm", &"read", &name, &"--offset", &"8"]).stdout, b"");
    assert_eq!(nob(&[&"shm", &"read", &(String::from(&*name) + "x")]).status.code(), Some(3));
}

/// A dump is the one of `hexdump -C`.
#[test]
fn dump() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"shm", &"create", &name, &"200000"]));
    text(nob_with(b"\x1b[31mred\x07", &[&"shm", &"write", &name, &"--offset", &"4090"]));
    text(nob_with(b"end", &[&"shm", &"write", &name, &"--offset", &"199997"]));
    let ours = text(nob(&[&"shm", &"dump", &name]));
    assert!(!ours.contains('\x1b'));
    assert!(ours.contains("|...........[31mr|"), "{ours}");
    let file = format!("/dev/shm{name}");
    match output(Command::new("hexdump").args(["-C", &file])) {
        Ok(theirs) => assert_eq!(ours, String::from_utf8_lossy(&theirs.stdout)),
        Err(_) => eprintln!("skipped: there is no hexdump to compare with"),
    }
    let part = text(nob(&[&"shm", &"dump", &name, &"--offset", &"4090", &"--length", &"3"]));
    assert_eq!(
        part,
        "00000ffa  1b 5b 33                                          |.[3|\n00000ffd\n"
    );
}

/// Nobody reads to the end: no error, and no word.
#[test]
fn a_closed_pipe() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"shm", &"create", &name, &"4M"]));
    let script = format!("{{ {PROGRAM} shm read {name}; echo $? >&2; }} | head -c 1");
    let output = shell(&script);
    assert_eq!((output.stdout.len(), &*output.stderr), (1, &b"0\n"[..]));
}

/// A full `/dev/full` is one.
#[test]
fn an_output_that_fails() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"shm", &"create", &name, &"10"]));
    let script = format!("{PROGRAM} shm read {name} > /dev/full");
    let output = shell(&script);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"nob-ipc: cannot write to standard output"));
}
