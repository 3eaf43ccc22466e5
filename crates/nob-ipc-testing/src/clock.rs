//! A wall clock that a test sets, for a program that it starts.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;

use crate::running::output;

/// The wall clock of the programs that it is given to. It begins as that of the machine.
pub(crate) struct Clock {
    offset: File,
    path: PathBuf,
}

impl Clock {
    /// A clock whose state is a file in this directory; `None`, and a word about it, where there is no C
    /// compiler.
    pub(crate) fn new(directory: &Path) -> Option<Clock> {
        library()?;
        let path = directory.join("clock");
        let offset = File::create_new(&path).expect("the directory is new");
        let clock = Clock { offset, path };
        clock.set(0);
        Some(clock)
    }

    /// The clock is ahead by so many seconds from here on, or behind if they are negative.
    pub(crate) fn set(&self, ahead: i64) {
        let nanoseconds = ahead * 1_000_000_000;
        self.offset.write_all_at(&nanoseconds.to_ne_bytes(), 0).expect("it is ours");
    }

    /// A program that is started so has this clock.
    pub(crate) fn give(&self, command: &mut Command) {
        let library = library().expect("it was made for this clock");
        command.env("LD_PRELOAD", library).env("NOB_IPC_TEST_CLOCK", &self.path);
    }
}

/// What is loaded before the C library, compiled once.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clock.c");
        let binary = env::current_exe().expect("a test is a program");
        let directory = binary.parent().expect("it is in a directory");
        let library = directory.join("nob-ipc-test-clock.so");
        let new = directory.join(format!("nob-ipc-test-clock-{}.so", process::id()));
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut command = Command::new(&compiler);
        command.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O", "-shared", "-fPIC", "-o"]);
        match output(command.arg(&new).arg(source)) {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{compiler} does not compile the clock: {errors}");
                // Another run of the tests may be using the old one.
                fs::rename(&new, &library).expect("the directory is ours");
                Some(library)
            }
            Err(error) => {
                eprintln!("skipped: no C compiler ({compiler}: {error})");
                None
            }
        }
    });
    library.as_deref()
}
