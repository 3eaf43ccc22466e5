//! How any named object is opened, owned and removed, wherever it lives.

pub(crate) mod existence;
pub(crate) mod open;
pub(crate) mod ownership;
mod traits;

pub use existence::Existence;
pub use ownership::{Ownership, fork_generation, unlink};
pub use traits::{Messages, Permits, Received};
