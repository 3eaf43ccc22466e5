//! Children that are no `nob-ipc`: this test binary again, playing a role.

use std::env;
use std::process::{self, Command};

use super::process::{Running, die_with_test};
use super::watchdog;

/// The name of a role, and what a child that plays it does with its argument.
pub type Role = (&'static str, fn(&str));

const ROLE: &str = "NOB_IPC_CLI_TEST_ROLE";
const ARGUMENT: &str = "NOB_IPC_CLI_TEST_ARGUMENT";

/// Runs the role that the environment names, and ends the process.
pub fn play(roles: &[&[Role]]) {
    let name = env::var(ROLE).expect("only a test starts this, as its child process");
    let role = roles.iter().copied().flatten().find(|(known, _)| *known == name);
    let (_, body) = role.unwrap_or_else(|| panic!("there is no role {name}"));
    let _watchdog = watchdog();
    body(&env::var(ARGUMENT).unwrap_or_default());
    process::exit(0);
}

/// The command that plays a role.
pub fn command(role: &str, argument: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the test has a path"));
    command.args(["--exact", "role", "--ignored", "--nocapture", "--quiet"]);
    command.env(ROLE, role).env(ARGUMENT, argument);
    die_with_test(&mut command);
    command
}

/// A child in its role, which has said that it is ready.
pub fn start(role: &str, argument: &str) -> Running {
    let mut child = Running::new(&mut command(role, argument));
    // The harness says something, too.
    while child.line() != "ready" {
        let ended = child.child.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "the role {role} ended early");
    }
    child
}

/// Tells the test that all is prepared, and waits for the end.
pub fn ready() -> ! {
    println!("ready");
    loop {
        std::thread::park();
    }
}
