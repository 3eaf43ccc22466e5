//! `nob-ipc sem run`, and what `lock run` and `permits run` share with it: whatever ends the command, what
//! was taken comes back.

use std::fs;
use std::process::Command;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nob_ipc_testing::{Directory, Running, Unique, output, prepare, wait_until, watchdog};
use serde_json::Value;

use crate::support::pty::OnTerminal;
use crate::support::{Argument, PROGRAM, address, json, nob, shell, start, text, words};

fn value(name: &str) -> String {
    text(nob(&[&"sem", &"value", &name])).trim().to_string()
}

#[test]
fn the_status_is_the_commands() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let output = nob(&[&"sem", &"run", &name, &"--create", &"2", &"--", &"sh", &"-c", &"exit 7"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    let output = nob(&[&"sem", &"run", &name, &"--", &"sh", &"-c", &"kill -9 $$"]);
    assert_eq!(output.status.code(), Some(137));
    let output = nob(&[&"sem", &"run", &name, &"--", &"echo", &"--flag", &"a b"]);
    assert_eq!(text(output), "--flag a b\n");
    assert_eq!(value(&name), "2");
}

/// No signal is blocked or ignored in the command that is not without `nob-ipc`.
#[test]
fn the_command_finds_signals_as_they_were() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let masks = |output| -> Vec<String> {
        let fields = ["SigBlk:", "SigIgn:", "SigCgt:"];
        let is_mask = |line: &&str| fields.iter().any(|field| line.starts_with(field));
        // The C library's own two signals, 32 and 33, are its business.
        let own = 3_u64 << 31;
        let mask = |line: &str| {
            let (field, mask) = line.split_once('\t').expect("a field and a mask");
            let mask = u64::from_str_radix(mask, 16).expect("a mask is hexadecimal");
            format!("{field} {:x}", mask & !own)
        };
        text(output).lines().filter(is_mask).map(mask).collect()
    };
    let mut cat = Command::new("cat");
    let plain = masks(output(prepare(cat.arg("/proc/self/status"))).expect("cat runs"));
    for (kind, options) in RUNS {
        let mut arguments: Vec<Argument> = vec![&kind, &"run", &name];
        arguments.extend(words(options));
        arguments.extend([&"--" as Argument, &"cat", &"/proc/self/status"]);
        assert_eq!((plain.len(), &plain), (3, &masks(nob(&arguments))), "{kind}");
    }
    // Also those that are ignored when it is started, as under `nohup`.
    let cat = "cat /proc/self/status";
    let plain = masks(shell(&format!("trap '' HUP QUIT; exec {cat}")));
    let under = masks(shell(&format!("trap '' HUP QUIT; exec {PROGRAM} sem run {name} -- {cat}")));
    assert!(plain.iter().any(|mask| mask == "SigIgn: 5"), "{plain:?}");
    assert_eq!(plain, under);
}

#[test]
fn a_command_that_does_not_exist() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let output = nob(&[&"sem", &"run", &name, &"--create", &"1", &"--", &"/no/such/command"]);
    assert_eq!(output.status.code(), Some(127));
    assert!(output.stderr.starts_with(b"nob-ipc: cannot run /no/such/command"));
    // A directory, and a file that is no program.
    for program in ["/", "/etc/passwd"] {
        let output = nob(&[&"sem", &"run", &name, &"--", &program]);
        assert_eq!(output.status.code(), Some(126), "{program}");
    }
    assert_eq!(value(&name), "1");
    // Without a semaphore, nothing is run.
    let other = Unique::new();
    let output = nob(&[&"sem", &"run", &other, &"--", &"echo", &"ran"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
}

#[test]
fn no_permit_in_time() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"sem", &"create", &name, &"--value", &"0"]));
    let output = nob(&[&"sem", &"run", &name, &"--timeout", &"0.1", &"--", &"echo", &"ran"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(124), 0));
    assert_eq!(value(&name), "0");
}

/// The three that run commands, each with the options by which one at a time may work.
const RUNS: [(&str, &[&str]); 3] =
    [("sem", &["--create", "1"]), ("lock", &[]), ("permits", &["--value", "1"])];

/// Whether nobody has what one may have at a time.
fn is_free(kind: &str, name: &str) -> bool {
    let object: Value = json(&[&"show", &address(kind, name), &"--json"]);
    match kind {
        "sem" => object["value"] == 1,
        "lock" => object["holder"].is_null(),
        _ => object["free"] == 1,
    }
}

/// What was taken is free when the command has ended; a lock, when what a killed one has started has ended,
/// too.
#[track_caller]
fn has_come_back(kind: &str, name: &str) {
    if kind == "lock" {
        wait_until(|| is_free(kind, name));
    }
    assert!(is_free(kind, name), "{kind}");
}

/// Starts a shell that prints its pid, traps SIGTERM and SIGINT, and waits.
fn guarded(kind: &str, options: &[&str], name: &str) -> (Running, i32) {
    let script = "trap 'echo term; exit 3' TERM; trap 'echo int; exit 4' INT; echo $$; \
                  while :; do sleep 0.05; done";
    let mut arguments: Vec<Argument> = vec![&kind, &"run", &name];
    arguments.extend(words(options));
    arguments.extend([&"--" as Argument, &"sh", &"-c", &script]);
    let mut run = start(&arguments);
    let pid = run.line().parse().expect("a pid");
    assert!(!is_free(kind, name));
    (run, pid)
}

#[test]
fn signals_are_passed_on() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for (kind, options) in RUNS {
        for (signal, said, code) in [(libc::SIGTERM, "term", 3), (libc::SIGINT, "int", 4)] {
            let (mut run, _) = guarded(kind, options, &name);
            run.signal(signal);
            assert_eq!(run.line(), said);
            assert_eq!(run.end().code(), Some(code));
            has_come_back(kind, &name);
        }
        // Others end a command that does not trap them, and give back what it had, too.
        for signal in [libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGALRM] {
            let (mut run, _) = guarded(kind, options, &name);
            run.signal(signal);
            assert_eq!(run.end().code(), Some(128 + signal), "{kind} {signal}");
            has_come_back(kind, &name);
        }
    }
}

#[test]
fn a_killed_worker_gives_back_what_it_had() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for (kind, options) in RUNS {
        let (mut run, worker) = guarded(kind, options, &name);
        kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it is there");
        assert_eq!(run.end().code(), Some(137));
        has_come_back(kind, &name);
    }
}

/// A permit of a semaphore stays taken when `nob-ipc` is killed, so the command may go on.
#[test]
fn a_killed_program_under_a_semaphore() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (mut run, worker) = guarded("sem", &["--create", "1"], &name);
    run.kill();
    assert!(!is_free("sem", &name));
    kill(Pid::from_raw(worker), Signal::SIGTERM).expect("it is there");
    assert_eq!(run.line(), "term");
    assert_eq!(run.next_line(), None);
}

/// Ctrl-C reaches the command once, and `nob-ipc` goes on until it has ended.
#[test]
fn control_c_on_a_terminal() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let directory = Directory::new();
    let file = directory.join("count");
    let script = format!(
        "trap 'echo x >> {0}' INT; : > {0}; while [ ! -s {0} ]; do sleep 0.02; done; sleep 0.2",
        file.display()
    );
    let mut arguments: Vec<Argument> = vec![&"sem", &"run", &name, &"--create", &"1", &"--"];
    arguments.extend([&"sh" as Argument, &"-c", &script]);
    let mut person = OnTerminal::start(&arguments);
    wait_until(|| file.exists());
    person.press(b"\x03");
    let (status, _) = person.end();
    let count = fs::read_to_string(&file).expect("it is there");
    assert_eq!(count, "x\n");
    assert_eq!(status.code(), Some(0));
    assert_eq!(value(&name), "1");
}

/// At most two at once, whatever happens to some of them.
#[test]
fn a_limit_holds() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let script = format!(
        "for i in 1 2 3 4 5 6; do {PROGRAM} sem run {name} --create 2 -- \
         sh -c 'echo in; sleep 0.05; echo out' & done; wait"
    );
    let (mut inside, mut most) = (0, 0);
    for line in text(shell(&script)).lines() {
        inside += if line == "in" { 1 } else { -1 };
        most = most.max(inside);
    }
    assert_eq!(inside, 0);
    assert!((1..=2).contains(&most), "{most} at once");
    assert_eq!(value(&name), "2");
}
