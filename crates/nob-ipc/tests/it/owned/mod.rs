//! What locks and bounded semaphores have in common: contract 9.

pub mod deaths;
pub mod forks;
pub mod handed_on;
mod holding;
pub mod hostile;
pub mod namespaces;
pub mod slots;
pub mod staying;
