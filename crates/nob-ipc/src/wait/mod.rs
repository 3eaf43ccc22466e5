//! When a wait ends, and what it does until then.

mod deadline;
mod retry;
pub(crate) mod sleep;
pub(crate) mod spin;

pub use deadline::Deadline;
pub use retry::retry_on_interrupt;
