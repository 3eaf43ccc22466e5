//! `nob-ipc lock`.

use std::time::Duration;

use nob_ipc::{Lock, Name};
use nob_ipc_redis::{self as redis, Connection};

use super::any_lock::AnyLock;
use super::{run, show};
use crate::args;
use crate::failure::{Failure, Result};
use crate::signals;
use crate::waiting::{acquire, deadline};

pub fn run(command: args::Lock, server: Option<&Connection>) -> Result<()> {
    match command {
        args::Lock::Run { name, mode, on_death, job } => {
            run::with_lock(&name, mode, on_death.as_deref(), &job, server)
        }
        args::Lock::Repaired { name, timeout } => repaired(&name, timeout, server),
        args::Lock::Show { name, json } => show::run(&name, json, server),
    }
}

/// Only a holder may say that all is well.
fn repaired(name: &Name, timeout: Option<Duration>, server: Option<&Connection>) -> Result<()> {
    let lock: Box<dyn AnyLock> = match server {
        Some(server) => Box::new(redis::Lock::options(server).open_named(name)?),
        None => Box::new(Lock::options().open_named(name)?),
    };
    let deadline = deadline(timeout);
    let _deferred = signals::defer();
    if !acquire(&*lock, deadline)? {
        return Err(Failure::TimeOver);
    }
    let repaired = lock.mark_repaired();
    lock.release()?;
    Ok(repaired?)
}
