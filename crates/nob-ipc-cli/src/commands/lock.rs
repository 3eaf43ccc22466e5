//! `nob-ipc lock`.

use std::time::Duration;

use nob_ipc::{Lock, Name, Permits};
use nob_ipc_redis::{self as redis, Connection};

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

/// A lock, wherever it is.
pub trait AnyLock: Permits {
    /// Notes since when it is held, where that is noted.
    fn note_time(&self) -> nob_ipc::Result<()>;

    fn owner_died(&self) -> nob_ipc::Result<bool>;

    fn mark_repaired(&self) -> nob_ipc::Result<()>;

    /// Ends as a holder that dies does, so that who follows is told.
    fn abandon(self: Box<Self>);
}

impl AnyLock for Lock {
    fn note_time(&self) -> nob_ipc::Result<()> {
        self.note_time()
    }

    fn owner_died(&self) -> nob_ipc::Result<bool> {
        self.owner_died()
    }

    fn mark_repaired(&self) -> nob_ipc::Result<()> {
        self.mark_repaired()
    }

    /// It goes with this process, or with the last that has inherited its descriptor.
    fn abandon(self: Box<Self>) {
        std::mem::forget(self);
    }
}

impl AnyLock for redis::Lock {
    fn note_time(&self) -> nob_ipc::Result<()> {
        Ok(())
    }

    fn owner_died(&self) -> nob_ipc::Result<bool> {
        self.owner_died()
    }

    fn mark_repaired(&self) -> nob_ipc::Result<()> {
        self.mark_repaired()
    }

    /// Closing the handle of a holder lets go of the lock at once. Without the server its lease does.
    fn abandon(self: Box<Self>) {
        drop(self);
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
