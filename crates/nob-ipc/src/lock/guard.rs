//! A hold that ends with its scope.

use std::mem;

use super::Lock;
use crate::error::Result;

/// A hold of a [`Lock`], given up when this is dropped. A panic that drops it gives the lock up as well,
/// and leaves no mark.
#[derive(Debug)]
#[must_use = "dropping the guard gives the lock up"]
pub struct LockGuard<'a> {
    lock: &'a Lock,
}

impl<'a> LockGuard<'a> {
    pub(super) fn new(lock: &'a Lock) -> LockGuard<'a> {
        LockGuard { lock }
    }

    /// Whether an owner has died while it held the lock, and nobody has said since that all is well.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.lock.file.header().lock.is_unrepaired()
    }

    /// Says that all is well again, as [`Lock::mark_repaired`] does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotHeld`](crate::ErrorKind::NotHeld) in a forked child, or if another has released it.
    pub fn mark_repaired(&self) -> Result<()> {
        self.lock.mark_repaired()
    }

    /// The number of this hold, as [`Lock::fence`] has it.
    ///
    /// # Errors
    ///
    /// As [`mark_repaired`](LockGuard::mark_repaired).
    pub fn fence(&self) -> Result<u64> {
        self.lock.fence()
    }

    /// Goes on holding without a guard, until [`Lock::release`].
    pub fn leak(self) {
        mem::forget(self);
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        // Not held: in a forked child, or released by hand. Then there is nothing to give up.
        self.lock.release_held();
    }
}
