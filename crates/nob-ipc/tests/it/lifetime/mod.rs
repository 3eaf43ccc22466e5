//! When a name goes, and what closing, forking and ending do to it (contract 3.10, 4).

pub mod close_and_unlink;
pub mod fork;
pub mod shared;
