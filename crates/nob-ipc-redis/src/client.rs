//! What one process has of a server: connections, sessions, and requests that run once.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

use nob_ipc::Deadline;

use crate::fault::{self, Fault, is_missing_script, is_transient, is_wrong_server};
use crate::hold::Hold;
use crate::hub::{Command, Hub};
use crate::link::{self, Link};
use crate::object::Object;
use crate::request::{Failure, Request};
use crate::scripts::{self, Script};
use crate::slots::{Slot, Slots};
use crate::sync::lock;
use crate::sys;
use crate::transport::{Pause, SLICE};
use crate::url::{Address, Durability, Topology, Url};
use crate::wire::{Value, encode};

/// What a connection was opened with.
pub(crate) struct Settings {
    pub url: Url,
    /// As it was given, with the password.
    pub secret_url: String,
    pub patience: Duration,
    pub durability: Durability,
    pub namespace: String,
    /// `false`: the call that is under way in this thread is to end.
    pub check: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

/// How many connections are kept that nobody uses.
const IDLE: usize = 64;

/// A connection, and a slot. One request at a time.
struct Session {
    link: Option<Link>,
    slot: Slot,
}

/// A handle, as its connection sees it when that is closed.
pub(crate) trait Delete: Send + Sync {
    /// Closes it, and removes the name if that is due.
    fn delete(&self) -> nob_ipc::Result<()>;
}

/// One client: it has one identity on the server. A forked child makes its own.
pub(crate) struct Client {
    pub settings: Arc<Settings>,
    /// The identity.
    pub id: String,
    digests: Vec<String>,
    sessions: Mutex<Vec<Session>>,
    /// Shared with requests that were not answered, which others hold.
    pub slots: Arc<Slots>,
    routes: Mutex<HashMap<Vec<u8>, Address>>,
    primary: Mutex<Option<Address>>,
    /// Nodes of a cluster that the URL does not name.
    nodes: Mutex<Vec<Address>>,
    turn: AtomicUsize,
    pub hub: Mutex<Hub>,
    /// The native thread has ended.
    pub ended: Condvar,
    /// Wakes the native thread.
    pub wakeup: OwnedFd,
    pub handles: Mutex<Vec<Weak<dyn Delete>>>,
    pub holds: Mutex<HashMap<u64, Arc<Hold>>>,
    /// When the native thread wakes by itself, in ns since the start of the machine. The largest
    /// number: it has not looked at the holds yet, or there is no thread.
    pub wakes_at: AtomicU64,
    /// Deletion has found the server out of reach, and tries no more.
    pub gave_up: AtomicBool,
}

impl Client {
    pub(crate) fn new(settings: Arc<Settings>) -> io::Result<Arc<Client>> {
        Ok(Arc::new(Client {
            settings,
            id: format!("{:016x}", sys::random()),
            digests: scripts::digests(),
            sessions: Mutex::default(),
            slots: Arc::default(),
            routes: Mutex::default(),
            primary: Mutex::default(),
            nodes: Mutex::default(),
            turn: AtomicUsize::new(0),
            hub: Mutex::default(),
            ended: Condvar::new(),
            wakeup: sys::eventfd()?,
            handles: Mutex::default(),
            holds: Mutex::default(),
            wakes_at: AtomicU64::new(u64::MAX),
            gave_up: AtomicBool::new(false),
        }))
    }

    /// The server to ask about an object.
    pub(crate) fn route(&self, object: &Object, pause: Pause<'_>) -> Result<Address, Fault> {
        if let Some(address) = self.known_route(object) {
            return Ok(address);
        }
        let address = self.discover(pause)?;
        match self.settings.url.topology {
            Topology::Cluster => {}
            Topology::Single => self.use_primary(address.clone()),
            Topology::Sentinel { .. } => {
                self.use_primary(address.clone());
                self.tell_reactor(Command::Primary(address.clone()));
            }
        }
        Ok(address)
    }

    /// The same, as far as that is known already.
    pub(crate) fn known_route(&self, object: &Object) -> Option<Address> {
        match self.settings.url.topology {
            Topology::Cluster => lock(&self.routes).get(&object.name_key).cloned(),
            _ => lock(&self.primary).clone(),
        }
    }

    /// This server is the one to ask, outside of a cluster.
    pub(crate) fn use_primary(&self, address: Address) {
        *lock(&self.primary) = Some(address);
    }

    /// A server to ask for the way.
    pub(crate) fn discover(&self, pause: Pause<'_>) -> Result<Address, Fault> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let nodes = lock(&self.nodes).clone();
        link::discover(&self.settings.url, &nodes, turn, pause)
    }

    /// A server has said who has the object. A node that names no host means its own.
    pub(crate) fn moved(&self, object: &Object, refusal: &str, asked: &Address) {
        if let Some(address) = redirection(refusal, asked) {
            let mut nodes = lock(&self.nodes);
            if !nodes.contains(&address) && !self.settings.url.addresses.contains(&address) {
                nodes.push(address.clone());
            }
            drop(nodes);
            lock(&self.routes).insert(object.name_key.clone(), address);
            self.tell_reactor(Command::Moved(object.channel(&self.id)));
        }
    }

    /// What was known of the way to an object does not hold any more.
    pub(crate) fn forget(&self, object: &Object) {
        lock(&self.routes).remove(&object.name_key);
        *lock(&self.primary) = None;
    }

    /// Appends a request to what is to be sent. `whole`: with the script's text, to a server that
    /// may not know it. `again`: another copy of it may be under way.
    pub(crate) fn encode(
        &self,
        out: &mut Vec<u8>,
        request: &Request<'_>,
        slot: Slot,
        whole: bool,
        again: bool,
    ) {
        let text = request.script.text();
        let name = format!("{}.{}", self.id, slot.index);
        let made;
        let keys = if let Some(keys) = request.keys {
            keys
        } else {
            made = request.script.keys(request.object, name.as_bytes(), request.token);
            &made[..]
        };
        let (count, number) = (keys.len().to_string(), slot.number.to_string());
        let digest = &self.digests[request.script as usize];
        let mut parts: Vec<&[u8]> = if whole {
            vec![b"EVAL", text.body.as_bytes()]
        } else {
            vec![b"EVALSHA", digest.as_bytes()]
        };
        parts.push(count.as_bytes());
        parts.extend(keys.iter().map(Vec::as_slice));
        if text.repeated {
            parts.push(if again { b"1" } else { b"0" });
        }
        if text.numbered {
            parts.push(number.as_bytes());
        }
        parts.extend(request.arguments);
        encode(out, parts);
    }

    /// Runs a script once, whatever becomes of connections, as long as patience lasts, and until
    /// `until`.
    pub(crate) fn call(
        &self,
        request: &Request<'_>,
        until: Option<Instant>,
        pause: Pause<'_>,
    ) -> Result<Value, Failure> {
        let mut session = self.session(request.object);
        session.slot.number += 1;
        let result = Attempts::new(self, request, until).run(&mut session, pause);
        self.end_session(session, request, &result);
        result
    }

    /// Repeats a request that was not answered, under its number, if it has one.
    pub(crate) fn call_again(
        &self,
        request: &Request<'_>,
        slot: Slot,
        until: Option<Instant>,
        pause: Pause<'_>,
    ) -> Result<Value, Failure> {
        if !request.script.text().numbered {
            // The slot that it was sent by serves others.
            return self.call(request, until, pause);
        }
        let mut session = Session { link: None, slot };
        let result = Attempts::new(self, request, until).run(&mut session, pause);
        self.end_session(session, request, &result);
        result
    }

    fn session(&self, object: &Object) -> Session {
        let mut sessions = lock(&self.sessions);
        // The last one was used last. In a cluster, one to the right node is better.
        let route = match self.settings.url.topology {
            Topology::Cluster => lock(&self.routes).get(&object.name_key).cloned(),
            _ => None,
        };
        let fits = |session: &Session| {
            session.link.as_ref().is_some_and(|link| Some(&link.address) == route.as_ref())
        };
        let place = route.as_ref().and_then(|_| sessions.iter().rposition(fits));
        let session = match place {
            Some(place) => Some(sessions.remove(place)),
            None => sessions.pop(),
        };
        session.unwrap_or_else(|| Session { link: None, slot: self.slots.take_idle() })
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close_idle(&self) {
        let idle: Vec<Session> = lock(&self.sessions).drain(..).collect();
        for session in idle {
            self.slots.give(session.slot);
        }
    }

    /// Keeps a session for the next call, unless its slot is to be settled first.
    fn end_session(
        &self,
        session: Session,
        request: &Request<'_>,
        result: &Result<Value, Failure>,
    ) {
        let unanswered = matches!(result, Err(Failure { unanswered: Some(_), .. }));
        if unanswered && request.script.text().numbered {
            return;
        }
        let mut sessions = lock(&self.sessions);
        if sessions.len() < IDLE {
            sessions.push(session);
        } else {
            drop(sessions);
            self.slots.give(session.slot);
        }
    }

    /// Runs a command that is none of our scripts on the server, once and without repeating it.
    pub(crate) fn command(&self, command: &[&[u8]], pause: Pause<'_>) -> Result<Value, Fault> {
        let address = self.discover(pause)?;
        self.command_at(&address, command, pause)
    }

    /// The same, on one of several servers.
    pub(crate) fn command_at(
        &self,
        address: &Address,
        command: &[&[u8]],
        pause: Pause<'_>,
    ) -> Result<Value, Fault> {
        Link::open(&self.settings.url, address, pause)?.demand(command, pause)
    }
}

/// Where a server sends a request to.
pub(crate) fn redirection(refusal: &str, asked: &Address) -> Option<Address> {
    let target = refusal.split(' ').nth(2)?;
    match target.rsplit_once(':')? {
        (host @ ("" | "?"), port) => Some(Address::beside(asked, host, port.parse().ok()?)),
        _ => Address::parse(target),
    }
}

/// The command that makes sure of what a script has changed.
pub(crate) fn confirmation(
    durability: Durability,
    script: Script,
) -> Option<&'static [&'static [u8]]> {
    confirmation_of_changes(durability).filter(|_| script.text().changes)
}

/// The command that makes sure of a change, and how many must have said so.
pub(crate) fn confirmation_of_changes(durability: Durability) -> Option<&'static [&'static [u8]]> {
    match durability {
        Durability::Memory => None,
        Durability::Replica => Some(&[b"WAIT", b"1", b"100"]),
        // With `appendfsync everysec` it takes a second, and the time of the disk.
        Durability::Fsync => Some(&[b"WAITAOF", b"1", b"0", b"1500"]),
    }
}

/// Whether enough have said so.
pub(crate) fn is_sure(confirmed: &Value) -> bool {
    let count = confirmed.list().first().unwrap_or(confirmed);
    count.integer() >= Some(1)
}

/// Whether an answer says that something was changed.
pub(crate) fn has_changed(answer: &Value) -> bool {
    matches!(answer.word(), b"OK" | b"CREATED")
}

/// A call in progress.
struct Attempts<'a> {
    client: &'a Client,
    request: &'a Request<'a>,
    /// When no new attempt is begun.
    end: Instant,
    /// The end is not that of a timeout.
    patient: bool,
    unanswered: bool,
    server: String,
    /// The node that is to be asked once, although the object is another's.
    ask: Option<Address>,
    whole: bool,
}

impl<'a> Attempts<'a> {
    fn new(client: &'a Client, request: &'a Request<'a>, until: Option<Instant>) -> Attempts<'a> {
        let patience = Instant::now() + client.settings.patience;
        Attempts {
            client,
            request,
            end: until.map_or(patience, |until| until.min(patience)),
            patient: until.is_none(),
            unanswered: request.again,
            server: client.settings.url.to_string(),
            ask: None,
            whole: false,
        }
    }

    fn run(&mut self, session: &mut Session, pause: Pause<'_>) -> Result<Value, Failure> {
        let mut tries = 0_u32;
        loop {
            let fault = match self.attempt(session, pause) {
                Ok(value) => {
                    // Handles that are dropped may count on the server again.
                    self.client.gave_up.store(false, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(Unconfirmed::Value(value)) => return Err(self.unconfirmed(value)),
                Err(Unconfirmed::Fault(fault)) => fault,
            };
            let object = self.request.object;
            let asked = session.link.as_ref().map(|link| link.address.clone());
            let mut at_once = false;
            match &fault {
                Fault::Refused(refusal) if is_missing_script(refusal) => {
                    at_once = !self.whole;
                    self.whole = true;
                }
                Fault::Refused(refusal) if refusal.starts_with("MOVED ") => {
                    if let Some(asked) = &asked {
                        self.client.moved(object, refusal, asked);
                    }
                    at_once = tries < 5;
                }
                Fault::Refused(refusal) if refusal.starts_with("ASK ") => {
                    self.ask = asked.and_then(|asked| redirection(refusal, &asked));
                    at_once = tries < 5;
                }
                Fault::Refused(refusal) if is_transient(refusal) => {
                    if is_wrong_server(refusal) {
                        self.client.forget(object);
                        session.link = None;
                    }
                }
                Fault::Refused(_) => return Err(self.fail(fault, session)),
                Fault::Io(_) | Fault::Protocol(_) | Fault::Silence => {
                    session.link = None;
                    self.client.forget(object);
                    if is_permanent(&fault) {
                        return Err(self.fail(fault, session));
                    }
                }
                Fault::Stopped(_) => {
                    session.link = None;
                    return Err(self.fail(fault, session));
                }
            }
            let now = Instant::now();
            // A server that is new to the script is told it once, also at the end of the time.
            let is_new = at_once && matches!(&fault, Fault::Refused(it) if is_missing_script(it));
            if now >= self.end && !is_new {
                return Err(self.fail(fault, session));
            }
            if !at_once {
                let back_off = Duration::from_millis((5_u64 << tries.min(6)).min(200));
                let end = (now + back_off).min(self.end);
                if let Err(stop) = sleep(end, pause) {
                    return Err(self.fail(stop.into(), session));
                }
            }
            tries += 1;
        }
    }

    fn attempt(&mut self, session: &mut Session, pause: Pause<'_>) -> Result<Value, Unconfirmed> {
        let client = self.client;
        let begin = Instant::now();
        let late = self.end.max(begin + SLICE);
        let connecting: Pause<'_> = &mut || {
            pause()?;
            if Instant::now() >= late { Err(fault::Stop::Late) } else { Ok(()) }
        };
        let ask = self.ask.take();
        let address = match &ask {
            Some(address) => address.clone(),
            None => client.route(self.request.object, connecting)?,
        };
        self.server = address.to_string();
        if session.link.as_ref().is_none_or(|link| link.address != address) {
            session.link = None;
            let url = &client.settings.url;
            session.link = Some(Link::open(url, &address, connecting)?);
        }
        let Some(link) = &mut session.link else { return Err(Fault::Silence.into()) };
        if ask.is_some() {
            link.demand(&[b"ASKING"], connecting)?;
        }
        // A node that is asked once is new to the object, and may not know the script.
        let whole = self.whole || ask.is_some();
        client.encode(link.out(), self.request, session.slot, whole, self.unanswered);
        let confirm = confirmation(client.settings.durability, self.request.script);
        if let Some(command) = confirm {
            encode(link.out(), command.iter().copied());
        }
        let before = std::mem::replace(&mut self.unanswered, true);
        let value = link.answer(late, self.patient, pause)?;
        if let Value::Error(_) = value {
            self.unanswered = before;
        }
        if confirm.is_some() {
            let confirmed = link.answer(late, self.patient, pause);
            let sure = confirmed.as_ref().is_ok_and(is_sure);
            if confirmed.is_err() {
                session.link = None;
            }
            if !sure && has_changed(&value) {
                return Err(Unconfirmed::Value(value));
            }
        }
        match value {
            Value::Error(refusal) => Err(Fault::Refused(refusal).into()),
            value => Ok(value),
        }
    }

    fn fail(&self, fault: Fault, session: &Session) -> Failure {
        let unanswered = self.unanswered.then_some(session.slot);
        Failure { fault, server: self.server.clone(), unanswered, unconfirmed: None }
    }

    fn unconfirmed(&self, value: Value) -> Failure {
        let (fault, server) = (Fault::Silence, self.server.clone());
        Failure { fault, server, unanswered: None, unconfirmed: Some(value) }
    }
}

/// Why there is no answer that one may rely on.
enum Unconfirmed {
    Value(Value),
    Fault(Fault),
}

impl<T: Into<Fault>> From<T> for Unconfirmed {
    fn from(fault: T) -> Unconfirmed {
        Unconfirmed::Fault(fault.into())
    }
}

/// Whether another attempt would fail in the same way: certificates, a host that does not speak the
/// protocol.
pub(crate) fn is_permanent(fault: &Fault) -> bool {
    match fault {
        Fault::Io(error) => matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::Unsupported | io::ErrorKind::Other
        ),
        _ => false,
    }
}

/// The moment of a deadline; `None`: never, or so late that nobody will wait for it, where the clock
/// may not count what is added to it.
pub(crate) fn instant(deadline: Deadline) -> Option<Instant> {
    const FAR: Duration = Duration::from_secs(1 << 40);
    let left = deadline.remaining()?;
    (left < FAR).then(|| Instant::now() + left)
}

/// Sleeps until then, in pieces.
pub(crate) fn sleep(end: Instant, pause: Pause<'_>) -> Result<(), fault::Stop> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
        pause()?;
    }
}
