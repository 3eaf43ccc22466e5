//! The examples of the crate run, and show what they are to show.

use nob_ipc_testing::{Unique, output, watchdog};
use std::process::Command;

/// Runs an example as a user would.
fn run(example: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "nob-ipc", "--example", example]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = output(command.arg("--").args(arguments)).expect("cargo runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {text}{errors}");
    text
}

#[test]
fn lock() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let text = run("lock", &[&name]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 18, "{text}");
    // Nobody is interrupted between entering and leaving.
    for steps in lines.chunks(3) {
        let (who, _) = steps[0].split_once(' ').expect("a process and a step");
        let expected = ["enters", "works", "leaves"].map(|step| format!("{who} {step}"));
        assert_eq!(steps, expected, "{text}");
    }
}

#[test]
fn counter() {
    let _watchdog = watchdog();
    let name = Unique::new();
    assert_eq!(run("counter", &[&name]), "4 processes counted to 40000\n");
}

#[test]
fn jobs() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let text = run("jobs", &[&name]);
    assert!(text.contains("urgent"), "{text}");
    assert!(text.ends_with("all 12 jobs are done\n"), "{text}");
}

#[test]
fn limits() {
    let _watchdog = watchdog();
    let text = run("limits", &[]);
    for line in ["Semaphore", "SharedMemory", "MessageQueue", "msg_max", "32767"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
