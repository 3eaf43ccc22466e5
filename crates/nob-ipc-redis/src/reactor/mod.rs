//! The native thread: it listens, so that threads and tasks are woken; it runs the operations of
//! event loops; it renews leases and settles what was given up.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::client::{Client, has_changed, is_permanent, is_sure, redirection};
use crate::fault::{Fault, Stop, is_missing_script, is_transient, is_wrong_server};
use crate::hold::Hold;
use crate::hub::{Command, Search};
use crate::job::{Job, Purpose};
use crate::link::Link;
use crate::object::Object;
use crate::request::Request;
use crate::scripts::Script;
use crate::slots::Slot;
use crate::sync::lock;
use crate::sys;
use crate::task::Task;
use crate::transport::SILENCE;
use crate::unanswered::MEMORY;
use crate::url::Address;
use crate::wire::{Value, encode};

mod commands;
mod listening;
mod search;
mod sending;
mod tasks;
use sending::{End, Sending};

/// How often a quiet connection is looked after.
const BEAT: Duration = Duration::from_secs(5);

/// How long the thread goes on for what is to be settled after its connection was closed.
const LINGER: Duration = Duration::from_secs(2);

/// How long what is to be settled waits for a server that refuses it.
const PUT_OFF: Duration = Duration::from_secs(1);

/// A server, and whether it is the connection for answers that may be large: a server closes one
/// that listens when too much waits to be read there.
type Way = (Address, bool);

/// A connection of the native thread.
struct Peer {
    link: Link,
    due: VecDeque<Due>,
    /// What is to be sent once it is known who is there: no request may reach a server as another
    /// user, or in another database.
    kept: Kept,
    /// It has said that it is not the one to ask.
    refuses: bool,
    /// An answer that is to be confirmed by the next.
    answered: Option<(Box<Sending>, Value)>,
    /// Since when an answer is due and nothing has come.
    silent_since: Instant,
}

/// What waits for a connection.
#[derive(Default)]
struct Kept {
    jobs: VecDeque<Box<Sending>>,
    /// To subscribe.
    channels: Vec<Vec<u8>>,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.channels.is_empty()
    }
}

/// Where a request goes.
enum Reached<'a> {
    Ready(Way, &'a mut Peer),
    /// To what waits until it is known who is there, or where.
    Later(&'a mut Kept),
}

/// What an answer is to.
enum Due {
    /// Connecting, and logging in.
    Login,
    Job(Box<Sending>),
    /// Whether enough replicas or disks have what the job before has changed.
    Confirmation,
    Asking,
    Ping,
    Subscribe(Vec<u8>),
    /// What was asked behind the end of a subscription. `over`: the server has told of it, by itself if it has
    /// given the slot away; then it also refuses what it was asked for.
    Unsubscribe {
        channel: Vec<u8>,
        over: bool,
    },
}

struct Reactor {
    client: Arc<Client>,
    peers: HashMap<Way, Peer>,
    /// What is being searched for, and what waits for it.
    searches: HashMap<Search, Kept>,
    /// When sentinels may be asked again that nothing waits for.
    search_again: Instant,
    /// Hosts that were looked up, for those who begin to connect now.
    hosts: HashMap<String, Vec<SocketAddr>>,
    queue: VecDeque<Box<Sending>>,
    /// What waits for the next try: its server could not be reached, or has refused it for a moment.
    resting: Kept,
    /// What the server refused to settle, and when to try again.
    put_off: VecDeque<(Instant, Box<Sending>)>,
    tasks: HashMap<u64, Box<Task>>,
    /// Moments at which tasks look for themselves.
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The server that a channel is subscribed at, or is to be.
    channels: HashMap<Vec<u8>, Option<Address>>,
    /// Channels to subscribe.
    wanted: Vec<Vec<u8>>,
    /// How often connecting has failed.
    turns: HashMap<Address, usize>,
    back_off: Duration,
    /// When to connect again, and to send what rests. What is connected does not wait for that.
    again: Instant,
    /// That time has come.
    connects: bool,
    /// Servers that could not be reached since it has come.
    failed: Vec<Address>,
    beat: Instant,
}

impl Reactor {
    fn new(client: Arc<Client>) -> Reactor {
        let now = Instant::now();
        Reactor {
            client,
            peers: HashMap::new(),
            searches: HashMap::new(),
            search_again: now,
            hosts: HashMap::new(),
            queue: VecDeque::new(),
            resting: Kept::default(),
            put_off: VecDeque::new(),
            tasks: HashMap::new(),
            timers: BinaryHeap::new(),
            channels: HashMap::new(),
            wanted: Vec::new(),
            turns: HashMap::new(),
            back_off: Duration::ZERO,
            again: now,
            connects: true,
            failed: Vec::new(),
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
                let busy = |peer: &Peer| {
                    let job = |due: &Due| matches!(due, Due::Job(_));
                    !peer.kept.jobs.is_empty() || peer.due.iter().any(job)
                };
                let waiting = !self.queue.is_empty()
                    || !self.resting.jobs.is_empty()
                    || !self.put_off.is_empty()
                    || self.searches.values().any(|kept| !kept.jobs.is_empty());
                let idle = !waiting && !self.peers.values().any(busy);
                if idle || Instant::now() >= end {
                    let mut hub = lock(&self.client.hub);
                    // What has come in the meantime begins a new thread.
                    if hub.inbox.is_empty() || !idle {
                        hub.running = false;
                        hub.unsettled |= !idle;
                        self.client.ended.notify_all();
                        self.client.wakes_at.store(u64::MAX, Ordering::SeqCst);
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
        sys::clear_eventfd(self.client.wakeup.as_fd());
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
                    let id = task.id;
                    self.tasks.insert(id, task);
                    self.attempt(id);
                }
                Command::Cancel(id) => self.give_up(id, None),
                Command::CloseHandle(handle) => {
                    let ids: Vec<u64> = self
                        .tasks
                        .values()
                        .filter(|task| task.handle == handle)
                        .map(|task| task.id)
                        .collect();
                    for id in ids {
                        self.give_up(id, Some(Stop::Closed));
                    }
                }
                Command::Settle(job) => self.enqueue(job, MEMORY),
                Command::Found(search, found) => self.found(&search, found),
                Command::Primary(address) => self.found_elsewhere(&address),
                Command::Moved(channel) => self.follow(&channel),
                Command::Look => {}
            }
        }
        stopping
    }

    fn enqueue(&mut self, job: Job, time: Duration) {
        let until = Instant::now() + time;
        let sent = Duration::ZERO;
        self.queue.push_back(Box::new(Sending {
            job,
            whole: false,
            again: false,
            ask: None,
            sent,
            until,
        }));
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
                Job {
                    script,
                    object,
                    slot: None,
                    token: Vec::new(),
                    arguments,
                    bulk: false,
                    purpose,
                },
                lease,
            );
        }
    }

    /// Sends what there is to send, as far as there are connections.
    fn send(&mut self) {
        let now = Instant::now();
        if now >= self.beat + BEAT {
            self.beat = now;
            for peer in self.peers.values_mut().filter(|peer| peer.is_ready()) {
                encode(peer.link.out(), [&b"PING"[..]]);
                peer.due(Due::Ping);
            }
        }
        while self.put_off.front().is_some_and(|(moment, _)| *moment <= now) {
            self.queue.extend(self.put_off.pop_front().map(|(_, sending)| sending));
        }
        self.connects = now >= self.again;
        if self.connects {
            let Kept { mut jobs, mut channels } = std::mem::take(&mut self.resting);
            jobs.append(&mut self.queue);
            channels.append(&mut self.wanted);
            (self.queue, self.wanted) = (jobs, channels);
        }
        for channel in std::mem::take(&mut self.wanted) {
            self.subscribe(channel);
        }
        for sending in std::mem::take(&mut self.queue) {
            self.send_job(sending);
        }
        if self.connects {
            self.hosts.clear();
            self.failed.clear();
            if !self.resting.is_empty() {
                self.back_off();
                self.drop_late();
            }
        }
    }

    /// The next try to connect is made a little later than the last.
    fn back_off(&mut self) {
        let longer = (self.back_off * 2).max(Duration::from_millis(5));
        self.back_off = longer.min(Duration::from_millis(200));
        self.again = Instant::now() + self.back_off;
    }

    /// What was refused for a moment is sent again a little later.
    fn rest_a_little(&mut self) {
        self.again = self.again.max(Instant::now() + Duration::from_millis(20));
    }

    /// Drops what waits for a connection and has waited for too long. Tasks end by their timers.
    fn drop_late(&mut self) {
        let now = Instant::now();
        let mut late = Vec::new();
        for waiting in [&mut self.queue, &mut self.resting.jobs] {
            let all = std::mem::take(waiting).into_iter();
            let (over, rest): (Vec<_>, _) = all.partition(|sending| sending.until <= now);
            *waiting = rest.into();
            late.extend(over);
        }
        for sending in late {
            self.finish(*sending, &End::Failure(Fault::Silence));
        }
    }

    /// The connection to the server that has an object.
    fn reach(
        &mut self,
        object: &Object,
        ask: Option<&Address>,
        bulk: bool,
    ) -> Result<Reached<'_>, Fault> {
        let address = match ask {
            Some(address) => Some(address.clone()),
            None => self.route(object)?,
        };
        let there = address.map(|address| (address, bulk));
        if !self.connects && there.as_ref().is_none_or(|way| !self.peers.contains_key(way)) {
            return Err(Fault::Silence);
        }
        let Some(way) = there else {
            return self.search(Search::Primary).map(Reached::Later);
        };
        let address = &way.0;
        if !self.peers.contains_key(&way) {
            if self.failed.contains(address) {
                self.client.forget(object);
                return Err(Fault::Silence);
            }
            let found = match self.addresses(address) {
                Ok(found) => found,
                Err(search) => return self.search(search).map(Reached::Later),
            };
            let turn = self.turns.get(address).copied().unwrap_or(0);
            let url = &self.client.settings.url;
            let (link, login) = match Link::begin(url, address, &found, turn) {
                Ok(begun) => begun,
                Err(fault) => {
                    self.client.forget(object);
                    self.failed.push(way.0);
                    return Err(fault);
                }
            };
            let due = (0..login).map(|_| Due::Login).collect();
            let (kept, silent_since) = (Kept::default(), Instant::now());
            let peer = Peer { link, due, kept, refuses: false, answered: None, silent_since };
            self.peers.insert(way.clone(), peer);
        }
        match self.peers.get_mut(&way) {
            Some(peer) if peer.is_ready() => Ok(Reached::Ready(way, peer)),
            Some(peer) => Ok(Reached::Later(&mut peer.kept)),
            None => Err(Fault::Silence),
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

    fn send_job(&mut self, mut sending: Box<Sending>) {
        if !self.is_current(&sending.job.purpose) {
            return;
        }
        let client = self.client.clone();
        let ask = sending.ask.take();
        match self.reach(&sending.job.object, ask.as_ref(), sending.job.bulk) {
            Ok(Reached::Later(kept)) => {
                sending.ask = ask;
                kept.jobs.push_back(sending);
            }
            Ok(Reached::Ready(way, peer)) => {
                if ask.is_some() {
                    encode(peer.link.out(), [&b"ASKING"[..]]);
                    peer.due(Due::Asking);
                }
                let job = &sending.job;
                let arguments: Vec<&[u8]> = job.arguments.iter().map(Vec::as_slice).collect();
                let mut request = Request::new(job.script, &job.object, &arguments);
                request.token = &job.token;
                let slot = job.slot.unwrap_or(Slot::NONE);
                let whole = sending.whole || ask.is_some();
                client.encode(peer.link.out(), &request, slot, whole, sending.again);
                sending.sent = sys::boot_time();
                if let Purpose::Task(id, _) = job.purpose
                    && let Some(task) = self.tasks.get_mut(&id)
                {
                    task.sent.get_or_insert(sending.sent);
                    task.server = Some(way.0.clone());
                }
                let confirm = sending.confirmation(&self.client);
                if let Some(peer) = self.peers.get_mut(&way) {
                    peer.due(Due::Job(sending));
                    if let Some(command) = confirm {
                        encode(peer.link.out(), command.iter().copied());
                        peer.due(Due::Confirmation);
                    }
                }
            }
            Err(fault)
                if is_permanent(&fault)
                    || matches!(&fault, Fault::Refused(text) if !is_transient(text)) =>
            {
                self.refused(sending, fault);
            }
            Err(_) => self.resting.jobs.push_back(sending),
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
            end = now;
        }
        if !self.resting.is_empty() {
            end = end.min(self.again);
        }
        if let Some((moment, _)) = self.put_off.front() {
            end = end.min(*moment);
        }
        let mut fds = vec![sys::poll_for(self.client.wakeup.as_fd(), false)];
        for peer in self.peers.values_mut() {
            // What cannot be written shows when it is read.
            let _ = peer.link.flush();
            fds.push(sys::poll_for(peer.link.as_fd(), peer.link.waits_to_write()));
            if !peer.due.is_empty() {
                end = end.min(peer.silent_since() + SILENCE);
            }
        }
        let mut time = end.saturating_duration_since(now);
        // Who adds to a hold from here on disturbs the poll, or is seen below.
        self.client.wakes_at.store(u64::MAX, Ordering::SeqCst);
        let boot = sys::boot_time();
        for hold in lock(&self.client.holds).values() {
            if let Some(due) = hold.due() {
                time = time.min(due.saturating_sub(boot));
            }
        }
        if lock(&self.client.hub).stopping {
            time = time.min(Duration::from_millis(50));
        }
        let wakes_at = (boot + time).as_nanos().try_into().unwrap_or(u64::MAX);
        self.client.wakes_at.store(wakes_at, Ordering::SeqCst);
        // It only fails for a signal, and none comes here.
        let _ = sys::poll(&mut fds, time);
    }

    fn read_peers(&mut self) {
        let ways: Vec<Way> = self.peers.keys().cloned().collect();
        for way in ways {
            if let Err(fault) = self.read_peer(&way) {
                self.lose(&way, &fault);
            }
        }
    }

    fn read_peer(&mut self, way: &Way) -> Result<(), Fault> {
        let address = &way.0;
        loop {
            let Some(peer) = self.peers.get_mut(way) else { return Ok(()) };
            let Some(value) = peer.link.next()? else {
                if peer.link.fill()? {
                    continue;
                }
                let silent = peer.silent_since().elapsed() >= SILENCE;
                return if silent && !peer.due.is_empty() { Err(Fault::Silence) } else { Ok(()) };
            };
            peer.silent_since = Instant::now();
            if let Value::Push(message) = &value {
                self.message(way, message);
                continue;
            }
            match peer.due.pop_front() {
                Some(Due::Login) => {
                    if let Value::Error(refusal) = value {
                        peer.due.push_front(Due::Login);
                        return Err(Fault::Refused(refusal));
                    }
                    if peer.is_ready() {
                        self.queue.append(&mut peer.kept.jobs);
                        self.wanted.append(&mut peer.kept.channels);
                        self.turns.remove(address);
                        self.back_off = Duration::ZERO;
                    }
                }
                Some(Due::Job(sending)) => {
                    if has_changed(&value) && sending.confirmation(&self.client).is_some() {
                        peer.answered = Some((sending, value));
                    } else {
                        self.answer(way, sending, value);
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
                Some(Due::Unsubscribe { channel, over }) => match value {
                    Value::Error(_) if over => {
                        peer.due.push_front(Due::Unsubscribe { channel, over });
                    }
                    // Some do not let go of it once they are replicas.
                    Value::Error(refusal) => return Err(Fault::Refused(refusal)),
                    value if value.list().iter().any(|word| word.bytes() == b"proto") => {}
                    _ => return Err(Fault::Protocol("an answer to something else".into())),
                },
                Some(Due::Ping | Due::Asking) => {}
                None => return Err(Fault::Protocol("an answer that nobody asked for".into())),
            }
        }
    }

    /// An answer has come to a job. Some only say where, how or when to ask again.
    fn answer(&mut self, way: &Way, mut sending: Box<Sending>, answer: Value) {
        let address = &way.0;
        let refusal = match answer {
            Value::Error(refusal) => refusal,
            answer => return self.finish(*sending, &End::Answer(answer)),
        };
        // A server that is new to the script is told it once, also at the end of the time.
        let is_new = is_missing_script(&refusal) && !sending.whole;
        if sending.until <= Instant::now() && !is_new {
            return self.finish(*sending, &End::Failure(Fault::Refused(refusal)));
        }
        let object = sending.job.object.clone();
        if is_new {
            sending.whole = true;
        } else if refusal.starts_with("MOVED ") {
            self.client.moved(&object, &refusal, address);
        } else if refusal.starts_with("ASK ") {
            sending.ask = redirection(&refusal, address);
        } else if is_transient(&refusal) {
            if is_wrong_server(&refusal) {
                self.client.forget(&object);
                if let Some(peer) = self.peers.get_mut(way) {
                    peer.refuses = true;
                }
            }
            self.rest_a_little();
            return self.resting.jobs.push_back(sending);
        } else {
            return self.refused(sending, Fault::Refused(refusal));
        }
        self.queue.push_back(sending);
    }

    /// A job fails for a reason that does not pass by itself. Nobody would hear of one that is to be
    /// settled, so it is tried until the server has forgotten what it is about: a full disk, a lost
    /// replica or a changed password may be mended.
    fn refused(&mut self, sending: Box<Sending>, fault: Fault) {
        let again = Instant::now() + PUT_OFF;
        if matches!(sending.job.purpose, Purpose::Settle) && again < sending.until {
            self.put_off.push_back((again, sending));
        } else {
            self.finish(*sending, &End::Failure(fault));
        }
    }

    /// A job has come to its end.
    fn finish(&mut self, sending: Sending, end: &End) {
        let Sending { job, sent, .. } = sending;
        match job.purpose {
            Purpose::Settle => {
                if let Some(slot) = job.slot {
                    self.client.slots.give(slot);
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

    /// A connection is lost, or did not come about. What it had to do is done anew, under the same
    /// numbers.
    fn lose(&mut self, way: &Way, fault: &Fault) {
        let Some(peer) = self.peers.remove(way) else { return };
        let (address, bulk) = way;
        if !peer.is_ready() {
            *self.turns.entry(address.clone()).or_default() += 1;
            self.back_off();
        }
        self.not_reached(peer.kept, fault);
        let answered = peer.answered.map(|(sending, _)| Due::Job(sending));
        for due in answered.into_iter().chain(peer.due) {
            if let Due::Job(mut sending) = due {
                sending.again = true;
                if let Purpose::Task(id, _) = sending.job.purpose
                    && let Some(task) = self.tasks.get_mut(&id)
                {
                    task.lost = true;
                }
                self.client.forget(&sending.job.object);
                self.queue.push_back(sending);
            }
        }
        let here = |at: &Option<Address>| !bulk && at.as_ref() == Some(address);
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

    /// What waited for a connection gets none yet, or never.
    fn not_reached(&mut self, kept: Kept, fault: &Fault) {
        for sending in kept.jobs {
            self.client.forget(&sending.job.object);
            match fault {
                Fault::Refused(refusal) if !is_transient(refusal) => {
                    self.refused(sending, Fault::Refused(refusal.clone()));
                }
                Fault::Io(error) if is_permanent(fault) => {
                    let same = io::Error::new(error.kind(), error.to_string());
                    self.refused(sending, Fault::Io(same));
                }
                _ => self.queue.push_back(sending),
            }
        }
        for channel in kept.channels {
            self.listen_anew(channel);
        }
        self.drop_late();
    }
}

impl Peer {
    /// Whether it is known who is there.
    fn is_ready(&self) -> bool {
        !matches!(self.due.front(), Some(Due::Login))
    }

    /// Since when nothing has come, nor was taken.
    fn silent_since(&self) -> Instant {
        self.silent_since.max(self.link.heard())
    }

    /// An answer is due.
    fn due(&mut self, due: Due) {
        if self.due.is_empty() {
            self.silent_since = Instant::now();
        }
        self.due.push_back(due);
    }
}
