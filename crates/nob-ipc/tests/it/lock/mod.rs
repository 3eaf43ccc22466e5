//! Locks: what they have besides what `owned` says of them.

mod fence;
pub mod kill_loop;
pub mod told;
