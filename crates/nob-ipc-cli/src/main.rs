//! The command `nob-ipc`.

fn main() {
    std::process::exit(nob_ipc_cli::run_from(std::env::args_os()));
}
