//! Running the program.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::PROGRAM;

fn command(arguments: &[&(dyn AsRef<OsStr> + Sync)]) -> Command {
    let mut command = Command::new(PROGRAM);
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    command.env_remove("COLUMNS");
    die_with_test(&mut command);
    command
}

/// Whatever becomes of the test, its children end with it.
pub fn die_with_test(command: &mut Command) {
    // SAFETY: between fork and exec there is one system call.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
}

/// Runs the program with nothing on standard input.
pub fn nob(arguments: &[&(dyn AsRef<OsStr> + Sync)]) -> Output {
    command(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

/// Runs the program with bytes on standard input.
pub fn nob_with(input: &[u8], arguments: &[&(dyn AsRef<OsStr> + Sync)]) -> Output {
    let mut child = command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // It may stop reading early, which is its right.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    output
}

/// Standard output of a run that has to succeed, in silence.
#[track_caller]
pub fn text(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// A program that goes on while the test does; killed when it is dropped.
pub struct Running {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<BufReader<ChildStdout>>,
}

/// Starts the program, with pipes on standard input and output.
pub fn start(arguments: &[&(dyn AsRef<OsStr> + Sync)]) -> Running {
    Running::new(&mut command(arguments))
}

impl Running {
    pub fn new(command: &mut Command) -> Running {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        Running { child, stdin, stdout }
    }

    /// The next line that it prints, without its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("it is open");
        stdout.read_line(&mut line).expect("it is UTF-8");
        line.trim_end_matches('\n').to_string()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it is there");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid is an i32"))
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Waits for its end, and returns what is left to read on standard error.
    pub fn end_with_errors(&mut self) -> (ExitStatus, String) {
        let status = self.end();
        let stderr = self.child.stderr.take().expect("it is piped");
        (status, std::io::read_to_string(stderr).expect("it is UTF-8"))
    }

    /// Waits until it sleeps in one of these system calls.
    pub fn wait_until_in(&self, calls: &[i64]) {
        wait_until_in(self.child.id(), calls);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or does now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so. The watchdog ends it if it never is.
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(60);
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it never came to be so");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a process sleeps in one of these system calls.
pub fn wait_until_in(pid: u32, calls: &[i64]) {
    let path = format!("/proc/{pid}/syscall");
    wait_until(|| {
        let call = std::fs::read_to_string(&path).unwrap_or_default();
        let number = call.split_whitespace().next().and_then(|number| number.parse().ok());
        number.is_some_and(|number| calls.contains(&number))
    });
}
