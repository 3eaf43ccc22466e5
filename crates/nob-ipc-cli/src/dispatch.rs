//! Which command does what was parsed.

use std::time::Duration;

use nob_ipc::registry::Reap;
use nob_ipc_redis::Connection;

use crate::args::{Arguments, Command};
use crate::commands::{
    channel, completions, doctor, lock, ls, mq, permits, reap, rm, sem, shm, show,
};
use crate::failure::{Failure, Result};
use crate::output::complain;
use crate::server;
use crate::top;

/// How long what an interrupted wait had taken may take to go back.
const FAREWELL: Duration = Duration::from_secs(2);

pub fn run(arguments: Arguments) -> Result<()> {
    let Arguments { at, command } = arguments;
    let Some(url) = at.map(|at| server::url(&at)).transpose()?.flatten() else {
        return run_at(command, None);
    };
    server::refuse_what_is_not_there(&command)?;
    if let Command::Doctor { all, check, json } = command {
        return doctor::run_at(&url, all, check, json);
    }
    if let Command::Top { .. } = command {
        top::check_terminal(" --at URL")?;
    }
    let server = server::connect(&url, &command)?;
    let done = run_at(command, Some(&server)).map_err(Failure::on_server);
    if !server.finish(FAREWELL).is_ok_and(|all| all) {
        complain("the server does not answer, so what this had taken may not have gone back");
    }
    done
}

/// Without a server, on this machine.
fn run_at(command: Command, server: Option<&Connection>) -> Result<()> {
    match command {
        Command::Ls { kinds, json } => ls::run(&kinds, json, server),
        Command::Show { address, json } => show::run(&address, json, server),
        Command::Rm { addresses, force } => rm::run(&addresses, force, server),
        Command::Reap { kinds, name, user, yes, older_than, unused } => {
            let mut reap = Reap::new().kinds(&kinds);
            if let Some(name) = name {
                reap = reap.named(&name);
            }
            if let Some(user) = user {
                reap = reap.of_user(user);
            }
            reap::run(reap, yes, older_than, unused)
        }
        Command::Doctor { all, check, json } => doctor::run(all, check, json),
        Command::Top { interval } => top::run(interval, server),
        Command::Sem(command) => sem::run(command, server),
        Command::Lock(command) => lock::run(command, server),
        Command::Permits(command) => permits::run(command, server),
        Command::Shm(command) => shm::run(command),
        Command::Mq(command) => mq::run(command, server),
        Command::Channel(command) => channel::run(command),
        Command::Completions { shell } => completions::run(shell),
    }
}
