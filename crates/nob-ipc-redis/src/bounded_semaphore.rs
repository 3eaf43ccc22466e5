//! Named semaphores on a server whose permits come back when their holder falls silent.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use nob_ipc::{Deadline, Error, ErrorKind, Kind, Name, Operation, Permits, Result};

use crate::connection::Connection;
use crate::events::{self, Events, Pending};
use crate::handle::Handle;
use crate::opening::{self, Common, check_kind, common_setters, invalid};
use crate::plan::Plan;
use crate::scripts::Script;
use crate::wire::Value;

/// How a [`BoundedSemaphore`] is opened; made by [`BoundedSemaphore::options`].
#[derive(Clone, Debug)]
pub struct BoundedSemaphoreOptions {
    bound: u32,
    common: Common,
}

impl BoundedSemaphoreOptions {
    /// How many permits there are, held or free, in one that is created: 1 to
    /// [`BoundedSemaphore::MAX_BOUND`]; default 1.
    pub fn bound(&mut self, bound: u32) -> &mut Self {
        self.bound = bound;
        self
    }

    /// How long a permit is held by a handle from which nothing is heard any more; default 10 s, at
    /// least 1 s.
    pub fn lease(&mut self, lease: Duration) -> &mut Self {
        self.common.lease = lease;
        self
    }

    common_setters!();

    /// Opens the bounded semaphore called `name`; one leading slash is optional.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](ErrorKind::InvalidName), [`InvalidArgument`](ErrorKind::InvalidArgument) for
    /// a bound or lease out of range, [`AlreadyExists`](ErrorKind::AlreadyExists) or
    /// [`NotFound`](ErrorKind::NotFound) as the [`Existence`](nob_ipc::Existence) says, and those
    /// of a [server](crate#errors).
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<BoundedSemaphore> {
        self.open_named(&Name::new(Kind::BoundedSemaphore, name)?)
    }

    /// Opens the bounded semaphore that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](BoundedSemaphoreOptions::open).
    pub fn open_named(&self, name: &Name) -> Result<BoundedSemaphore> {
        check_kind(name, Kind::BoundedSemaphore)?;
        self.common.check_lease(name)?;
        let bound = self.bound;
        if !(1..=BoundedSemaphore::MAX_BOUND).contains(&bound) {
            let why = format!("the bound is {bound}; give 1 to {}", BoundedSemaphore::MAX_BOUND);
            return Err(invalid(name, Operation::Create, why));
        }
        let text = bound.to_string();
        let (handle, attributes) =
            opening::open(&self.common, name, &[("max", text.clone())], &[("bound", text)])?;
        let limit = BoundedSemaphore::MAX_BOUND;
        let bound = opening::attribute(name, &attributes, "max", limit.into())?;
        Ok(BoundedSemaphore { handle, bound: u32::try_from(bound).unwrap_or(limit) })
    }
}

/// A semaphore that processes on many machines share by name, whose permits come back by
/// themselves.
///
/// At most [`bound`](BoundedSemaphore::bound) permits are held. A native thread renews the lease of
/// those that this handle has; when its process dies, or cannot reach the server for the length of
/// the lease, its permits are free.
///
/// ```no_run
/// use nob_ipc::Existence;
/// use nob_ipc_redis::{BoundedSemaphore, Connection};
///
/// let server = Connection::open("redis://localhost")?;
/// let permits = BoundedSemaphore::options(&server)
///     .bound(4)
///     .existence(Existence::LinkOrCreate)
///     .open("/licences")?;
/// permits.acquire()?;
/// assert_eq!(permits.held(), 1);
/// permits.release()?;
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct BoundedSemaphore {
    handle: Arc<Handle>,
    bound: u32,
}

impl BoundedSemaphore {
    /// The largest bound: that of the bounded semaphores of one machine.
    pub const MAX_BOUND: u32 = nob_ipc::BoundedSemaphore::MAX_BOUND;

    /// Options to open one with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options(connection: &Connection) -> BoundedSemaphoreOptions {
        BoundedSemaphoreOptions { bound: 1, common: Common::new(connection) }
    }

    /// The name, the state and the end of this handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How many permits there are, free or held.
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.bound
    }

    /// How long a permit is held by a handle from which nothing is heard any more.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.handle.lease
    }

    fn plan(&self) -> Plan<'static> {
        Plan::take_leased(Script::Take, self.handle.lease)
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn try_acquire(&self) -> Result<bool> {
        self.acquire_until(Deadline::NOW)
    }

    /// Takes a permit; `false` when the deadline passed first. What is there at once is taken even
    /// then.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](BoundedSemaphore::wait_acquire).
    pub fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        self.handle.wait(&self.plan(), deadline, false).map(|taken| taken.is_some())
    }

    /// Waits for a permit, after [`try_acquire`](BoundedSemaphore::try_acquire) has found none.
    ///
    /// # Errors
    ///
    /// [`Interrupted`](ErrorKind::Interrupted) when the [check](crate::ConnectionOptions::check),
    /// or the deadline's, says so: nothing was taken. Those of a [server](crate#errors).
    pub fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        self.handle.wait(&self.plan(), deadline, true).map(|taken| taken.is_some())
    }

    /// Takes a permit, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](BoundedSemaphore::wait_acquire).
    pub fn acquire(&self) -> Result<()> {
        self.acquire_until(Deadline::NEVER).map(|_| ())
    }

    /// Takes a permit; `false` when `timeout` was over first.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](BoundedSemaphore::wait_acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool> {
        self.acquire_until(Deadline::after(timeout))
    }

    /// Gives one of this handle's permits back.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](ErrorKind::NotHeld) if this handle has none, [`LockLost`](ErrorKind::LockLost)
    /// if the lease of the one that it had left ran out, those of a [server](crate#errors).
    pub fn release(&self) -> Result<()> {
        self.release_many(1)
    }

    /// Gives `count` of this handle's permits back.
    ///
    /// # Errors
    ///
    /// As [`release`](BoundedSemaphore::release); none is given back if the handle has fewer. What
    /// could not be given back is not renewed any more, and ends with its lease. After
    /// [`OutcomeUnknown`](ErrorKind::OutcomeUnknown), and after an interruption, another call first
    /// repeats that very release, as [`Retry`](crate::Retry) does, unless a permit was taken since
    /// then; what it gives back counts.
    pub fn release_many(&self, count: u32) -> Result<()> {
        let mut left = count as usize;
        self.check_count(count)?;
        while left > 0 {
            let plan = self.plan_release(left)?;
            left = left.saturating_sub(plan.held.len());
            let lost = Self::has_lost(&plan);
            let answer = self.handle.once(&plan)?;
            let gone = answer.list().get(1).and_then(Value::integer) != Some(0);
            if gone || lost {
                return Err(self.lost());
            }
        }
        Ok(())
    }

    /// Whether something of it was lost before it was to be given back.
    fn has_lost(plan: &Plan<'_>) -> bool {
        plan.again.is_none() && plan.held.iter().any(|held| !held.is_good())
    }

    /// How up to `count` permits are given back together: they are taken out of the hold.
    fn plan_release(&self, count: usize) -> Result<Plan<'static>> {
        let (held, unanswered) = self.handle.take_to_release(count)?;
        let Some(token) = held.first().map(|held| held.token.clone()) else {
            return Err(self.not_held(1));
        };
        let mut tail = vec![Cow::Borrowed(&b"release"[..])];
        tail.extend(held.iter().map(|held| Cow::Owned(held.token.clone().into_bytes())));
        let plan = Plan { held, ..Plan::once(Script::Give, Operation::Release, tail) };
        Ok(Plan { token, ..plan }.repeating(unanswered))
    }

    /// Whether this handle has so many permits.
    fn check_count(&self, count: u32) -> Result<()> {
        let name = self.handle.name();
        if count == 0 {
            let why = "the number of permits to release must be at least 1, not 0".into();
            return Err(invalid(name, Operation::Release, why));
        }
        let has = self.handle.existing_hold().map_or(0, |hold| hold.held().len());
        if has >= count as usize { Ok(()) } else { Err(self.not_held(count)) }
    }

    fn not_held(&self, count: u32) -> Error {
        let why = if count == 1 {
            "this handle has no permit; acquire one first"
        } else {
            "this handle has not so many permits, so none was released; acquire first"
        };
        Error::elsewhere(self.handle.subject(Operation::Release), ErrorKind::NotHeld, None, why)
    }

    fn lost(&self) -> Error {
        let why = "the lease of the permit had run out, and another may have had it";
        Error::elsewhere(self.handle.subject(Operation::Release), ErrorKind::LockLost, None, why)
    }

    /// How many permits this handle has and may count on.
    #[must_use]
    pub fn held(&self) -> u32 {
        let held = self.handle.existing_hold().map(|hold| hold.held()).unwrap_or_default();
        u32::try_from(held.iter().filter(|held| held.is_good()).count()).unwrap_or(u32::MAX)
    }

    /// How many permits are free at this moment.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn value(&self) -> Result<u32> {
        let held = u32::try_from(self.tokens()?.len()).unwrap_or(u32::MAX);
        Ok(self.bound.saturating_sub(held))
    }

    /// The processes whose handles have permits, as they call themselves, one for each permit: to
    /// show to people.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn holders(&self) -> Result<Vec<u32>> {
        Ok(self.tokens()?.iter().filter_map(|token| pid(token)).collect())
    }

    fn tokens(&self) -> Result<Vec<String>> {
        let plan = Plan::once(Script::Holders, Operation::Inspect, Vec::new());
        Ok(self.handle.once(&plan)?.list().iter().skip(1).map(Value::text).collect())
    }

    /// Begins to take a permit; `events` tells of the end.
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

    /// Begins to give one permit back; `events` tells of the end. The handle does not hold it from
    /// here on, unless that fails; then it is as after [`release`](BoundedSemaphore::release).
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed), [`NotHeld`](ErrorKind::NotHeld),
    /// [`LockLost`](ErrorKind::LockLost).
    pub fn start_release(&self, events: &Events, token: u64) -> Result<Pending> {
        let plan = self.plan_release(1)?;
        if Self::has_lost(&plan) {
            return Err(self.lost());
        }
        events::start(&self.handle, events, token, plan, false, Deadline::NEVER)
    }
}

/// The process that a token names.
pub(crate) fn pid(token: &str) -> Option<u32> {
    token.rsplit_once('.')?.1.parse().ok()
}

impl Permits for BoundedSemaphore {
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
        self.release_many(count)
    }

    fn value(&self) -> Result<u32> {
        self.value()
    }
}

impl Drop for BoundedSemaphore {
    fn drop(&mut self) {
        // Nobody is there to be told; `Handle::delete` tells.
        let _ = self.handle.delete();
    }
}
