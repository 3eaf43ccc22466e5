//! How any named object is opened, owned and removed, wherever it lives.

pub(crate) mod existence;
mod left;
pub(crate) mod live;
pub(crate) mod open;
pub(crate) mod options;
pub(crate) mod ownership;
mod traits;

pub use existence::Existence;
pub use live::{delete_all, delete_all_with};
pub use options::{Direction, Reservation};
pub use ownership::{Deletion, Lifetime, Ownership, fork_generation, unlink};
pub use traits::{Messages, Permits, Received};
