//! `--at`: the server that a command works on, in place of this machine.

pub mod objects;

use std::ffi::OsStr;

use clap::CommandFactory;
use nix::poll::PollTimeout;
use nob_ipc::Kind;
use nob_ipc_redis::Connection;

use crate::args::{Arguments, Command, Lock, Mq, Permits, Sem};
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::signals;
use crate::waiting;

/// Where `--at env` has the URL from.
const VARIABLE: &str = "NOB_IPC_URL";

const NO_SCHEME: &str = "the URL of a server begins with its scheme, as in redis://host:6379; local: is this \
                         machine";

/// The URL that `--at` stands for; `None` is this machine. What was typed may have a password in it, so it
/// is not shown.
pub fn url(at: &OsStr) -> Result<Option<String>> {
    let url = if at == "env" { std::env::var_os(VARIABLE) } else { Some(at.into()) };
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        let from = if at == "env" { VARIABLE } else { "--at" };
        return Err(misused(&format!("{from} is empty or not set; give it the URL of a server")));
    };
    match url.into_string() {
        Ok(url) if url == "local:" => Ok(None),
        Ok(url) if !url.contains("://") => Err(Failure::because(NO_SCHEME)),
        Ok(url) => Ok(Some(url)),
        Err(_) => Err(misused("the server's URL is not UTF-8; write other bytes as %XX")),
    }
}

/// Connects for a command. A call that waits ends when a signal has come, or when nobody reads any more
/// what it is to print.
pub fn connect(url: &str, command: &Command) -> Result<Connection> {
    let prints = matches!(command, Command::Mq(Mq::Receive { .. }));
    let goes_on = move || {
        !waiting::is_under_way()
            || (signals::check().is_ok()
                && (!prints || Output::new().is_ready(PollTimeout::ZERO).is_ok()))
    };
    Ok(Connection::options().check(goes_on).open(url)?)
}

/// Refuses what cannot be done on a server, with what can.
pub fn refuse_what_is_not_there(command: &Command) -> Result<()> {
    match command {
        Command::Ls { kinds, .. } if kinds.contains(&Kind::SharedMemory) => {
            Err(misused(NO_SEGMENTS))
        }
        Command::Ls { kinds, .. } if kinds.contains(&Kind::Channel) => Err(misused(NO_CHANNELS)),
        Command::Shm(_) => Err(misused(NO_SEGMENTS)),
        Command::Channel(_) => Err(misused(NO_CHANNELS)),
        Command::Reap { .. } => Err(misused(
            "reap is for this machine: whether the creator of an object on a server lives cannot be \
             told; `nob-ipc ls` says who it was, and `nob-ipc rm` removes the object",
        )),
        Command::Completions { .. } => Err(misused("completions need no server; leave out --at")),
        Command::Sem(Sem::Create { creation, .. }) | Command::Mq(Mq::Create { creation, .. }) => {
            refuse_mode(creation.mode)
        }
        Command::Lock(Lock::Run { mode, .. }) | Command::Permits(Permits::Run { mode, .. }) => {
            refuse_mode(*mode)
        }
        _ => Ok(()),
    }
}

const NO_SEGMENTS: &str = "there is no shared memory on a server; send what is to be shared by a message \
                           queue: nob-ipc mq";

const NO_CHANNELS: &str = "there are no channels on a server; use a message queue: nob-ipc mq";

/// Who may do what is never ignored.
fn refuse_mode(mode: Option<u32>) -> Result<()> {
    match mode {
        None => Ok(()),
        Some(_) => Err(misused(
            "an object on a server has no permission bits; leave out --mode, and let the server's ACL \
             say who may do what",
        )),
    }
}

fn misused(why: &str) -> Failure {
    let kind = clap::error::ErrorKind::ArgumentConflict;
    Failure::Usage(Arguments::command().error(kind, why))
}
