//! What one operation on an object is: its script, what follows from the answer, and how it is
//! undone.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use nob_ipc::{Deadline, Error, ErrorKind, Operation, Result};

use crate::client::{Client, instant};
use crate::fault::{self, Fault, unexpected};
use crate::handle::Handle;
use crate::hold::Held;
use crate::job::{Job, Purpose};
use crate::object::Object;
use crate::request::{Failure, Request};
use crate::scripts::Script;
use crate::slots::Slot;
use crate::sync::lock;
use crate::sys;
use crate::unanswered::Unanswered;
use crate::wire::Value;

/// What an operation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A permit or lock was taken or given; `false`: the deadline passed first.
    Done(bool),
    /// So many messages were sent; 0: the deadline passed first.
    Sent(usize),
    /// Messages with their priorities; none: the deadline passed first.
    Messages(Vec<(Vec<u8>, u32)>),
}

/// An operation before it is made. What it is called with is borrowed from the caller of a blocking
/// call, and owned by one that is not.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub script: Script,
    pub operation: Operation,
    /// New for each acquisition of a lock or bounded permit.
    pub token: String,
    /// The arguments behind those that say who waits.
    pub tail: Vec<Cow<'a, [u8]>>,
    /// An earlier call has sent this very request, with this slot, and has had no answer.
    pub again: Option<(Arc<Unanswered>, Slot)>,
    /// What it gives up, taken out of the hold of its handle.
    pub held: Vec<Held>,
}

impl<'a> Plan<'a> {
    /// A request that does not wait for anything.
    pub(crate) fn once(script: Script, operation: Operation, tail: Vec<Cow<'a, [u8]>>) -> Plan<'a> {
        Plan { script, operation, token: String::new(), tail, again: None, held: Vec::new() }
    }

    pub(crate) fn send(messages: &[&'a [u8]], priority: u32) -> Plan<'a> {
        let mut tail: Vec<Cow<'a, [u8]>> = Vec::with_capacity(2 * messages.len() + 1);
        tail.push(Cow::Owned(messages.len().to_string().into_bytes()));
        for message in messages {
            // The highest priority has the lowest score, and the lowest score comes first.
            tail.push(Cow::Owned(format!("-{priority}").into_bytes()));
            tail.push(Cow::Borrowed(message));
        }
        Plan::once(Script::Send, Operation::Send, tail)
    }

    pub(crate) fn receive(most: usize) -> Plan<'static> {
        let tail = vec![Cow::Owned(most.to_string().into_bytes())];
        Plan::once(Script::Receive, Operation::Receive, tail)
    }

    /// Takes a lock or a bounded permit.
    pub(crate) fn take_leased(script: Script, lease: Duration) -> Plan<'static> {
        // The pid is for people.
        let token = format!("{:016x}.{}", sys::random(), std::process::id());
        let lease = lease.as_millis().to_string();
        let tail = vec![Cow::Owned(token.clone().into_bytes()), Cow::Owned(lease.into_bytes())];
        Plan { token, ..Plan::once(script, Operation::Acquire, tail) }
    }

    /// The same for the next attempt, with a token of its own; `None`: it has none. A copy of the
    /// last attempt that arrives late is known by its token.
    pub(crate) fn renewed(&self) -> Option<Plan<'static>> {
        let [_, lease] = &self.tail[..] else { return None };
        if !matches!(self.script, Script::Lock | Script::Take) {
            return None;
        }
        let mut plan = Plan::take_leased(self.script, Duration::ZERO);
        plan.tail[1] = Cow::Owned(lease.to_vec());
        Some(plan)
    }

    pub(crate) fn into_owned(self) -> Plan<'static> {
        let tail = self.tail.into_iter().map(|part| Cow::Owned(part.into_owned())).collect();
        let Plan { script, operation, token, again, held, .. } = self;
        Plan { script, operation, token, tail, again, held }
    }

    /// The same as the request that was not answered, if that can be repeated now.
    pub(crate) fn repeating(self, unanswered: Option<Arc<Unanswered>>) -> Plan<'a> {
        let again = unanswered.and_then(|unanswered| {
            let slot = unanswered.begin()?;
            Some((unanswered, slot))
        });
        Plan { again, ..self }
    }

    /// Whether one can stand in line for it.
    pub(crate) fn waits(&self) -> bool {
        matches!(
            self.script,
            Script::Send | Script::Receive | Script::Acquire | Script::Lock | Script::Take
        )
    }

    /// The arguments of an attempt by a waiter, or by nobody who waits.
    pub(crate) fn arguments<'b>(&'b self, member: &'b [u8], mode: &'b [u8]) -> Vec<&'b [u8]> {
        let head: &[&[u8]] = if self.waits() { &[member, mode] } else { &[] };
        head.iter().copied().chain(self.tail.iter().map(|part| &**part)).collect()
    }

    pub(crate) fn with_request<T>(
        &self,
        object: &Object,
        member: &[u8],
        mode: &[u8],
        call: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        let arguments = self.arguments(member, mode);
        let mut request = Request::new(self.script, object, &arguments);
        request.token = self.token.as_bytes();
        request.again = self.again.is_some();
        call(&request)
    }

    /// What an answer means that is not for waiting.
    pub(crate) fn check(&self, handle: &Handle, answer: Value) -> Result<Value> {
        let subject = handle.subject(self.operation);
        let fail =
            |kind, why: &'static str| Err(Error::elsewhere(subject, kind, Some(libc::ENOENT), why));
        match answer.word() {
            b"OK" | b"LEFT" | b"PASSED" => Ok(answer),
            b"ENOENT" => fail(
                ErrorKind::NotFound,
                "nothing has this name on the server; it is unlinked already",
            ),
            b"OTHER" => fail(
                ErrorKind::Replaced,
                "the name belongs to another object now, which is left alone",
            ),
            // A later request of ours has settled this one.
            b"OLD" | b"BACK" => Err(too_late(subject)),
            _ => Err(fault::answered(subject, &answer)),
        }
    }

    /// Books what the answer gives. `sent`: when the request was sent first.
    pub(crate) fn take(
        &self,
        handle: &Handle,
        client: &Arc<Client>,
        answer: &Value,
        sent: Duration,
    ) -> Result<Outcome> {
        let outcome = self.outcome(answer);
        let outcome = outcome.ok_or_else(|| unexpected(handle.subject(self.operation), answer))?;
        if matches!(self.script, Script::Lock | Script::Take) {
            let fence = answer.list().get(1).and_then(Value::integer).unwrap_or(0);
            let fence = u64::try_from(fence).unwrap_or(0);
            let hold = handle.hold(client);
            if self.script == Script::Lock {
                // Whoever has it now, an earlier release is over.
                hold.forget_unanswered();
            }
            let due = hold.add(self.token.clone(), fence, sent);
            // In this order: who closes the handle says so before he lets go of what it has.
            let lost = !hold.has(&self.token);
            let closed = handle.is_closed();
            if closed || lost {
                // It came too late: nobody holds anything through a closed handle, nor for longer
                // than the lease.
                hold.remove(&self.token);
                self.settlement(client, &handle.object, Slot::NONE)
                    .into_iter()
                    .for_each(|job| client.settle(job));
                let subject = handle.subject(self.operation);
                return Err(if closed {
                    fault::stopped(subject, fault::Stop::Closed)
                } else {
                    too_late(subject)
                });
            }
            client.renew_by(due);
        }
        Ok(outcome)
    }

    fn outcome(&self, answer: &Value) -> Option<Outcome> {
        match self.script {
            Script::Send => {
                let sent = answer.list().get(1).and_then(Value::integer)?;
                usize::try_from(sent).ok().map(Outcome::Sent)
            }
            Script::Receive => messages(answer).map(Outcome::Messages),
            _ => Some(Outcome::Done(true)),
        }
    }

    /// What undoes the operation, whether it has run, runs still or never will.
    pub(crate) fn settlement(
        &self,
        client: &Client,
        object: &Arc<Object>,
        slot: Slot,
    ) -> Option<Job> {
        let token = || self.token.clone().into_bytes();
        let (script, token, arguments, slot) = match self.script {
            Script::Receive => (Script::Putback, Vec::new(), Vec::new(), slot),
            Script::Acquire => (Script::Giveback, Vec::new(), Vec::new(), slot),
            Script::Lock => {
                (Script::Unlock, token(), vec![token(), b"undo".to_vec()], client.slots.take())
            }
            Script::Take => {
                (Script::Give, token(), vec![b"undo".to_vec(), token()], client.slots.take())
            }
            _ => return None,
        };
        let slot = script.text().numbered.then_some(slot);
        let purpose = Purpose::Settle;
        Some(Job { script, object: object.clone(), slot, token, arguments, bulk: false, purpose })
    }

    /// The error of a call that failed. What it may have taken goes back in the background.
    pub(crate) fn failed(&self, handle: &Handle, client: &Arc<Client>, failure: &Failure) -> Error {
        let subject = handle.subject(self.operation);
        if let Some(answer) = &failure.unconfirmed {
            return self.unconfirmed(handle, client, answer);
        }
        let Some(slot) = failure.unanswered else {
            self.keep(handle, client, None);
            return failure.unavailable(subject);
        };
        if let Some(job) = self.settlement(client, &handle.object, slot) {
            client.settle(job);
            return failure.unavailable(subject);
        }
        if !self.script.text().changes {
            return failure.unavailable(subject);
        }
        let unanswered = if let Some((unanswered, slot)) = &self.again {
            unanswered.put_back(*slot);
            unanswered.clone()
        } else {
            let numbered = self.script.text().numbered;
            let slot = if numbered { slot } else { Slot::NONE };
            Unanswered::new(&client.slots, client.settings.patience, slot)
        };
        self.keep(handle, client, Some(&unanswered));
        match &failure.fault {
            Fault::Stopped(stop) => fault::stopped(subject, *stop),
            fault => {
                let plan = Plan { again: None, ..self.clone() }.into_owned();
                let (client, object) = (client.clone(), handle.object.clone());
                let retry = Retry { client, object, handle: handle.id, plan, unanswered };
                let error = fault::unknown(subject, &failure.server, fault);
                error.with_detail(Arc::new(retry))
            }
        }
    }

    /// What was to be given up is held still, as far as anybody knows: it can be given up again, or its
    /// lease ends it. Through a handle that is closed, nobody can: that goes on in the background.
    fn keep(&self, handle: &Handle, client: &Arc<Client>, unanswered: Option<&Arc<Unanswered>>) {
        if self.held.is_empty() {
            return;
        }
        if !handle.is_closed() {
            return handle.hold(client).put_back(&self.held, unanswered);
        }
        let slot = unanswered.and_then(|unanswered| unanswered.begin());
        client.settle(Job {
            script: self.script,
            object: handle.object.clone(),
            slot: Some(slot.unwrap_or_else(|| client.slots.take())),
            token: self.token.clone().into_bytes(),
            arguments: self.tail.iter().map(|part| part.to_vec()).collect(),
            bulk: false,
            purpose: Purpose::Settle,
        });
    }

    /// The error of a call that was done, and of which nobody is sure. A lock or permit is given up
    /// first.
    fn unconfirmed(&self, handle: &Handle, client: &Arc<Client>, answer: &Value) -> Error {
        let error = fault::unconfirmed(handle.subject(self.operation));
        if matches!(self.script, Script::Lock | Script::Take)
            && let Some(job) = self.settlement(client, &handle.object, Slot::NONE)
        {
            client.settle(job);
            return error;
        }
        match self.outcome(answer) {
            Some(outcome) => error.with_detail(Arc::new(outcome)),
            None => error,
        }
    }
}

fn too_late(subject: fault::Subject<'_>) -> Error {
    let why = "the answer came too late, and what was taken went back; try again";
    Error::elsewhere(subject, ErrorKind::ServerUnavailable, Some(libc::ETIMEDOUT), why)
}

/// The messages of an answer, and their priorities.
fn messages(answer: &Value) -> Option<Vec<(Vec<u8>, u32)>> {
    let pairs = answer.list().get(1..)?.chunks(2);
    pairs
        .map(|pair| {
            let [member, score] = pair else { return None };
            // In front of the message stands its number, by which those of one priority are sorted.
            let message = member.bytes().get(14..)?;
            let score = score.text();
            let priority = score.strip_prefix('-').unwrap_or(&score).parse().ok()?;
            Some((message.to_vec(), priority))
        })
        .collect()
}

/// Goes with an error of the kind [`OutcomeUnknown`](nob_ipc::ErrorKind::OutcomeUnknown): the
/// request, to be repeated.
///
/// ```no_run
/// use nob_ipc::{Deadline, ErrorKind};
/// use nob_ipc_redis::{Connection, MessageQueue, Retry};
///
/// let server = Connection::open("redis://localhost")?;
/// let queue = MessageQueue::options(&server).open("/jobs")?;
/// match queue.send(b"job", 0) {
///     Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
///         let retry = error.detail::<Retry>().expect("an unknown outcome can be retried");
///         retry.again(Deadline::NEVER)?;
///     }
///     other => other?,
/// }
/// # Ok::<(), nob_ipc::Error>(())
/// ```
pub struct Retry {
    client: Arc<Client>,
    object: Arc<Object>,
    handle: u64,
    plan: Plan<'static>,
    unanswered: Arc<Unanswered>,
}

impl Retry {
    /// Repeats the very request that was not answered. It runs once, however often it is repeated:
    /// if it has run before, this is its result.
    ///
    /// # Errors
    ///
    /// As the call that failed. [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) without an answer, or
    /// after 9 min, when the server may not remember it any more; a result that was had once is not
    /// had again.
    pub fn again(&self, deadline: Deadline) -> Result<Outcome> {
        let subject = Some((self.plan.operation, &self.object.name));
        let Some(slot) = self.unanswered.begin() else {
            let why = "it was repeated already, is being repeated, or is more than 9 min old, and \
                       the server may not remember it; look at the object";
            return Err(Error::elsewhere(
                subject,
                ErrorKind::OutcomeUnknown,
                Some(libc::ETIMEDOUT),
                why,
            ));
        };
        let client = &self.client;
        let check = || match &client.settings.check {
            Some(check) if !check() => Err(fault::Stop::Interrupted),
            _ => Ok(()),
        };
        // Nothing is sent when the server may not remember it any more.
        let until = self.unanswered.end(instant(deadline), client.settings.patience);
        let answer = self.plan.with_request(&self.object, b"", b"-", |request| {
            let request = Request { again: true, ..*request };
            client.call_again(&request, slot, until, &mut { check })
        });
        if matches!(answer, Err(Failure { unanswered: Some(_), .. })) {
            self.unanswered.put_back(slot);
        } else {
            // The session with this slot serves others from here on.
            self.forget_hold();
        }
        match answer {
            Ok(answer) => {
                match answer.word() {
                    b"OK" => Ok(self.plan.outcome(&answer).unwrap_or(Outcome::Done(true))),
                    // It had not run, and now there is no room.
                    b"FULL" => Ok(Outcome::Sent(0)),
                    b"ENOENT" | b"OTHER" => {
                        let why = "the name is gone, or belongs to another object now";
                        let (kind, errno) = (ErrorKind::NotFound, Some(libc::ENOENT));
                        Err(Error::elsewhere(subject, kind, errno, why))
                    }
                    _ => Err(fault::answered(subject, &answer)),
                }
            }
            Err(Failure { unconfirmed: Some(_), .. }) => Err(fault::unconfirmed(subject)),
            Err(failure) => Err(match &failure.fault {
                Fault::Stopped(stop) => fault::stopped(subject, *stop),
                Fault::Refused(refusal) if !fault::is_transient(refusal) => {
                    fault::refused(subject, &failure.server, refusal)
                }
                fault => fault::unknown(subject, &failure.server, fault),
            }),
        }
    }
}

impl Retry {
    /// What was to be given up is not held any more.
    fn forget_hold(&self) {
        if let Some(hold) = lock(&self.client.holds).get(&self.handle) {
            for held in &self.plan.held {
                hold.remove(&held.token);
            }
        }
    }
}

impl std::fmt::Debug for Retry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retry").field("object", &self.object.name).finish_non_exhaustive()
    }
}
