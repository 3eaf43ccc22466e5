//! The object of a handle, from opening to closing.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::ptr::NonNull;
use std::sync::Arc;

use nob_ipc::fork_generation;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::interpreter::cell::Guarded;
use crate::interpreter::detach::without_gil;

/// Holds an object until it is closed and no call is in flight.
#[derive(Debug)]
pub(crate) struct Closable<T>(Guarded<State<T>>);

struct State<T> {
    stage: Stage,
    /// A share of an `Arc`, while it is held.
    object: Option<NonNull<T>>,
    in_flight: InFlight,
}

/// What can be done with the object of a handle without knowing its type.
pub(crate) trait Slot: Send + Sync {
    fn is_open(&self, py: Python<'_>) -> bool;

    /// Closes: no call begins from here on, and the last one in flight drops the object.
    fn close(&self, py: Python<'_>);
}

impl<T: Send + Sync> Slot for Closable<T> {
    fn is_open(&self, py: Python<'_>) -> bool {
        self.is_open(py)
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

    fn open_object(&self) -> PyResult<NonNull<T>> {
        match (self.stage, self.object) {
            (Stage::Open, Some(object)) => Ok(object),
            (stage, _) => Err(not_open(stage)),
        }
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
        Closable(Guarded::new(State { stage: Stage::Unset, object: None, in_flight }))
    }

    /// Puts the object in; `false`, and it is dropped, when there has been one.
    pub(crate) fn open(&self, py: Python<'_>, object: T) -> bool {
        let object = Arc::into_raw(Arc::new(object)).cast_mut();
        let refused = self.0.update(py, |state| {
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
        self.0.get(py).stage == Stage::Open
    }

    /// Fails unless the object is open.
    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        self.0.get(py).open_object().map(|_| ())
    }

    /// Works on the object. It stays until then, whatever `work` does: it may close the handle, or
    /// fork.
    #[inline(always)]
    pub(crate) fn with<R>(&self, py: Python<'_>, work: impl FnOnce(&T) -> R) -> PyResult<R> {
        let object = self.0.update(py, |state| {
            let object = state.object.filter(|_| state.stage == Stage::Open);
            state.in_flight.attached += u32::from(object.is_some());
            object
        });
        let Some(object) = object else { return Err(self.not_open(py)) };
        // SAFETY: the object stays as long as this call is counted.
        let result = work(unsafe { object.as_ref() });
        let closed = self.0.update(py, |state| {
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
    pub(super) fn with_detached<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&T) -> R + Send,
    ) -> PyResult<R>
    where
        T: Sync,
    {
        let object = self.0.update(py, |state| {
            let object = state.open_object()?;
            *state.in_flight.count_detached() += 1;
            Ok::<_, PyErr>(object)
        })?;
        // SAFETY: the object stays as long as this call is counted.
        let object = unsafe { object.as_ref() };
        let result = without_gil(py, || work(object));
        give_up(self.0.update(py, |state| {
            *state.in_flight.count_detached() -= 1;
            state.take_if_unused()
        }));
        Ok(result)
    }

    /// The object, for a thread of ours that outlives the handle.
    pub(crate) fn share(&self, py: Python<'_>) -> PyResult<Arc<T>> {
        let object = self.0.get(py).open_object()?;
        // SAFETY: made by `Arc::into_raw` in `open`, and the state, which holds a share of it, does not
        // change before this makes another.
        unsafe {
            Arc::increment_strong_count(object.as_ptr());
            Ok(Arc::from_raw(object.as_ptr()))
        }
    }

    /// Closes, and takes the object out of a handle that is being deleted, unless it is shared.
    pub(crate) fn take(&self, py: Python<'_>) -> Option<T> {
        let object = self.0.update(py, |state| {
            state.stage = Stage::Closed;
            state.take_if_unused()
        })?;
        // SAFETY: made by `Arc::into_raw` in `open`, and taken out just now; no call uses it.
        Arc::into_inner(unsafe { Arc::from_raw(object.as_ptr()) })
    }

    #[cold]
    fn drop_if_unused(&self, py: Python<'_>) {
        give_up(self.0.update(py, State::take_if_unused));
    }

    #[cold]
    fn not_open(&self, py: Python<'_>) -> PyErr {
        not_open(self.0.get(py).stage)
    }

    /// Closes: no call begins from here on, and the last one in flight drops the object.
    pub(crate) fn close(&self, py: Python<'_>) {
        give_up(self.0.update(py, |state| {
            if state.stage == Stage::Open {
                state.stage = Stage::Closed;
            }
            state.take_if_unused()
        }));
    }
}

impl<T> Drop for Closable<T> {
    fn drop(&mut self) {
        // A call in flight borrows the handle, so there is none.
        give_up(self.0.get_mut().object.take());
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
