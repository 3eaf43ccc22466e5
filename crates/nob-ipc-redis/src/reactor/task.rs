//! Operations of event loops: the same attempts as those of a thread that waits, without the thread.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nob_ipc::Deadline;

use super::Reactor;
use super::job::{End, Job, Purpose};
use crate::client::{Client, instant};
use crate::events::{Claim, Events, Ticket};
use crate::fault::{self, Fault, Stop};
use crate::handle::Handle;
use crate::plan::{Outcome, Plan};
use crate::request::{Failure, LATE, nothing};
use crate::scripts::Script;
use crate::slots::Slot;
use crate::sync::lock;
use crate::unanswered::MEMORY;
use crate::url::Address;
use crate::waiter::Waiter;
use crate::wire::Value;

/// An operation of an event loop.
pub(crate) struct Task {
    pub(super) ticket: Arc<Ticket>,
    pub(super) events: Events,
    pub(super) handle: Arc<Handle>,
    pub(super) plan: Plan<'static>,
    /// What it brings may be large.
    pub(super) bulk: bool,
    pub(super) deadline: Deadline,
    pub(super) waiter: Option<Arc<Waiter>>,
    pub(super) slot: Option<Slot>,
    pub(super) state: State,
    /// Counts the attempts, so that an answer to an old one is not taken for one to the last.
    pub(super) attempt: u64,
    /// When the attempt, or the sleep, is over.
    pub(super) end: Instant,
    /// The request of the last attempt may have reached the server.
    pub(super) sent: Option<Duration>,
    /// A copy of it was on its way when a connection was lost.
    pub(super) lost: bool,
    pub(super) server: Option<Address>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// `last`: it does not stand in line after that.
    Asking {
        last: bool,
    },
    Asleep,
}

impl Task {
    pub(crate) fn new(
        client: &Arc<Client>,
        handle: &Arc<Handle>,
        events: &Events,
        ticket: Arc<Ticket>,
        plan: Plan<'static>,
        bulk: bool,
        deadline: Deadline,
    ) -> Box<Task> {
        let waits = plan.waits() && !deadline.has_passed();
        let waiter = waits.then(|| client.enlist(&handle.object, handle.id, Some(ticket.id)));
        let again = plan.again.as_ref().map(|(_, slot)| *slot);
        let slot = again.or_else(|| plan.script.text().numbered.then(|| client.slots.take()));
        Box::new(Task {
            ticket,
            events: events.clone(),
            handle: handle.clone(),
            plan,
            bulk,
            deadline,
            waiter,
            slot,
            state: State::Asleep,
            attempt: 0,
            end: Instant::now(),
            sent: None,
            lost: false,
            server: None,
        })
    }
}

impl Reactor {
    /// Begins an attempt of a task.
    pub(super) fn attempt(&mut self, id: u64) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let now = Instant::now();
        let last = task.waiter.is_none() || task.deadline.has_passed();
        if let Some(waiter) = &task.waiter {
            waiter.rearm();
        }
        if task.attempt > 0 {
            // What arrives late of the last attempt is known by its number or token.
            if let Some(slot) = &mut task.slot {
                slot.number += 1;
            }
            if let Some(plan) = task.plan.renewed() {
                task.plan = plan;
            }
        }
        task.attempt += 1;
        task.state = State::Asking { last };
        task.sent = None;
        task.lost = false;
        let patience = self.client.settings.patience;
        let again = task.plan.again.as_ref();
        let forgotten = again.and_then(|(unanswered, _)| unanswered.end(None, patience));
        let patience = forgotten.unwrap_or(now + patience);
        let end = instant(task.deadline);
        // As the blocking calls: an answer may come late.
        task.end = end.map_or(patience, |end| patience.min(end.max(now) + LATE));
        let end = task.end;
        let member = task.waiter.as_ref().map_or(&b""[..], |waiter| waiter.member.as_bytes());
        let mode: &[u8] = if last { b"-" } else { b"w" };
        let arguments = task.plan.arguments(member, mode);
        let job = Job {
            script: task.plan.script,
            object: task.handle.object.clone(),
            slot: task.slot,
            token: task.plan.token.clone().into_bytes(),
            arguments: arguments.into_iter().map(<[u8]>::to_vec).collect(),
            bulk: task.bulk,
            purpose: Purpose::Task(id, task.attempt),
        };
        self.set_timer(end, id);
        self.enqueue(job, end.saturating_duration_since(now));
    }

    /// Has a task looked at then. Moments of tasks that have ended are swept out now and then.
    pub(super) fn set_timer(&mut self, moment: Instant, id: u64) {
        if self.timers.len() > 1024 + 4 * self.tasks.len() {
            let moments = self.tasks.iter().map(|(&id, task)| Reverse((task.end, id)));
            self.timers = moments.collect();
        }
        self.timers.push(Reverse((moment, id)));
    }

    /// Ends a task. `None`: its caller has gone already.
    pub(super) fn give_up(&mut self, id: u64, stop: Option<Stop>) {
        let Some(task) = self.tasks.remove(&id) else { return };
        let fault = Fault::Stopped(stop.unwrap_or(Stop::Interrupted));
        self.fail(task, fault);
    }

    /// Ends a task that has got nothing. What it may have taken goes back.
    pub(super) fn fail(&mut self, task: Box<Task>, fault: Fault) {
        self.leave_line(&task);
        let unanswered = match task.state {
            State::Asking { .. } if task.sent.is_some() => Some(task.slot.unwrap_or(Slot::NONE)),
            // An earlier call has sent it.
            _ => task.plan.again.as_ref().map(|(_, slot)| *slot),
        };
        let server = task
            .server
            .as_ref()
            .map_or_else(|| self.client.settings.url.to_string(), Address::to_string);
        let known = unanswered.is_none();
        let failure = Failure { fault, server, unanswered, unconfirmed: None };
        let error = task.plan.failed(&task.handle, &self.client, &failure);
        // A slot whose request is not settled is the settlement's, or the retry's.
        let slot = task.slot.filter(|_| known);
        let Task { ticket, events, handle, plan, .. } = *task;
        let claim = Claim { client: self.client.clone(), handle, plan, slot };
        events.end(&ticket, Err(error), claim);
    }

    /// A waiter that ends without an answer passes on what may have woken it.
    pub(super) fn leave_line(&mut self, task: &Task) {
        if let Some(waiter) = &task.waiter {
            lock(&self.client.hub).waiters.remove(&waiter.number);
            let job = Job::leave(&task.handle.object, task.plan.script.leave(), waiter);
            self.enqueue(job, MEMORY);
        }
    }

    /// Looks again for tasks whose time has come.
    pub(super) fn wake_tasks(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((moment, id))) = self.timers.peek()
            && moment <= now
        {
            self.timers.pop();
            let Some(task) = self.tasks.get(&id) else { continue };
            if task.end > now {
                continue;
            }
            match task.state {
                State::Asleep => self.attempt(id),
                State::Asking { .. } => {
                    if let Some(task) = self.tasks.remove(&id) {
                        self.fail(task, Fault::Silence);
                    }
                }
            }
        }
    }

    pub(super) fn finish_attempt(&mut self, id: u64, end: &End) {
        let client = self.client.clone();
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let answer = match end {
            End::Answer(answer) => answer,
            End::Unconfirmed(answer) => {
                if let Some(task) = self.tasks.remove(&id) {
                    self.end_unconfirmed(*task, answer.clone());
                }
                return;
            }
            End::Failure(fault) => {
                let fault = match fault {
                    Fault::Refused(refusal) => {
                        // It has not run, unless an earlier copy of it has.
                        if !task.lost {
                            task.sent = None;
                        }
                        Fault::Refused(refusal.clone())
                    }
                    fault => Fault::Protocol(fault.words()),
                };
                if let Some(task) = self.tasks.remove(&id) {
                    self.fail(task, fault);
                }
                return;
            }
        };
        let last = task.state == State::Asking { last: true };
        if let Some(again) = nothing(answer)
            && !last
        {
            task.state = State::Asleep;
            let look = Instant::now() + again;
            task.end = instant(task.deadline).map_or(look, |end| end.min(look));
            // A wake-up may have come before the answer.
            let woken = task.waiter.as_ref().is_some_and(|waiter| waiter.is_woken());
            let end = task.end;
            self.set_timer(end, id);
            if woken {
                self.attempt(id);
            }
            return;
        }
        let Some(task) = self.tasks.remove(&id) else { return };
        if let Some(waiter) = &task.waiter {
            lock(&client.hub).waiters.remove(&waiter.number);
        }
        let handle = &task.handle;
        let result = if nothing(answer).is_some() {
            Ok(match task.plan.script {
                Script::Send => Outcome::Sent(0),
                Script::Receive => Outcome::Messages(Vec::new()),
                _ => Outcome::Done(false),
            })
        } else {
            let sent = task.sent.unwrap_or_default();
            task.plan
                .check(handle, answer.clone())
                .and_then(|answer| task.plan.take(handle, &client, &answer, sent))
        };
        let nothing = [Outcome::Done(false), Outcome::Sent(0), Outcome::Messages(Vec::new())];
        let taken = result.as_ref().is_ok_and(|outcome| !nothing.contains(outcome));
        let Task { ticket, events, handle, plan, slot, .. } = *task;
        let closed = handle.is_closed();
        let claim = Claim { client, handle, plan, slot };
        if taken && closed {
            // It has come too late: nobody holds anything through a closed handle.
            let error = fault::stopped(claim.handle.subject(claim.plan.operation), Stop::Closed);
            let (client, handle, plan) =
                (claim.client.clone(), claim.handle.clone(), claim.plan.clone());
            claim.undo();
            events.end(&ticket, Err(error), Claim { client, handle, plan, slot: None });
            return;
        }
        events.end(&ticket, result, claim);
    }

    /// A task was done, and nobody is sure of it.
    pub(super) fn end_unconfirmed(&mut self, task: Task, answer: Value) {
        let Task { ticket, events, handle, plan, slot, waiter, .. } = task;
        if let Some(waiter) = waiter {
            lock(&self.client.hub).waiters.remove(&waiter.number);
        }
        let server = self.client.settings.url.to_string();
        let (fault, unconfirmed) = (Fault::Silence, Some(answer));
        let failure = Failure { fault, server, unanswered: None, unconfirmed };
        let error = plan.failed(&handle, &self.client, &failure);
        let claim = Claim { client: self.client.clone(), handle, plan, slot };
        events.end(&ticket, Err(error), claim);
    }
}
