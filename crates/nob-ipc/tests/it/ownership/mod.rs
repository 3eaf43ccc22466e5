//! Creators' marks: by which what a dead process left is told from what is in use (contract 3.9).

pub mod list_and_reap;
pub mod marks;
pub mod records;
pub mod time_namespace;
