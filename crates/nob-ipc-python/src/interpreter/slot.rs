//! The object of a handle, from opening to closing.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nob_ipc::fork_generation;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::interpreter::cell::Guarded;
use crate::interpreter::detach::without_gil;

/// Holds an object until it is closed and no call is in flight.
#[derive(Debug)]
pub(crate) struct Closable<T> {
    state: Guarded<State<T>>,
    /// Whether it was closed, for calls without the GIL.
    closed: AtomicBool,
    /// Why the object could not be opened, if it was to be.
    refusal: OnceLock<Refusal>,
}

struct State<T> {
    stage: Stage,
    /// A share of an `Arc`, while it is held.
    object: Option<NonNull<T>>,
    in_flight: InFlight,
}

/// An exception that is raised anew each time. A raised one refers to the frames that it went through, and
/// they to the handle.
#[derive(Debug)]
pub(crate) struct Refusal {
    class: Py<PyAny>,
    arguments: Py<PyTuple>,
    note: &'static str,
}

impl Refusal {
    pub(crate) fn new(py: Python<'_>, error: &PyErr, note: &'static str) -> PyResult<Refusal> {
        let parts = error.value(py).call_method0("__reduce__")?;
        let arguments = parts.get_item(1)?.cast_into()?.unbind();
        Ok(Refusal { class: parts.get_item(0)?.unbind(), arguments, note })
    }

    fn error(&self, py: Python<'_>) -> PyErr {
        let error = self.class.bind(py).call1(self.arguments.bind(py));
        let noted = error.and_then(|error| {
            error.call_method1("add_note", (self.note,))?;
            Ok(error)
        });
        noted.map_or_else(|failure| failure, PyErr::from_value)
    }
}

/// What can be done with the object of a handle without knowing its type.
pub(crate) trait Slot: Send + Sync {
    fn is_open(&self, py: Python<'_>) -> bool;

    /// What those get who need the object, and find none.
    fn not_open(&self, py: Python<'_>) -> PyErr;

    /// Says why the object could not be opened.
    fn refuse(&self, refusal: Refusal);

    /// Closes: no call begins from here on, and the last one in flight drops the object.
    fn close(&self, py: Python<'_>);
}

impl<T: Send + Sync> Slot for Closable<T> {
    fn is_open(&self, py: Python<'_>) -> bool {
        self.is_open(py)
    }

    fn not_open(&self, py: Python<'_>) -> PyErr {
        self.not_open(py)
    }

    fn refuse(&self, refusal: Refusal) {
        // The first is the reason.
        let _ = self.refusal.set(refusal);
    }

    fn close(&self, py: Python<'_>) {
        self.close(py);
    }
}

/// How many calls use the object.
#[derive(Clone, Copy)]
struct InFlight {
    /// Calls of threads that can run Python code meanwhile. In a forked child one of them may be that
    /// of the thread that forked, so there the object stays as well.
    attached: u32,
    /// Calls of threads that have given up the GIL and run no Python code. They cannot fork, so a
    /// forked child has none of them.
    detached: u32,
    /// The fork generation in which `detached` was counted.
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unset,
    Open,
    Closed,
}

// Derived, they would ask the same of `T`.
impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for State<T> {}

// SAFETY: the pointer owns its share of the object, so it may go wherever an `Arc` of it may.
unsafe impl<T: Send + Sync> Send for State<T> {}

impl InFlight {
    fn count_detached(&mut self) -> &mut u32 {
        let generation = fork_generation();
        if self.generation != generation {
            self.generation = generation;
            self.detached = 0;
        }
        &mut self.detached
    }

    fn is_none(&mut self) -> bool {
        self.attached == 0 && *self.count_detached() == 0
    }
}

impl<T> State<T> {
    /// The share, if it is to be given up now.
    fn take_if_unused(&mut self) -> Option<NonNull<T>> {
        if self.stage == Stage::Closed && self.in_flight.is_none() {
            self.object.take()
        } else {
            None
        }
    }

    fn open_object(&self) -> Option<NonNull<T>> {
        self.object.filter(|_| self.stage == Stage::Open)
    }
}

/// Gives up a share that was taken out of the state.
fn give_up<T>(object: Option<NonNull<T>>) {
    if let Some(object) = object {
        // SAFETY: made by `Arc::into_raw` in `Closable::open`. Whoever took it out of the state is its
        // only owner, and had seen that no call uses it.
        drop(unsafe { Arc::from_raw(object.as_ptr()) });
    }
}

impl<T> Closable<T> {
    pub(crate) fn new() -> Self {
        let in_flight = InFlight { attached: 0, detached: 0, generation: fork_generation() };
        let state = State { stage: Stage::Unset, object: None, in_flight };
        Closable {
            state: Guarded::new(state),
            closed: AtomicBool::new(false),
            refusal: OnceLock::new(),
        }
    }

    /// Puts the object in; `false`, and it is dropped, when there has been one.
    pub(crate) fn open(&self, py: Python<'_>, object: T) -> bool {
        let object = Arc::into_raw(Arc::new(object)).cast_mut();
        let refused = self.state.update(py, |state| {
            if state.stage != Stage::Unset {
                return NonNull::new(object);
            }
            state.stage = Stage::Open;
            state.object = NonNull::new(object);
            None
        });
        give_up(refused);
        refused.is_none()
    }

    pub(crate) fn is_open(&self, py: Python<'_>) -> bool {
        self.state.get(py).stage == Stage::Open
    }

    /// Fails unless the object is open.
    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_open(py) { Ok(()) } else { Err(self.not_open(py)) }
    }

    /// Works on the object. It stays until then, whatever `work` does: it may close the handle, or
    /// fork.
    #[inline(always)]
    pub(crate) fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&T) -> R) -> PyResult<R> {
        let object = self.state.update(py, |state| {
            let object = state.open_object();
            state.in_flight.attached += u32::from(object.is_some());
            object
        });
        let Some(object) = object else { return Err(self.not_open(py)) };
        // SAFETY: the object stays as long as this call is counted.
        let result = work(unsafe { object.as_ref() });
        let closed = self.state.update(py, |state| {
            state.in_flight.attached -= 1;
            state.stage == Stage::Closed
        });
        if closed {
            self.drop_if_unused(py);
        }
        Ok(result)
    }

    /// Works on the object without the GIL, and runs no Python code: in a forked child it would not
    /// count.
    pub(crate) fn with_detached<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&T) -> R + Send,
    ) -> PyResult<R>
    where
        T: Sync,
    {
        let object = self.state.update(py, |state| {
            let object = state.open_object();
            *state.in_flight.count_detached() += u32::from(object.is_some());
            object
        });
        let Some(object) = object else { return Err(self.not_open(py)) };
        // SAFETY: the object stays as long as this call is counted.
        let object = unsafe { object.as_ref() };
        let result = without_gil(py, || work(object));
        give_up(self.state.update(py, |state| {
            *state.in_flight.count_detached() -= 1;
            state.take_if_unused()
        }));
        Ok(result)
    }

    /// The object, for a thread of ours that outlives the handle.
    pub(crate) fn share(&self, py: Python<'_>) -> PyResult<Arc<T>> {
        let Some(object) = self.state.get(py).open_object() else {
            return Err(self.not_open(py));
        };
        // SAFETY: made by `Arc::into_raw` in `open`, and the state, which holds a share of it, does not
        // change before this makes another.
        unsafe {
            Arc::increment_strong_count(object.as_ptr());
            Ok(Arc::from_raw(object.as_ptr()))
        }
    }

    /// Closes, and takes the object out of a handle that is being deleted, unless it is shared.
    pub(crate) fn take(&self, py: Python<'_>) -> Option<T> {
        let object = self.state.update(py, |state| {
            state.stage = Stage::Closed;
            state.take_if_unused()
        })?;
        // SAFETY: made by `Arc::into_raw` in `open`, and taken out just now; no call uses it.
        Arc::into_inner(unsafe { Arc::from_raw(object.as_ptr()) })
    }

    #[cold]
    fn drop_if_unused(&self, py: Python<'_>) {
        give_up(self.state.update(py, State::take_if_unused));
    }

    #[cold]
    fn not_open(&self, py: Python<'_>) -> PyErr {
        match (self.state.get(py).stage, self.refusal.get()) {
            (Stage::Unset, Some(refusal)) => refusal.error(py),
            (Stage::Unset, None) => {
                PyValueError::new_err("the handle was never opened: call __init__ first")
            }
            _ => closed(),
        }
    }

    /// Whether it has been closed, as far as a call without the GIL can tell.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Closes: no call begins from here on, and the last one in flight drops the object.
    pub(crate) fn close(&self, py: Python<'_>) {
        self.closed.store(true, Ordering::Relaxed);
        give_up(self.state.update(py, |state| {
            if state.stage == Stage::Open {
                state.stage = Stage::Closed;
            }
            state.take_if_unused()
        }));
    }
}

/// What is said of a closed handle.
#[cold]
pub(crate) fn closed() -> PyErr {
    PyValueError::new_err("the handle is closed: open the object again with a new handle")
}

impl<T> Drop for Closable<T> {
    fn drop(&mut self) {
        // A call in flight borrows the handle, so there is none.
        give_up(self.state.get_mut().object.take());
    }
}
