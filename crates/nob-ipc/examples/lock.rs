//! Three processes and one lock: none enters before the one inside has left.
//!
//! `cargo run --example lock`

use std::env;
use std::error::Error;
use std::process::Command;

use nob_ipc::{Existence, Semaphore};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => start("/nob-ipc-lock"),
        [name] => start(name),
        [name, who, ..] => work(name, who),
    }
}

fn start(name: &str) -> Result<(), Box<dyn Error>> {
    // With one permit a semaphore is a lock. Its name goes when this handle is dropped.
    let _lock =
        Semaphore::options().initial_value(1).existence(Existence::UnlinkAndCreate).open(name)?;
    let mut workers = Vec::new();
    for who in ["anna", "ben", "carla"] {
        workers.push(Command::new(env::current_exe()?).args([name, who]).spawn()?);
    }
    for mut worker in workers {
        if !worker.wait()?.success() {
            return Err("a worker failed".into());
        }
    }
    Ok(())
}

fn work(name: &str, who: &str) -> Result<(), Box<dyn Error>> {
    let lock = Semaphore::options().open(name)?;
    for _ in 0..2 {
        let _permit = lock.guard()?;
        println!("{who} enters");
        println!("{who} works");
        println!("{who} leaves");
        // The permit goes back here.
    }
    Ok(())
}
