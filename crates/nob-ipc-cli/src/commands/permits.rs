//! `nob-ipc permits`.

use nob_ipc_redis::Connection;

use super::{run, show};
use crate::args::Permits;
use crate::failure::Result;

pub fn run(command: Permits, server: Option<&Connection>) -> Result<()> {
    match command {
        Permits::Run { name, value, mode, job } => {
            run::with_permit(&name, value, mode, &job, server)
        }
        Permits::Show { name, json } => show::run(&name, json, server),
    }
}
