//! `nob-ipc completions`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Arguments;
use crate::failure::Result;
use crate::output::Output;

pub fn run(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "nob-ipc", &mut script);
    if shell == Shell::Bash {
        script = with_one_spelling(&script);
    }
    Output::new().write(&script)
}

/// `clap_complete` 4.6 spells a hyphen in the program's name in two ways, and completes nothing behind a
/// subcommand then.
fn with_one_spelling(script: &[u8]) -> Vec<u8> {
    let script = String::from_utf8_lossy(script);
    script.replace("nob__subcmd__ipc", "nob__ipc").into_bytes()
}
