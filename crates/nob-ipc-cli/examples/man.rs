//! Writes the manual pages of `nob-ipc` and of each subcommand into a directory:
//! `cargo run -p nob-ipc-cli --example man -- DIRECTORY`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("man: give the directory for the pages");
        return ExitCode::from(2);
    };
    let written = std::fs::create_dir_all(&directory)
        .and_then(|()| clap_mangen::generate_to(nob_ipc_cli::definition(), &directory));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("man: cannot write to {}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}
