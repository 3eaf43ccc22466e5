//! `nob-ipc sem`, but for `run`.

use nob_ipc::{Name, Semaphore};

use super::creation::{Differences, exactly};
use crate::args::{Creation, Sem};
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::signals;
use crate::waiting::{deadline, wait};

pub fn run(command: Sem) -> Result<()> {
    match command {
        Sem::Create { name, value, creation } => create(&name, value, &creation),
        Sem::Wait { name, timeout } => {
            let semaphore = link(&name)?;
            let deadline = deadline(timeout);
            let _deferred = signals::defer();
            let taken = wait(deadline, |deadline| semaphore.acquire_until(deadline), || Ok(()))?;
            if taken { Ok(()) } else { Err(Failure::TimeOver) }
        }
        Sem::Post { name, count } => Ok(link(&name)?.release_many(count)?),
        Sem::Value { name } => Output::new().line(&link(&name)?.value().to_string()),
        Sem::Run { name, create, job } => super::run::with_semaphore(&name, create, &job),
    }
}

fn link(name: &Name) -> Result<Semaphore> {
    Ok(Semaphore::options().open_named(name)?)
}

fn create(name: &Name, value: Option<u32>, creation: &Creation) -> Result<()> {
    let _exactly = exactly();
    let semaphore = Semaphore::options()
        .initial_value(value.unwrap_or(1))
        .mode(creation.mode())
        .existence(creation.existence())
        .unlink_on_drop(false)
        .open_named(name)?;
    Differences::of(semaphore.ownership())
        .compare("value", value, semaphore.value())
        .compare_mode(creation.mode)
        .tell();
    Ok(())
}
