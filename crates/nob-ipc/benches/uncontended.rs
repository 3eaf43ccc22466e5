//! An uncontended acquire and release: this crate against `sem_trywait` and `sem_post` called from
//! C, on the same semaphore in the same process.
//!
//! Prints a line a round: the nanoseconds of the crate and those of C. The C half is compiled by
//! `cc` and loaded at run time, so that the crate needs no build script.
//!
//! `cargo bench --package nob-ipc --bench uncontended -- --rounds 100`

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::time::Instant;

use nob_ipc::{Existence, Semaphore};

const COUNT: u64 = 500_000;
const ROUNDS: u32 = 20;

type InC = unsafe extern "C" fn(*const c_char, u64) -> u64;

fn main() {
    let rounds = rounds(std::env::args().skip(1));
    let name = format!("/nob-ipc-uncontended-{}", id());
    let semaphore = Semaphore::options()
        .existence(Existence::Create)
        .open(&name)
        .expect("the name has this process in it");
    let in_c = load(&compile());
    let name = CString::new(name).expect("the name has no NUL");

    let ours = || each(in_rust(&semaphore));
    let theirs = || {
        // SAFETY: the function has this type in `uncontended.c`, and the name ends with NUL.
        let elapsed = unsafe { in_c(name.as_ptr(), COUNT) };
        assert_ne!(elapsed, 0, "C cannot open the semaphore");
        each(elapsed)
    };
    ours();
    theirs();
    for round in 0..rounds {
        let (ours, theirs) = if round % 2 == 0 {
            let ours = ours();
            (ours, theirs())
        } else {
            let theirs = theirs();
            (ours(), theirs)
        };
        println!("{ours:.3} {theirs:.3}");
    }
}

/// The number after `--rounds`; cargo adds words of its own.
fn rounds(mut words: impl Iterator<Item = String>) -> u32 {
    match words.by_ref().find(|word| word == "--rounds") {
        Some(_) => words.next().and_then(|word| word.parse().ok()).expect("--rounds NUMBER"),
        None => ROUNDS,
    }
}

fn in_rust(semaphore: &Semaphore) -> u64 {
    let start = Instant::now();
    for _ in 0..COUNT {
        assert!(semaphore.try_acquire());
        semaphore.release().expect("the value was 1");
    }
    u64::try_from(start.elapsed().as_nanos()).expect("it takes no 500 years")
}

#[allow(clippy::cast_precision_loss, reason = "it takes no 50 days")]
fn each(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / COUNT as f64
}

fn compile() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/uncontended.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("uncontended-{}.so", id()));
    // Without PLT, as Rust calls.
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-fno-plt", "-pthread", "-o"])
        .args([&library, &source])
        .status()
        .expect("this benchmark needs cc");
    assert!(status.success(), "cc failed");
    library
}

fn load(library: &Path) -> InC {
    let path =
        CString::new(library.to_str().expect("a path in UTF-8")).expect("a path without NUL");
    // SAFETY: the library was just built from `uncontended.c`, and is never unloaded.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "cannot load {}", library.display());
    // SAFETY: the handle is open.
    let function = unsafe { libc::dlsym(handle, c"uncontended".as_ptr()) };
    assert!(!function.is_null(), "{} has no such function", library.display());
    std::fs::remove_file(library).expect("the library is this process's own");
    // SAFETY: it has this type in `uncontended.c`.
    unsafe { std::mem::transmute::<*mut libc::c_void, InC>(function) }
}
