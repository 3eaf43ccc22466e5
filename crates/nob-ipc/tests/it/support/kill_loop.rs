//! Workers that are killed at random moments, and replaced.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ptr;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc_testing::{forks, stress};

/// How many words [`shared_words`] has.
const WORDS: usize = 512;

/// Zeros that this process shares with the children that it forks from now on.
pub fn shared_words() -> &'static [AtomicU64; WORDS] {
    // SAFETY: the kernel chooses the address.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<[AtomicU64; WORDS]>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: it is as long, aligned to a page, and never unmapped; all bytes are a value.
    unsafe { &*start.cast() }
}

/// A number at random, below a limit.
pub fn random(below: u64) -> u64 {
    RandomState::new().hash_one(0) % below
}

/// How long a loop goes on: 3 s, and under `make stress` as many times as long as that says, within what
/// can be accounted for.
fn loop_time() -> Duration {
    Duration::from_secs(3).mul_f64(stress()).min(Duration::from_secs(75))
}

/// The workers of a loop, by number.
pub struct Workers<'a> {
    work: &'a dyn Fn(usize),
    pids: Vec<i32>,
}

impl<'a> Workers<'a> {
    /// Forks workers, which go on for ever. One that ends by itself has failed.
    pub fn start(count: usize, work: &'a dyn Fn(usize)) -> Workers<'a> {
        let mut workers = Workers { work, pids: Vec::new() };
        for number in 0..count {
            workers.pids.push(workers.fork(number));
        }
        workers
    }

    fn fork(&self, number: usize) -> i32 {
        forks::fork(|| (self.work)(number))
    }

    /// Kills one after the other, each at a random moment, and replaces it, until the time is over; returns
    /// how many. `about` is told before a worker dies (`false`) and when it is dead (`true`).
    pub fn kill_at_random(
        &mut self,
        about: &dyn Fn(usize, bool),
        mut after_each: impl FnMut(&mut Workers, u32),
    ) -> u32 {
        let begin = Instant::now();
        let mut kills = 0;
        while begin.elapsed() < loop_time() {
            thread::sleep(Duration::from_micros(random(6000)));
            let number = usize::try_from(random(self.pids.len() as u64)).expect("it is small");
            self.kill(number, about);
            self.pids[number] = self.fork(number);
            kills += 1;
            after_each(self, kills);
        }
        kills
    }

    fn kill(&self, number: usize, about: &dyn Fn(usize, bool)) {
        about(number, false);
        forks::kill(self.pids[number]);
        about(number, true);
    }

    /// Kills them all.
    pub fn kill_all(&self, about: &dyn Fn(usize, bool)) {
        (0..self.pids.len()).for_each(|number| self.kill(number, about));
    }

    /// Starts all anew, after [`kill_all`](Workers::kill_all).
    pub fn start_again(&mut self) {
        for number in 0..self.pids.len() {
            self.pids[number] = self.fork(number);
        }
    }
}
