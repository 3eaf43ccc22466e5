//! A descriptor for event loops: readable when a channel has a message, or room.
//!
//! A futex has no descriptor. So one thread of the process sleeps on the events of all channels that somebody
//! wants to know of, and makes their descriptors readable. It looks by itself every 50 ms, as all who wait
//! do, and ends when there is nobody left who wants to know.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::layout::{Cursor, Page, room_for};
use super::{Channel, LOOK_FOR_MESSAGES};
use crate::error::{Error, Operation, Result};
use crate::sys::eventfd::EventFd;
use crate::sys::fork::PerProcess;
use crate::sys::futex::{self, Awaited};
use crate::sys::mman::Mapped;
use crate::sys::time::monotonic;
use crate::sys::{self, Errno};

/// How long the thread sleeps where it cannot sleep on several words, or there are too many.
const POLL: Duration = Duration::from_millis(2);

/// How often it looks for room, as those do who wait for it.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(16);

/// A descriptor that is readable when it is worth trying: made by [`Channel::readable`] and
/// [`Channel::writable`].
///
/// It stays readable until [`clear`](Readiness::clear) is called, which whoever tried in vain does. In a
/// forked child, which has no thread to tell it, it says nothing: make another one there. It does not keep
/// the channel in use.
///
/// ```
/// use std::os::fd::AsFd;
/// use nob_ipc::{Channel, Existence};
///
/// let channel =
///     Channel::options().existence(Existence::UnlinkAndCreate).open("/nob-ipc-doc-readable")?;
/// let readable = channel.readable()?;
/// channel.send(b"hello", 0)?;
/// // An event loop would wait until `readable.as_fd()` is readable.
/// assert_eq!(channel.receive()?.0, b"hello");
/// readable.clear();
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Readiness {
    watched: Arc<Watched>,
    generation: u64,
}

#[derive(Debug)]
struct Watched {
    /// A mapping of its own: the handle may go at any moment.
    page: Mapped<Page>,
    lanes: usize,
    capacity: usize,
    max_messages: u64,
    wanted: Wanted,
    descriptor: EventFd,
    /// Whether the descriptor is readable, and nobody has tried in vain since. Both change together.
    told: Mutex<bool>,
}

#[derive(Debug)]
enum Wanted {
    Message,
    /// So many bytes, of this priority.
    Room {
        bytes: AtomicU64,
        priority: AtomicU32,
    },
}

impl Channel {
    /// A descriptor that is readable when there is a message.
    ///
    /// # Errors
    ///
    /// What the system says when there is no descriptor, mapping or thread to be had.
    pub fn readable(&self) -> Result<Readiness> {
        self.readiness(Operation::Receive, Wanted::Message)
    }

    /// A descriptor that is readable when there is room for what was
    /// [wanted](Readiness::want_room) last: nothing yet.
    ///
    /// # Errors
    ///
    /// As [`readable`](Channel::readable).
    pub fn writable(&self) -> Result<Readiness> {
        let wanted = Wanted::Room { bytes: AtomicU64::new(u64::MAX), priority: AtomicU32::new(0) };
        self.readiness(Operation::Send, wanted)
    }

    fn readiness(&self, operation: Operation, wanted: Wanted) -> Result<Readiness> {
        let fail = |errno| Error::from_errno(operation, self.file.name(), errno);
        let fresh = self.file.fresh(operation)?;
        let page = Mapped::new(fresh.as_fd())
            .map_err(|errno| Error::map_failed(operation, self.file.name(), errno))?;
        let watched = Arc::new(Watched {
            page,
            lanes: self.rings().len(),
            capacity: self.capacity(),
            max_messages: self.file.rest().max_messages,
            wanted,
            descriptor: EventFd::new().map_err(fail)?,
            told: Mutex::new(false),
        });
        lookout().watch(&watched).map_err(fail)?;
        Ok(Readiness { watched, generation: sys::fork::generation() })
    }
}

impl Readiness {
    /// Makes the descriptor unreadable, until it is worth trying again: at once, if it is by now.
    pub fn clear(&self) {
        if self.is_ours() && self.watched.clear() {
            lookout().poke();
        }
    }

    /// Says what room is wanted from here on, for a message of this length; the descriptor is unreadable
    /// until there is. Nothing for one that waits for messages.
    pub fn want_room(&self, length: usize, priority: u32) {
        if let Wanted::Room { bytes, priority: wanted } = &self.watched.wanted {
            wanted.store(priority, Ordering::Relaxed);
            bytes.store(room_for(length), Ordering::Release);
            self.clear();
            if self.is_ours() {
                lookout().poke();
            }
        }
    }

    fn is_ours(&self) -> bool {
        self.generation == sys::fork::generation()
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watched.descriptor.as_fd()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        if self.is_ours() {
            lookout().forget(&self.watched);
        }
    }
}

impl Watched {
    /// Whether it is worth trying.
    fn is_ready(&self) -> bool {
        let mut lanes = self.page.lane.iter().take(self.lanes);
        match &self.wanted {
            Wanted::Message => lanes
                .any(|lane| lane.sent.load(Ordering::SeqCst) != lane.taken.load(Ordering::SeqCst)),
            Wanted::Room { bytes, priority } => {
                let bytes = bytes.load(Ordering::Acquire);
                let priority = priority.load(Ordering::Relaxed) as usize;
                let mut messages = 0;
                let mut free = 0;
                for (index, lane) in lanes.enumerate() {
                    let taken = Cursor(lane.taken.load(Ordering::SeqCst));
                    let sent = Cursor(lane.sent.load(Ordering::SeqCst));
                    // What cannot be told is for the call that sends to say.
                    let Some(distance) = taken.until(sent, self.capacity) else { return true };
                    messages += distance.messages;
                    if index == priority {
                        free = self.capacity as u64 - distance.bytes;
                    }
                }
                free >= bytes && messages < self.max_messages
            }
        }
    }

    fn told(&self) -> MutexGuard<'_, bool> {
        // Nothing that can panic leaves it half changed.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the descriptor unreadable; `false` if it was not readable.
    fn clear(&self) -> bool {
        let mut told = self.told();
        if *told {
            // Fails for no descriptor that is open.
            let _ = self.descriptor.clear();
        }
        std::mem::take(&mut *told)
    }

    /// Makes the descriptor readable if it is worth trying; else what to sleep on. Nothing if it is readable.
    fn look(&self) -> Option<Awaited> {
        let mut told = self.told();
        if *told {
            return None;
        }
        let event = match self.wanted {
            Wanted::Message => &self.page.sent,
            Wanted::Room { .. } => &self.page.taken,
        };
        let seen = event.announce();
        if !self.is_ready() {
            return Some(Awaited::shared(event.word(), seen));
        }
        // Fails for no descriptor that is open; nobody adds so many that its count is full.
        let _ = self.descriptor.set();
        *told = true;
        None
    }
}

/// The thread of this process, and those whom it tells.
struct Lookout {
    watched: Mutex<Vec<Arc<Watched>>>,
    /// Whether there is the thread.
    runs: AtomicBool,
    /// Changes when the thread is to look at once.
    word: AtomicU32,
}

fn lookout() -> &'static Lookout {
    static LOOKOUT: PerProcess<Lookout> = PerProcess::new();
    LOOKOUT.get(|_| Lookout {
        watched: Mutex::new(Vec::new()),
        runs: AtomicBool::new(false),
        word: AtomicU32::new(0),
    })
}

impl Lookout {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Watched>>> {
        // Nothing that can panic leaves it half changed.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&'static self, watched: &Arc<Watched>) -> sys::Result<()> {
        let mut list = self.list();
        list.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        if !self.runs.load(Ordering::Relaxed) {
            sys::thread::start("nob-ipc lookout", || self.run())?;
            self.runs.store(true, Ordering::Relaxed);
        }
        list.push(Arc::clone(watched));
        drop(list);
        self.poke();
        Ok(())
    }

    fn forget(&self, watched: &Arc<Watched>) {
        self.list().retain(|listed| !Arc::ptr_eq(listed, watched));
        self.poke();
    }

    /// Has the thread look at once.
    fn poke(&self) {
        self.word.fetch_add(1, Ordering::SeqCst);
        // Fails for no address that is mapped.
        let _ = futex::wake(&self.word, 1);
    }

    /// What the thread does.
    fn run(&self) {
        loop {
            let seen = self.word.load(Ordering::SeqCst);
            let mut awaited = vec![Awaited::shared(&self.word, seen)];
            let mut pause = LOOK_FOR_MESSAGES;
            let list = self.list();
            if list.is_empty() {
                // Whoever watches next starts another thread.
                self.runs.store(false, Ordering::Relaxed);
                return;
            }
            for watched in list.iter() {
                let Some(event) = watched.look() else { continue };
                if matches!(watched.wanted, Wanted::Room { .. }) {
                    pause = pause.min(LOOK_FOR_ROOM);
                }
                awaited.push(event);
            }
            drop(list);
            self.sleep(&awaited, pause, seen);
        }
    }

    fn sleep(&self, awaited: &[Awaited], pause: Duration, seen: u32) {
        let until = monotonic().saturating_add(pause);
        if awaited.len() <= futex::MOST_AWAITED {
            match futex::wait_for_any(awaited, until) {
                // A channel may have been unmapped meanwhile.
                Ok(()) | Err(Errno::AGAIN | Errno::TIMEDOUT | Errno::INTR | Errno::FAULT) => return,
                // There is no such call, or a filter refuses it: with any errno.
                Err(_) => {}
            }
        }
        // Woken or not: the next look tells.
        let _ = futex::wait(&self.word, seen, pause.min(POLL));
    }
}
