//! Values of semaphores, and watching them (contract 6).

pub mod poller;
pub mod value;
