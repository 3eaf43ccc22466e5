//! How other threads speak to the native thread.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Reactor;
use crate::client::Client;
use crate::hub::{Command, Listeners};
use crate::job::Job;
use crate::object::Object;
use crate::sync::{lock, number};
use crate::sys;
use crate::task::Task;
use crate::waiter::Waiter;

impl Client {
    fn command_reactor(self: &Arc<Self>, command: Command) {
        let mut hub = lock(&self.hub);
        hub.inbox.push(command);
        if !hub.running {
            let client = self.clone();
            let body = move || Reactor::new(client).run();
            // Without the thread, nobody is woken, and everybody looks for himself.
            hub.running = sys::spawn_without_signals("nob-ipc-redis", body).is_ok();
        }
        drop(hub);
        sys::set_eventfd(self.wakeup.as_fd());
    }

    /// Tells the native thread what another thread has found, if it is there.
    pub(crate) fn tell_reactor(&self, command: Command) {
        let mut hub = lock(&self.hub);
        if hub.running {
            hub.inbox.push(command);
            drop(hub);
            sys::set_eventfd(self.wakeup.as_fd());
        }
    }

    /// One who waits for an object is woken from here on. The first for an object has its channel
    /// subscribed; until that is done, a place in line does not last, and its end wakes everybody.
    pub(crate) fn enlist(
        self: &Arc<Self>,
        object: &Arc<Object>,
        handle: u64,
        task: Option<u64>,
    ) -> Arc<Waiter> {
        let channel = object.channel(&self.id);
        let waiter = Arc::new(Waiter::new(number(), &self.id, channel.clone(), handle, task));
        let mut hub = lock(&self.hub);
        hub.waiters.insert(waiter.number, waiter.clone());
        let mut new = false;
        let listeners = hub.channels.entry(channel.clone()).or_insert_with(|| {
            new = true;
            Listeners { object: object.clone(), handles: Vec::new() }
        });
        if !listeners.handles.contains(&handle) {
            listeners.handles.push(handle);
        }
        drop(hub);
        if new {
            self.command_reactor(Command::Listen(channel));
        }
        waiter
    }

    /// A handle is closed: who waits through it ends.
    pub(crate) fn close_handle(self: &Arc<Self>, handle: u64) {
        let mut hub = lock(&self.hub);
        for waiter in hub.waiters.values().filter(|waiter| waiter.handle == handle) {
            waiter.wake();
        }
        let mut silent = Vec::new();
        hub.channels.retain(|channel, listeners| {
            listeners.handles.retain(|&other| other != handle);
            if listeners.handles.is_empty() {
                silent.push(channel.clone());
            }
            !listeners.handles.is_empty()
        });
        let running = hub.running;
        drop(hub);
        if running {
            for channel in silent {
                self.command_reactor(Command::Unlisten(channel));
            }
            self.command_reactor(Command::CloseHandle(handle));
        }
    }

    pub(crate) fn start(self: &Arc<Self>, task: Box<Task>) {
        self.command_reactor(Command::Start(task));
    }

    pub(crate) fn cancel(self: &Arc<Self>, task: u64) {
        self.command_reactor(Command::Cancel(task));
    }

    /// Has something undone in the background, for as long as the server remembers requests.
    pub(crate) fn settle(self: &Arc<Self>, job: Job) {
        self.command_reactor(Command::Settle(job));
    }

    /// Something is to be renewed then. The thread is disturbed only if it would wake later: most
    /// locks are given up long before.
    pub(crate) fn renew_by(self: &Arc<Self>, moment: Duration) {
        if moment < Duration::from_nanos(self.wakes_at.load(Ordering::SeqCst)) {
            self.command_reactor(Command::Look);
        }
    }

    /// The connection is closed; the thread ends when it has settled what there is.
    pub(crate) fn stop(self: &Arc<Self>) {
        self.close_idle();
        let mut hub = lock(&self.hub);
        hub.stopping = true;
        let running = hub.running;
        drop(hub);
        if running {
            self.command_reactor(Command::Look);
        }
    }

    /// Whether the thread was told to stop, and has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let hub = lock(&self.hub);
        hub.stopping && !hub.running
    }

    /// Waits until the thread has settled all and ended; `false` when that was not done in the time.
    pub(crate) fn join(&self, within: Duration) -> bool {
        let hub = lock(&self.hub);
        let waited = self.ended.wait_timeout_while(hub, within, |hub| hub.running);
        let (hub, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !hub.running && !hub.unsettled
    }
}
