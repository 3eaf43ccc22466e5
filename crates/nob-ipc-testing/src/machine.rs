//! Namespaces in which a role or program is alone.

use std::fmt::Display;
use std::io;
use std::process::Command;
use std::sync::OnceLock;

use crate::roles::{self, Child};
use crate::running::{output, prepare};
use crate::watchdog::watchdog;
use crate::{mounts, users};

/// Mounts, IPC objects and processes of its own.
const NAMESPACES: [&str; 6] =
    ["--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Gives this process a new namespace of a kind, such as `CLONE_NEWIPC`, for which only root has the right.
/// If that fails, says that the test is skipped.
pub fn unshare(kind: libc::c_int) -> bool {
    // SAFETY: takes a number only.
    let done = unsafe { libc::unshare(kind) } == 0;
    if !done {
        eprintln!("skipped: no namespace of its own ({})", io::Error::last_os_error());
    }
    done
}

/// A machine of its own: no process of the other tests, an empty `/dev/shm`, no queues, and the limits
/// that queues have by default; for a role also an empty `/tmp`. It ends with the process that was started in it.
///
/// Without permission to make one, the test is skipped, and says so.
pub struct Machine {
    shm: String,
    users: bool,
}

impl Machine {
    /// One whose `/dev/shm` is a tmpfs with these options, such as `size=1m`. Its user is root, but where
    /// an ordinary user runs the tests there is no other user.
    pub fn new(shm: &str) -> Machine {
        Machine { shm: shm.to_string(), users: false }
    }

    /// One on which root can also become another user. Only root can make it.
    pub fn with_users(shm: &str) -> Machine {
        Machine { shm: shm.to_string(), users: true }
    }

    /// Plays a role on it, to its end; a watchdog watches.
    #[track_caller]
    pub fn run(&self, role: &str, arguments: &[&dyn Display]) {
        let _watchdog = watchdog();
        if let Some(mut command) = self.command(&roles::command(role, arguments)) {
            Child::start_as(role, &mut command).finish();
        }
    }

    /// The command that runs a program on it, [prepared](prepare); `None` where it may not be made.
    pub fn command(&self, program: &Command) -> Option<Command> {
        let Some(way) = self.way() else {
            eprintln!("skipped: this user may not make namespaces");
            return None;
        };
        let mut command = Command::new("unshare");
        command.args(way).args(NAMESPACES).args(["sh", "-c"]);
        // A mount of queues that is there shows those outside.
        command.arg(
            "mount -t tmpfs -o \"mode=1777,$0\" tmpfs /dev/shm && \
             { ! mountpoint -q /dev/mqueue || mount -t mqueue none /dev/mqueue; } && exec \"$@\"",
        );
        command.arg(&self.shm).arg(program.get_program()).args(program.get_args());
        for (variable, value) in program.get_envs() {
            match value {
                Some(value) => command.env(variable, value),
                None => command.env_remove(variable),
            };
        }
        mounts::tell_outside(&mut command);
        if let Some(directory) = program.get_current_dir() {
            command.current_dir(directory);
        }
        prepare(&mut command);
        Some(command)
    }

    /// The arguments with which `unshare` works here.
    fn way(&self) -> Option<&'static [&'static str]> {
        static AS_ROOT: OnceLock<bool> = OnceLock::new();
        static IN_A_USER_NAMESPACE: OnceLock<bool> = OnceLock::new();
        let ways: [(&OnceLock<bool>, bool, &[&str]); 2] = [
            (&AS_ROOT, users::effective() == 0, &[]),
            (&IN_A_USER_NAMESPACE, !self.users, &["--user", "--map-root-user"]),
        ];
        let works = |way: &[&str]| {
            let mut command = Command::new("unshare");
            command.args(way).args(NAMESPACES).args(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]);
            match output(&mut command) {
                Ok(output) => output.status.success(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => panic!("unshare does not run: {error}"),
            }
        };
        let mut fitting = ways.into_iter().filter(|(_, fits, _)| *fits);
        let (_, _, way) = fitting.find(|(known, _, way)| *known.get_or_init(|| works(way)))?;
        Some(way)
    }
}
