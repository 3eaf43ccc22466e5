//! The one place that knows what guards the state of a handle.
//!
//! It is the GIL: the module is declared to need it, so a free-threaded interpreter that loads the
//! module turns it on. A build without it replaces the `Cell` by a lock of each value, in this file.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::cell::Cell;
use std::fmt;

use pyo3::prelude::*;

/// A value that the GIL guards.
///
/// It is copied or moved out and in, and never borrowed. So whatever runs between two accesses (another
/// thread, a signal handler, a destructor) can at worst change the value, and nothing dangles.
pub(crate) struct Guarded<T>(Cell<T>);

// SAFETY: the content is reached with a token of the GIL alone, so by one thread at a time.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Guarded(Cell::new(value))
    }

    #[inline(always)]
    pub(crate) fn replace(&self, _py: Python<'_>, value: T) -> T {
        self.0.replace(value)
    }

    /// The value, to whom nobody else can have it.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

impl<T: Copy> Guarded<T> {
    #[inline(always)]
    pub(crate) fn get(&self, _py: Python<'_>) -> T {
        self.0.get()
    }

    /// Changes a copy, and puts it in.
    #[inline(always)]
    pub(crate) fn update<R>(&self, _py: Python<'_>, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.0.get();
        let result = change(&mut value);
        self.0.set(value);
        result
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Guarded")
    }
}
