//! `nob-ipc completions`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Arguments;
use crate::failure::Result;
use crate::output::Output;

pub fn run(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "nob-ipc", &mut script);
    Output::new().write(&script)
}
