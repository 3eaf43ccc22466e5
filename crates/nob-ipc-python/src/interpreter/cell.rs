//! The one place that knows what guards the state of a handle.
//!
//! It is the GIL: the module is declared to need it, so a free-threaded interpreter that loads the
//! module turns it on. A build without it replaces the `Cell` by a lock of each value, in this file.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyString;

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

/// A value that is made when it is first needed, and stays.
///
/// PyO3's `PyOnceLock`, and with it `pyo3::intern!`, lets go of the GIL after it has marked a value as being
/// made. A child that another thread forks just then waits for ever, for a thread that it does not have. This one
/// is never marked while the GIL is let go of: two threads may both make the value, and the first one stays.
pub(crate) struct Once<T>(OnceLock<T>);

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Once(OnceLock::new())
    }

    pub(crate) fn get_or_make<E>(
        &self,
        _py: Python<'_>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(value) = self.0.get() {
            return Ok(value);
        }
        let value = make()?;
        Ok(self.0.get_or_init(|| value))
    }
}

/// A string that is made once, and interned, for each place where this is written.
macro_rules! intern {
    ($py:expr, $text:literal) => {{
        static INTERNED: $crate::interpreter::cell::Interned =
            $crate::interpreter::cell::Interned::new($text);
        INTERNED.get($py)
    }};
}
pub(crate) use intern;

/// What [`intern!`] makes.
pub(crate) struct Interned {
    text: &'static str,
    string: Once<Py<PyString>>,
}

impl Interned {
    pub(crate) const fn new(text: &'static str) -> Self {
        Interned { text, string: Once::new() }
    }

    pub(crate) fn get<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        let make = || Ok::<_, Infallible>(PyString::intern(py, self.text).unbind());
        let Ok(string) = self.string.get_or_make(py, make);
        string.bind(py)
    }
}
