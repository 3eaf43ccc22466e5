//! Messages of 64 bytes from one process to another, through a channel, as fast as both can.
//!
//! Prints a line a round, with the nanoseconds of a message as the receiver sees them, and at the end, on
//! standard error, their median. The sender is this program again.
//!
//! `cargo bench --package nob-ipc --bench one_way -- --rounds 100`

use std::env;
use std::process::{Child, Command, id};
use std::time::{Duration, Instant};

use nob_ipc::{Channel, Deadline, Existence};

const MESSAGE: [u8; 64] = [7; 64];
const COUNT: u32 = 20_000;
const ROUNDS: u32 = 20;
/// For one message: what takes longer is a fault, and no measurement.
const LONG: Duration = Duration::from_secs(10);

fn main() {
    if let Some(name) = word_after("--send-to") {
        return send(&name);
    }
    let rounds =
        word_after("--rounds").map_or(ROUNDS, |word| word.parse().expect("--rounds NUMBER"));
    let name = format!("/nob-ipc-one-way-{}", id());
    let channel = Channel::options()
        .existence(Existence::Create)
        .open(&name)
        .expect("the name has this process in it");
    let sender = Sender::start(&name);
    let mut times: Vec<f64> = (0..=rounds).map(|_| receive(&channel)).collect();
    drop(sender);
    times.remove(0); // the sender had to begin
    for each in &times {
        println!("{each:.3}");
    }
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    eprintln!("one way: {median:.2} ns");
}

/// Does not end before it is killed, or nobody receives any more.
fn send(name: &str) {
    let channel = Channel::options().open(name).expect("the receiver has made the channel");
    while channel.send_timeout(&MESSAGE, 0, LONG).expect("the channel is whole") {}
}

/// How long each of [`COUNT`] messages took.
fn receive(channel: &Channel) -> f64 {
    let mut buffer = [0; MESSAGE.len()];
    let start = Instant::now();
    for _ in 0..COUNT {
        let received = channel
            .receive_until(&mut buffer, Deadline::NEVER)
            .expect("the channel is whole")
            .expect("it waits for ever");
        assert_eq!(received.length, MESSAGE.len());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT)
}

/// Ends with its scope.
struct Sender(Child);

impl Sender {
    fn start(name: &str) -> Sender {
        let itself = env::current_exe().expect("this program has a path");
        let mut command = Command::new(itself);
        Sender(command.args(["--send-to", name]).spawn().expect("it runs already"))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).expect("it is a child of this process");
    }
}

/// The word after `name`; cargo adds words of its own.
fn word_after(name: &str) -> Option<String> {
    let mut words = env::args().skip_while(|word| word != name);
    words.next().and_then(|_| words.next())
}
