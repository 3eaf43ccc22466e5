//! Named locks: at most one handle holds one, and a dead one holds nothing.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Permits;
use crate::object::ownership::Ownership;
use crate::robust::RobustFile;
use crate::wait::spin::Waiters;
use crate::wait::{Deadline, retry_on_interrupt};

mod guard;
mod options;
pub use guard::LockGuard;
pub use options::LockOptions;

/// A lock that processes share by name, and that survives its owner.
///
/// At most one living handle holds it. The owner is the handle, so any thread of its process may release.
/// When the owner dies by whatever signal, calls `exec`, exits, or drops its handle, the next who asks has
/// the lock at once, and one who sleeps within 16 ms; and [`owner_died`](Lock::owner_died) tells each holder
/// until one calls [`mark_repaired`](Lock::mark_repaired). A living owner never loses the lock: neither to
/// time, nor to a stop signal or a debugger. A forked child holds nothing.
///
/// A handle has a descriptor and two mappings of its own, and there may be 1,023 of them: share
/// one among the threads of a process.
///
/// ```
/// use nob_ipc::{Existence, Lock};
///
/// let lock = Lock::options().existence(Existence::UnlinkAndCreate).open("/nob-ipc-doc-lock")?;
/// let guard = lock.acquire()?;
/// if guard.owner_died() {
///     // Make whole what the dead owner may have left half done; then:
///     guard.mark_repaired()?;
/// }
/// assert!(lock.is_held() && lock.is_locked()?);
/// drop(guard);
/// assert!(!lock.is_locked()?);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
///
/// # What it does not
///
/// It is not recursive: a second acquisition through the same handle waits. The order among those who wait
/// is not promised. Whoever may write to the file can make it lie, and whoever may only read it can keep
/// new handles from opening: give others both, or nothing.
#[derive(Debug)]
pub struct Lock {
    file: RobustFile,
    waiters: Waiters,
}

impl Lock {
    fn new(file: RobustFile) -> Lock {
        Lock { file, waiters: Waiters::new() }
    }

    /// The name, and who unlinks it.
    #[must_use]
    pub fn ownership(&self) -> &Arc<Ownership> {
        self.file.ownership()
    }

    /// The descriptor that keeps an [inheritable](LockOptions::inheritable) handle alive; `None` for any
    /// other, and in a forked child.
    ///
    /// When the process of the handle dies, what it held is free when the last copy of this descriptor is
    /// closed, as with flock(2). It is closed on `exec`: clear `FD_CLOEXEC` in the child, between fork and
    /// exec, for a program that is to hold on with all that it starts. A child that is forked and executes
    /// nothing has a copy as well. What is released, or given up by dropping the handle, is free at once,
    /// whoever has copies.
    #[must_use]
    pub fn life(&self) -> Option<BorrowedFd<'_>> {
        self.file.life()
    }

    /// Takes the lock if no living handle holds it.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell whether the owner lives.
    pub fn try_acquire(&self) -> Result<Option<LockGuard<'_>>> {
        Ok(self.try_take()?.then(|| LockGuard::new(self)))
    }

    /// Takes the lock; `None` when the deadline passed first. What is free at once is taken even then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`] after a signal or for a
    /// [periodic check](Deadline::checked_every): nothing was taken.
    pub fn acquire_until(&self, deadline: Deadline) -> Result<Option<LockGuard<'_>>> {
        let taken = self.try_take()? || self.wait_acquire(deadline)?;
        Ok(taken.then(|| LockGuard::new(self)))
    }

    /// Takes the lock, waiting as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    #[doc(alias = "pthread_mutex_lock")]
    pub fn acquire(&self) -> Result<LockGuard<'_>> {
        loop {
            match retry_on_interrupt(|| self.acquire_until(Deadline::NEVER)) {
                Ok(Some(guard)) => return Ok(guard),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the lock; `None` when `timeout` was over first. Signals do not end the wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use nob_ipc::{Existence, Lock};
    ///
    /// let lock =
    ///     Lock::options().existence(Existence::UnlinkAndCreate).open("/nob-ipc-doc-lock-timeout")?;
    /// let other = Lock::options().open("/nob-ipc-doc-lock-timeout")?;
    /// let guard = lock.acquire()?;
    /// assert!(other.acquire_timeout(Duration::from_millis(5))?.is_none());
    /// drop(guard);
    /// assert!(other.acquire_timeout(Duration::from_millis(5))?.is_some());
    /// # Ok::<(), nob_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    #[doc(alias = "pthread_mutex_clocklock")]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard<'_>>> {
        let deadline = Deadline::after(timeout);
        retry_on_interrupt(|| self.acquire_until(deadline))
    }

    #[inline]
    fn try_take(&self) -> Result<bool> {
        let slot = self.file.slot(Operation::Acquire)?;
        let word = &self.file.header().lock;
        if word.try_take_free(slot) { Ok(true) } else { word.try_take(&self.file, slot) }
    }

    /// Gives the lock up, and wakes one who waits. For a hold whose guard was [leaked](LockGuard::leak): a
    /// guard that is dropped at the same moment in another thread could give up what comes after its hold.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotHeld`] if this handle does not hold it; nothing changes then.
    #[doc(alias = "pthread_mutex_unlock")]
    #[inline]
    pub fn release(&self) -> Result<()> {
        match self.file.own_slot() {
            Some(slot) if self.file.header().lock.release(slot) => Ok(()),
            _ => Err(self.not_held(Operation::Release)),
        }
    }

    /// Gives up what a guard holds.
    #[inline]
    fn release_held(&self) {
        if let Some(slot) = self.file.own_slot() {
            self.file.header().lock.release_held(slot);
        }
    }

    /// Leaves the lock to others as dropping the handle does: if this handle holds it, the next holder is
    /// told that its owner has died.
    pub fn abandon(&self) {
        self.file.abandon();
    }

    #[cold]
    fn not_held(&self, operation: Operation) -> Error {
        let why = "this handle does not hold it; acquire it first";
        Error::new(operation, self.file.name(), ErrorKind::NotHeld, None, why)
    }

    /// Whether an owner has died, or given up its handle, while it held the lock, and nobody has called
    /// [`mark_repaired`](Lock::mark_repaired) since.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell whether the owner lives.
    #[doc(alias = "EOWNERDEAD")]
    pub fn owner_died(&self) -> Result<bool> {
        let word = &self.file.header().lock;
        Ok(word.is_unrepaired() || self.has_dead_owner()?)
    }

    fn has_dead_owner(&self) -> Result<bool> {
        match self.file.header().lock.owner() {
            Some(slot) => Ok(!self.file.is_alive(slot, Operation::Inspect)?),
            None => Ok(false),
        }
    }

    /// Says that all is well again: [`owner_died`](Lock::owner_died) is `false` from here on, for everybody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotHeld`] if this handle does not hold the lock.
    #[doc(alias = "pthread_mutex_consistent")]
    pub fn mark_repaired(&self) -> Result<()> {
        if !self.is_held() {
            return Err(self.not_held(Operation::Configure));
        }
        self.file.header().lock.mark_repaired();
        Ok(())
    }

    /// Notes, for those who list objects, that the current hold goes on at this moment. Who begins to sleep
    /// until the lock is free does so as well; an acquisition alone does not, since the clock would cost
    /// more than the rest of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotHeld`] if this handle does not hold the lock.
    pub fn note_time(&self) -> Result<()> {
        if !self.is_held() {
            return Err(self.not_held(Operation::Configure));
        }
        self.file.header().lock.note_time();
        Ok(())
    }

    /// Whether a living handle holds it, at this moment.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell whether the owner lives.
    pub fn is_locked(&self) -> Result<bool> {
        Ok(self.living_owner()?.is_some())
    }

    fn living_owner(&self) -> Result<Option<u32>> {
        let owner = self.file.header().lock.owner();
        match owner {
            Some(slot) if self.file.is_alive(slot, Operation::Inspect)? => Ok(owner),
            _ => Ok(None),
        }
    }

    /// Whether this handle holds it.
    #[must_use]
    #[inline]
    pub fn is_held(&self) -> bool {
        let word = &self.file.header().lock;
        self.file.own_slot().is_some_and(|slot| word.is_owned_by(slot))
    }

    /// The process whose handle holds it, as that calls itself: to show to people, never to decide by. In
    /// another pid namespace the number is another process's, or none's.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell whether the owner lives.
    pub fn owner(&self) -> Result<Option<u32>> {
        Ok(self.living_owner()?.and_then(|slot| self.file.pid(slot)))
    }

    /// The number of this hold, larger than that of each earlier one: what a database or a device that
    /// knows the largest can refuse a late writer by.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotHeld`] if this handle does not hold the lock.
    #[doc(alias = "fencing token")]
    pub fn fence(&self) -> Result<u64> {
        if !self.is_held() {
            return Err(self.not_held(Operation::Inspect));
        }
        Ok(self.file.header().lock.fence())
    }
}

/// A lock is one permit.
impl Permits for Lock {
    #[inline]
    fn try_acquire(&self) -> Result<bool> {
        self.try_take()
    }

    fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        self.file.header().lock.wait(&self.file, &self.waiters, deadline)
    }

    #[inline]
    fn release(&self) -> Result<()> {
        self.release()
    }

    fn release_many(&self, count: u32) -> Result<()> {
        match count {
            1 => self.release(),
            0 => Err(Error::nothing_to_release(self.file.name())),
            _ => Err(self.not_held(Operation::Release)),
        }
    }

    fn value(&self) -> Result<u32> {
        self.is_locked().map(|locked| u32::from(!locked))
    }
}
