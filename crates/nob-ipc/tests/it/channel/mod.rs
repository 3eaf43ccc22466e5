//! Channels: messages of any size, many senders and receivers, and processes that die (contract 10).

pub mod hostile;
pub mod kill_loop;
pub mod limits;
mod messages;
pub mod readiness;
pub mod traffic;
mod turns;
pub mod waits;

/// Where the page of a channel begins in its file; the words of those who send, and of those who receive; the
/// ends of the first ring; and the first ring.
const PAGE: u64 = 12_288;
const SENDERS: u64 = PAGE + 64;
const RECEIVERS: u64 = PAGE + 128;
const LANE: u64 = PAGE + 512;
const RINGS: u64 = 16_384;
