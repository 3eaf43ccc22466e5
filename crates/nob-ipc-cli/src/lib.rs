//! The command `nob-ipc` as a library: [`run_from`] is all of it, for a binary and for an entry point
//! in another language.
//!
//! Arguments are parsed into plain data (`args`); each command has a file in `commands`; exit statuses
//! are in `report`, what is said of objects in `describe`, what `--at` changes in `server`, what is printed
//! and how in `output`, `text` and `json`.

#[allow(
    clippy::doc_markdown,
    reason = "its comments are the help text, where backticks mean nothing"
)]
mod args;
mod commands;
mod describe;
mod dispatch;
mod failure;
mod json;
mod output;
mod people;
mod report;
mod room;
mod server;
mod signals;
mod text;
mod top;
mod values;
mod waiting;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use args::Arguments;
use failure::Failure;
use signals::Handlers;

/// Runs the command; the first argument is the program's own name. Returns its exit status.
///
/// Until it returns, SIGINT, SIGTERM and SIGHUP are handled here, whatever handled them before (in an
/// interpreter, its own handler); a signal that was ignored stays ignored. Where nothing has to be put in
/// order first, they end the process at once.
pub fn run_from(arguments: impl Iterator<Item = OsString>) -> i32 {
    let _handlers = Handlers::install();
    let parsed = definition()
        .try_get_matches_from(arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let done = match parsed {
        Ok(arguments) => dispatch::run(arguments),
        Err(error) => Err(Failure::Usage(error)),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => report::report(failure),
    }
}

/// The definition of the command line, from which manual pages are made.
#[must_use]
pub fn definition() -> clap::Command {
    with_negative_numbers(Arguments::command())
}

/// A number below zero is refused as what it is, and not as an option that nobody knows.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let has_value = |arg: &clap::Arg| !arg.is_positional() && arg.get_action().takes_values();
    command
        .mut_args(|arg| if has_value(&arg) { arg.allow_negative_numbers(true) } else { arg })
        .mut_subcommands(with_negative_numbers)
}
