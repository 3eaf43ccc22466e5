//! Child processes of tests: this test binary again, playing a role.
//!
//! No test forks without exec: the harness has threads. A child speaks with its test in lines: what
//! it says begins with a mark, so that the harness's own lines are passed over.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use super::{process as system, watchdog};

/// The name of a role, and what a child that plays it does.
pub type Role = (&'static str, fn(&Arguments));

const ROLE: &str = "NOB_IPC_TEST_ROLE";
const ARGUMENTS: &str = "NOB_IPC_TEST_ARGUMENTS";
const MARK: &str = "> ";

/// What a role is told at its start.
pub struct Arguments(Vec<String>);

impl Arguments {
    pub fn text(&self, index: usize) -> &str {
        &self.0[index]
    }

    /// All from `index` on.
    pub fn rest(&self, index: usize) -> impl Iterator<Item = &str> {
        self.0[index..].iter().map(String::as_str)
    }

    pub fn number(&self, index: usize) -> u32 {
        self.text(index).parse().expect("a number")
    }
}

/// Runs the role that the environment names, and ends the process.
pub fn play(roles: &[&[Role]]) {
    let name = env::var(ROLE).expect("only a test starts this, as its child process");
    let (_, body) = roles
        .iter()
        .copied()
        .flatten()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("there is no role {name}"));
    system::die_with_parent();
    // Some roles die of a bus error.
    system::set_limit(libc::RLIMIT_CORE, 0);
    let _watchdog = watchdog();
    let arguments = env::var(ARGUMENTS).expect("the test gives arguments");
    body(&Arguments(arguments.split_whitespace().map(str::to_string).collect()));
    process::exit(0);
}

/// Tells the test something.
pub fn say(line: impl std::fmt::Display) {
    let mut output = io::stdout().lock();
    writeln!(output, "{MARK}{line}").and_then(|()| output.flush()).expect("the test listens");
}

/// What the test says next.
pub fn hear() -> String {
    let mut line = String::new();
    let length = io::stdin().lock().read_line(&mut line).expect("the test speaks");
    assert!(length > 0, "the test has gone");
    line.trim_end().to_string()
}

/// A child in its role; killed when it is dropped.
pub struct Child {
    role: String,
    process: process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub fn start(role: &str, arguments: &[&dyn std::fmt::Display]) -> Child {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut process = Command::new(env::current_exe().expect("this binary has a path"))
            .args(["role", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(ARGUMENTS, arguments.join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary runs again");
        let input = process.stdin.take().expect("it was asked for");
        let output = BufReader::new(process.stdout.take().expect("it was asked for"));
        Child { role: role.to_string(), process, input, output }
    }

    /// Starts a child and waits until it has done its part.
    pub fn run(role: &str, arguments: &[&dyn std::fmt::Display]) {
        Child::start(role, arguments).finish();
    }

    pub fn id(&self) -> i32 {
        self.process.id().try_into().expect("pids are small")
    }

    /// The next line that the child says; `None` when it has ended.
    pub fn next_line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).expect("a child speaks in text") == 0 {
                return None;
            }
            // The harness begins a line of its own, and does not end it.
            if let Some((_, said)) = line.split_once(MARK) {
                return Some(said.trim_end().to_string());
            }
        }
    }

    pub fn hear(&mut self) -> String {
        let role = self.role.clone();
        self.next_line().unwrap_or_else(|| panic!("{role} has ended early"))
    }

    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.hear(), line, "from {}", self.role);
    }

    pub fn say(&mut self, line: impl std::fmt::Display) {
        writeln!(self.input, "{line}").expect("the child listens");
    }

    /// Waits until the child has done its part.
    #[track_caller]
    pub fn finish(mut self) {
        let status = self.process.wait().expect("a child can be waited for");
        assert!(status.success(), "{} ended with {status}", self.role);
    }

    /// The signal that ended the child; waits for its end.
    pub fn signal(&mut self) -> Option<i32> {
        self.process.wait().expect("a child can be waited for").signal()
    }

    /// Sends the child a signal.
    pub fn signal_with(&self, signal: i32) {
        // SAFETY: takes numbers only; the child was not waited for, so its pid is its own.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0);
    }

    /// Kills the child as nothing can prevent, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill().expect("a child can be killed");
        let status: ExitStatus = self.process.wait().expect("a child can be waited for");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{} ended with {status}", self.role);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has usually ended; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
