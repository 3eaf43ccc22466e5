//! Bounded semaphores: what they have besides what `owned` says of them.

pub mod kill_loop;
pub mod permits;
