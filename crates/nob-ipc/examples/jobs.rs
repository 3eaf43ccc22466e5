//! A queue of jobs and three processes that do them; what is urgent is done first.
//!
//! `cargo run --example jobs`

use std::env;
use std::error::Error;
use std::process::Command;

use nob_ipc::{Direction, Existence, MessageQueue};

const WORKERS: usize = 3;
const JOBS: u32 = 12;

/// A message of no bytes says that there is nothing more to do; it comes after all jobs.
const END: (&[u8], u32) = (b"", 0);
const NORMAL: u32 = 1;
const URGENT: u32 = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => start("/nob-ipc-jobs"),
        [name] => start(name),
        [name, who, ..] => work(name, who),
    }
}

fn start(name: &str) -> Result<(), Box<dyn Error>> {
    let queue = MessageQueue::options()
        .max_messages(4)
        .max_message_size(64)
        .direction(Direction::Send)
        .existence(Existence::UnlinkAndCreate)
        .open(name)?;
    let mut workers = Vec::new();
    for number in 1..=WORKERS {
        let who = format!("worker {number}");
        workers.push(Command::new(env::current_exe()?).args([name, &who]).spawn()?);
    }
    for number in 1..=JOBS {
        let (job, priority) = match number % 5 {
            0 => (format!("urgent job {number}"), URGENT),
            _ => (format!("job {number}"), NORMAL),
        };
        // Waits while the queue is full.
        queue.send(job.as_bytes(), priority)?;
    }
    for _ in 0..WORKERS {
        queue.send(END.0, END.1)?;
    }
    for mut worker in workers {
        if !worker.wait()?.success() {
            return Err("a worker failed".into());
        }
    }
    println!("all {JOBS} jobs are done");
    Ok(())
}

fn work(name: &str, who: &str) -> Result<(), Box<dyn Error>> {
    let queue = MessageQueue::options().direction(Direction::Receive).open(name)?;
    loop {
        let (job, _priority) = queue.receive()?;
        if job.is_empty() {
            return Ok(());
        }
        println!("{who} does {}", String::from_utf8_lossy(&job));
    }
}
