//! What the mark on an object says of its creator.

use std::fs;
use std::path::PathBuf;

use crate::object::mark;
use crate::sys;

/// Who made an object, if that one is due to unlink it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Creator {
    /// It has no mark: nobody is due to unlink it, or it was made by other means than this crate, or
    /// where no marks are kept.
    Unmarked,
    /// Its mark may not be read.
    Unreadable,
    /// A process.
    Process {
        /// Its number, in the pid namespace where it counted.
        pid: u32,
        /// Whether it lives; `None` where that cannot be told: it was in another pid namespace, or
        /// its object came from another boot or machine.
        alive: Option<bool>,
    },
}

/// A mark as it was found.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub creator: Creator,
    /// The file that holds it, if it is a record.
    record: Option<PathBuf>,
}

impl Mark {
    pub(super) const UNMARKED: Mark = Mark { creator: Creator::Unmarked, record: None };
    pub(super) const UNREADABLE: Mark = Mark { creator: Creator::Unreadable, record: None };

    pub(super) fn of(mark: &mark::Mark, record: Option<PathBuf>) -> Mark {
        Mark { creator: Creator::Process { pid: mark.pid, alive: is_alive(mark) }, record }
    }

    /// The object is gone, and so its record.
    pub(super) fn forget(&self) {
        if let Some(path) = &self.record {
            // Its maker may have removed it meanwhile, and a leftover does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether the process that a mark names lives. A pid that is used again does not deceive: it has
/// another start time.
pub(super) fn is_alive(mark: &mark::Mark) -> Option<bool> {
    if sys::proc::boot_id()? != mark.boot_id || sys::proc::pid_namespace()? != mark.pid_namespace {
        return None;
    }
    sys::process::is_alive(mark.pid, mark.start_time)
}
