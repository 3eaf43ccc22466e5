//! Named locks on a server.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use nob_ipc::{Deadline, Error, ErrorKind, Kind, Name, Operation, Permits, Result};

use crate::bounded_semaphore::pid;
use crate::connection::Connection;
use crate::events::{self, Events, Pending};
use crate::fault::{self, unexpected};
use crate::handle::Handle;
use crate::hold::Held;
use crate::opening::{self, Common, check_kind, common_setters, invalid};
use crate::plan::Plan;
use crate::scripts::Script;

/// How a [`Lock`] is opened; made by [`Lock::options`].
#[derive(Clone, Debug)]
pub struct LockOptions {
    common: Common,
}

impl LockOptions {
    /// How long this handle holds the lock after nothing is heard from it any more; default 10 s,
    /// at least 1 s.
    pub fn lease(&mut self, lease: Duration) -> &mut Self {
        self.common.lease = lease;
        self
    }

    common_setters!();

    /// Opens the lock called `name`; one leading slash is optional.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](ErrorKind::InvalidName), [`InvalidArgument`](ErrorKind::InvalidArgument) for
    /// a lease out of range, [`AlreadyExists`](ErrorKind::AlreadyExists) or
    /// [`NotFound`](ErrorKind::NotFound) as the [`Existence`](nob_ipc::Existence) says, and those
    /// of a [server](crate#errors).
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Lock> {
        self.open_named(&Name::new(Kind::Lock, name)?)
    }

    /// Opens the lock that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](LockOptions::open).
    pub fn open_named(&self, name: &Name) -> Result<Lock> {
        check_kind(name, Kind::Lock)?;
        self.common.check_lease(name)?;
        let (handle, _) = opening::open(&self.common, name, &[], &[("died", "0".into())])?;
        Ok(Lock { handle })
    }
}

/// A lock that processes on many machines share by name.
///
/// The owner is the handle, so any thread of its process may release. A native thread renews its
/// lease. When the process of the owner dies, or cannot reach the server for the length of the
/// lease, the next one gets the lock, with a larger [`fence`](Lock::fence), and is told by
/// [`owner_died`](Lock::owner_died) until somebody calls [`mark_repaired`](Lock::mark_repaired).
///
/// An owner that was silent for so long, and lives, has lost the lock: [`is_held`](Lock::is_held)
/// is false, and [`release`](Lock::release) ends in [`LockLost`](ErrorKind::LockLost). What it does
/// meanwhile may overlap with what the next owner does: let what is guarded refuse a fence that is
/// smaller than one it has seen.
///
/// ```no_run
/// use nob_ipc::Existence;
/// use nob_ipc_redis::{Connection, Lock};
///
/// let server = Connection::open("redis://localhost")?;
/// let lock = Lock::options(&server).existence(Existence::LinkOrCreate).open("/deploy")?;
/// let guard = lock.guard()?;
/// if lock.owner_died()? {
///     // Make whole what the dead owner may have left half done; then:
///     lock.mark_repaired()?;
/// }
/// guard.release()?;
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Lock {
    handle: Arc<Handle>,
}

impl Lock {
    /// Options to open a lock with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options(connection: &Connection) -> LockOptions {
        LockOptions { common: Common::new(connection) }
    }

    /// The name, the state and the end of this handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How long this handle holds the lock after nothing is heard from it any more.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.handle.lease
    }

    fn plan(&self) -> Plan<'static> {
        Plan::take_leased(Script::Lock, self.handle.lease)
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn try_acquire(&self) -> Result<bool> {
        self.acquire_until(Deadline::NOW)
    }

    /// Takes the lock; `false` when the deadline passed first. What is free at once is taken even
    /// then.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](Lock::wait_acquire).
    pub fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        self.handle.wait(&self.plan(), deadline, false).map(|taken| taken.is_some())
    }

    /// Waits for the lock, after [`try_acquire`](Lock::try_acquire) has not got it.
    ///
    /// # Errors
    ///
    /// [`Interrupted`](ErrorKind::Interrupted) when the [check](crate::ConnectionOptions::check),
    /// or the deadline's, says so: nothing was taken. Those of a [server](crate#errors).
    pub fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        self.handle.wait(&self.plan(), deadline, true).map(|taken| taken.is_some())
    }

    /// Takes the lock, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](Lock::wait_acquire).
    pub fn acquire(&self) -> Result<()> {
        self.acquire_until(Deadline::NEVER).map(|_| ())
    }

    /// Takes the lock; `false` when `timeout` was over first.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](Lock::wait_acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool> {
        self.acquire_until(Deadline::after(timeout))
    }

    /// Takes the lock, waiting as long as it takes, and gives it up when the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](Lock::wait_acquire).
    pub fn guard(&self) -> Result<LockGuard<'_>> {
        self.acquire()?;
        Ok(LockGuard { lock: self, held: true })
    }

    /// What this handle holds, the lost included.
    fn hold(&self, operation: Operation) -> Result<Held> {
        let held = self.handle.existing_hold().and_then(|hold| hold.last());
        held.filter(|held| !held.may_be_released()).ok_or_else(|| self.not_held(operation))
    }

    fn not_held(&self, operation: Operation) -> Error {
        let why = "this handle does not hold it; acquire it first";
        Error::elsewhere(self.handle.subject(operation), ErrorKind::NotHeld, None, why)
    }

    fn lost(&self, operation: Operation) -> Error {
        fault::lost(self.handle.subject(operation))
    }

    /// How what is held is released: it is taken out. A lost one is forgotten: the next owner is to be
    /// told of it.
    fn plan_release(&self) -> Result<Plan<'static>> {
        let (held, unanswered) = self.handle.take_to_release(1)?;
        let Some(first) = held.first() else { return Err(self.not_held(Operation::Release)) };
        let (token, good) = (first.token.clone(), first.is_good());
        let how = Cow::Borrowed(&b"release"[..]);
        let tail = vec![Cow::Owned(token.clone().into_bytes()), how];
        let plan = Plan { held, ..Plan::once(Script::Unlock, Operation::Release, tail) };
        let plan = Plan { token, ..plan }.repeating(unanswered);
        if good || plan.again.is_some() { Ok(plan) } else { Err(self.lost(Operation::Release)) }
    }

    /// Gives the lock up, and wakes the first who waits.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](ErrorKind::NotHeld) if this handle does not hold it;
    /// [`LockLost`](ErrorKind::LockLost) if it did, and its lease ran out before; those of a
    /// [server](crate#errors): it may be held still then, and its lease, which is not renewed any
    /// more, ends it. After [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), and after an interruption,
    /// another call repeats that very release, as [`Retry`](crate::Retry) does.
    pub fn release(&self) -> Result<()> {
        self.handle.once(&self.plan_release()?).map(|_| ())
    }

    /// Says that all is well again: [`owner_died`](Lock::owner_died) is `false` from here on, for
    /// everybody.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](ErrorKind::NotHeld), [`LockLost`](ErrorKind::LockLost), those of a
    /// [server](crate#errors).
    pub fn mark_repaired(&self) -> Result<()> {
        let held = self.hold(Operation::Configure)?;
        if !held.is_good() {
            return Err(self.lost(Operation::Configure));
        }
        let tail = vec![Cow::Owned(held.token.into_bytes())];
        self.handle.once(&Plan::once(Script::Repair, Operation::Configure, tail)).map(|_| ())
    }

    fn state(&self) -> Result<(Option<String>, bool)> {
        let answer =
            self.handle.once(&Plan::once(Script::Owner, Operation::Inspect, Vec::new()))?;
        let [_, owner, died] = answer.list() else {
            return Err(unexpected(self.handle.subject(Operation::Inspect), &answer));
        };
        Ok((Some(owner.text()).filter(|owner| !owner.is_empty()), died.integer() == Some(1)))
    }

    /// Whether an owner has ended or fallen silent while it held the lock, or has given up its
    /// handle, and nobody has called [`mark_repaired`](Lock::mark_repaired) since. Asks the server.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn owner_died(&self) -> Result<bool> {
        self.state().map(|(_, died)| died)
    }

    /// Whether anybody holds it, at this moment. Asks the server.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn is_locked(&self) -> Result<bool> {
        self.state().map(|(owner, _)| owner.is_some())
    }

    /// The process whose handle holds it, as that calls itself on its machine: to show to people.
    /// Asks the server.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn owner(&self) -> Result<Option<u32>> {
        self.state().map(|(owner, _)| owner.and_then(|token| pid(&token)))
    }

    /// Whether this handle holds it and may count on that now. Does not ask the server.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold(Operation::Inspect).is_ok_and(|held| held.is_good())
    }

    /// The number of this hold, larger than that of each earlier one by anybody. The numbers do not
    /// follow each other.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](ErrorKind::NotHeld), also after it was lost and released;
    /// [`LockLost`](ErrorKind::LockLost).
    pub fn fence(&self) -> Result<u64> {
        let held = self.hold(Operation::Inspect)?;
        if held.is_good() { Ok(held.fence) } else { Err(self.lost(Operation::Inspect)) }
    }

    /// Begins to take the lock; `events` tells of the end.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed).
    pub fn start_acquire(
        &self,
        events: &Events,
        token: u64,
        deadline: Deadline,
    ) -> Result<Pending> {
        events::start(&self.handle, events, token, self.plan(), false, deadline)
    }

    /// Begins to give the lock up; `events` tells of the end. The handle does not hold it from here
    /// on, unless that fails; then it is as after [`release`](Lock::release).
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed), [`NotHeld`](ErrorKind::NotHeld),
    /// [`LockLost`](ErrorKind::LockLost).
    pub fn start_release(&self, events: &Events, token: u64) -> Result<Pending> {
        let plan = self.plan_release()?;
        events::start(&self.handle, events, token, plan, false, Deadline::NEVER)
    }
}

/// A lock is one permit.
impl Permits for Lock {
    fn try_acquire(&self) -> Result<bool> {
        self.try_acquire()
    }

    fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        self.wait_acquire(deadline)
    }

    fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        self.acquire_until(deadline)
    }

    fn release_many(&self, count: u32) -> Result<()> {
        if count == 1 {
            return self.release();
        }
        let why = format!("a lock is released once, not {count} times");
        Err(invalid(self.handle.name(), Operation::Release, why))
    }

    fn value(&self) -> Result<u32> {
        self.is_locked().map(|locked| u32::from(!locked))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody is there to be told; `Handle::delete` tells.
        let _ = self.handle.delete();
    }
}

/// A hold of a [`Lock`], given up when this is dropped. Made by [`Lock::guard`].
#[derive(Debug)]
#[must_use = "dropping the guard gives the lock up"]
pub struct LockGuard<'a> {
    lock: &'a Lock,
    held: bool,
}

impl LockGuard<'_> {
    /// Gives the lock up, and says how that went: dropping the guard cannot.
    ///
    /// # Errors
    ///
    /// As [`Lock::release`].
    pub fn release(mut self) -> Result<()> {
        self.held = false;
        self.lock.release()
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        if self.held {
            // What fails here ends with the lease.
            let _ = self.lock.release();
        }
    }
}
