//! All that knows the interpreter itself: its lock (the GIL), signals, fork and shutdown.

pub(crate) mod ask;
pub(crate) mod cell;
pub(crate) mod deallocation;
pub(crate) mod detach;
pub(crate) mod fastcall;
pub(crate) mod finalize;
pub(crate) mod log;
pub(crate) mod modules;
pub(crate) mod slot;
pub(crate) mod wait;
