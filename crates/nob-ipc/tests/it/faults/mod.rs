//! Limits that are reached, file systems that are full, processes that are killed (contract 3.5, 7).

pub mod full_shm;
pub mod kills;
pub mod limits;
pub mod other_fs;
