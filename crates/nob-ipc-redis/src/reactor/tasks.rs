//! Operations of event loops: the same attempts as those of a thread that waits, without the thread.

use std::cmp::Reverse;
use std::time::Instant;

use super::Reactor;
use super::sending::End;
use crate::client::instant;
use crate::fault::{Fault, Stop};
use crate::job::{Job, Purpose};
use crate::request::{Failure, LATE, nothing};
use crate::slots::Slot;
use crate::sync::lock;
use crate::task::{State, Task};
use crate::unanswered::MEMORY;
use crate::url::Address;
use crate::wire::Value;

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
            task.work.renew();
        }
        task.attempt += 1;
        task.state = State::Asking { last };
        task.sent = None;
        task.lost = false;
        let patience = self.client.settings.patience;
        let again = task.again.as_ref();
        let forgotten = again.and_then(|(unanswered, _)| unanswered.end(None, patience));
        let patience = forgotten.unwrap_or(now + patience);
        let end = instant(task.deadline);
        // As the blocking calls: an answer may come late.
        task.end = end.map_or(patience, |end| patience.min(end.max(now) + LATE));
        let end = task.end;
        let member = task.waiter.as_ref().map_or(&b""[..], |waiter| waiter.member.as_bytes());
        let mode: &[u8] = if last { b"-" } else { b"w" };
        let (token, arguments) = task.work.request(member, mode);
        let job = Job {
            script: task.script,
            object: task.object.clone(),
            slot: task.slot,
            token,
            arguments,
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
            _ => task.again.as_ref().map(|(_, slot)| *slot),
        };
        let server = task
            .server
            .as_ref()
            .map_or_else(|| self.client.settings.url.to_string(), Address::to_string);
        let known = unanswered.is_none();
        let failure = Failure { fault, server, unanswered, unconfirmed: None };
        // A slot whose request is not settled is the settlement's, or the retry's.
        task.work.fail(&failure, task.slot.filter(|_| known));
    }

    /// A waiter that ends without an answer passes on what may have woken it.
    pub(super) fn leave_line(&mut self, task: &Task) {
        if let Some(waiter) = &task.waiter {
            lock(&self.client.hub).waiters.remove(&waiter.number);
            let job = Job::leave(&task.object, task.script.leave(), &waiter.member, "end");
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
            lock(&self.client.hub).waiters.remove(&waiter.number);
        }
        task.work.finish(answer, task.sent.unwrap_or_default(), task.slot);
    }

    /// A task was done, and nobody is sure of it.
    pub(super) fn end_unconfirmed(&mut self, task: Task, answer: Value) {
        if let Some(waiter) = task.waiter {
            lock(&self.client.hub).waiters.remove(&waiter.number);
        }
        let server = self.client.settings.url.to_string();
        let (fault, unconfirmed) = (Fault::Silence, Some(answer));
        let failure = Failure { fault, server, unanswered: None, unconfirmed };
        task.work.fail(&failure, task.slot);
    }
}
