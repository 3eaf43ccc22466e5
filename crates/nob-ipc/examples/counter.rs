//! Four processes count in one segment of shared memory.
//!
//! `cargo run --example counter`

use std::env;
use std::error::Error;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use nob_ipc::{Existence, Mapping, SharedMemory};

const PROCESSES: usize = 4;
const EACH: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => start("/nob-ipc-counter"),
        [name] => start(name),
        [name, _, ..] => count(name),
    }
}

fn start(name: &str) -> Result<(), Box<dyn Error>> {
    // New memory reads as zeros, and nobody sees the segment before it has its size.
    let segment = SharedMemory::options()
        .size(size_of::<AtomicU64>() as u64)
        .existence(Existence::UnlinkAndCreate)
        .open(name)?;
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(Command::new(env::current_exe()?).args([name, "count"]).spawn()?);
    }
    for mut process in processes {
        if !process.wait()?.success() {
            return Err("a process failed".into());
        }
    }
    let mapping = segment.map()?;
    println!("{PROCESSES} processes counted to {}", counter(&mapping).load(Ordering::Relaxed));
    Ok(())
}

fn count(name: &str) -> Result<(), Box<dyn Error>> {
    let mapping = SharedMemory::options().open(name)?.map()?;
    for _ in 0..EACH {
        counter(&mapping).fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The number at the beginning of the segment.
fn counter(mapping: &Mapping) -> &AtomicU64 {
    assert!(mapping.len() >= size_of::<AtomicU64>());
    // SAFETY: a mapping begins at a page, so it is aligned; it is long enough, writable, and lives as
    // long as the reference. All processes access these bytes atomically.
    unsafe { AtomicU64::from_ptr(mapping.as_ptr().cast()) }
}
