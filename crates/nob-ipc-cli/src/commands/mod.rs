//! What each command does.

mod completions;
mod doctor;
mod doctor_checks;
mod ls;
mod mq;
mod reap;
mod rm;
mod run;
mod sem;
mod shm;
mod show;
mod table;

pub use ls::{CANNOT_LIST_QUEUES, UNLINKED, holders_words, measure_words, state_word};
pub use show::lines as fact_lines;

use nob_ipc::registry::Reap;

use crate::args::Command;
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
        Command::Doctor { json } => doctor::run(json),
        Command::Top { interval } => top::run(interval),
        Command::Sem(command) => sem::run(command),
        Command::Shm(command) => shm::run(command),
        Command::Mq(command) => mq::run(command),
        Command::Completions { shell } => completions::run(shell),
    }
}
