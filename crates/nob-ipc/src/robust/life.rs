//! The slot of a handle, and the life byte that shows whether it lives.
//!
//! The lock on the byte belongs to an open file description of its own. A mapped page keeps that, which no
//! child inherits, and the descriptor is closed at once. So the lock falls with the process, with `exec` and
//! with the handle. A thread's end, a forked child (by a raw `clone` as well), and a daemon that closes all
//! descriptors change nothing.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use super::header::{Header, SLOTS};
use crate::sys::byte_lock::{self, ByteLock};
use crate::sys::fork::{self, NoFork};
use crate::sys::mman::{Pin, PinCell};
use crate::sys::{self, Errno};

/// Where the life bytes begin: far behind any data.
const FIRST_BYTE: i64 = 1 << 40;

/// The life byte of a slot, or of what somebody wrote where the number of one belongs.
fn byte(slot: u32) -> i64 {
    FIRST_BYTE + i64::from(slot)
}

/// Whether the handle of a slot lives, as anybody who can open the file can see.
pub(crate) fn is_alive(file: BorrowedFd<'_>, slot: u32) -> sys::Result<bool> {
    byte_lock::is_locked(file, byte(slot))
}

/// Works while nobody can get a slot, if its handle is dead. `fresh` is a description that nobody else has.
///
/// A shared lock does it: it excludes the exclusive one of a living handle, and not the shared one of
/// somebody who looks, or who may only read the file and wants to disturb.
pub(super) fn while_dead<R>(
    fresh: &OwnedFd,
    slot: u32,
    work: impl FnOnce() -> R,
) -> sys::Result<Option<R>> {
    let byte = byte(slot);
    if !byte_lock::try_lock(fresh.as_fd(), ByteLock::Shared, byte)? {
        return Ok(None);
    }
    let result = work();
    // A child that another thread forks meanwhile has the description. The work is done: if this fails, the
    // lock falls with the last copy of it.
    let _ = byte_lock::unlock(fresh.as_fd(), byte);
    Ok(Some(result))
}

/// A slot that a process has got.
pub(super) struct Claim {
    pub slot: u32,
    /// The description that has the lock, for those who want to hand it on.
    pub file: Option<OwnedFd>,
    pin: Pin,
    generation: u64,
}

/// Gets a slot: a lock on its life byte. `open` opens the file afresh; `keep`: whether a descriptor stays.
/// `None`: there is none left.
pub(super) fn claim(
    header: &Header,
    open: impl Fn() -> sys::Result<OwnedFd>,
    keep: bool,
) -> sys::Result<Option<Claim>> {
    loop {
        let generation = fork::generation();
        let no_fork = NoFork::begin();
        let fresh = open()?;
        let Some(slot) = lock_free_slot(header, fresh.as_fd())? else { return Ok(None) };
        let pin = Pin::new(fresh.as_fd())?;
        // A child that has the descriptor or the page would keep this slot alive. If this fails, nobody can
        // have the slot before the child ends.
        if !no_fork.holds() {
            let _ = byte_lock::unlock(fresh.as_fd(), byte(slot));
            continue;
        }
        let file = keep.then_some(fresh);
        if no_fork.holds() {
            return Ok(Some(Claim { slot, file, pin, generation }));
        }
    }
}

fn lock_free_slot(header: &Header, fresh: BorrowedFd<'_>) -> sys::Result<Option<u32>> {
    let first = header.slot_hint.load(Ordering::Relaxed) % SLOTS;
    for step in 0..SLOTS {
        let slot = (first + step) % SLOTS + 1;
        if byte_lock::try_lock(fresh, ByteLock::Exclusive, byte(slot))? {
            header.slot_hint.store(slot % SLOTS, Ordering::Relaxed);
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// Ends the life of a handle for everybody who has the description.
pub(super) fn end(file: BorrowedFd<'_>, slot: u32) -> sys::Result<()> {
    byte_lock::unlock(file, byte(slot))
}

/// The slot of a handle in this process: a forked child gets one of its own.
#[derive(Debug)]
pub(super) struct Life {
    /// The slot, and above it the fork generation in which it was claimed.
    claimed: AtomicU64,
    pin: PinCell,
}

const SLOT_BITS: u32 = 16;

fn pack(slot: u32, generation: u64) -> u64 {
    // 2^48 forks from parent to child would be needed to repeat the part that is kept.
    generation << SLOT_BITS | u64::from(slot)
}

impl Life {
    pub(super) fn new(claim: Claim) -> Life {
        let Claim { slot, pin, generation, .. } = claim;
        Life { claimed: AtomicU64::new(pack(slot, generation)), pin: PinCell::new(pin) }
    }

    /// The slot; `None` in a forked child that has none of its own yet.
    #[inline]
    pub(super) fn slot(&self) -> Option<u32> {
        let claimed = self.claimed.load(Ordering::Relaxed);
        let current = claimed >> SLOT_BITS == fork::generation() & (u64::MAX >> SLOT_BITS);
        current.then_some((claimed & ((1 << SLOT_BITS) - 1)) as u32)
    }

    /// Takes a claim for the handle's, unless another thread has been first.
    pub(super) fn renew(&self, claim: Claim) -> sys::Result<u32> {
        let Claim { slot, pin, generation, .. } = claim;
        let before = self.claimed.load(Ordering::Relaxed);
        if self.slot().is_none()
            && self
                .claimed
                .compare_exchange(
                    before,
                    pack(slot, generation),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
        {
            // What it replaces is that of the parent, and does nothing here.
            self.pin.replace(pin);
        }
        self.slot().ok_or(Errno::AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use nob_ipc_testing::Unique;

    use super::*;
    use crate::name::Name;
    use crate::sys::OpenMode;
    use crate::sys::mman::Mapped;
    use crate::{Existence, Kind, Lock};

    /// A file, and a way to open it afresh.
    fn with_file(body: impl FnOnce(&Header, &dyn Fn() -> sys::Result<OwnedFd>)) {
        let unique = Unique::new();
        let name = Name::new(Kind::Lock, &unique).unwrap();
        let _lock = Lock::options().existence(Existence::Create).open_named(&name).unwrap();
        let open = || sys::fcntl::open(&name.path(), OpenMode::ReadWrite);
        let header = Mapped::new(open().unwrap().as_fd()).unwrap();
        body(&header, &open);
    }

    /// Claims the slot if it is free, and the next one if not.
    fn claim_or_next(header: &Header, slot: u32, open: &dyn Fn() -> sys::Result<OwnedFd>) -> Claim {
        header.slot_hint.store(slot - 1, Ordering::Relaxed);
        claim(header, open, false).unwrap().expect("there are free slots")
    }

    #[test]
    fn nobody_gets_a_slot_while_somebody_settles_it() {
        with_file(|header, open| {
            let [one, other] = [(); 2].map(|()| open().unwrap());
            let claimed = while_dead(&one, 7, || {
                // Others may settle it at the same time; a compare-and-swap decides among them.
                assert_eq!(while_dead(&other, 7, || ()), Ok(Some(())));
                claim_or_next(header, 7, open).slot
            });
            assert_eq!(claimed, Ok(Some(8)));
            assert_eq!(claim_or_next(header, 7, open).slot, 7);
        });
    }

    #[test]
    fn nobody_settles_the_slot_of_the_living() {
        with_file(|header, open| {
            let file = open().unwrap();
            assert_eq!(is_alive(file.as_fd(), 7), Ok(false));
            let claim = claim_or_next(header, 7, open);
            assert_eq!(is_alive(file.as_fd(), 7), Ok(true));
            assert_eq!(while_dead(&file, 7, || panic!("it lives")), Ok(None));
            drop(claim);
            assert_eq!(is_alive(file.as_fd(), 7), Ok(false));
            assert_eq!(while_dead(&file, 7, || 1), Ok(Some(1)));
        });
    }
}
