//! Programs that run beside a test.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::{PoisonError, RwLock};

use crate::waiting::{self, wait_until_in};
use crate::{signals, users};

/// Makes a program end with the test that starts it, whatever becomes of the test, and find every
/// signal at its default. (Under `nohup`, and in a background job of a shell, tests inherit signals that
/// are ignored; what a test says about a program must not depend on that.)
pub fn prepare(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec there are system calls alone.
    unsafe {
        command.pre_exec(|| {
            signals::reset();
            users::die_with_parent();
            Ok(())
        })
    }
}

/// Held for reading while a child is being started.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a program, and returns when it has been executed. What tests start, they start by this.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Runs a program to its end, with nothing on standard input; returns what it prints.
pub fn output(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(command)?.wait_with_output()
}

/// Drops handles while no child is being started. A child has copies of all descriptors until it executes
/// its program, and so uses the shared objects of this process: a handle that is dropped meanwhile is not
/// the last.
pub fn drop_alone<T>(handles: T) {
    let _nothing_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    drop(handles);
}

/// A program with pipes on standard input and output; killed when it is dropped.
pub struct Running {
    program: String,
    process: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts a program that has been [prepared](prepare).
    pub fn start(command: &mut Command) -> Running {
        let program = command.get_program().display().to_string();
        let started = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut process = started.unwrap_or_else(|error| panic!("{program} does not run: {error}"));
        let input = process.stdin.take();
        let output = process.stdout.take().map(BufReader::new);
        Running { program, process, input, output }
    }

    /// The process id.
    pub fn id(&self) -> i32 {
        self.process.id().try_into().expect("a pid is an i32")
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: impl std::fmt::Display) {
        let input = self.input.as_mut().expect("its input is open");
        writeln!(input, "{line}").expect("it reads its input");
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// The next line of its standard output, without its end; `None` when there is no more.
    pub fn next_line(&mut self) -> Option<String> {
        let output = self.output.as_mut().expect("its output is open");
        let mut line = String::new();
        let length = output.read_line(&mut line).expect("it prints UTF-8");
        (length > 0).then(|| line.trim_end_matches('\n').to_string())
    }

    /// The same; fails when there is no more.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.next_line().unwrap_or_else(|| panic!("{} ended early", self.program))
    }

    /// Closes the test's end of its standard output.
    pub fn close_output(&mut self) {
        self.output = None;
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("a child can be asked").is_none()
    }

    /// Returns when it sleeps in one of these system calls.
    pub fn wait_until_in(&self, calls: &[libc::c_long]) {
        wait_until_in(self.id(), self.id(), calls);
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        waiting::signal(self.id(), number);
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        self.process.wait().expect("a child can be waited for")
    }

    /// Waits for its end. What is left to read on standard error comes with it, if that is a pipe.
    pub fn end_with_errors(&mut self) -> (ExitStatus, String) {
        let status = self.end();
        let mut errors = String::new();
        if let Some(mut stderr) = self.process.stderr.take() {
            stderr.read_to_string(&mut errors).expect("it prints UTF-8");
        }
        (status, errors)
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.kill().expect("a child can be killed");
        let status = self.end();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{} ended with {status}", self.program);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
