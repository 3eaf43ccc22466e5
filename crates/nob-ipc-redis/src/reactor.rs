//! The native thread: it listens, so that threads and tasks are woken; it runs the operations of
//! event loops; it renews leases and settles what was given up.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nob_ipc::Deadline;

use crate::client::{
    Client, Failure, MEMORY, Request, Slot, confirmation, has_changed, is_permanent, is_sure, lock,
    redirection,
};
use crate::events::{Claim, Events, Ticket};
use crate::fault::{self, Fault, Stop, is_transient, is_wrong_server};
use crate::handle::{self, Handle};
use crate::hold::Hold;
use crate::link::{Link, SILENCE, Use};
use crate::object::Object;
use crate::plan::{Outcome, Plan};
use crate::scripts::Script;
use crate::sys;
use crate::url::Address;
use crate::waiter::Waiter;
use crate::wire::{Value, encode};

/// How often a quiet connection is looked after.
const BEAT: Duration = Duration::from_secs(5);

/// How long the thread goes on for what is to be settled after its connection was closed.
const LINGER: Duration = Duration::from_secs(2);

/// What threads and the native thread share.
#[derive(Default)]
pub(crate) struct Hub {
    inbox: Vec<Command>,
    pub waiters: HashMap<u64, Arc<Waiter>>,
    /// How many handles have an object, by its channel.
    channels: HashMap<Vec<u8>, Listeners>,
    running: bool,
    stopping: bool,
}

struct Listeners {
    object: Arc<Object>,
    handles: Vec<u64>,
}

enum Command {
    Listen(Vec<u8>),
    Unlisten(Vec<u8>),
    Start(Box<Task>),
    Cancel(u64),
    CloseHandle(u64),
    Settle(Job),
    /// Something else has changed: a hold, or the end has come.
    Look,
}

/// A request that the native thread makes.
pub(crate) struct Job {
    pub script: Script,
    pub object: Arc<Object>,
    pub slot: Option<Slot>,
    pub token: Vec<u8>,
    pub arguments: Vec<Vec<u8>>,
    pub purpose: Purpose,
}

pub(crate) enum Purpose {
    /// What was given up is undone; nobody waits for it.
    Settle,
    /// Attempt of a task, with its number.
    Task(u64, u64),
    /// A renewal of these tokens.
    Renew(Arc<Hold>, Vec<String>),
}

impl Job {
    /// Leaves the line of an object.
    pub(crate) fn leave(object: &Arc<Object>, script: Script, waiter: &Waiter) -> Job {
        let arguments = vec![waiter.member.clone().into_bytes()];
        let object = object.clone();
        Job { script, object, slot: None, token: Vec::new(), arguments, purpose: Purpose::Settle }
    }
}

/// A job on its way, and where it stands.
struct Sending {
    job: Job,
    /// With the script's text.
    whole: bool,
    /// To a node that does not have the object yet.
    ask: Option<Address>,
    /// When a renewal was sent.
    sent: Duration,
    until: Instant,
}

impl Sending {
    /// The command that makes sure of what the job has changed. What is settled is not waited for.
    fn confirmation(&self, client: &Client) -> Option<&'static [&'static [u8]]> {
        let is_task = matches!(self.job.purpose, Purpose::Task(..));
        confirmation(client.settings.durability, self.job.script).filter(|_| is_task)
    }
}

/// How a job ends.
enum End {
    Answer(Value),
    /// The answer is not one to rely on: too few replicas or disks have said so.
    Unconfirmed(Value),
    Failure(Fault),
}

/// An operation of an event loop.
pub(crate) struct Task {
    ticket: Arc<Ticket>,
    events: Events,
    handle: Arc<Handle>,
    plan: Plan<'static>,
    deadline: Deadline,
    waiter: Option<Arc<Waiter>>,
    slot: Option<Slot>,
    state: State,
    /// Counts the attempts, so that an answer to an old one is not taken for one to the last.
    attempt: u64,
    /// When the attempt, or the sleep, is over.
    end: Instant,
    /// The request of the last attempt may have reached the server.
    sent: Option<Duration>,
    server: Option<Address>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
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
        deadline: Deadline,
    ) -> Box<Task> {
        let waits = plan.waits() && !deadline.has_passed();
        let waiter = waits.then(|| client.enlist(&handle.object, handle.id, Some(ticket.id)));
        let slot = plan.script.text().numbered.then(|| client.take_slot());
        Box::new(Task {
            ticket,
            events: events.clone(),
            handle: handle.clone(),
            plan,
            deadline,
            waiter,
            slot,
            state: State::Asleep,
            attempt: 0,
            end: Instant::now(),
            sent: None,
            server: None,
        })
    }
}

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
        sys::ring(self.bell.as_fd());
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
        let waiter = Arc::new(Waiter::new(self.number(), &self.id, channel.clone(), handle, task));
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

    /// A hold has something to renew.
    pub(crate) fn renew_soon(self: &Arc<Self>) {
        self.command_reactor(Command::Look);
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
}

/// A connection of the native thread.
struct Peer {
    link: Link,
    due: VecDeque<Due>,
    /// An answer that is to be confirmed by the next.
    answered: Option<(Box<Sending>, Value)>,
    /// Since when an answer is due and nothing has come.
    silent_since: Instant,
}

/// What an answer is to.
enum Due {
    Job(Box<Sending>),
    /// Whether enough replicas or disks have what the job before has changed.
    Confirmation,
    Asking,
    Ping,
    Subscribe(Vec<u8>),
    Unsubscribe(Vec<u8>),
}

struct Reactor {
    client: Arc<Client>,
    peers: HashMap<Address, Peer>,
    queue: VecDeque<Box<Sending>>,
    tasks: HashMap<u64, Box<Task>>,
    /// Moments at which tasks look for themselves.
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The server that a channel is subscribed at, or is to be.
    channels: HashMap<Vec<u8>, Option<Address>>,
    /// Channels to subscribe.
    wanted: Vec<Vec<u8>>,
    back_off: Duration,
    /// When to connect again.
    again: Instant,
    beat: Instant,
}

impl Reactor {
    fn new(client: Arc<Client>) -> Reactor {
        let now = Instant::now();
        Reactor {
            client,
            peers: HashMap::new(),
            queue: VecDeque::new(),
            tasks: HashMap::new(),
            timers: BinaryHeap::new(),
            channels: HashMap::new(),
            wanted: Vec::new(),
            back_off: Duration::ZERO,
            again: now,
            beat: now,
        }
    }

    fn run(mut self) {
        let mut stop_at = None;
        loop {
            let stopping = self.read_inbox();
            self.wake_tasks();
            self.renew();
            self.send();
            if stopping {
                let end = *stop_at.get_or_insert_with(|| Instant::now() + LINGER);
                let busy = |peer: &Peer| peer.due.iter().any(|due| matches!(due, Due::Job(_)));
                let idle = self.queue.is_empty() && !self.peers.values().any(busy);
                if idle || Instant::now() >= end {
                    let mut hub = lock(&self.client.hub);
                    // What has come in the meantime begins a new thread.
                    if hub.inbox.is_empty() || !idle {
                        hub.running = false;
                        return;
                    }
                }
            }
            self.wait();
            self.read_peers();
        }
    }

    /// Takes what other threads have asked for; whether the end has come.
    fn read_inbox(&mut self) -> bool {
        sys::hush(self.client.bell.as_fd());
        let mut hub = lock(&self.client.hub);
        let commands = std::mem::take(&mut hub.inbox);
        let stopping = hub.stopping;
        drop(hub);
        for command in commands {
            match command {
                Command::Listen(channel) => {
                    self.channels.insert(channel.clone(), None);
                    self.wanted.push(channel);
                }
                Command::Unlisten(channel) => self.unlisten(&channel),
                Command::Start(task) => {
                    let id = task.ticket.id;
                    self.tasks.insert(id, task);
                    self.attempt(id);
                }
                Command::Cancel(id) => self.give_up(id, None),
                Command::CloseHandle(handle) => {
                    let ids: Vec<u64> = self
                        .tasks
                        .values()
                        .filter(|task| task.handle.id == handle)
                        .map(|task| task.ticket.id)
                        .collect();
                    for id in ids {
                        self.give_up(id, Some(Stop::Closed));
                    }
                }
                Command::Settle(job) => self.enqueue(job, MEMORY),
                Command::Look => {}
            }
        }
        stopping
    }

    fn enqueue(&mut self, job: Job, time: Duration) {
        let until = Instant::now() + time;
        let sent = Duration::ZERO;
        self.queue.push_back(Box::new(Sending { job, whole: false, ask: None, sent, until }));
    }

    fn unlisten(&mut self, channel: &[u8]) {
        // Another handle may have begun to listen anew.
        if lock(&self.client.hub).channels.contains_key(channel) {
            return;
        }
        let Some(Some(address)) = self.channels.remove(channel) else { return };
        if let Some(peer) = self.peers.get_mut(&address) {
            encode(peer.link.out(), [&b"SUNSUBSCRIBE"[..], channel]);
            peer.due(Due::Unsubscribe(channel.to_vec()));
        }
    }

    /// Begins an attempt of a task.
    fn attempt(&mut self, id: u64) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let now = Instant::now();
        let last = task.waiter.is_none() || task.deadline.has_passed();
        if let Some(waiter) = &task.waiter {
            waiter.rearm();
        }
        task.attempt += 1;
        task.state = State::Asking { last };
        task.sent = None;
        let patience = now + self.client.settings.patience;
        let end = handle::instant(task.deadline);
        // As the blocking calls: an answer may come up to two seconds late.
        task.end = end.map_or(patience, |end| patience.min(end.max(now) + SILENCE));
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
            purpose: Purpose::Task(id, task.attempt),
        };
        self.set_timer(end, id);
        self.enqueue(job, end.saturating_duration_since(now));
    }

    /// Has a task looked at then. Moments of tasks that have ended are swept out now and then.
    fn set_timer(&mut self, moment: Instant, id: u64) {
        if self.timers.len() > 1024 + 4 * self.tasks.len() {
            let moments = self.tasks.iter().map(|(&id, task)| Reverse((task.end, id)));
            self.timers = moments.collect();
        }
        self.timers.push(Reverse((moment, id)));
    }

    /// Ends a task. `None`: its caller has gone already.
    fn give_up(&mut self, id: u64, stop: Option<Stop>) {
        let Some(task) = self.tasks.remove(&id) else { return };
        let fault = Fault::Stopped(stop.unwrap_or(Stop::Interrupted));
        self.fail(task, fault);
    }

    /// Ends a task that has got nothing. What it may have taken goes back.
    fn fail(&mut self, task: Box<Task>, fault: Fault) {
        self.leave_line(&task);
        let unanswered = match task.state {
            State::Asking { .. } => task.sent.and(Some(task.slot.unwrap_or(Slot::NONE))),
            State::Asleep => None,
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
    fn leave_line(&mut self, task: &Task) {
        if let Some(waiter) = &task.waiter {
            lock(&self.client.hub).waiters.remove(&waiter.number);
            let job = Job::leave(&task.handle.object, task.plan.leave(), waiter);
            self.enqueue(job, MEMORY);
        }
    }

    /// Looks again for tasks whose time has come.
    fn wake_tasks(&mut self) {
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

    /// Sends the renewals that are due.
    fn renew(&mut self) {
        let now = sys::boot_time();
        let holds: Vec<Arc<Hold>> = lock(&self.client.holds).values().cloned().collect();
        for hold in holds {
            if hold.due().is_none_or(|due| due > now) {
                continue;
            }
            let tokens = hold.begin();
            let lease = hold.lease.as_millis().to_string().into_bytes();
            let held = tokens.iter().map(|token| token.clone().into_bytes());
            let is_lock = hold.object.name.kind() == nob_ipc::Kind::Lock;
            let (script, arguments) = if is_lock {
                (Script::Renew, held.chain([lease]).collect())
            } else {
                (Script::Keep, [lease].into_iter().chain(held).collect())
            };
            let (object, lease) = (hold.object.clone(), hold.lease);
            let purpose = Purpose::Renew(hold, tokens);
            self.enqueue(
                Job { script, object, slot: None, token: Vec::new(), arguments, purpose },
                lease,
            );
        }
    }

    /// Sends what there is to send, as far as there are connections.
    fn send(&mut self) {
        let now = Instant::now();
        if now >= self.beat + BEAT {
            self.beat = now;
            for peer in self.peers.values_mut() {
                encode(peer.link.out(), [&b"PING"[..]]);
                peer.due(Due::Ping);
            }
        }
        if now < self.again || (self.wanted.is_empty() && self.queue.is_empty()) {
            return;
        }
        let mut failed = false;
        for channel in std::mem::take(&mut self.wanted) {
            if failed {
                self.wanted.push(channel);
            } else {
                failed = self.subscribe(channel).is_err();
            }
        }
        for sending in std::mem::take(&mut self.queue) {
            if failed {
                self.queue.push_back(sending);
            } else {
                failed = self.send_job(sending).is_err();
            }
        }
        if failed {
            let longer = (self.back_off * 2).max(Duration::from_millis(5));
            self.back_off = longer.min(Duration::from_millis(200));
            self.again = Instant::now() + self.back_off;
            self.drop_late();
        } else {
            self.back_off = Duration::ZERO;
        }
    }

    /// Drops what waits for a connection and has waited for too long. Tasks end by their timers.
    fn drop_late(&mut self) {
        let now = Instant::now();
        let waiting = std::mem::take(&mut self.queue).into_iter();
        let (late, rest): (VecDeque<_>, _) = waiting.partition(|sending| sending.until <= now);
        self.queue = rest;
        for sending in late {
            self.finish(*sending, &End::Failure(Fault::Silence));
        }
    }

    /// The connection to the server that has an object.
    fn peer(
        &mut self,
        object: &Object,
        ask: Option<&Address>,
    ) -> Result<(Address, &mut Peer), Fault> {
        let mut never = || Ok(());
        let address = match ask {
            Some(address) => address.clone(),
            None => self.client.route(object, &mut never)?,
        };
        if !self.peers.contains_key(&address) {
            let url = &self.client.settings.url;
            let link = match Link::open(url, &address, Use::Listening, &mut never) {
                Ok(link) => link,
                Err(fault) => {
                    self.client.forget(object);
                    return Err(fault);
                }
            };
            let silent_since = Instant::now();
            let peer = Peer { link, due: VecDeque::new(), answered: None, silent_since };
            self.peers.insert(address.clone(), peer);
        }
        match self.peers.get_mut(&address) {
            Some(peer) => Ok((address, peer)),
            None => Err(Fault::Silence),
        }
    }

    fn subscribe(&mut self, channel: Vec<u8>) -> Result<(), Fault> {
        let object = match lock(&self.client.hub).channels.get(&channel) {
            Some(listeners) => listeners.object.clone(),
            None => return Ok(()),
        };
        match self.peer(&object, None) {
            Ok((address, peer)) => {
                encode(peer.link.out(), [&b"SSUBSCRIBE"[..], &channel]);
                peer.due(Due::Subscribe(channel.clone()));
                self.channels.insert(channel, Some(address));
                Ok(())
            }
            Err(fault) => {
                self.wanted.push(channel);
                Err(fault)
            }
        }
    }

    /// Whether anybody still wants to know the answer.
    fn is_current(&self, purpose: &Purpose) -> bool {
        match purpose {
            Purpose::Task(id, attempt) => {
                self.tasks.get(id).is_some_and(|task| task.attempt == *attempt)
            }
            _ => true,
        }
    }

    fn send_job(&mut self, mut sending: Box<Sending>) -> Result<(), Fault> {
        if !self.is_current(&sending.job.purpose) {
            return Ok(());
        }
        let client = self.client.clone();
        let ask = sending.ask.take();
        match self.peer(&sending.job.object, ask.as_ref()) {
            Ok((address, peer)) => {
                if ask.is_some() {
                    encode(peer.link.out(), [&b"ASKING"[..]]);
                    peer.due(Due::Asking);
                }
                let job = &sending.job;
                let arguments: Vec<&[u8]> = job.arguments.iter().map(Vec::as_slice).collect();
                let mut request = Request::new(job.script, &job.object, &arguments);
                request.token = &job.token;
                let slot = job.slot.unwrap_or(Slot::NONE);
                client.encode(peer.link.out(), &request, slot, sending.whole || ask.is_some());
                sending.sent = sys::boot_time();
                if let Purpose::Task(id, _) = job.purpose
                    && let Some(task) = self.tasks.get_mut(&id)
                {
                    task.sent.get_or_insert(sending.sent);
                    task.server = Some(address.clone());
                }
                let confirm = sending.confirmation(&self.client);
                if let Some(peer) = self.peers.get_mut(&address) {
                    peer.due(Due::Job(sending));
                    if let Some(command) = confirm {
                        encode(peer.link.out(), command.iter().copied());
                        peer.due(Due::Confirmation);
                    }
                }
                Ok(())
            }
            Err(fault)
                if is_permanent(&fault)
                    || matches!(&fault, Fault::Refused(text) if !is_transient(text)) =>
            {
                self.finish(*sending, &End::Failure(fault));
                Ok(())
            }
            Err(fault) => {
                self.queue.push_front(sending);
                Err(fault)
            }
        }
    }

    /// Sleeps until something happens.
    fn wait(&mut self) {
        let now = Instant::now();
        let mut end = self.beat + BEAT;
        if let Some(Reverse((moment, _))) = self.timers.peek() {
            end = end.min(*moment);
        }
        if !self.queue.is_empty() || !self.wanted.is_empty() {
            end = end.min(self.again);
        }
        let mut fds = vec![sys::poll_for(self.client.bell.as_fd(), false)];
        for peer in self.peers.values_mut() {
            // What cannot be written shows when it is read.
            let _ = peer.link.flush();
            fds.push(sys::poll_for(peer.link.as_fd(), peer.link.has_output()));
            if !peer.due.is_empty() {
                end = end.min(peer.silent_since + SILENCE);
            }
        }
        let mut time = end.saturating_duration_since(now);
        let boot = sys::boot_time();
        for hold in lock(&self.client.holds).values() {
            if let Some(due) = hold.due() {
                time = time.min(due.saturating_sub(boot));
            }
        }
        if lock(&self.client.hub).stopping {
            time = time.min(Duration::from_millis(50));
        }
        // It only fails for a signal, and none comes here.
        let _ = sys::poll(&mut fds, time);
    }

    fn read_peers(&mut self) {
        let addresses: Vec<Address> = self.peers.keys().cloned().collect();
        for address in addresses {
            if self.read_peer(&address).is_err() {
                self.lose(&address);
            }
        }
    }

    fn read_peer(&mut self, address: &Address) -> Result<(), Fault> {
        loop {
            let Some(peer) = self.peers.get_mut(address) else { return Ok(()) };
            let Some(value) = peer.link.next()? else {
                if peer.link.fill()? {
                    continue;
                }
                let silent = peer.silent_since.elapsed() >= SILENCE;
                return if silent && !peer.due.is_empty() { Err(Fault::Silence) } else { Ok(()) };
            };
            peer.silent_since = Instant::now();
            if let Value::Push(message) = &value {
                self.message(address, message);
                continue;
            }
            match peer.due.pop_front() {
                Some(Due::Job(sending)) => {
                    if has_changed(&value) && sending.confirmation(&self.client).is_some() {
                        peer.answered = Some((sending, value));
                    } else {
                        self.answer(address, sending, value);
                    }
                }
                Some(Due::Confirmation) => {
                    if let Some((sending, answer)) = peer.answered.take() {
                        let end = if is_sure(&value) { End::Answer } else { End::Unconfirmed };
                        self.finish(*sending, &end(answer));
                    }
                }
                // An error: a subscription is answered by a message.
                Some(Due::Subscribe(channel)) => self.not_subscribed(address, channel, &value),
                Some(Due::Unsubscribe(_) | Due::Ping | Due::Asking) => {}
                None => return Err(Fault::Protocol("an answer that nobody asked for".into())),
            }
        }
    }

    /// A message of a subscription.
    fn message(&mut self, address: &Address, message: &[Value]) {
        let Some(channel) = message.get(1).map(Value::bytes) else { return };
        match message[0].bytes() {
            b"smessage" => {
                // Without a number it only asked whether somebody listens.
                let number = message.get(2).and_then(Value::integer);
                if let Some(number) = number.and_then(|number| u64::try_from(number).ok()) {
                    self.wake(|waiter| waiter.number == number, Some(number));
                }
            }
            b"ssubscribe" => {
                if let Some(peer) = self.peers.get_mut(address)
                    && matches!(peer.due.front(), Some(Due::Subscribe(_)))
                {
                    peer.due.pop_front();
                }
                // Wake-ups until now have gone to nobody.
                self.wake(|waiter| waiter.channel == channel, None);
            }
            b"sunsubscribe" => {
                if let Some(peer) = self.peers.get_mut(address)
                    && matches!(peer.due.front(), Some(Due::Unsubscribe(asked)) if asked == channel)
                {
                    peer.due.pop_front();
                    return;
                }
                // The slot has moved to another node.
                let here = Some(Some(address));
                if self.channels.get(channel).map(Option::as_ref) == here {
                    self.listen_anew(channel.to_vec());
                }
            }
            _ => {}
        }
    }

    /// A channel is not subscribed any more, nor is it known who has the object.
    fn listen_anew(&mut self, channel: Vec<u8>) {
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

    fn not_subscribed(&mut self, address: &Address, channel: Vec<u8>, answer: &Value) {
        let object =
            lock(&self.client.hub).channels.get(&channel).map(|found| found.object.clone());
        let Some(object) = object else { return };
        self.listen_anew(channel);
        match answer {
            Value::Error(refusal) if refusal.starts_with("MOVED ") => {
                self.client.moved(&object, refusal, address);
            }
            _ => self.again = self.again.max(Instant::now() + Duration::from_millis(20)),
        }
    }

    /// Has waiters look again: threads by themselves, tasks here.
    fn wake(&mut self, which: impl Fn(&Waiter) -> bool, number: Option<u64>) {
        let hub = lock(&self.client.hub);
        let woken: Vec<Arc<Waiter>> = match number {
            Some(number) => hub.waiters.get(&number).cloned().into_iter().collect(),
            None => hub.waiters.values().filter(|waiter| which(waiter)).cloned().collect(),
        };
        drop(hub);
        for waiter in woken {
            waiter.wake();
            let Some(id) = waiter.task else { continue };
            if self.tasks.get(&id).is_some_and(|task| task.state == State::Asleep) {
                self.attempt(id);
            }
        }
    }

    /// An answer has come to a job. Some only say where, how or when to ask again.
    fn answer(&mut self, address: &Address, mut sending: Box<Sending>, answer: Value) {
        let refusal = match answer {
            Value::Error(refusal) => refusal,
            answer => return self.finish(*sending, &End::Answer(answer)),
        };
        if sending.until <= Instant::now() {
            return self.finish(*sending, &End::Failure(Fault::Refused(refusal)));
        }
        let object = sending.job.object.clone();
        if refusal.starts_with("NOSCRIPT") && !sending.whole {
            sending.whole = true;
        } else if refusal.starts_with("MOVED ") {
            self.client.moved(&object, &refusal, address);
        } else if refusal.starts_with("ASK ") {
            sending.ask = redirection(&refusal, address);
        } else if is_transient(&refusal) {
            if is_wrong_server(&refusal) {
                self.client.forget(&object);
            }
            self.again = self.again.max(Instant::now() + Duration::from_millis(20));
        } else {
            return self.finish(*sending, &End::Failure(Fault::Refused(refusal)));
        }
        self.queue.push_back(sending);
    }

    /// A job has come to its end.
    fn finish(&mut self, sending: Sending, end: &End) {
        let Sending { job, sent, .. } = sending;
        match job.purpose {
            Purpose::Settle => {
                if let Some(slot) = job.slot {
                    self.client.give_slot(slot);
                }
            }
            Purpose::Renew(hold, tokens) => match end {
                End::Answer(answer) if answer.word() == b"OK" => {
                    let there = answer.list().get(1..).unwrap_or(&[]);
                    let there: Vec<bool> = match job.script {
                        Script::Renew => vec![true],
                        _ => there.iter().map(|value| value.integer() == Some(1)).collect(),
                    };
                    hold.renewed(&tokens, &there, sent);
                }
                // Lost, or the whole object is gone.
                End::Answer(_) => hold.renewed(&tokens, &[], sent),
                _ => hold.not_renewed(),
            },
            Purpose::Task(id, attempt) => {
                if self.tasks.get(&id).is_some_and(|task| task.attempt == attempt) {
                    self.finish_attempt(id, end);
                }
            }
        }
    }

    fn finish_attempt(&mut self, id: u64, end: &End) {
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
                        // The server has said that it has not run.
                        task.sent = None;
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
        if let Some(again) = Plan::nothing(answer)
            && !last
        {
            task.state = State::Asleep;
            let look = Instant::now() + again;
            task.end = handle::instant(task.deadline).map_or(look, |end| end.min(look));
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
        let result = if Plan::nothing(answer).is_some() {
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
                .map(|reply| reply.outcome)
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
    fn end_unconfirmed(&mut self, task: Task, answer: Value) {
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

    /// A connection is lost. What it had to do is done anew, under the same numbers.
    fn lose(&mut self, address: &Address) {
        let Some(peer) = self.peers.remove(address) else { return };
        let answered = peer.answered.map(|(sending, _)| Due::Job(sending));
        for due in answered.into_iter().chain(peer.due) {
            if let Due::Job(sending) = due {
                self.client.forget(&sending.job.object);
                self.queue.push_back(sending);
            }
        }
        let here = |at: &Option<Address>| at.as_ref() == Some(address);
        let lost: Vec<Vec<u8>> = self
            .channels
            .iter()
            .filter(|(_, at)| here(at))
            .map(|(channel, _)| channel.clone())
            .collect();
        for channel in lost {
            self.listen_anew(channel);
        }
        self.drop_late();
    }
}

impl Peer {
    /// An answer is due.
    fn due(&mut self, due: Due) {
        if self.due.is_empty() {
            self.silent_since = Instant::now();
        }
        self.due.push_back(due);
    }
}
