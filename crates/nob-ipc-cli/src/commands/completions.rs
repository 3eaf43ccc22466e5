//! `nob-ipc completions`.

use clap_complete::{Shell, generate};

use crate::failure::Result;
use crate::output::Output;

pub fn run(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut crate::definition(), "nob-ipc", &mut script);
    Output::new().write(&script)
}
