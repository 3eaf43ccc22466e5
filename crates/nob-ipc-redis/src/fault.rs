//! Why a request failed, before it is known what it was for.

use std::io;

use nob_ipc::{Error, ErrorKind, Name, Operation};

use crate::wire::{Malformed, Value};

/// Why a call that waits is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The check of the connection, or the deadline's, says so.
    Interrupted,
    /// The handle or the connection was closed.
    Closed,
    /// Its time is over, and there is no answer.
    Late,
}

/// Why one attempt failed.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    /// The server, or a layer below, speaks another language than we do.
    Protocol(String),
    /// No answer in time.
    Silence,
    /// The server refuses, with these words.
    Refused(String),
    Stopped(Stop),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Fault {
        Fault::Protocol(error.to_string())
    }
}

/// The first word of a server's refusal.
pub(crate) fn code(refusal: &str) -> &str {
    refusal.split(' ').next().unwrap_or("")
}

/// Whether a server refuses for a reason that passes.
pub(crate) fn is_transient(refusal: &str) -> bool {
    let crowded = refusal.starts_with("ERR max number of clients");
    crowded
        || matches!(
            code(refusal),
            "TRYAGAIN"
                | "CLUSTERDOWN"
                | "LOADING"
                | "MASTERDOWN"
                | "READONLY"
                | "UNBLOCKED"
                | "BUSY"
                | "MOVED"
                | "ASK"
        )
}

/// Whether a server does not know the script that was named to it: a new primary, one that was restarted.
pub(crate) fn is_missing_script(refusal: &str) -> bool {
    code(refusal) == "NOSCRIPT"
}

/// Whether a refusal says that this server is not the one to ask.
pub(crate) fn is_wrong_server(refusal: &str) -> bool {
    matches!(code(refusal), "READONLY" | "MASTERDOWN" | "CLUSTERDOWN")
}

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        match stop {
            Stop::Late => Fault::Silence,
            stop => Fault::Stopped(stop),
        }
    }
}

impl Fault {
    /// In words, as the end of a sentence.
    pub(crate) fn words(&self) -> String {
        match self {
            Fault::Io(error) => error.to_string(),
            Fault::Protocol(what) => what.clone(),
            Fault::Silence => "it does not answer".into(),
            Fault::Refused(refusal) => format!("it says {refusal:?}"),
            Fault::Stopped(_) => "the call was ended".into(),
        }
    }

    pub(crate) fn errno(&self) -> i32 {
        match self {
            Fault::Io(error) => error.raw_os_error().unwrap_or(libc::ETIMEDOUT),
            _ => libc::ETIMEDOUT,
        }
    }
}

/// What is attempted, for the text of an error.
pub(crate) type Subject<'a> = Option<(Operation, &'a Name)>;

/// The server could not be reached in time, and has done nothing that stays.
pub(crate) fn unavailable(subject: Subject<'_>, server: &str, fault: &Fault) -> Error {
    let why = format!(
        "the server {server} cannot be used: {}; look whether it runs and can be reached, or allow \
         more patience; nothing was changed",
        fault.words()
    );
    Error::elsewhere(subject, ErrorKind::ServerUnavailable, Some(fault.errno()), why)
}

pub(crate) fn stopped(subject: Subject<'_>, stop: Stop) -> Error {
    match stop {
        Stop::Interrupted => {
            let why =
                "a signal arrived or a check was due, and nothing was taken; call again to go on";
            Error::elsewhere(subject, ErrorKind::Interrupted, Some(libc::EINTR), why)
        }
        // No fault is made of it, but silence.
        Stop::Late | Stop::Closed => {
            let why = "the handle or its connection is closed; open the object again";
            Error::elsewhere(subject, ErrorKind::Closed, None, why)
        }
    }
}

/// Whether this user has too few rights. What a script is refused has another code, and other words
/// on each engine.
pub(crate) fn is_forbidden(refusal: &str) -> bool {
    let in_scripts = ["ACL failure in script", "user executing the script can't"];
    code(refusal) == "NOPERM" || in_scripts.iter().any(|words| refusal.contains(words))
}

/// What a refusal means that does not pass by itself.
pub(crate) fn refused(subject: Subject<'_>, server: &str, refusal: &str) -> Error {
    let (kind, errno, advice) = match code(refusal) {
        "WRONGPASS" | "NOAUTH" => (
            ErrorKind::PermissionDenied,
            libc::EACCES,
            "give the right user and password in the URL",
        ),
        _ if is_forbidden(refusal) => (
            ErrorKind::PermissionDenied,
            libc::EACCES,
            "its access control list (ACL) must allow this user our commands, keys and channels",
        ),
        _ if refusal.contains("OOM") => (
            ErrorKind::OutOfSpace,
            libc::ENOSPC,
            "receive messages, or raise the server's maxmemory",
        ),
        _ if refusal.contains("MISCONF") => {
            (ErrorKind::Other, libc::EROFS, "the server cannot write its disk; see its log")
        }
        _ if refusal.contains("NOREPLICAS") => (
            ErrorKind::Other,
            libc::EROFS,
            "too few of its replicas are there; see min-replicas-to-write",
        ),
        _ if refusal.contains("WRONGTYPE") => (
            ErrorKind::WrongType,
            libc::EPROTO,
            "another program has a key of this name there; remove that, or connect with a namespace \
             that nobody else has",
        ),
        _ => (ErrorKind::Other, libc::EPROTO, "look at the server's log"),
    };
    let why = format!("the server {server} refuses with {refusal:?}; {advice}");
    Error::elsewhere(subject, kind, Some(errno), why)
}

/// A change was asked for, and no answer came.
pub(crate) fn unknown(subject: Subject<'_>, server: &str, fault: &Fault) -> Error {
    let why = format!(
        "it was sent to the server {server}, and no answer came: {}; it may have been done or \
         not; retry it, or look at the object",
        fault.words()
    );
    Error::elsewhere(subject, ErrorKind::OutcomeUnknown, Some(fault.errno()), why)
}

/// It was done, and too few have said so.
pub(crate) fn unconfirmed(subject: Subject<'_>) -> Error {
    let why = "the server has done it, but too few replicas or disks have said so in time; a \
               failover or a loss of power now may undo it";
    Error::elsewhere(subject, ErrorKind::Unconfirmed, Some(libc::ETIMEDOUT), why)
}

/// The lease of a lock ran out.
pub(crate) fn lost(subject: Subject<'_>) -> Error {
    let why = "this handle has lost the lock: its lease ran out, and what was done since may overlap \
               with what the next owner does";
    Error::elsewhere(subject, ErrorKind::LockLost, None, why)
}

/// No descriptor is left for an eventfd.
pub(crate) fn no_eventfd(error: &io::Error) -> Error {
    let why = format!("cannot make an eventfd: {error}; close some descriptors");
    Error::elsewhere(None, ErrorKind::LimitExceeded, error.raw_os_error(), why)
}

/// A script has answered that it was not done.
pub(crate) fn answered(subject: Subject<'_>, answer: &Value) -> Error {
    let (kind, errno, why) = match answer.word() {
        b"STALE" => (
            ErrorKind::StaleHandle,
            libc::ESTALE,
            "the object is not on the server any more: the server was restarted without its data, a \
             failover has undone its creation, or it was unlinked and not used for an hour; open it \
             anew",
        ),
        b"OVERFLOW" => (
            ErrorKind::Overflow,
            libc::EOVERFLOW,
            "the value would pass its maximum of 2147483647; nothing was released",
        ),
        b"LOST" => return lost(subject),
        _ => return unexpected(subject, answer),
    };
    Error::elsewhere(subject, kind, Some(errno), why)
}

/// A script has answered what it never does.
pub(crate) fn unexpected(subject: Subject<'_>, answer: &Value) -> Error {
    let word = String::from_utf8_lossy(answer.word()).into_owned();
    let why = format!("the server's script has answered {word:?}, which nobody expects here");
    Error::elsewhere(subject, ErrorKind::Other, Some(libc::EPROTO), why)
}
