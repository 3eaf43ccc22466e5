//! What is made at its first use, and stays.

use std::convert::Infallible;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyString;

/// A value that is made when it is first needed, and stays.
///
/// PyO3's `PyOnceLock`, and with it `pyo3::intern!`, lets go of the GIL after it has marked a value as
/// being made. A child that another thread forks just then waits for ever, for a thread that it does not
/// have. This one is never marked while the GIL is let go of: two threads may both make the value, and the
/// first one stays.
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
        static INTERNED: $crate::once::Interned = $crate::once::Interned::new($text);
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
