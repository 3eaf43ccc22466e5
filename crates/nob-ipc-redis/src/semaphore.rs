//! Named semaphores on a server.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use nob_ipc::{Deadline, Kind, Name, Operation, Permits, Result};

use crate::connection::Connection;
use crate::events::{self, Events, Pending};
use crate::fault::unexpected;
use crate::handle::Handle;
use crate::opening::{self, Common, check_kind, common_setters, invalid};
use crate::plan::Plan;
use crate::scripts::Script;
use crate::wire::Value;

/// How a [`Semaphore`] is opened; made by [`Semaphore::options`].
#[derive(Clone, Debug)]
pub struct SemaphoreOptions {
    initial_value: u32,
    common: Common,
}

impl SemaphoreOptions {
    /// How many permits a semaphore that is created begins with; default 1.
    pub fn initial_value(&mut self, value: u32) -> &mut Self {
        self.initial_value = value;
        self
    }

    common_setters!();

    /// Opens the semaphore called `name`; one leading slash is optional.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](nob_ipc::ErrorKind::InvalidName),
    /// [`InvalidArgument`](nob_ipc::ErrorKind::InvalidArgument) for a value beyond
    /// [`Semaphore::MAX_VALUE`], [`AlreadyExists`](nob_ipc::ErrorKind::AlreadyExists) or
    /// [`NotFound`](nob_ipc::ErrorKind::NotFound) as the [`Existence`](nob_ipc::Existence) says,
    /// and those of a [server](crate#errors).
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Semaphore> {
        self.open_named(&Name::new(Kind::Semaphore, name)?)
    }

    /// Opens the semaphore that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](SemaphoreOptions::open).
    pub fn open_named(&self, name: &Name) -> Result<Semaphore> {
        check_kind(name, Kind::Semaphore)?;
        let value = self.initial_value;
        if value > Semaphore::MAX_VALUE {
            let why = format!("the initial value is {value}; give 0 to {}", Semaphore::MAX_VALUE);
            return Err(invalid(name, Operation::Create, why));
        }
        let (handle, _) = opening::open(&self.common, name, &[], &[("val", value.to_string())])?;
        Ok(Semaphore { handle })
    }
}

/// A semaphore that processes on many machines share by name.
///
/// A permit in the hands of a process that dies stays taken; those of a
/// [`BoundedSemaphore`](crate::BoundedSemaphore) come back. Who waits is served in the order of
/// asking; who comes when a permit is there takes it.
///
/// ```no_run
/// use nob_ipc::Existence;
/// use nob_ipc_redis::{Connection, Semaphore};
///
/// let server = Connection::open("redis://localhost")?;
/// let semaphore = Semaphore::options(&server)
///     .initial_value(3)
///     .existence(Existence::LinkOrCreate)
///     .open("/builds")?;
/// semaphore.acquire()?;
/// // Not more than three are here, on all machines.
/// semaphore.release()?;
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Semaphore {
    handle: Arc<Handle>,
}

impl Semaphore {
    /// The largest value.
    pub const MAX_VALUE: u32 = i32::MAX as u32;

    /// Options to open a semaphore with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options(connection: &Connection) -> SemaphoreOptions {
        SemaphoreOptions { initial_value: 1, common: Common::new(connection) }
    }

    /// The name, the state and the end of this handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    fn plan() -> Plan<'static> {
        Plan::once(Script::Acquire, Operation::Acquire, Vec::new())
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
    /// As [`wait_acquire`](Semaphore::wait_acquire).
    pub fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        self.handle.wait(&Self::plan(), deadline, false).map(|taken| taken.is_some())
    }

    /// Waits for a permit, after [`try_acquire`](Semaphore::try_acquire) has found none.
    ///
    /// # Errors
    ///
    /// [`Interrupted`](nob_ipc::ErrorKind::Interrupted) when the
    /// [check](crate::ConnectionOptions::check), or the deadline's, says so: nothing was taken.
    /// Those of a [server](crate#errors).
    pub fn wait_acquire(&self, deadline: Deadline) -> Result<bool> {
        self.handle.wait(&Self::plan(), deadline, true).map(|taken| taken.is_some())
    }

    /// Takes a permit, waiting as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors); [`Interrupted`](nob_ipc::ErrorKind::Interrupted) if the
    /// connection has a [check](crate::ConnectionOptions::check).
    pub fn acquire(&self) -> Result<()> {
        self.acquire_until(Deadline::NEVER).map(|_| ())
    }

    /// Takes a permit; `false` when `timeout` was over first.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Semaphore::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<bool> {
        self.acquire_until(Deadline::after(timeout))
    }

    /// Gives one permit.
    ///
    /// # Errors
    ///
    /// As [`release_many`](Semaphore::release_many).
    pub fn release(&self) -> Result<()> {
        self.release_many(1)
    }

    /// Gives `count` permits at once.
    ///
    /// # Errors
    ///
    /// [`Overflow`](nob_ipc::ErrorKind::Overflow) if the value would pass
    /// [`MAX_VALUE`](Semaphore::MAX_VALUE), and nothing changes;
    /// [`InvalidArgument`](nob_ipc::ErrorKind::InvalidArgument) for 0; those of a
    /// [server](crate#errors).
    pub fn release_many(&self, count: u32) -> Result<()> {
        self.handle.once(&self.plan_release(count)?).map(|_| ())
    }

    fn plan_release(&self, count: u32) -> Result<Plan<'static>> {
        if count == 0 {
            let why = "the number of permits to release must be at least 1, not 0".into();
            return Err(invalid(self.handle.name(), Operation::Release, why));
        }
        let tail = vec![Cow::Owned(count.to_string().into_bytes())];
        Ok(Plan::once(Script::Release, Operation::Release, tail))
    }

    /// The number of permits at this moment.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn value(&self) -> Result<u32> {
        count(&self.handle)
    }

    /// Begins to take a permit; `events` tells of the end.
    ///
    /// # Errors
    ///
    /// [`Closed`](nob_ipc::ErrorKind::Closed).
    pub fn start_acquire(
        &self,
        events: &Events,
        token: u64,
        deadline: Deadline,
    ) -> Result<Pending> {
        events::start(&self.handle, events, token, Self::plan(), false, deadline)
    }

    /// Begins to give `count` permits; `events` tells of the end.
    ///
    /// # Errors
    ///
    /// [`Closed`](nob_ipc::ErrorKind::Closed),
    /// [`InvalidArgument`](nob_ipc::ErrorKind::InvalidArgument) for 0.
    pub fn start_release(&self, events: &Events, token: u64, count: u32) -> Result<Pending> {
        events::start(
            &self.handle,
            events,
            token,
            self.plan_release(count)?,
            false,
            Deadline::NEVER,
        )
    }
}

/// How many permits or messages there are.
pub(crate) fn count(handle: &Handle) -> Result<u32> {
    let answer = handle.once(&Plan::once(Script::Count, Operation::Inspect, Vec::new()))?;
    let count = answer.list().get(1).and_then(Value::integer);
    count
        .and_then(|count| u32::try_from(count).ok())
        .ok_or_else(|| unexpected(handle.subject(Operation::Inspect), &answer))
}

impl Permits for Semaphore {
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

impl Drop for Semaphore {
    fn drop(&mut self) {
        // Nobody is there to be told; `Handle::delete` tells.
        let _ = self.handle.delete();
    }
}
