//! How any named object is opened, owned and removed, wherever it lives.

pub(crate) mod entry;
pub(crate) mod existence;
pub(crate) mod open;
pub(crate) mod owner;
#[cfg(test)]
mod owner_properties;

pub use entry::{Entry, fork_generation, unlink};
pub use existence::Existence;
