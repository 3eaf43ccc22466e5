//! `nob-ipc sem`, but for `run`.

use nob_ipc::{Name, Permits, Semaphore};
use nob_ipc_redis::{self as redis, Connection};

use super::creation::{Differences, exactly};
use crate::args::{Creation, Sem};
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::signals;
use crate::waiting::{acquire, deadline};

pub fn run(command: Sem, server: Option<&Connection>) -> Result<()> {
    match command {
        Sem::Create { name, value, creation } => create(&name, value, &creation, server),
        Sem::Wait { name, timeout } => {
            let semaphore = link(&name, server)?;
            let deadline = deadline(timeout);
            let _deferred = signals::defer();
            if acquire(&*semaphore, deadline)? { Ok(()) } else { Err(Failure::TimeOver) }
        }
        Sem::Post { name, count } => Ok(link(&name, server)?.release_many(count)?),
        Sem::Value { name } => Output::new().line(&link(&name, server)?.value()?.to_string()),
        Sem::Run { name, create, job } => super::run::with_semaphore(&name, create, &job, server),
    }
}

fn link(name: &Name, server: Option<&Connection>) -> Result<Box<dyn Permits>> {
    Ok(match server {
        Some(server) => Box::new(redis::Semaphore::options(server).open_named(name)?),
        None => Box::new(Semaphore::options().open_named(name)?),
    })
}

fn create(
    name: &Name,
    value: Option<u32>,
    creation: &Creation,
    server: Option<&Connection>,
) -> Result<()> {
    let initial = value.unwrap_or(1);
    if let Some(server) = server {
        let mut options = redis::Semaphore::options(server);
        options.initial_value(initial).existence(creation.existence()).unlink_on_drop(false);
        let semaphore = options.open_named(name)?;
        let differences = Differences::of_remote(semaphore.handle());
        differences.compare("value", value, semaphore.value()?).tell();
        return Ok(());
    }
    let _exactly = exactly();
    let semaphore = Semaphore::options()
        .initial_value(initial)
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
