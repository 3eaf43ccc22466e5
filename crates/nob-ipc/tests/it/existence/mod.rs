//! Names, and what each `Existence` does about what has the name (contract 3).

pub mod flags;
pub mod names;
pub mod permissions;
pub mod planted;
pub mod races;
