//! How a command ends: all exit statuses, and the sentence on standard error.

use std::fmt::Display;

use nob_ipc::{ErrorKind, Operation};

use crate::output::complain;
use crate::text;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// It failed, and the sentence says why.
    Failed(String),
    /// The arguments make no sense, or help was asked for.
    Usage(clap::Error),
    /// There is no such object.
    Missing(String),
    /// The object exists, and must not.
    Exists(String),
    /// The time was over.
    TimeOver,
    /// A signal ended it.
    Signalled(i32),
    /// A command that was run ended with this status.
    Status(i32),
    /// Nobody reads standard output any more, which is no error.
    ClosedOutput,
}

pub type Result<T> = std::result::Result<T, Failure>;

/// The status of a process that a signal ended, as a shell gives it.
pub fn status_of_signal(signal: i32) -> i32 {
    128 + signal
}

impl Failure {
    /// A failure with a sentence of its own.
    pub fn because(why: impl Into<String>) -> Failure {
        Failure::Failed(why.into())
    }

    /// Says what there is to say, and returns the exit status.
    pub fn report(self) -> i32 {
        match self {
            Failure::Failed(why) => {
                complain(&why);
                1
            }
            Failure::Usage(error) => report_usage(&error),
            Failure::Missing(why) => {
                complain(&why);
                3
            }
            Failure::Exists(why) => {
                complain(&why);
                4
            }
            Failure::TimeOver => 124,
            Failure::Signalled(signal) => status_of_signal(signal),
            Failure::Status(status) => status,
            Failure::ClosedOutput => 0,
        }
    }
}

/// Help and version go to standard output; anything else is wrong usage. What was typed is shown
/// escaped.
fn report_usage(error: &clap::Error) -> i32 {
    if error.use_stderr() {
        let plain = error.render().to_string();
        let lines: Vec<String> = plain.lines().map(text::escape_str).collect();
        complain_raw(&lines.join("\n"));
        return 2;
    }
    // Nobody reads it any more: no error.
    let _ = error.print();
    0
}

fn complain_raw(text: &str) {
    use std::io::Write;
    // There is nowhere left to say that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl From<nob_ipc::Error> for Failure {
    fn from(error: nob_ipc::Error) -> Failure {
        let object = || match error.name() {
            Some(name) => format!("{} \"{name}\"", name.kind()),
            None => String::from("object"),
        };
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Replaced
                if error.operation() != Some(Operation::Create) =>
            {
                let kind = error.name().map_or("", |name| name.kind().short_word());
                Failure::Missing(format!(
                    "there is no {}; `nob-ipc ls {kind}` lists what there is",
                    object()
                ))
            }
            ErrorKind::AlreadyExists => Failure::Exists(format!(
                "the {} exists; leave out --exclusive to take it as it is, or remove it first",
                object()
            )),
            _ => Failure::Failed(error.to_string()),
        }
    }
}

/// Makes an error of the system a sentence.
pub fn cannot(what: &str, why: impl Display) -> Failure {
    Failure::Failed(format!("cannot {what}: {why}"))
}
