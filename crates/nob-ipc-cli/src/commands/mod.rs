//! What each command does.

mod any_lock;
pub mod channel;
pub mod completions;
mod creation;
pub mod doctor;
mod doctor_checks;
pub mod lock;
pub mod ls;
mod messages;
pub mod mq;
pub mod permits;
pub mod reap;
pub mod rm;
mod run;
pub mod sem;
pub mod shm;
pub mod show;
mod table;
