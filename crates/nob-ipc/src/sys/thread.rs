//! Threads of the crate's own.

use std::hint::black_box;
use std::thread::Builder;

use super::signal::{block_all, set_mask};
use super::{Errno, Result};

/// Bytes of a thread's stack; it calls next to nothing.
const STACK: usize = 64 << 10;

/// Bytes that there have to be for what Rust and glibc keep of a thread: for want of them they end the
/// process, and the thread cannot tell.
const ROOM: usize = 16 << 10;

/// Starts a thread, which blocks all signals.
pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let mut room = Vec::<u8>::new();
    room.try_reserve_exact(ROOM).map_err(|_| Errno::NOMEM)?;
    // What is freed here is there for the thread.
    drop(black_box(room));
    // A thread inherits the mask of the one that starts it.
    let mask = block_all()?;
    let started = Builder::new().name(name.into()).stack_size(STACK).spawn(work);
    set_mask(&mask)?;
    started.map(drop).map_err(|error| error.raw_os_error().map_or(Errno::AGAIN, Errno))
}
