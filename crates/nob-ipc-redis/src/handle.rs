//! A handle to an object on a server: what all kinds have in common.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Existence, Name, Operation, Result, fork_generation};

use crate::client::{Client, instant};
use crate::connection::Connection;
use crate::fault::{self, Fault, Stop, unexpected};
use crate::hold::{Held, Hold};
use crate::object::Object;
use crate::opening::Common;
use crate::plan::{Outcome, Plan};
use crate::reactor::Job;
use crate::request::{Failure, LATE, Request, nothing};
use crate::scripts::Script;
use crate::sync::{lock, number};
use crate::sys;
use crate::unanswered::Unanswered;
use crate::waiter::{Line, Waiter};
use crate::wire::Value;

/// How long dropping a handle tries to reach the server.
const FAREWELL: Duration = Duration::from_secs(1);

/// An open handle to an object: its name, its state and its end. Each kind has one inside.
pub struct Handle {
    connection: Connection,
    pub(crate) object: Arc<Object>,
    pub(crate) id: u64,
    created: bool,
    /// For a lock or permits.
    pub(crate) lease: Duration,
    closed: AtomicBool,
    deleted: AtomicBool,
    unlink_on_drop: AtomicBool,
    /// The process whose handle this is to unlink by: a forked child does not.
    owned_in: AtomicU64,
}

impl Handle {
    /// A handle to an object that was found or made.
    pub(crate) fn new(
        common: &Common,
        object: Object,
        created: bool,
        client: &Arc<Client>,
    ) -> Arc<Handle> {
        let owned = created && common.existence != Existence::LinkOrCreate;
        let handle = Arc::new(Handle {
            connection: common.connection.clone(),
            object: Arc::new(object),
            id: number(),
            created,
            lease: common.lease,
            closed: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            unlink_on_drop: AtomicBool::new(common.unlink_on_drop.unwrap_or(owned)),
            owned_in: AtomicU64::new(fork_generation()),
        });
        let mut handles = lock(&client.handles);
        if handles.len() == handles.capacity() {
            handles.retain(|handle| handle.strong_count() > 0);
        }
        handles.push(Arc::downgrade(&handle));
        handle
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.object.name
    }

    /// Whether this handle created the object.
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }

    /// The connection that it was opened through.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What tells the object from others that have had, or will have, its name.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.object.generation
    }

    /// Whether the handle, or its connection, was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) || self.connection.is_closed()
    }

    /// Whether dropping the handle removes the name.
    #[must_use]
    pub fn unlink_on_drop(&self) -> bool {
        self.unlink_on_drop.load(Ordering::SeqCst)
    }

    /// Says whether dropping the handle removes the name. Saying yes in a forked child hands the
    /// duty to it.
    pub fn set_unlink_on_drop(&self, unlink: bool) {
        if unlink {
            self.owned_in.store(fork_generation(), Ordering::SeqCst);
        }
        self.unlink_on_drop.store(unlink, Ordering::SeqCst);
    }

    /// Gives up the handle, and lets go of what it holds: of a lock, the next owner is told. The
    /// name stays. Waits in other threads end with [`Closed`](nob_ipc::ErrorKind::Closed) within
    /// half a second. Twice is fine.
    ///
    /// # Errors
    ///
    /// [`ServerUnavailable`](nob_ipc::ErrorKind::ServerUnavailable) when the server could not be told
    /// within a second; then the leases end what was held.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let client = self.connection.client()?;
        client.close_handle(self.id);
        let hold = lock(&client.holds).remove(&self.id);
        hold.map_or(Ok(()), |hold| let_go(&client, &hold))
    }

    /// Does what dropping the handle does: closes it, and removes the name if that is due. Tries to
    /// reach the server for a second, and for the other handles of this connection no more after
    /// the first failure.
    ///
    /// # Errors
    ///
    /// As [`close`](Handle::close), and what the server says of the removal. That the name is gone,
    /// or another's, is no error.
    pub fn delete(&self) -> Result<()> {
        let closed = self.close();
        let due =
            self.unlink_on_drop() && self.owned_in.load(Ordering::SeqCst) == fork_generation();
        if self.deleted.swap(true, Ordering::SeqCst) || !due {
            return closed;
        }
        let client = self.connection.client()?;
        let token = format!("{:016x}", sys::random());
        let arguments = [self.object.generation.as_bytes(), token.as_bytes(), b"unlink"];
        let request = Request::new(Script::Unlink, &self.object, &arguments);
        let end = Instant::now() + FAREWELL;
        let done = farewell(&client, || client.call(&request, Some(end), &mut || Ok(())));
        let subject = Some((Operation::Unlink, self.name()));
        closed.and(done.map_err(|failure| failure.unavailable(subject)))
    }

    /// Removes the name, if it is still this object's. The object goes on, and ends an hour after
    /// its last use.
    ///
    /// # Errors
    ///
    /// [`NotFound`](nob_ipc::ErrorKind::NotFound) if the name is gone,
    /// [`Replaced`](nob_ipc::ErrorKind::Replaced) if it belongs to another object now,
    /// [`ServerUnavailable`](nob_ipc::ErrorKind::ServerUnavailable),
    /// [`OutcomeUnknown`](nob_ipc::ErrorKind::OutcomeUnknown).
    pub fn unlink(&self) -> Result<()> {
        let token = format!("{:016x}", sys::random());
        let generation = self.object.generation.as_bytes().to_vec();
        let how = Cow::Borrowed(&b"unlink"[..]);
        let tail = vec![Cow::Owned(generation), Cow::Owned(token.into_bytes()), how];
        let plan = Plan::once(Script::Unlink, Operation::Unlink, tail);
        // A closed handle unlinks as well.
        let mut pause = || self.connection.pause();
        self.run(&plan, None, &mut pause).map(|_| ())
    }

    /// Whether the name leads to another object or to none, or the object itself is gone.
    ///
    /// # Errors
    ///
    /// [`ServerUnavailable`](nob_ipc::ErrorKind::ServerUnavailable).
    pub fn is_stale(&self) -> Result<bool> {
        let plan = Plan::once(Script::Look, Operation::Inspect, Vec::new());
        let answer = self.once(&plan)?;
        let [_, generation, there] = answer.list() else {
            return Err(unexpected(self.subject(Operation::Inspect), &answer));
        };
        Ok(generation.text() != self.object.generation || there.integer() != Some(1))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what errors are made of")]
    pub(crate) fn subject(&self, operation: Operation) -> fault::Subject<'_> {
        Some((operation, self.name()))
    }

    /// What a call that waits does in between.
    fn pause(&self, deadline: Deadline) -> impl FnMut() -> std::result::Result<(), Stop> + '_ {
        let checks =
            self.connection.settings().check.is_none() && deadline.check_interval().is_some();
        move || {
            if self.is_closed() {
                return Err(Stop::Closed);
            }
            self.connection.pause()?;
            if checks && !deadline.has_passed() { Err(Stop::Interrupted) } else { Ok(()) }
        }
    }

    pub(crate) fn check_open(&self, operation: Operation) -> Result<()> {
        if self.is_closed() {
            return Err(fault::stopped(self.subject(operation), Stop::Closed));
        }
        Ok(())
    }

    /// One request that does not wait for the object.
    pub(crate) fn once(&self, plan: &Plan<'_>) -> Result<Value> {
        self.check_open(plan.operation)?;
        self.run(plan, None, &mut self.pause(Deadline::NEVER))
    }

    /// Runs a plan once, and tells what went wrong.
    fn run(
        &self,
        plan: &Plan<'_>,
        until: Option<Instant>,
        pause: &mut dyn FnMut() -> std::result::Result<(), Stop>,
    ) -> Result<Value> {
        let client = self.connection.client()?;
        let called = plan.with_request(&self.object, b"", b"-", |request| match &plan.again {
            Some((unanswered, slot)) => {
                let until = unanswered.end(until, client.settings.patience);
                client.call_again(request, *slot, until, pause)
            }
            None => client.call(request, until, pause),
        });
        match called {
            Ok(value) => plan.check(self, value),
            Err(failure) => Err(plan.failed(self, &client, &failure)),
        }
    }

    /// Tries, and waits until there is something. `None`: the deadline has passed first.
    pub(crate) fn wait(
        self: &Arc<Self>,
        plan: &Plan<'_>,
        deadline: Deadline,
        tried: bool,
    ) -> Result<Option<Outcome>> {
        self.check_open(plan.operation)?;
        let client = self.connection.client()?;
        let mut pause = self.pause(deadline);
        if !tried || deadline.remaining() == Some(Duration::ZERO) {
            let now = deadline.has_passed();
            if let Some(outcome) =
                self.attempt(plan, &client, b"", b"-", deadline, &mut pause)?.taken()
            {
                return Ok(Some(outcome));
            }
            if now {
                return Ok(None);
            }
        }
        let waiter = client.enlist(&self.object, self.id, None);
        let line = Line { client: &client, waiter: &waiter };
        let renewed = plan.renewed();
        let plan = renewed.as_ref().unwrap_or(plan);
        let result = self.wait_in_line(plan, &client, &waiter, deadline, &mut pause);
        if result.is_err() {
            // What has come meanwhile is passed on.
            client.settle(Job::leave(&self.object, plan.script.leave(), &waiter));
        }
        drop(line);
        result
    }

    fn wait_in_line(
        &self,
        plan: &Plan<'_>,
        client: &Arc<Client>,
        waiter: &Waiter,
        deadline: Deadline,
        pause: &mut dyn FnMut() -> std::result::Result<(), Stop>,
    ) -> Result<Option<Outcome>> {
        let member = waiter.member.as_bytes();
        let mut plan = Cow::Borrowed(plan);
        loop {
            waiter.rearm();
            let last = deadline.has_passed();
            let mode: &[u8] = if last { b"-" } else { b"w" };
            let attempt = self.attempt(&plan, client, member, mode, deadline, pause)?;
            let pause_at_most = match attempt {
                Attempt::Taken(outcome) => return Ok(Some(outcome)),
                Attempt::Nothing(_) if last => return Ok(None),
                Attempt::Nothing(again) => again,
            };
            if let Some(next) = plan.renewed() {
                plan = Cow::Owned(next);
            }
            let look = Instant::now() + pause_at_most;
            let end = instant(deadline).map_or(look, |end| end.min(look));
            waiter
                .sleep_until(end, pause)
                .map_err(|stop| fault::stopped(self.subject(plan.operation), stop))?;
        }
    }

    fn attempt(
        &self,
        plan: &Plan<'_>,
        client: &Arc<Client>,
        member: &[u8],
        mode: &[u8],
        deadline: Deadline,
        pause: &mut dyn FnMut() -> std::result::Result<(), Stop>,
    ) -> Result<Attempt> {
        let sent = sys::boot_time();
        let until = instant(deadline).map(|end| end.max(Instant::now()) + LATE);
        let answer = plan
            .with_request(&self.object, member, mode, |request| client.call(request, until, pause));
        match answer {
            Ok(value) => {
                if let Some(again) = nothing(&value) {
                    return Ok(Attempt::Nothing(again));
                }
                let value = plan.check(self, value)?;
                plan.take(self, client, &value, sent).map(Attempt::Taken)
            }
            Err(failure) => Err(plan.failed(self, client, &failure)),
        }
    }

    /// The hold of this handle in this process.
    pub(crate) fn hold(&self, client: &Client) -> Arc<Hold> {
        let mut holds = lock(&client.holds);
        let new = || Arc::new(Hold::new(self.object.clone(), self.lease));
        holds.entry(self.id).or_insert_with(new).clone()
    }

    /// What this handle is to give up next, as [`Hold::take_to_release`].
    pub(crate) fn take_to_release(
        &self,
        count: usize,
    ) -> Result<(Vec<Held>, Option<Arc<Unanswered>>)> {
        self.check_open(Operation::Release)?;
        let hold = self.existing_hold();
        Ok(hold.map(|hold| hold.take_to_release(count)).unwrap_or_default())
    }

    /// The hold of this handle, if it has taken anything in this process.
    pub(crate) fn existing_hold(&self) -> Option<Arc<Hold>> {
        let client = self.connection.client().ok()?;
        let holds = lock(&client.holds);
        holds.get(&self.id).cloned()
    }
}

/// How many permits one request gives back.
const PERMITS: usize = 1000;

/// Gives up all that was held by a handle that is closed.
pub(crate) fn let_go(client: &Client, hold: &Hold) -> Result<()> {
    let name = &hold.object.name;
    let is_lock = name.kind() == nob_ipc::Kind::Lock;
    let all = hold.take(usize::MAX);
    let mut result = Ok(());
    for part in all.chunks(if is_lock { 1 } else { PERMITS }) {
        let tokens = part.iter().map(|held| held.token.as_bytes());
        let (script, arguments): (_, Vec<&[u8]>) = if is_lock {
            // One that was to be released leaves nothing half done.
            let how: &[u8] = if part[0].leaving { b"release" } else { b"abandon" };
            (Script::Unlock, tokens.chain([how]).collect())
        } else {
            (Script::Give, [&b"release"[..]].into_iter().chain(tokens).collect())
        };
        let mut request = Request::new(script, &hold.object, &arguments);
        request.token = part[0].token.as_bytes();
        let end = Instant::now() + FAREWELL;
        let done = farewell(client, || client.call(&request, Some(end), &mut || Ok(())));
        result = result.and(done);
    }
    result.map_err(|failure| failure.unavailable(Some((Operation::Release, name))))
}

/// A call of a handle that goes. After the first that finds no server, there is none any more.
fn farewell<T>(
    client: &Client,
    call: impl FnOnce() -> std::result::Result<T, Failure>,
) -> std::result::Result<(), Failure> {
    if client.gave_up.load(Ordering::SeqCst) {
        let (fault, server) = (Fault::Silence, client.settings.url.to_string());
        return Err(Failure { fault, server, unanswered: None, unconfirmed: None });
    }
    match call() {
        Ok(_) => Ok(()),
        Err(failure) => {
            if failure.unconfirmed.is_none() {
                client.gave_up.store(true, Ordering::SeqCst);
            }
            Err(failure)
        }
    }
}

/// How an attempt ended.
pub(crate) enum Attempt {
    Taken(Outcome),
    /// There was nothing; look again after this time at the latest.
    Nothing(Duration),
}

impl Attempt {
    fn taken(self) -> Option<Outcome> {
        match self {
            Attempt::Taken(outcome) => Some(outcome),
            Attempt::Nothing(_) => None,
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("name", self.name())
            .field("connection", &self.connection)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
