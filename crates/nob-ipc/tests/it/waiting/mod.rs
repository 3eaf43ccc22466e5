//! Waits: until when, who is served, what a signal does to them (contract 5).

pub mod deadlines;
pub mod signals;
pub mod traffic;
pub mod wait_queue;
