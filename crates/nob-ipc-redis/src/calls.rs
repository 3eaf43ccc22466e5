//! The calls of a handle: requests, and the one loop in which a thread waits.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Operation, Result};

use crate::client::{Client, instant};
use crate::fault::{self, Stop, unexpected};
use crate::handle::Handle;
use crate::job::Job;
use crate::plan::{Outcome, Plan};
use crate::request::{LATE, nothing};
use crate::scripts::Script;
use crate::sync::lock;
use crate::sys;
use crate::waiter::Waiter;
use crate::wire::Value;

impl Handle {
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
        let mut pause = || self.connection().pause();
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

    /// What a call that waits does in between.
    fn pause(&self, deadline: Deadline) -> impl FnMut() -> std::result::Result<(), Stop> + '_ {
        let checks =
            self.connection().settings().check.is_none() && deadline.check_interval().is_some();
        move || {
            if self.is_closed() {
                return Err(Stop::Closed);
            }
            self.connection().pause()?;
            if checks && !deadline.has_passed() { Err(Stop::Interrupted) } else { Ok(()) }
        }
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
        let client = self.connection().client()?;
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
        let client = self.connection().client()?;
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
            let script = plan.script.leave();
            client.settle(Job::leave(&self.object, script, &waiter.member, "end"));
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
}

/// Keeps a waiter in the list of those who are woken.
struct Line<'a> {
    client: &'a Client,
    waiter: &'a Waiter,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        lock(&self.client.hub).waiters.remove(&self.waiter.number);
    }
}

/// How an attempt ended.
enum Attempt {
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
