//! What the mark on an object says of its creator.

use crate::home::Marked;

/// Who made an object, if that one owns its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Creator {
    /// It has no mark: nobody owns the name, or it was made by other means than this crate, or where no
    /// marks are kept.
    Unmarked,
    /// Its mark may not be read, or is none.
    Unreadable,
    /// A process.
    Process {
        /// Its number, in the pid namespace where it counted.
        pid: u32,
        /// Whether it lives; `None` where that cannot be told: it was in another pid or time namespace,
        /// or its object came from another boot or machine.
        alive: Option<bool>,
    },
}

impl From<&Marked> for Creator {
    fn from(marked: &Marked) -> Creator {
        match marked {
            Marked::Unmarked => Creator::Unmarked,
            Marked::Unreadable => Creator::Unreadable,
            Marked::By(mark) => Creator::Process { pid: mark.pid, alive: mark.is_alive() },
        }
    }
}
