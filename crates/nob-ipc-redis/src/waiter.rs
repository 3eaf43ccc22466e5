//! Who waits for an object, in this process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use crate::fault::Stop;
use crate::sys;
use crate::transport::{Pause, SLICE};

/// One who waits: a thread that sleeps, or a task of the native thread.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub number: u64,
    /// How the server calls it: client and number.
    pub member: String,
    pub channel: Vec<u8>,
    pub handle: u64,
    /// The task that waits; `None`: a thread.
    pub task: Option<u64>,
    /// 1 once it is to look again.
    word: AtomicU32,
}

impl Waiter {
    pub(crate) fn new(
        number: u64,
        client: &str,
        channel: Vec<u8>,
        handle: u64,
        task: Option<u64>,
    ) -> Waiter {
        let member = Waiter::member(client, number);
        Waiter { number, member, channel, handle, task, word: AtomicU32::new(0) }
    }

    /// How the server calls one who waits.
    pub(crate) fn member(client: &str, number: u64) -> String {
        format!("{client}:{number}")
    }

    /// Before it looks: whatever happens from here on is worth another look.
    pub(crate) fn rearm(&self) {
        self.word.store(0, Ordering::SeqCst);
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.word.load(Ordering::SeqCst) != 0
    }

    pub(crate) fn wake(&self) {
        if self.word.swap(1, Ordering::SeqCst) == 0 && self.task.is_none() {
            sys::futex_wake(&self.word);
        }
    }

    /// Sleeps until it is woken, or until then.
    pub(crate) fn sleep_until(&self, end: Instant, pause: Pause<'_>) -> Result<(), Stop> {
        while !self.is_woken() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            sys::futex_wait(&self.word, 0, left.min(SLICE));
            if !self.is_woken() {
                // Also at the end of the time: a signal may have come together with it.
                pause()?;
            }
        }
        Ok(())
    }
}
