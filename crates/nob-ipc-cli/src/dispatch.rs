//! Which command does what was parsed.

use nob_ipc::registry::Reap;

use crate::args::Command;
use crate::commands::{
    channel, completions, doctor, lock, ls, mq, permits, reap, rm, sem, shm, show,
};
use crate::failure::Result;
use crate::top;

pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Ls { kinds, json } => ls::run(&kinds, json),
        Command::Show { address, json } => show::run(&address, json),
        Command::Rm { addresses, force } => rm::run(&addresses, force),
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
        Command::Top { interval } => top::run(interval),
        Command::Sem(command) => sem::run(command),
        Command::Lock(command) => lock::run(command),
        Command::Permits(command) => permits::run(command),
        Command::Shm(command) => shm::run(command),
        Command::Mq(command) => mq::run(command),
        Command::Channel(command) => channel::run(command),
        Command::Completions { shell } => completions::run(shell),
    }
}
