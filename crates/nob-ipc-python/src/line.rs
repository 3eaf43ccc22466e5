//! Waiting in the kernel's line of a queue, without leaving it to look at signals.
//!
//! The interpreter's own signal handler rings a [`Bell`] through `signal.set_wakeup_fd`, so that no
//! signal lands unnoticed between the last look and the system call. Only the main thread may have
//! that, and only while it is the process's only one is there nobody else to look up for, such as a
//! thread that closes the handle. All other waits look up every 0.4 s.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use nob_ipc::{Bell, Deadline, MessageQueue, Patience, fork_generation, is_only_thread};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::blocking::{self, AfterSignal, Ended, without_lock};
use crate::slot::{GilCell, Slot};

/// What `blocking::go_on` does, for a queue.
#[cold]
pub(crate) fn go_on<R: Default + Send>(
    py: Python<'_>,
    slot: &Slot<MessageQueue>,
    deadline: Deadline,
    after_signal: AfterSignal,
    mut attempt: impl FnMut(&MessageQueue, Patience<'_>) -> nob_ipc::Result<R> + Send,
) -> Result<R, Ended> {
    if deadline != Deadline::NEVER {
        let attempt = |queue: &MessageQueue, end: Deadline| attempt(queue, end.into());
        return blocking::go_on(py, slot, deadline, after_signal, attempt);
    }
    let mut call = slot.enter(py).map_err(Ended::Closed)?;
    // A signal that is to end the wait rings from its beginning on, and then the bell is not silenced.
    let mut hung = if after_signal == AfterSignal::End { Hung::hang(py) } else { None };
    let queue = call.object(py).map_err(Ended::Closed)?;
    let mut end = without_lock(py, || attempt(queue, Patience::Brief));
    while let Err(error) = &end
        && error.is_interrupted()
    {
        if after_signal == AfterSignal::GoOn || hung.is_none() {
            // What hangs is taken down first.
            drop(hung.take());
            hung = Hung::hang(py);
        }
        py.check_signals().map_err(Ended::Raised)?;
        call.renew(py).map_err(Ended::Closed)?;
        if after_signal == AfterSignal::End && error.is_signal() {
            break;
        }
        if hung.as_ref().is_some_and(|hung| !hung.is_in_place(py)) {
            hung = None;
            continue;
        }
        let queue = call.object(py).map_err(Ended::Closed)?;
        let patience = match &hung {
            Some(hung) => Patience::Unless(&hung.bell),
            None => Patience::Until(deadline.attentive()),
        };
        end = without_lock(py, || attempt(queue, patience));
    }
    // What was taken is returned, whatever else has happened.
    end.map_err(Ended::Failed)
}

/// The bell of this fork generation: a child must not ring its parent's.
static BELL: GilCell<Option<(Arc<Bell>, u64)>> = GilCell::new(None);

fn bell(py: Python<'_>, generation: u64) -> io::Result<Arc<Bell>> {
    BELL.with(py, |kept| {
        if let Some((bell, made)) = kept
            && *made == generation
        {
            return Ok(Arc::clone(bell));
        }
        let bell = Arc::new(Bell::new()?);
        *kept = Some((Arc::clone(&bell), generation));
        Ok(bell)
    })
}

/// A bell that the interpreter rings when a signal arrives; taken down when it is dropped, with the
/// interpreter lock held.
struct Hung {
    bell: Arc<Bell>,
    generation: u64,
    /// The descriptor to which the interpreter is to write afterwards.
    previous: Cell<i32>,
}

const NO_DESCRIPTOR: i32 = -1;

impl Hung {
    /// `None` where it cannot be had: another thread is there, or signals are told to somebody else.
    fn hang(py: Python<'_>) -> Option<Hung> {
        if !is_only_thread() {
            return None;
        }
        let generation = fork_generation();
        let bell = bell(py, generation).ok()?;
        // Only the main thread may ask for it.
        let previous = tell_signals_to(py, bell.as_fd().as_raw_fd()).ok()?;
        let hung = Hung { bell, generation, previous: Cell::new(previous) };
        // In use already, where a signal handler waits within a wait.
        let is_free = previous == NO_DESCRIPTOR;
        (is_free && hung.bell.silence().is_ok()).then_some(hung)
    }

    /// Whether it has hung all the time: signal handlers may have hung up something else, or forked.
    fn is_in_place(&self, py: Python<'_>) -> bool {
        let own = self.bell.as_fd().as_raw_fd();
        let found = tell_signals_to(py, own).unwrap_or(NO_DESCRIPTOR);
        if found != own {
            self.previous.set(found);
        }
        found == own && self.generation == fork_generation()
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // SAFETY: it is dropped with the lock held (type docs).
        let py = unsafe { Python::assume_attached() };
        if let Err(error) = tell_signals_to(py, self.previous.get()) {
            error.write_unraisable(py, None);
        }
    }
}

/// Makes the interpreter write a byte to this descriptor when a signal arrives; returns the one before.
fn tell_signals_to(py: Python<'_>, descriptor: i32) -> PyResult<i32> {
    static SET_WAKEUP_FD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    SET_WAKEUP_FD.import(py, "_signal", "set_wakeup_fd")?.call1((descriptor,))?.extract()
}
