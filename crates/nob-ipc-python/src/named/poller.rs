//! A thread that looks at the values of semaphores for those who wait in asyncio.
//!
//! A semaphore has no descriptor to wait on. One wake-up of an interpreter costs more than a look at
//! a thousand values, so the thread never touches it: when it sees a permit, it makes a descriptor
//! readable, which the loop watches.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use nob_ipc::{Semaphore, fork_generation};
use pyo3::prelude::*;

use crate::named::semaphore::NamedSemaphore;

/// Between two looks. Whoever waits is to be served within 10 ms.
const LOOK: Duration = Duration::from_millis(8);

/// Bytes of the thread's stack; it calls next to nothing.
const STACK: usize = 64 << 10;

enum Change {
    Add(usize, Arc<Semaphore>),
    Remove(usize),
}

/// Looks at semaphores as long as it lives; readable after a permit was seen.
#[pyclass(module = "nob.ipc._native", frozen, name = "_Lookout")]
pub(crate) struct Lookout {
    changes: ManuallyDrop<Sender<Change>>,
    seen: UnixStream,
    /// A forked child has no such thread, and leaves the channel alone: it could have been in use.
    generation: u64,
}

impl Lookout {
    fn tell(&self, change: Change) {
        if self.generation == fork_generation() {
            // Fails only when the thread has ended, which it does after this was dropped.
            let _ = self.changes.send(change);
        }
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        if self.generation == fork_generation() {
            // SAFETY: dropped here alone, and not used after it.
            unsafe { ManuallyDrop::drop(&mut self.changes) };
        }
    }
}

#[pymethods]
impl Lookout {
    #[new]
    fn new() -> PyResult<Self> {
        let (seen, tell) = UnixStream::pair()?;
        seen.set_nonblocking(true)?;
        tell.set_nonblocking(true)?;
        let (changes, news) = mpsc::channel();
        let thread = thread::Builder::new().name("nob.ipc lookout".into()).stack_size(STACK);
        thread.spawn(move || look_out(&news, &tell))?;
        let changes = ManuallyDrop::new(changes);
        Ok(Lookout { changes, seen, generation: fork_generation() })
    }

    /// The descriptor that is readable after a permit was seen (int).
    fn fileno(&self) -> i32 {
        self.seen.as_raw_fd()
    }

    /// Look at one more semaphore, until its key is removed.
    fn add(&self, py: Python<'_>, key: usize, semaphore: &NamedSemaphore) -> PyResult<()> {
        self.tell(Change::Add(key, semaphore.slot().share(py)?));
        Ok(())
    }

    /// Look at it no more.
    fn remove(&self, key: usize) {
        self.tell(Change::Remove(key));
    }

    /// Make the descriptor unreadable, until a permit is seen again.
    fn drain(&self) -> PyResult<()> {
        let mut bytes = [0; 64];
        loop {
            match (&self.seen).read(&mut bytes) {
                Ok(length) if length == bytes.len() => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn look_out(news: &Receiver<Change>, mut tell: &UnixStream) {
    let mut semaphores = HashMap::new();
    loop {
        let change = if semaphores.is_empty() {
            news.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            news.try_recv()
        };
        match change {
            Ok(Change::Add(key, semaphore)) => {
                semaphores.insert(key, semaphore);
            }
            Ok(Change::Remove(key)) => {
                semaphores.remove(&key);
            }
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                if semaphores.values().any(|semaphore| semaphore.value() > 0) {
                    // When it is full, the loop has been told often enough; when it is closed, this
                    // thread is about to end.
                    let _ = tell.write(&[0]);
                }
                thread::sleep(LOOK);
            }
        }
    }
}
