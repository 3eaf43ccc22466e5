//! Named semaphores: a count that processes share.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Permits;
use crate::object::ownership::Ownership;
use crate::sys::time::monotonic;
use crate::sys::{self, Errno};
use crate::wait::spin::Waiters;
use crate::wait::{Deadline, retry_on_interrupt};

mod mapping;
mod options;
mod poller;
use mapping::Mapping;
pub use options::SemaphoreOptions;
pub use poller::SemaphorePoller;

/// How long a wait spins before it sleeps.
const SPIN: Duration = Duration::from_micros(10);
const SPIN_STRIDE: u32 = 8;

/// How long a wait sleeps before it tries by itself. A release wakes one waiter; if that one is killed
/// before it takes the permit, nobody wakes the others.
const RETRY: Duration = Deadline::CHECK_INTERVAL;

/// A semaphore that processes share by name.
///
/// Its value is a number of permits. [`acquire`](Semaphore::acquire) takes one and waits while there
/// is none; [`release`](Semaphore::release) gives one back. Nobody owns a permit: any process may
/// release, and a process that dies with one does not give it back.
///
/// The file is glibc's own format, so a C program that calls
/// [`sem_open`](https://man7.org/linux/man-pages/man3/sem_open.3.html) with the same name shares
/// it. No descriptor stays open.
///
/// ```
/// use nob_ipc::{Existence, Semaphore};
///
/// let semaphore = Semaphore::options()
///     .initial_value(1)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-semaphore")?;
/// {
///     let _permit = semaphore.guard()?;
///     assert!(!semaphore.try_acquire());
/// }
/// assert_eq!(semaphore.value(), 1);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Semaphore {
    mapping: Arc<Mapping>,
    waiters: Waiters,
    ownership: Arc<Ownership>,
}

impl Semaphore {
    /// The largest value (`SEM_VALUE_MAX`).
    pub const MAX_VALUE: u32 = sys::SEM_VALUE_MAX;

    /// The name, and who unlinks it.
    #[must_use]
    pub fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    /// Takes a permit if there is one
    /// ([sem_trywait(3)](https://man7.org/linux/man-pages/man3/sem_wait.3.html)).
    #[doc(alias = "sem_trywait")]
    #[inline]
    pub fn try_acquire(&self) -> bool {
        self.mapping.try_wait()
    }

    /// Takes a permit; `false` when the deadline passed first. What is there at once is taken even
    /// then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`] after a signal or for a
    /// [periodic check](Deadline::checked_every): nothing was taken.
    #[doc(alias = "sem_clockwait")]
    pub fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        if self.try_acquire() { Ok(true) } else { self.wait_acquire(deadline) }
    }

    /// Waits for a permit, after [`try_acquire`](Semaphore::try_acquire) has found none: as
    /// [`acquire_until`](Semaphore::acquire_until), without its first try.
    ///
    /// # Errors
    ///
    /// As [`acquire_until`](Semaphore::acquire_until).
    pub fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        if deadline.is_now() {
            return Ok(false);
        }
        let waiting = self.waiters.enter();
        let attempt = || self.try_acquire().then_some(());
        if waiting.spin(SPIN, SPIN_STRIDE, deadline, attempt).is_some() {
            return Ok(true);
        }
        let end = deadline.sleep_until();
        loop {
            let retry = monotonic().saturating_add(RETRY);
            match self.mapping.wait_until(end.min(retry)) {
                Ok(()) => return Ok(true),
                Err(Errno::TIMEDOUT) if self.try_acquire() => return Ok(true),
                Err(Errno::TIMEDOUT) if retry < end => {}
                Err(Errno::TIMEDOUT | Errno::INTR) if deadline.has_passed() => return Ok(false),
                Err(Errno::TIMEDOUT) => {
                    return Err(Error::periodic_check(Operation::Acquire, self.ownership.name()));
                }
                Err(errno) => {
                    return Err(Error::from_errno(
                        Operation::Acquire,
                        self.ownership.name(),
                        errno,
                    ));
                }
            }
        }
    }

    /// Takes a permit, waiting as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    #[doc(alias = "sem_wait")]
    pub fn acquire(&self) -> Result<()> {
        retry_on_interrupt(|| self.acquire_until(Deadline::NEVER)).map(|_| ())
    }

    /// Takes a permit; `false` when `timeout` was over first. Signals do not end the wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use nob_ipc::{Existence, Semaphore};
    ///
    /// let semaphore = Semaphore::options()
    ///     .initial_value(0)
    ///     .existence(Existence::UnlinkAndCreate)
    ///     .open("/nob-ipc-doc-timeout")?;
    /// assert!(!semaphore.acquire_timeout(Duration::from_millis(5))?);
    /// semaphore.release()?;
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(5))?);
    /// # Ok::<(), nob_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    #[doc(alias = "sem_timedwait")]
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool> {
        let deadline = Deadline::after(timeout);
        retry_on_interrupt(|| self.acquire_until(deadline))
    }

    /// Takes a permit and gives it back when the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    pub fn guard(&self) -> Result<Permit<'_>> {
        self.acquire()?;
        Ok(Permit { semaphore: self })
    }

    /// Gives one permit and wakes a waiter
    /// ([sem_post(3)](https://man7.org/linux/man-pages/man3/sem_post.3.html)).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overflow`] if the value is at its maximum; it stays there.
    #[doc(alias = "sem_post")]
    #[inline]
    pub fn release(&self) -> Result<()> {
        match self.mapping.post() {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.release_error(errno, 1)),
        }
    }

    /// Gives `count` permits in one step, and wakes as many waiters. If the value would pass its
    /// maximum, none is given.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overflow`] if the value would pass its maximum, [`ErrorKind::InvalidArgument`]
    /// for 0.
    pub fn release_many(&self, count: u32) -> Result<()> {
        if count == 0 {
            return Err(Error::nothing_to_release(self.ownership.name()));
        }
        self.mapping.post_many(count).map_err(|errno| self.release_error(errno, count))
    }

    #[cold]
    fn release_error(&self, errno: Errno, count: u32) -> Error {
        let name = self.ownership.name();
        if errno != Errno::OVERFLOW {
            return Error::from_errno(Operation::Release, name, errno);
        }
        let max = Semaphore::MAX_VALUE;
        let why = format!(
            "{count} more would pass the maximum value of {max}, so nothing was released; acquire some \
             first"
        );
        Error::new(Operation::Release, name, ErrorKind::Overflow, Some(errno), why)
    }

    /// The number of permits at this moment; 0 also when somebody waits
    /// ([sem_getvalue(3)](https://man7.org/linux/man-pages/man3/sem_getvalue.3.html)).
    #[doc(alias = "sem_getvalue")]
    #[must_use]
    pub fn value(&self) -> u32 {
        self.mapping.value()
    }
}

impl Permits for Semaphore {
    #[inline]
    fn try_acquire(&self) -> Result<bool> {
        Ok(self.try_acquire())
    }

    fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        self.wait_acquire(deadline)
    }

    #[inline]
    fn release(&self) -> Result<()> {
        self.release()
    }

    fn release_many(&self, count: u32) -> Result<()> {
        self.release_many(count)
    }

    fn value(&self) -> Result<u32> {
        Ok(self.value())
    }
}

/// A permit that is given back when this is dropped; made by [`Semaphore::guard`].
#[derive(Debug)]
#[must_use = "dropping the guard gives the permit back"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Fails only if others have raised the value to its maximum meanwhile: then there is no
        // permit missing.
        let _ = self.semaphore.release();
    }
}
