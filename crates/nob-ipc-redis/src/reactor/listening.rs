//! Subscriptions, and who is woken by their messages.

use std::sync::Arc;

use nob_ipc::Kind;

use super::{Due, Reached, Reactor, Way};
use crate::job::Job;
use crate::scripts::Script;
use crate::sync::lock;
use crate::task::State;
use crate::unanswered::MEMORY;
use crate::url::Address;
use crate::waiter::Waiter;
use crate::wire::{Value, encode};

impl Reactor {
    pub(super) fn unlisten(&mut self, channel: &[u8]) {
        // Another handle may have begun to listen anew.
        if lock(&self.client.hub).channels.contains_key(channel) {
            return;
        }
        if let Some(Some(address)) = self.channels.remove(channel) {
            self.unsubscribe(address, channel);
        }
    }

    fn unsubscribe(&mut self, address: Address, channel: &[u8]) {
        if let Some(peer) = self.peers.get_mut(&(address, false)) {
            encode(peer.link.out(), [&b"SUNSUBSCRIBE"[..], channel]);
            // The connection is as it was, and no state of a server refuses that.
            encode(peer.link.out(), [&b"HELLO"[..], b"3"]);
            peer.due(Due::Unsubscribe { channel: channel.to_vec(), over: false });
        }
    }

    /// Another server is known to have an object. The one that its channel is subscribed at may have become a
    /// replica without closing its connections: who publishes at the new primary is told that nobody listens.
    pub(super) fn follow(&mut self, channel: &[u8]) {
        let object = lock(&self.client.hub).channels.get(channel).map(|found| found.object.clone());
        if let Some(route) = object.and_then(|object| self.client.known_route(&object)) {
            self.listen_at(channel, &route);
        }
    }

    /// Has a channel subscribed at this server that is subscribed at another.
    pub(super) fn listen_at(&mut self, channel: &[u8], address: &Address) {
        if let Some(at) = self.channels.get_mut(channel)
            && let Some(other) = at.take_if(|at| at != address)
        {
            self.wanted.push(channel.to_vec());
            self.unsubscribe(other, channel);
        }
    }

    pub(super) fn subscribe(&mut self, channel: Vec<u8>) {
        let object = match lock(&self.client.hub).channels.get(&channel) {
            Some(listeners) => listeners.object.clone(),
            None => return,
        };
        match self.reach(&object, None, false) {
            Ok(Reached::Later(kept)) => {
                kept.channels.push(channel.clone());
                self.channels.insert(channel, None);
            }
            Ok(Reached::Ready((address, _), peer)) => {
                encode(peer.link.out(), [&b"SSUBSCRIBE"[..], &channel]);
                peer.due(Due::Subscribe(channel.clone()));
                self.channels.insert(channel, Some(address));
            }
            Err(_) => self.resting.channels.push(channel),
        }
    }

    /// A message of a subscription.
    pub(super) fn message(&mut self, way: &Way, message: &[Value]) {
        let Some(channel) = message.get(1).map(Value::bytes) else { return };
        match message[0].bytes() {
            b"smessage" => {
                // Without a number it only asked whether somebody listens.
                let number = message.get(2).and_then(Value::integer);
                if let Some(number) = number.and_then(|number| u64::try_from(number).ok()) {
                    let woken = lock(&self.client.hub).waiters.get(&number).cloned();
                    match woken {
                        Some(waiter) => self.wake([waiter]),
                        None => self.leave_late(channel, number),
                    }
                }
            }
            b"ssubscribe" => {
                if let Some(peer) = self.peers.get_mut(way)
                    && matches!(peer.due.front(), Some(Due::Subscribe(_)))
                {
                    peer.due.pop_front();
                }
                self.wake_all(way, channel);
            }
            b"sunsubscribe" => {
                let due = self.peers.get_mut(way).map(|peer| peer.due.iter_mut());
                let mut is_ours = false;
                for due in due.into_iter().flatten() {
                    if let Due::Unsubscribe { channel: asked, over } = due
                        && asked == channel
                    {
                        is_ours = true;
                        if !std::mem::replace(over, true) {
                            break;
                        }
                    }
                }
                if is_ours {
                    return;
                }
                // The slot has moved to another node.
                let here = Some(Some(&way.0));
                if self.channels.get(channel).map(Option::as_ref) == here {
                    self.listen_anew(channel.to_vec());
                }
            }
            _ => {}
        }
    }

    /// A channel is not subscribed any more, nor is it known who has the object.
    pub(super) fn listen_anew(&mut self, channel: Vec<u8>) {
        let object =
            lock(&self.client.hub).channels.get(&channel).map(|found| found.object.clone());
        let Some(object) = object else {
            self.channels.remove(&channel);
            return;
        };
        self.client.forget(&object);
        self.channels.insert(channel.clone(), None);
        self.wanted.push(channel);
    }

    pub(super) fn not_subscribed(&mut self, address: &Address, channel: Vec<u8>, answer: &Value) {
        let object =
            lock(&self.client.hub).channels.get(&channel).map(|found| found.object.clone());
        let Some(object) = object else { return };
        match answer {
            Value::Error(refusal) if refusal.starts_with("MOVED ") => {
                self.listen_anew(channel);
                self.client.moved(&object, refusal, address);
            }
            _ => {
                self.client.forget(&object);
                self.channels.insert(channel.clone(), None);
                self.rest_a_little();
                self.resting.channels.push(channel);
            }
        }
    }

    /// Who was woken has ended before. It may stand in line all the same: by a copy of its last request that
    /// has arrived late, or by a failover that has lost its end. Nobody else may be woken for what is there.
    fn leave_late(&mut self, channel: &[u8], number: u64) {
        let hub = lock(&self.client.hub);
        let Some(object) = hub.channels.get(channel).map(|found| found.object.clone()) else {
            return;
        };
        drop(hub);
        let member = Waiter::member(&self.client.id, number);
        let scripts: &[Script] = match object.name.kind() {
            Kind::MessageQueue => &[Script::Leave, Script::LeaveSenders],
            _ => &[Script::Leave],
        };
        for &script in scripts {
            self.enqueue(Job::leave(&object, script, &member, "late"), MEMORY);
        }
    }

    /// Wake-ups until now have gone to nobody, so all who wait for an object look again. A task that is asking
    /// on this very connection need not: it is answered behind the subscription.
    fn wake_all(&mut self, way: &Way, channel: &[u8]) {
        let hub = lock(&self.client.hub);
        let waiting = hub.waiters.values().filter(|waiter| waiter.channel == channel);
        let mut waiting: Vec<Arc<Waiter>> = waiting.cloned().collect();
        drop(hub);
        waiting.retain(|waiter| {
            let task = waiter.task.and_then(|id| self.tasks.get(&id));
            task.is_none_or(|task| {
                task.state == State::Asleep || task.bulk || task.server.as_ref() != Some(&way.0)
            })
        });
        waiting.sort_unstable_by_key(|waiter| waiter.number);
        self.wake(waiting);
    }

    /// Has waiters look again: threads by themselves, tasks here.
    fn wake(&mut self, waiters: impl IntoIterator<Item = Arc<Waiter>>) {
        for waiter in waiters {
            waiter.wake();
            let Some(id) = waiter.task else { continue };
            if self.tasks.get(&id).is_some_and(|task| task.state == State::Asleep) {
                self.attempt(id);
            }
        }
    }
}
