//! What survives its owner: a file that processes share, in which whatever a handle takes carries the
//! number of the handle's slot, and in which it can be told at any moment whether that handle lives.
//!
//! Each handle has a lock on one byte of the file, far behind its end: its life byte. The kernel gives it
//! up when the process dies, calls `exec` or drops the handle, and at no other moment ([`life`]). So what a
//! dead handle has taken is taken over by the next who looks, without a pid or a thread number in shared
//! memory, and without a pointer that a peer could bend.
//!
//! Two rules keep a slot that is used again from being mistaken for the dead one before:
//!
//! - Whoever takes over what a dead slot had prevents meanwhile that anybody gets that slot.
//! - Whoever gets a slot first gives up what still carries its number.

mod event;
mod file;
pub(crate) mod header;
pub(crate) mod image;
pub(crate) mod life;
mod opening;
pub(crate) mod state;
mod taking;
mod word;

pub(crate) use event::Event;
pub(crate) use file::RobustFile;
pub(crate) use opening::{New, open};
pub(crate) use word::{NOBODY, OwnedWord};

use std::time::Duration;

/// How long a wait spins before it sleeps.
pub(crate) const SPIN: Duration = Duration::from_micros(10);
pub(crate) const SPIN_STRIDE: u32 = 8;

/// The pauses between two looks whether an owner lives, since nobody is woken by a death.
#[derive(Debug)]
pub(crate) struct Looks(Duration);

impl Looks {
    /// A sleep that ends before the kernel's next tick, which comes within 4 ms (`HZ=250`), has to be
    /// programmed into the hardware's timer: that made each wake-up on a virtual machine 6 µs dearer.
    const FIRST: Duration = Duration::from_millis(4);
    const LAST: Duration = Duration::from_millis(16);

    pub(crate) const fn new() -> Looks {
        Looks(Looks::FIRST)
    }

    /// How long to sleep until the next look.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (2 * pause).min(Looks::LAST);
        pause
    }
}
