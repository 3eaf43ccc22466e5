//! Messages and notifications of queues (contract 6).

pub mod messages;
pub mod notification;
