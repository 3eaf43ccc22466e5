//! An uncontended acquire and release, of a semaphore and of a lock: this crate against C, in the same
//! process. The semaphore is the same, by `sem_trywait` and `sem_post`; against the lock stands a robust
//! mutex, by `pthread_mutex_lock` and `pthread_mutex_unlock`.
//!
//! Prints two lines a round, each with the nanoseconds of the crate and those of C, and at the end, on
//! standard error, the medians and their ratios. The C half is compiled by `cc` and loaded at run time, so
//! that the crate needs no build script.
//!
//! `cargo bench --package nob-ipc --bench uncontended -- --rounds 100`

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::time::Instant;

use nob_ipc::{Existence, Lock, Semaphore};

const COUNT: u64 = 500_000;
const ROUNDS: u32 = 20;

type SemaphoreInC = unsafe extern "C" fn(*const c_char, u64) -> u64;
type MutexInC = unsafe extern "C" fn(u64) -> u64;

/// Two contestants, each of which tells how long one pair of calls took, in nanoseconds.
struct Duel<'a> {
    subject: &'static str,
    ours: &'a dyn Fn() -> f64,
    theirs: &'a dyn Fn() -> f64,
    rounds: Vec<(f64, f64)>,
}

fn main() {
    let rounds = rounds(std::env::args().skip(1));
    let name = format!("/nob-ipc-uncontended-{}", id());
    let semaphore = Semaphore::options()
        .existence(Existence::Create)
        .open(&name)
        .expect("the name has this process in it");
    let lock = Lock::options()
        .existence(Existence::Create)
        .open(&name)
        .expect("the name has this process in it");
    let library = load(&compile());
    // SAFETY: the functions have these types in `uncontended.c`.
    let (semaphore_in_c, mutex_in_c) = unsafe {
        (
            std::mem::transmute::<*mut c_void, SemaphoreInC>(library.function(c"uncontended")),
            std::mem::transmute::<*mut c_void, MutexInC>(library.function(c"uncontended_mutex")),
        )
    };
    let name = CString::new(name).expect("the name has no NUL");

    let semaphore_in_rust = || each(acquire_and_release(&semaphore));
    let semaphore_in_c = || {
        // SAFETY: the name ends with NUL.
        let elapsed = unsafe { semaphore_in_c(name.as_ptr(), COUNT) };
        assert_ne!(elapsed, 0, "C cannot open the semaphore");
        each(elapsed)
    };
    let lock_in_rust = || each(lock_and_unlock(&lock));
    let mutex_in_c = || {
        // SAFETY: it takes any number.
        let elapsed = unsafe { mutex_in_c(COUNT) };
        assert_ne!(elapsed, 0, "C has no memory for a mutex");
        each(elapsed)
    };
    let mut duels = [
        Duel::new("semaphore", &semaphore_in_rust, &semaphore_in_c),
        Duel::new("lock", &lock_in_rust, &mutex_in_c),
    ];
    for round in 0..rounds {
        for duel in &mut duels {
            duel.fight(round % 2 == 0);
        }
    }
    duels.iter().for_each(Duel::conclude);
}

impl<'a> Duel<'a> {
    /// After a round that does not count.
    fn new(
        subject: &'static str,
        ours: &'a dyn Fn() -> f64,
        theirs: &'a dyn Fn() -> f64,
    ) -> Duel<'a> {
        ours();
        theirs();
        Duel { subject, ours, theirs, rounds: Vec::new() }
    }

    fn fight(&mut self, ours_first: bool) {
        let Duel { subject, ours, theirs, rounds } = self;
        let (ours, theirs) = if ours_first {
            let ours = ours();
            (ours, theirs())
        } else {
            let theirs = theirs();
            (ours(), theirs)
        };
        println!("{subject} {ours:.3} {theirs:.3}");
        rounds.push((ours, theirs));
    }

    fn conclude(&self) {
        let median = |value: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = self.rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let (ours, theirs) = (median(|round| round.0), median(|round| round.1));
        let ratio = median(|round| round.0 / round.1);
        eprintln!("{}: {ours:.2} ns, C {theirs:.2} ns, ratio {ratio:.3}", self.subject);
    }
}

/// The number after `--rounds`; cargo adds words of its own.
fn rounds(mut words: impl Iterator<Item = String>) -> u32 {
    match words.by_ref().find(|word| word == "--rounds") {
        Some(_) => words.next().and_then(|word| word.parse().ok()).expect("--rounds NUMBER"),
        None => ROUNDS,
    }
}

fn acquire_and_release(semaphore: &Semaphore) -> u64 {
    let start = Instant::now();
    for _ in 0..COUNT {
        assert!(semaphore.try_acquire());
        semaphore.release().expect("the value was 1");
    }
    u64::try_from(start.elapsed().as_nanos()).expect("it takes no 500 years")
}

fn lock_and_unlock(lock: &Lock) -> u64 {
    let start = Instant::now();
    for _ in 0..COUNT {
        drop(lock.acquire().expect("nobody holds it"));
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

/// What was loaded, for good.
struct Library(*mut c_void);

impl Library {
    fn function(&self, name: &CStr) -> *mut c_void {
        // SAFETY: the handle is open, and the name ends with NUL.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null(), "there is no function {}", name.to_string_lossy());
        function
    }
}

fn load(library: &Path) -> Library {
    let path =
        CString::new(library.to_str().expect("a path in UTF-8")).expect("a path without NUL");
    // SAFETY: the library was just built from `uncontended.c`.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "cannot load {}", library.display());
    std::fs::remove_file(library).expect("the library is this process's own");
    Library(handle)
}
