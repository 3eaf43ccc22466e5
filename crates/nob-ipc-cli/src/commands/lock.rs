//! `nob-ipc lock`.

use std::time::Duration;

use nob_ipc::{Lock, Name};

use super::{run, show};
use crate::args;
use crate::failure::{Failure, Result};
use crate::signals;
use crate::waiting::{deadline, wait};

pub fn run(command: args::Lock) -> Result<()> {
    match command {
        args::Lock::Run { name, mode, on_death, job } => {
            run::with_lock(&name, mode, on_death.as_deref(), &job)
        }
        args::Lock::Repaired { name, timeout } => repaired(&name, timeout),
        args::Lock::Show { name, json } => show::run(&name, json),
    }
}

/// Only a holder may say that all is well.
fn repaired(name: &Name, timeout: Option<Duration>) -> Result<()> {
    let lock = Lock::options().open_named(name)?;
    let deadline = deadline(timeout);
    let _deferred = signals::defer();
    match wait(deadline, |deadline| lock.acquire_until(deadline), || Ok(()))? {
        Some(guard) => Ok(guard.mark_repaired()?),
        None => Err(Failure::TimeOver),
    }
}
