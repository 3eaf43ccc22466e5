//! The objects are the operating system's own.

pub mod c;
