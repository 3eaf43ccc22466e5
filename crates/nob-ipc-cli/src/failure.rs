//! Why a command ends without having done what was asked.

use std::fmt::Display;

use nob_ipc::{ErrorKind, Operation};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub enum Failure {
    /// It failed, and the sentence says why.
    Failed(String),
    /// The arguments make no sense, or help was asked for.
    Usage(clap::Error),
    /// There is no such object: which, and the command that lists what there is.
    Missing(String, String),
    /// The object exists, and must not.
    Exists(String),
    /// The time was over.
    TimeOver,
    /// A signal ended it.
    Signalled(i32),
    /// A command that was run ended with this status.
    Status(i32),
    /// A command was not run: this is the status, and the sentence says why.
    NotRun(i32, String),
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

    /// The same, of a command with `--at`.
    pub fn on_server(self) -> Failure {
        match self {
            Failure::Missing(what, list) => Failure::Missing(what, format!("{list} --at URL")),
            other => other,
        }
    }
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
                Failure::Missing(object(), format!("nob-ipc ls {kind}"))
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
