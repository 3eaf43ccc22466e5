//! Running the program.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use nob_ipc_testing::{Running, output, prepare, spawn};
use serde::de::DeserializeOwned;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_nob-ipc");

/// One word of a command line, such as `&"ls"` or a reference to a name.
pub type Argument<'a> = &'a (dyn AsRef<OsStr> + Sync);

/// Words as arguments.
pub fn words<'a>(words: &'a [&str]) -> Vec<Argument<'a>> {
    words.iter().map(|word| word as Argument<'a>).collect()
}

/// The program with its arguments.
pub fn command(arguments: &[Argument]) -> Command {
    let mut command = Command::new(PROGRAM);
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    command.env_remove("COLUMNS");
    prepare(&mut command);
    command
}

/// Runs the program with nothing on standard input.
pub fn nob(arguments: &[Argument]) -> Output {
    output(&mut command(arguments)).expect("the program runs")
}

/// Runs the program with bytes on standard input.
pub fn nob_with(input: &[u8], arguments: &[Argument]) -> Output {
    let mut command = command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command).expect("the program runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    // It may stop reading early, which is its right.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer ends");
    output
}

/// Starts the program, with pipes on standard input, output and error.
pub fn start(arguments: &[Argument]) -> Running {
    Running::start(command(arguments).stderr(Stdio::piped()))
}

/// Runs a line of shell.
pub fn shell(line: &str) -> Output {
    let mut command = Command::new("sh");
    output(prepare(command.args(["-c", line]))).expect("sh runs")
}

/// Standard output of a run that has to succeed, in silence.
#[track_caller]
pub fn text(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {errors}", output.status);
    String::from_utf8(output.stdout).expect("the output is UTF-8")
}

/// What a run that has to succeed prints as JSON.
#[track_caller]
pub fn json<T: DeserializeOwned>(arguments: &[Argument]) -> T {
    serde_json::from_str(&text(nob(arguments))).expect("it is JSON")
}
