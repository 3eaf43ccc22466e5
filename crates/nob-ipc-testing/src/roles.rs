//! Child processes that play a role: the test binary again.
//!
//! A binary with roles has an ignored test `role` at its root, which calls [`play`]. A child and its test
//! speak in lines; those of the child begin with a mark, by which the harness's own lines are passed over.

use std::env;
use std::fmt::Display;
use std::io::{self, BufRead, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command};
use std::thread;

use nob_ipc::Kind;

use crate::running::{Running, prepare};
use crate::watchdog::watchdog;
use crate::{limits, mounts};

/// The name of a role, and what a child does that plays it.
pub type Role = (&'static str, fn(&Arguments));

const ROLE: &str = "NOB_IPC_TEST_ROLE";
const ARGUMENTS: &str = "NOB_IPC_TEST_ARGUMENTS";
const MARK: &str = "> ";
const READY: &str = "ready";

/// What a role is told at its start: words without white space.
pub struct Arguments(Vec<String>);

impl Arguments {
    /// One of them.
    pub fn text(&self, index: usize) -> &str {
        &self.0[index]
    }

    /// All from `index` on.
    pub fn rest(&self, index: usize) -> impl Iterator<Item = &str> {
        self.0[index..].iter().map(String::as_str)
    }

    /// One that is the [short word](Kind::short_word) of a kind.
    pub fn kind(&self, index: usize) -> Kind {
        let word = self.text(index);
        let found = Kind::ALL.into_iter().find(|kind| kind.short_word() == word);
        found.unwrap_or_else(|| panic!("{word} is no kind"))
    }

    /// One that is a number.
    pub fn number(&self, index: usize) -> u32 {
        self.text(index).parse().expect("a number")
    }
}

/// Plays the role that the environment names, and ends the process.
pub fn play(roles: &[&[Role]]) {
    let name = env::var(ROLE).expect("only a test starts this, as its child process");
    let role = roles.iter().copied().flatten().find(|(known, _)| *known == name);
    let (_, body) = role.unwrap_or_else(|| panic!("there is no role {name}"));
    // Some roles end by a bus error.
    limits::set(libc::RLIMIT_CORE, 0);
    let _watchdog = watchdog();
    if mounts::are_own() && process::id() == 1 {
        mounts::own_tmp();
    }
    let arguments = env::var(ARGUMENTS).expect("the test gives arguments");
    body(&Arguments(arguments.split_whitespace().map(str::to_string).collect()));
    process::exit(0);
}

/// In a role: says a line to the test.
pub fn say(line: impl Display) {
    let mut output = io::stdout().lock();
    writeln!(output, "{MARK}{line}").and_then(|()| output.flush()).expect("the test listens");
}

/// In a role: the next line that the test says.
pub fn hear() -> String {
    let mut line = String::new();
    let length = io::stdin().lock().read_line(&mut line).expect("the test speaks");
    assert!(length > 0, "the test has gone");
    line.trim_end().to_string()
}

/// In a role: says that all is ready, and keeps it so until the process is killed.
pub fn hold() -> ! {
    say(READY);
    loop {
        thread::park();
    }
}

/// A child in its role; killed when it is dropped.
pub struct Child {
    role: String,
    running: Running,
}

impl Child {
    /// Starts a child.
    pub fn start(role: &str, arguments: &[&dyn Display]) -> Child {
        Child::start_as(role, prepare(&mut command(role, arguments)))
    }

    pub(crate) fn start_as(role: &str, command: &mut Command) -> Child {
        Child { role: role.to_string(), running: Running::start(command) }
    }

    /// Starts a child, and waits until it has done its part; a watchdog watches.
    #[track_caller]
    pub fn run(role: &str, arguments: &[&dyn Display]) {
        let _watchdog = watchdog();
        Child::start(role, arguments).finish();
    }

    /// Starts a child, and waits until it [holds](hold) what it has made.
    #[track_caller]
    pub fn holding(role: &str, arguments: &[&dyn Display]) -> Child {
        let mut child = Child::start(role, arguments);
        child.expect(READY);
        child
    }

    /// The process id.
    pub fn id(&self) -> i32 {
        self.running.id()
    }

    /// The next line that the child says; `None` when it has ended.
    pub fn next_line(&mut self) -> Option<String> {
        loop {
            // The harness begins a line of its own, and does not end it.
            if let Some((_, said)) = self.running.next_line()?.split_once(MARK) {
                return Some(said.trim_end().to_string());
            }
        }
    }

    /// The same; fails when the child has ended.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        self.next_line().unwrap_or_else(|| panic!("{} has ended early", self.role))
    }

    /// Fails unless this is the next line that the child says.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.hear(), line, "from {}", self.role);
    }

    /// Says a line to the child.
    pub fn say(&mut self, line: impl Display) {
        self.running.say(line);
    }

    /// Sends the child a signal.
    pub fn signal(&self, number: i32) {
        self.running.signal(number);
    }

    /// Waits until the child has done its part.
    #[track_caller]
    pub fn finish(mut self) {
        let status = self.running.end();
        assert!(status.success(), "{} ended with {status}", self.role);
    }

    /// The signal that ended the child; waits for its end.
    pub fn ended_by(&mut self) -> Option<i32> {
        self.running.end().signal()
    }

    /// Kills the child with SIGKILL, and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.running.kill();
    }
}

/// The command that plays a role.
pub(crate) fn command(role: &str, arguments: &[&dyn Display]) -> Command {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let mut command = Command::new(env::current_exe().expect("this binary has a path"));
    command.args(["role", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(ARGUMENTS, arguments.join(" "));
    command
}
