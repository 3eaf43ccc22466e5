//! The log of what happens to names: `logging.getLogger("nob.ipc")`, at the level DEBUG.
//!
//! Nothing here imports the module `logging`: a program without it has no log, and its start is not
//! slowed down. Only the making and the end of a handle come here, no other call.

use std::cell::Cell;

use nob_ipc::{Deletion, Lifetime, Name, Ownership};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::interpreter::cell::Guarded;
use crate::interpreter::modules::imported;
use crate::once::intern;

/// `logging.DEBUG`.
const DEBUG: i32 = 10;

/// The module and its logger: to look that up takes longer than to ask it.
static LOGGER: Guarded<Option<(Py<PyAny>, Py<PyAny>)>> = Guarded::new(None);

/// Whether the interpreter takes itself apart.
static CLOSED: Guarded<bool> = Guarded::new(false);

thread_local! {
    /// Whether this thread is writing to the log: a handler may open handles of its own, to send what it
    /// is given, and would never come to an end.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

/// The logger, if it wants to be told.
pub(crate) struct Log<'py>(Bound<'py, PyAny>);

impl<'py> Log<'py> {
    pub(crate) fn wanted(py: Python<'py>) -> PyResult<Option<Log<'py>>> {
        if WRITING.get() || CLOSED.get(py) {
            return Ok(None);
        }
        let Some(logging) = imported(intern!(py, "logging"))? else { return Ok(None) };
        let logger = match LOGGER.replace(py, None) {
            Some((module, logger)) if module.is(&logging) => logger.into_bound(py),
            _ => {
                // Another thread may be importing it; a program may have a module of its own of that name.
                let Some(get) = logging.getattr_opt(intern!(py, "getLogger"))? else {
                    return Ok(None);
                };
                get.call1((intern!(py, "nob.ipc"),))?
            }
        };
        LOGGER.replace(py, Some((logging.unbind(), logger.clone().unbind())));
        let enabled = logger.call_method1(intern!(py, "isEnabledFor"), (DEBUG,))?.is_truthy()?;
        Ok(enabled.then_some(Log(logger)))
    }

    /// Writes what was done to which object, which has the form that the command takes: `mq:/jobs`.
    fn write(&self, what: &Bound<'py, PyString>, name: &Name) -> PyResult<()> {
        struct Writing;
        impl Drop for Writing {
            fn drop(&mut self) {
                WRITING.set(false);
            }
        }
        WRITING.set(true);
        let _writing = Writing;
        let arguments = (what, name.kind().short_word(), name.to_string());
        self.0.call_method1(intern!(self.0.py(), "debug"), arguments).map(drop)
    }

    fn removed_left_behind(&self, name: &Name) -> PyResult<()> {
        let what = intern!(self.0.py(), "unlinked %s:%s, which killed processes had left behind");
        self.write(what, name)
    }

    /// What became of a name that a deletion was due to remove.
    pub(crate) fn deleted(&self, name: &Name, deletion: Deletion) -> PyResult<()> {
        let py = self.0.py();
        match deletion {
            Deletion::Unlinked => self.write(intern!(py, "unlinked %s:%s"), name),
            Deletion::InUse => self.write(intern!(py, "left %s:%s, which is in use"), name),
            _ => Ok(()),
        }
    }

    /// What became of a name when the interpreter began to end. Handles to shared objects are closed later,
    /// when there is no log any more.
    pub(crate) fn deleted_at_end(&self, name: &Name, deletion: Deletion) -> PyResult<()> {
        if deletion != Deletion::InUse {
            return self.deleted(name, deletion);
        }
        let what = intern!(
            self.0.py(),
            "leaves %s:%s when the interpreter has ended; unlinked then unless others use it"
        );
        self.write(what, name)
    }
}

/// Nothing is written from now on, but for what [`Log`]s are told that were had before.
pub(crate) fn close(py: Python<'_>) {
    CLOSED.replace(py, true);
}

/// A handle was opened.
pub(crate) fn opened(py: Python<'_>, ownership: &Ownership) -> PyResult<()> {
    let Some(log) = Log::wanted(py)? else { return Ok(()) };
    let name = ownership.name();
    if ownership.replaced_left_behind() {
        log.removed_left_behind(name)?;
    }
    let what = match (ownership.created(), ownership.lifetime()) {
        (false, _) => intern!(py, "linked to %s:%s"),
        (true, Lifetime::Shared) => intern!(py, "created %s:%s, shared"),
        (true, Lifetime::Owned) => intern!(py, "created %s:%s, owned"),
        (true, Lifetime::Kept) => intern!(py, "created %s:%s, to be kept"),
    };
    log.write(what, name)
}

/// The name of what killed processes had left behind was removed.
pub(crate) fn removed_left_behind(py: Python<'_>, name: &Name) -> PyResult<()> {
    Log::wanted(py)?.map_or(Ok(()), |log| log.removed_left_behind(name))
}

/// A name was removed on request.
pub(crate) fn unlinked(py: Python<'_>, name: &Name) -> PyResult<()> {
    Log::wanted(py)?.map_or(Ok(()), |log| log.deleted(name, Deletion::Unlinked))
}

/// A handle was deleted. What the log raises goes to `sys.unraisablehook`.
pub(crate) fn deleted(py: Python<'_>, name: &Name, deletion: Deletion) {
    if !matches!(deletion, Deletion::Unlinked | Deletion::InUse) {
        return;
    }
    let done =
        Log::wanted(py).and_then(|log| log.map_or(Ok(()), |log| log.deleted(name, deletion)));
    if let Err(error) = done {
        error.write_unraisable(py, None);
    }
}
