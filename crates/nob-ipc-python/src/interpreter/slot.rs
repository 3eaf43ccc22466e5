//! The state of a handle, guarded by the interpreter lock.
//!
//! Whether it is closed and how many calls are in flight is read and changed with the lock held, so
//! there is no interleaving that a model checker could explore beyond the order of whole steps.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;

use nob_ipc::fork_generation;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A cell that the interpreter lock guards.
#[derive(Debug, Default)]
pub(crate) struct GilCell<T>(UnsafeCell<T>);

// SAFETY: the content is reached through `with` alone, which needs the interpreter lock (the module
// is declared to use it), so one thread at a time is there.
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        GilCell(UnsafeCell::new(value))
    }

    /// Works on the content. `work` must run no Python code and drop no Python object but bytes and
    /// numbers: either could come back here.
    #[inline]
    pub(crate) fn with<R>(&self, _py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the token proves that this thread holds the lock, and `work` does not come back.
        work(unsafe { &mut *self.0.get() })
    }
}

/// Whether an object is there, and who uses it without the interpreter lock.
#[derive(Debug)]
struct State<T> {
    object: Option<NonNull<T>>,
    stage: Stage,
    /// Calls that have given up the lock, in this fork generation: those of the parent's threads
    /// do not exist in a child.
    calls: u32,
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unset,
    Open,
    Closed,
}

// SAFETY: the pointer owns its share of the object, so it may go wherever an `Arc` of it may.
unsafe impl<T: Send + Sync> Send for State<T> {}

impl<T> State<T> {
    /// Gives up the object if no call uses it any more.
    fn release(&mut self) {
        let idle = self.calls == 0 || self.generation != fork_generation();
        if let Some(object) = self.object.filter(|_| self.stage == Stage::Closed && idle) {
            self.object = None;
            // SAFETY: made by `Arc::into_raw` in `Slot::open`, and taken out just now; no call uses
            // it, and borrows of `Slot::with` end before the lock can change hands.
            drop(unsafe { Arc::from_raw(object.as_ptr()) });
        }
    }
}

/// Holds the object of a handle from opening to closing.
#[derive(Debug)]
pub(crate) struct Slot<T>(GilCell<State<T>>);

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        let generation = fork_generation();
        Slot(GilCell::new(State { object: None, stage: Stage::Unset, calls: 0, generation }))
    }

    /// Puts the object in.
    pub(crate) fn open(&self, py: Python<'_>, object: T) {
        let object = Arc::into_raw(Arc::new(object)).cast_mut();
        self.0.with(py, |state| {
            state.object = NonNull::new(object);
            state.stage = Stage::Open;
        });
    }

    pub(crate) fn is_open(&self, py: Python<'_>) -> bool {
        self.0.with(py, |state| state.stage == Stage::Open)
    }

    /// Works on the object with the lock held. `work` must run no Python code.
    #[inline]
    pub(crate) fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&T) -> R) -> PyResult<R> {
        match self.0.with(py, |state| (state.stage, state.object)) {
            // SAFETY: an open slot has an object; it is dropped only with the lock held, which this
            // thread has until `work` is done.
            (Stage::Open, Some(object)) => Ok(work(unsafe { object.as_ref() })),
            (stage, _) => Err(not_open(stage)),
        }
    }

    /// The object, for a thread of ours that outlives the handle.
    pub(crate) fn share(&self, py: Python<'_>) -> PyResult<Arc<T>> {
        self.with(py, |object| {
            // SAFETY: the object was made by `Arc::into_raw` in `open`, and the slot, which is open,
            // holds a share of it; this makes another.
            unsafe {
                Arc::increment_strong_count(object);
                Arc::from_raw(object)
            }
        })
    }

    /// Begins a call that will give up the lock: the object stays until the call is dropped.
    pub(crate) fn enter(&self, py: Python<'_>) -> PyResult<Call<'_, T>> {
        self.with(py, |_| ())?;
        let mut call = Call { slot: self, generation: 0 };
        call.count(py);
        Ok(call)
    }

    /// Takes the object out of a handle that is being deleted, unless it is shared.
    pub(crate) fn take(&mut self) -> Option<T> {
        let state = self.0.0.get_mut();
        state.stage = Stage::Closed;
        let object = state.object.take()?;
        // SAFETY: made by `Arc::into_raw` in `Slot::open`, and taken out just now. A call in flight
        // holds a reference to the handle, so there is none.
        Arc::into_inner(unsafe { Arc::from_raw(object.as_ptr()) })
    }

    /// Closes: no call begins from here on, and the last one in flight drops the object.
    pub(crate) fn close(&self, py: Python<'_>) {
        self.0.with(py, |state| {
            if state.stage == Stage::Open {
                state.stage = Stage::Closed;
                state.release();
            }
        });
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        let state = self.0.0.get_mut();
        // A call in flight holds a reference to the handle, so there is none.
        state.calls = 0;
        state.stage = Stage::Closed;
        state.release();
    }
}

#[cold]
fn not_open(stage: Stage) -> PyErr {
    PyValueError::new_err(match stage {
        Stage::Unset => "the handle was never opened: call __init__ first",
        Stage::Open | Stage::Closed => {
            "the handle is closed: open the object again with a new handle"
        }
    })
}

/// A call that may give up the interpreter lock while it uses the object.
///
/// It is made, renewed and dropped with the lock held.
#[derive(Debug)]
pub(crate) struct Call<'a, T> {
    slot: &'a Slot<T>,
    generation: u64,
}

impl<T> Call<'_, T> {
    fn count(&mut self, py: Python<'_>) {
        let now = fork_generation();
        self.slot.0.with(py, |state| {
            if state.generation != now {
                state.generation = now;
                state.calls = 0;
            }
            state.calls += 1;
        });
        self.generation = now;
    }

    /// After Python code has run: fails if it, or another thread, has closed the handle. If it has
    /// forked and this is the child, the call is counted there.
    pub(crate) fn renew(&mut self, py: Python<'_>) -> PyResult<()> {
        self.slot.with(py, |_| ())?;
        if self.generation != fork_generation() {
            self.count(py);
        }
        Ok(())
    }

    /// The object. Only between making or renewing the call and the next Python code.
    pub(crate) fn object(&self, py: Python<'_>) -> PyResult<&T> {
        match self.slot.0.with(py, |state| state.object) {
            // SAFETY: the call is counted, so the object stays until the call is dropped.
            Some(object) => Ok(unsafe { object.as_ref() }),
            None => Err(not_open(Stage::Closed)),
        }
    }
}

impl<T> Drop for Call<'_, T> {
    fn drop(&mut self) {
        // SAFETY: calls are dropped with the lock held (type docs).
        let py = unsafe { Python::assume_attached() };
        self.slot.0.with(py, |state| {
            if state.generation == self.generation && fork_generation() == self.generation {
                state.calls -= 1;
                state.release();
            }
        });
    }
}
