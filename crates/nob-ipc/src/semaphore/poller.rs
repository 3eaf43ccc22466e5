//! Many semaphores and one readable descriptor, for event loops.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::object::Permits;
use crate::sys;

/// How long the thread sleeps after something has changed, and how long at most: between the two it
/// doubles.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LAST_PAUSE: Duration = Duration::from_millis(8);

/// Makes a descriptor readable when one of many semaphores has a permit, within 8 ms.
///
/// A semaphore has no descriptor to wait on. So a thread looks at the values; a look at a thousand of
/// them costs less than one turn of an event loop. The thread blocks all signals, sleeps for good while
/// there is nothing to look at, and ends when the poller is dropped. In a forked child, which has no such
/// thread, a poller of the parent does nothing.
///
/// ```
/// use std::io::Read;
/// use std::os::fd::AsFd;
/// use std::sync::Arc;
/// use nob_ipc::{Existence, Semaphore, SemaphorePoller};
///
/// let semaphore = Semaphore::options()
///     .initial_value(0)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-poller")?;
/// let semaphore = Arc::new(semaphore);
/// let poller = SemaphorePoller::new()?;
/// poller.add(7, semaphore.clone());
/// semaphore.release()?;
/// // An event loop would wait until `poller.as_fd()` is readable.
/// while poller.ready()?.is_empty() {
///     std::thread::yield_now();
/// }
/// assert!(semaphore.try_acquire());
/// assert!(poller.ready()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SemaphorePoller {
    /// Not locked in a forked child: a thread of the parent may have had it locked.
    shared: Arc<Shared>,
    readable: UnixStream,
    generation: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    watched: HashMap<u64, Arc<dyn Permits>>,
    /// One was added that was not looked at.
    is_new: bool,
    is_dropped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl State {
    fn ready(&self) -> impl Iterator<Item = u64> {
        // One that cannot tell is for whoever waits on it to ask.
        let has_permit = |permits: &dyn Permits| permits.value().map_or(true, |value| value > 0);
        self.watched.iter().filter(move |(_, it)| has_permit(&***it)).map(|(key, _)| *key)
    }
}

impl SemaphorePoller {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// What the system says when there is no descriptor or no thread to be had.
    pub fn new() -> io::Result<SemaphorePoller> {
        let (readable, writable) = UnixStream::pair()?;
        readable.set_nonblocking(true)?;
        writable.set_nonblocking(true)?;
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        sys::thread::start("nob-ipc poller", move || poll(&watched, &writable))
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        let generation = sys::fork::generation();
        Ok(SemaphorePoller { shared, readable, generation })
    }

    /// Watches one more, until its key is removed.
    pub fn add(&self, key: u64, permits: Arc<dyn Permits>) {
        if let Some(mut state) = self.state() {
            let replaced = state.watched.insert(key, permits);
            state.is_new = true;
            drop(state);
            self.shared.changed.notify_one();
            // Unlocked, since it may be the last share.
            drop(replaced);
        }
    }

    /// Watches it no more.
    pub fn remove(&self, key: u64) {
        let removed = self.state().map(|mut state| state.watched.remove(&key));
        drop(removed);
    }

    /// The keys of those that have a permit now. The descriptor is not readable after that, until a
    /// permit is seen again.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot read.
    pub fn ready(&self) -> io::Result<Vec<u64>> {
        let Some(state) = self.state() else { return Ok(Vec::new()) };
        let mut bytes = [0; 64];
        loop {
            match (&self.readable).read(&mut bytes) {
                Ok(length) if length == bytes.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Ok(_) | Err(_) => return Ok(state.ready().collect()),
            }
        }
    }

    /// Nothing in a forked child.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        (self.generation == sys::fork::generation()).then(|| self.shared.lock())
    }
}

impl AsFd for SemaphorePoller {
    /// What is readable after a permit was seen.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

impl Drop for SemaphorePoller {
    fn drop(&mut self) {
        if let Some(mut state) = self.state() {
            state.is_dropped = true;
            let watched = mem::take(&mut state.watched);
            drop(state);
            self.shared.changed.notify_one();
            // Unlocked, since they may be the last shares.
            drop(watched);
        }
    }
}

/// What the thread does.
fn poll(shared: &Shared, mut writable: &UnixStream) {
    let mut pause = FIRST_PAUSE;
    let mut next = Instant::now();
    let mut state = shared.lock();
    while !state.is_dropped {
        let now = Instant::now();
        if mem::take(&mut state.is_new) {
            pause = FIRST_PAUSE;
            next = next.min(now + pause);
        }
        if state.watched.is_empty() {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        } else if now < next {
            let waited = shared.changed.wait_timeout(state, next - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        } else {
            let seen = state.ready().next().is_some();
            if seen {
                // When it is full, the loop has been told often enough; when it is closed, this thread
                // is about to end.
                let _ = writable.write(&[0]);
            }
            pause = if seen { FIRST_PAUSE } else { LAST_PAUSE.min(pause * 2) };
            next = now + pause;
        }
    }
}
