//! The classes and functions of `nob.ipc`.

pub(crate) mod acquire;
pub(crate) mod asynchronous;
pub(crate) mod base;
pub(crate) mod batches;
pub(crate) mod bounded_semaphore;
pub(crate) mod channel;
pub(crate) mod channel_messages;
pub(crate) mod connection;
pub(crate) mod coroutine;
pub(crate) mod fast_paths;
pub(crate) mod holding;
pub(crate) mod lock;
pub(crate) mod message_queue;
pub(crate) mod notification;
pub(crate) mod pickle;
pub(crate) mod place;
pub(crate) mod registry;
pub(crate) mod semaphore;
pub(crate) mod send_receive;
pub(crate) mod server_events;
pub(crate) mod server_opening;
pub(crate) mod shared_memory;
pub(crate) mod sharing;
