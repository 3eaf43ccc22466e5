//! `nob-ipc permits`.

use super::{run, show};
use crate::args::Permits;
use crate::failure::Result;

pub fn run(command: Permits) -> Result<()> {
    match command {
        Permits::Run { name, value, mode, job } => run::with_permit(&name, value, mode, &job),
        Permits::Show { name, json } => show::run(&name, json),
    }
}
