//! Named semaphores whose permits come back when their holder dies.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Permits;
use crate::object::ownership::Ownership;
use crate::robust::header;
use crate::robust::{Looks, NOBODY, RobustFile, SPIN, SPIN_STRIDE};
use crate::wait::sleep::Sleeps;
use crate::wait::spin::Waiters;
use crate::wait::{Deadline, retry_on_interrupt};

mod options;
pub use options::BoundedSemaphoreOptions;

/// A semaphore that processes share by name, whose permits survive their holders.
///
/// At most [`bound`](BoundedSemaphore::bound) permits are held, by living handles. The holder is the handle,
/// so any thread of its process may release. When a holder dies by whatever signal, calls `exec`, exits, or
/// drops its handle, its permits are free: the next who asks has one at once, and one who sleeps within
/// 16 ms. A forked child holds none.
///
/// A handle has a descriptor and two mappings of its own, and there may be 1,023 of them: share
/// one among the threads of a process.
///
/// ```
/// use nob_ipc::{BoundedSemaphore, Existence};
///
/// let permits = BoundedSemaphore::options()
///     .bound(2)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-permits-bounded")?;
/// let one = permits.guard()?;
/// let two = permits.guard()?;
/// assert!(!permits.try_acquire()?);
/// drop(one);
/// assert_eq!((permits.value()?, permits.bound()), (1, 2));
/// # drop(two);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct BoundedSemaphore {
    file: RobustFile,
    waiters: Waiters,
    /// Where a permit was last taken or given back: the first place to look.
    last: AtomicUsize,
}

impl BoundedSemaphore {
    /// The largest bound.
    pub const MAX_BOUND: u32 = header::MAX_PERMITS;

    fn new(file: RobustFile) -> BoundedSemaphore {
        BoundedSemaphore { file, waiters: Waiters::new(), last: AtomicUsize::new(0) }
    }

    /// The name, and who unlinks it.
    #[must_use]
    pub fn ownership(&self) -> &Arc<Ownership> {
        self.file.ownership()
    }

    /// The descriptor that keeps an [inheritable](BoundedSemaphoreOptions::inheritable) handle alive; `None`
    /// for any other, and in a forked child.
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

    /// How many permits there are, free or held.
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.file.permits()
    }

    /// The cells of the permits. There are not more than the file has room for.
    #[inline]
    fn cells(&self) -> &[AtomicU32] {
        let cells = &self.file.header().cells;
        &cells[..cells.len().min(self.file.permits() as usize)]
    }

    /// Takes a permit if one is not held by a living handle.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell whether a holder lives.
    #[inline]
    pub fn try_acquire(&self) -> Result<bool> {
        let slot = self.file.slot(Operation::Acquire)?;
        Ok(self.take_free(slot) || self.take_from_dead(slot)?)
    }

    /// Takes a permit that nobody has.
    #[inline]
    fn take_free(&self, slot: u32) -> bool {
        self.exchange(NOBODY, slot)
    }

    /// Puts `to` in the place of `from` in one cell; `false`: there is no such cell.
    #[inline]
    fn exchange(&self, from: u32, to: u32) -> bool {
        let exchange = |cell: &AtomicU32| {
            cell.load(Ordering::SeqCst) == from
                && cell.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        };
        let cells = self.cells();
        if cells.get(self.last.load(Ordering::Relaxed)).is_some_and(exchange) {
            return true;
        }
        let place = cells.iter().position(exchange);
        if let Some(place) = place {
            self.last.store(place, Ordering::Relaxed);
        }
        place.is_some()
    }

    /// Takes the permit of a dead holder.
    #[cold]
    fn take_from_dead(&self, slot: u32) -> Result<bool> {
        const OPERATION: Operation = Operation::Acquire;
        let mut living = NOBODY;
        for cell in self.cells() {
            let holder = cell.load(Ordering::Relaxed);
            // One who has several often has them side by side.
            if holder == NOBODY || holder == living {
                continue;
            }
            if self.file.is_alive(holder, OPERATION)? {
                living = holder;
                continue;
            }
            let take =
                || cell.compare_exchange(holder, slot, Ordering::SeqCst, Ordering::Relaxed).is_ok();
            if self.file.while_dead(holder, OPERATION, take)? == Some(true) {
                self.file.header().deaths.fetch_add(1, Ordering::Relaxed);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a permit; `false` when the deadline passed first. What is there at once is taken even then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`] after a signal or for a
    /// [periodic check](Deadline::checked_every): nothing was taken.
    pub fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        if self.try_acquire()? { Ok(true) } else { self.wait_acquire(deadline) }
    }

    /// Waits for a permit, after [`try_acquire`](BoundedSemaphore::try_acquire) has found none.
    ///
    /// # Errors
    ///
    /// As [`acquire_until`](BoundedSemaphore::acquire_until).
    pub fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        const OPERATION: Operation = Operation::Acquire;
        if deadline.is_now() {
            return Ok(false);
        }
        let slot = self.file.slot(OPERATION)?;
        let waiting = self.waiters.enter();
        let attempt = || self.take_free(slot).then_some(());
        if waiting.spin(SPIN, SPIN_STRIDE, deadline, attempt).is_some() {
            return Ok(true);
        }
        let header = self.file.header();
        let sleeps = Sleeps::new(OPERATION, self.file.name(), deadline);
        let _asleep = self.file.note_sleeper(slot);
        let mut looks = Looks::new();
        loop {
            let seen = header.freed.announce();
            if self.take_free(slot) || self.take_from_dead(slot)? {
                return Ok(true);
            }
            let Some(rest) = sleeps.rest()? else { return Ok(false) };
            let slept = header.freed.sleep(seen, rest.min(looks.next_pause()));
            if !sleeps.go_on(slept)? {
                return Ok(false);
            }
        }
    }

    /// Takes a permit, waiting as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    pub fn acquire(&self) -> Result<()> {
        retry_on_interrupt(|| self.acquire_until(Deadline::NEVER)).map(|_| ())
    }

    /// Takes a permit; `false` when `timeout` was over first. Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool> {
        let deadline = Deadline::after(timeout);
        retry_on_interrupt(|| self.acquire_until(deadline))
    }

    /// Takes a permit and gives it back when the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`acquire`](BoundedSemaphore::acquire).
    pub fn guard(&self) -> Result<BoundedPermit<'_>> {
        self.acquire()?;
        Ok(BoundedPermit { semaphore: self })
    }

    /// Gives one of this handle's permits back, and wakes one who waits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotHeld`] if this handle has none; nothing changes then.
    #[inline]
    pub fn release(&self) -> Result<()> {
        match self.file.own_slot() {
            Some(slot) if self.give_back(slot) => Ok(()),
            _ => Err(self.not_held(1)),
        }
    }

    #[inline]
    fn give_back(&self, slot: u32) -> bool {
        let freed = self.exchange(slot, NOBODY);
        if freed {
            self.file.header().freed.notify(1);
        }
        freed
    }

    /// Leaves all permits of this handle to others, as dropping it does.
    pub fn abandon(&self) {
        self.file.abandon();
    }

    #[cold]
    fn not_held(&self, count: u32) -> Error {
        let why = if count == 1 {
            "this handle has no permit; acquire one first".to_string()
        } else {
            format!("this handle has less than {count} permits, so none was released")
        };
        Error::new(Operation::Release, self.file.name(), ErrorKind::NotHeld, None, why)
    }

    /// How many permits this handle has.
    #[must_use]
    pub fn held(&self) -> u32 {
        let Some(slot) = self.file.own_slot() else { return 0 };
        let has = |cell: &&AtomicU32| cell.load(Ordering::Relaxed) == slot;
        u32::try_from(self.cells().iter().filter(has).count()).unwrap_or(u32::MAX)
    }

    /// How many permits are free at this moment, those of dead holders included.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell whether a holder lives.
    pub fn value(&self) -> Result<u32> {
        let held = u32::try_from(self.living_holders()?.len()).unwrap_or(u32::MAX);
        Ok(self.bound().saturating_sub(held))
    }

    /// The processes whose handles have permits, as they call themselves, one for each permit: to show to
    /// people, never to decide by.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell whether a holder lives.
    pub fn holders(&self) -> Result<Vec<u32>> {
        let holders = self.living_holders()?;
        Ok(holders.into_iter().filter_map(|slot| self.file.pid(slot)).collect())
    }

    fn living_holders(&self) -> Result<Vec<u32>> {
        let mut living = Vec::new();
        for cell in self.cells() {
            let holder = cell.load(Ordering::Relaxed);
            if holder != NOBODY
                && (living.last() == Some(&holder)
                    || self.file.is_alive(holder, Operation::Inspect)?)
            {
                living.push(holder);
            }
        }
        Ok(living)
    }
}

impl Permits for BoundedSemaphore {
    #[inline]
    fn try_acquire(&self) -> Result<bool> {
        self.try_acquire()
    }

    fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        self.wait_acquire(deadline)
    }

    #[inline]
    fn release(&self) -> Result<()> {
        self.release()
    }

    fn release_many(&self, count: u32) -> Result<()> {
        if count == 0 {
            return Err(Error::nothing_to_release(self.file.name()));
        }
        if self.held() < count {
            return Err(self.not_held(count));
        }
        (0..count).try_for_each(|_| self.release())
    }

    fn value(&self) -> Result<u32> {
        self.value()
    }
}

/// A permit that is given back when this is dropped; made by [`BoundedSemaphore::guard`].
#[derive(Debug)]
#[must_use = "dropping the guard gives the permit back"]
pub struct BoundedPermit<'a> {
    semaphore: &'a BoundedSemaphore,
}

impl Drop for BoundedPermit<'_> {
    fn drop(&mut self) {
        // None held: in a forked child, or released by hand. Then there is nothing to give back.
        let _ = self.semaphore.release();
    }
}
