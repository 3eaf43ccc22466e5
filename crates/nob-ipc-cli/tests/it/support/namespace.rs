//! Tests that need a machine of their own: an empty `/dev/shm` and no queues. Others' objects are then
//! out of reach.

use std::process::{Command, Stdio};

use super::process::die_with_test;
use super::role;

/// Plays a role in mount and IPC namespaces of its own, where `/dev/shm` has `room` bytes; says so and
/// does nothing where that is not permitted.
pub fn play(role: &str, argument: &str, room: &str) {
    let Some(unshare) = unshare() else {
        eprintln!("skipped: this user may not make namespaces");
        return;
    };
    let inner = role::command(role, argument);
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o mode=1777,size={room} tmpfs /dev/shm && exec \"$@\"");
    command.args(unshare).args(["sh", "-c", &script, "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (variable, value) in inner.get_envs() {
        command.env(variable, value.unwrap_or_default());
    }
    die_with_test(&mut command);
    let output = command.stdin(Stdio::null()).output().expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}{errors}", output.status);
}

/// The arguments with which `unshare` works here: as root, or as root of a user namespace.
fn unshare() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] =
        [&["--mount", "--ipc"], &["--user", "--map-root-user", "--mount", "--ipc"]];
    ways.into_iter().find(|way| {
        let script = "mount -t tmpfs tmpfs /dev/shm";
        let tried = Command::new("unshare").args(*way).args(["sh", "-c", script]).output();
        tried.is_ok_and(|output| output.status.success())
    })
}
