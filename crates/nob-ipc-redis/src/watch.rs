//! Watching what is on a server, without being a burden to it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nob_ipc::{Error, ErrorKind, Kind, Name, Operation, Result};

use crate::bounded_semaphore::pid;
use crate::connection::Connection;
use crate::fault::{Fault, code, is_forbidden, is_missing_script};
use crate::inspect::{self, Cursor, ObjectInfo};
use crate::link::Link;
use crate::object::{Object, letter};
use crate::opening::{FORMAT, attributes};
use crate::request::Request;
use crate::scripts::Script;
use crate::slots::Slot;
use crate::transport::SILENCE;
use crate::url::{Address, Topology};
use crate::wire::{Value, encode};

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// The permits of a semaphore.
    Value(u32),
    /// Those of a queue.
    Messages {
        /// How many are there.
        messages: u64,
        /// How many were sent since the queue was created.
        sent: u64,
    },
    /// Who has a lock.
    Lock {
        /// The process that holds it, as that calls itself on its machine.
        owner: Option<u32>,
        /// Whether anybody does.
        held: bool,
        /// Whether an owner has ended or fallen silent while it held it, and nobody has said since that all
        /// is well.
        owner_died: bool,
    },
    /// Who has the permits of a bounded semaphore.
    Permits {
        /// How many are taken.
        held: u32,
        /// The processes that have them, one for each permit, those whose leases end first; up to 4096, and
        /// of a [`Watch`] up to 16.
        holders: Vec<u32>,
    },
}

/// An object at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectState {
    /// What it holds.
    pub content: Content,
    /// How many stand in line to receive, or to acquire. One that was killed counts until it is passed over.
    pub waiters: u64,
    /// How many stand in line to send.
    pub senders: u64,
    /// When the first lease ends of those who hold it, unless they renew it.
    pub lease_left: Option<Duration>,
}

/// How many tokens of a bounded semaphore are shown to who looks at one object, and at many.
const ALL_TOKENS: usize = 4096;
const FEW_TOKENS: usize = 16;

impl ObjectState {
    /// What the script has answered of an object of this kind.
    fn parse(kind: Kind, answer: &Value) -> Option<ObjectState> {
        let [_, now, waiters, senders, rest @ ..] = answer.list() else { return None };
        let now = now.integer()?;
        let count = |value: &Value| u64::try_from(value.integer()?).ok();
        let short = |value: &Value| u32::try_from(value.integer()?).ok();
        let left = |end: &Value| {
            let left = u64::try_from(end.integer()?.checked_sub(now)?).ok()?;
            (left > 0).then(|| Duration::from_millis(left))
        };
        let (content, lease_left) = match (kind, rest) {
            (Kind::Semaphore, [value]) => (Content::Value(short(value)?), None),
            (Kind::MessageQueue, [messages, sent]) => {
                (Content::Messages { messages: count(messages)?, sent: count(sent)? }, None)
            }
            (Kind::Lock, [owner, end, died]) => {
                let (owner, left) = (owner.text(), left(end));
                let held = !owner.is_empty() && left.is_some();
                let content = Content::Lock {
                    owner: pid(&owner).filter(|_| held),
                    held,
                    // One whose lease is over has fallen silent.
                    owner_died: died.integer() == Some(1) || (!owner.is_empty() && !held),
                };
                (content, left.filter(|_| held))
            }
            (Kind::BoundedSemaphore, [held, tokens @ ..]) => {
                let holders = tokens.chunks_exact(2).filter_map(|pair| pid(&pair[0].text()));
                let content = Content::Permits { held: short(held)?, holders: holders.collect() };
                (content, tokens.get(1).and_then(left))
            }
            _ => return None,
        };
        Some(ObjectState {
            content,
            waiters: count(waiters)?,
            senders: count(senders)?,
            lease_left,
        })
    }
}

/// What came of a look at an object.
enum Look {
    State(ObjectState),
    /// The name is gone.
    Gone,
    /// The name belongs to another object.
    Replaced,
    /// It is damaged, or of another version.
    Strange,
}

impl Look {
    fn of(kind: Kind, answer: &Value) -> Look {
        match answer.word() {
            b"GONE" => Look::Gone,
            b"OTHER" => Look::Replaced,
            _ => ObjectState::parse(kind, answer).map_or(Look::Strange, Look::State),
        }
    }
}

/// Calls with what the script needs to look at an object.
fn with_request<T>(
    connection: &Connection,
    info: &ObjectInfo,
    tokens: usize,
    call: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let letter = letter(info.name.kind()).unwrap_or_default();
    let object = Object::new(connection.namespace(), &info.name, letter, &info.generation);
    let tokens = tokens.to_string();
    let arguments = [info.generation.as_bytes(), FORMAT.as_bytes(), tokens.as_bytes()];
    call(&Request::new(Script::Glance, &object, &arguments))
}

impl Connection {
    /// What an object holds and who waits, in one round trip; `None` when its name is gone, or belongs to
    /// another object now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WrongType`] for an object that is damaged, or of another version of this library,
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::ServerUnavailable`].
    pub fn look_at(&self, info: &ObjectInfo) -> Result<Option<ObjectState>> {
        let subject = Some((Operation::Inspect, &info.name));
        self.check_open(subject)?;
        Connection::letter(&info.name, Operation::Inspect)?;
        let client = self.client()?;
        let answer = with_request(self, info, ALL_TOKENS, |request| {
            client.call(request, None, &mut || self.pause())
        });
        let answer = answer.map_err(|failure| failure.unavailable(subject))?;
        match Look::of(info.name.kind(), &answer) {
            Look::State(state) => Ok(Some(state)),
            Look::Gone | Look::Replaced => Ok(None),
            Look::Strange => {
                let why = "the object is damaged, or of another version of this library; use the same on all \
                           machines";
                Err(Error::elsewhere(subject, ErrorKind::WrongType, Some(libc::EPROTO), why))
            }
        }
    }

    /// Looks at what is on the server, a bounded piece of work at a time.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(self)
    }
}

/// How many times a step asks for a thousand keys, at how many objects it looks, and how many it knows.
const SCANS: usize = 10;
const LOOKS: usize = 256;
const MOST: usize = 10_000;

/// When it is asked again who has the keys: a node of a cluster may have taken over from another.
const NODES: Duration = Duration::from_secs(10);

/// An object on a server that is being watched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Watched {
    /// What the object is.
    pub info: ObjectInfo,
    /// What it held at the last look; `None` before the first one, and for what this user may not look at, or
    /// what is damaged or of another version of this library.
    pub state: Option<ObjectState>,
    /// When that was.
    pub looked: Option<Instant>,
}

/// What is known under a name.
struct Entry {
    /// `None`: which object it is, is to be asked.
    watched: Option<Arc<Watched>>,
    /// Where its key was found, and in which of the rounds there.
    node: Address,
    round: u64,
    /// When it was asked for last.
    asked: Option<Instant>,
}

/// A server that has keys.
struct Node {
    address: Address,
    link: Option<Link>,
    cursor: Cursor,
    /// How many times its keys have been gone through.
    round: u64,
    /// Whether it has more objects than are known: those of this round and of the last whole one.
    overflows: (bool, bool),
}

/// Watches what is on a server, by [`Connection::watch`].
///
/// Each [`step`](Watch::step) is a bounded piece of work: it goes through ten thousand keys at the most, and
/// looks at 256 objects, in a few round trips. So where there are more keys, new objects appear later, and
/// where there are more objects, those that are not asked for are looked at in turn. It knows up to 10,000
/// objects.
pub struct Watch {
    connection: Connection,
    nodes: Vec<Node>,
    /// When it was asked last who has the keys.
    asked: Option<Instant>,
    entries: HashMap<Name, Entry>,
}

impl Watch {
    fn new(connection: &Connection) -> Watch {
        Watch {
            connection: connection.clone(),
            nodes: Vec::new(),
            asked: None,
            entries: HashMap::new(),
        }
    }

    /// All that is known, in no order.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Watched>> {
        self.entries.values().filter_map(|entry| entry.watched.as_ref())
    }

    /// Whether all keys have been gone through once.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.nodes.is_empty() && self.nodes.iter().all(|node| node.round > 0)
    }

    /// Whether there are more objects than it knows.
    #[must_use]
    pub fn overflows(&self) -> bool {
        self.nodes.iter().any(|node| node.overflows.0 || node.overflows.1)
    }

    /// Goes through more keys, and looks at objects: at these first, then at those whose last look is the
    /// longest ago. It does not wait for a server longer than for an answer, and tries none again: the next
    /// step does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ServerUnavailable`]; [`ErrorKind::PermissionDenied`] where the server does not permit
    /// `SCAN`. What could be seen all the same has been: of a cluster, what the other nodes have.
    pub fn step(&mut self, first: &[Name]) -> Result<()> {
        self.connection.check_open(None)?;
        let connection = self.connection.clone();
        let fail = |fault: Fault| connection.error(&fault);
        self.find_nodes().map_err(fail)?;
        let mut failed = None;
        for index in 0..self.nodes.len() {
            if let Err(fault) = self.scan(index) {
                self.lose(index);
                failed.get_or_insert(fault);
            }
        }
        let chosen = self.choose(first);
        for index in 0..self.nodes.len() {
            // One that has just failed is not asked again.
            if self.nodes[index].link.is_none() {
                continue;
            }
            if let Err(fault) = self.look(index, &chosen) {
                self.lose(index);
                failed.get_or_insert(fault);
            }
        }
        failed.map_or(Ok(()), |fault| Err(fail(fault)))
    }

    /// A node has failed; perhaps another has its keys now.
    fn lose(&mut self, index: usize) {
        self.nodes[index].link = None;
        self.asked = None;
    }

    fn find_nodes(&mut self) -> std::result::Result<(), Fault> {
        if self.asked.is_some_and(|asked| asked.elapsed() < NODES) {
            return Ok(());
        }
        let addresses = match self.ask_for_nodes() {
            // Those that have answered until now may go on doing so: who knows them is asked again later.
            Err(fault)
                if !matches!(fault, Fault::Stopped(_))
                    && self.nodes.iter().any(|node| node.link.is_some()) =>
            {
                self.asked = Some(Instant::now());
                return Ok(());
            }
            addresses => addresses?,
        };
        self.nodes.retain(|node| addresses.contains(&node.address));
        for address in addresses {
            if !self.nodes.iter().any(|node| node.address == address) {
                let cursor = Cursor::default();
                let overflows = (false, false);
                self.nodes.push(Node { address, link: None, cursor, round: 0, overflows });
            }
        }
        self.asked = Some(Instant::now());
        Ok(())
    }

    /// Each node that the URL names may know who has the keys. (Of sentinels, one call asks all.)
    fn ask_for_nodes(&self) -> std::result::Result<Vec<Address>, Fault> {
        let url = &self.connection.settings().url;
        let mut tries = if url.topology == Topology::Cluster { url.addresses.len() } else { 1 };
        loop {
            tries -= 1;
            match inspect::primaries(&self.connection) {
                Err(fault) if tries > 0 && !matches!(fault, Fault::Stopped(_)) => {}
                result => return result,
            }
        }
    }

    fn scan(&mut self, index: usize) -> std::result::Result<(), Fault> {
        let connection = &self.connection;
        let mut pause = || connection.pause();
        let scans = SCANS.div_ceil(self.nodes.len());
        let Node { address, link, cursor, round, overflows } = &mut self.nodes[index];
        let link = if let Some(link) = link {
            link
        } else {
            let url = &connection.settings().url;
            link.insert(Link::open(url, address, &mut pause)?)
        };
        for _ in 0..scans {
            for name in cursor.step(link, connection, &mut pause)? {
                if self.entries.len() >= MOST && !self.entries.contains_key(&name) {
                    overflows.0 = true;
                    continue;
                }
                let entry = self.entries.entry(name).or_insert_with(|| Entry {
                    watched: None,
                    node: address.clone(),
                    round: *round,
                    asked: None,
                });
                entry.node.clone_from(address);
                entry.round = *round;
            }
            if cursor.is_at_the_begin() {
                // What was not seen in a whole round is not there any more.
                self.entries.retain(|_, entry| entry.node != *address || entry.round == *round);
                *round += 1;
                *overflows = (false, overflows.0);
                break;
            }
        }
        if self.is_whole() {
            let nodes = &self.nodes;
            let has = |address: &Address| nodes.iter().any(|node| node.address == *address);
            self.entries.retain(|_, entry| has(&entry.node));
        }
        Ok(())
    }

    /// Which objects are looked at in this step. Those of a node that does not answer would be those whose
    /// last look is the longest ago, and keep the others out.
    fn choose(&self, first: &[Name]) -> Vec<Name> {
        let there = self.nodes.iter().filter(|node| node.link.is_some());
        let there: HashSet<&Address> = there.map(|node| &node.address).collect();
        let answers = |entry: &Entry| there.contains(&entry.node);
        let mut chosen: Vec<Name> = first
            .iter()
            .filter(|name| self.entries.get(name).is_some_and(answers))
            .cloned()
            .collect();
        chosen.truncate(LOOKS);
        let left = LOOKS - chosen.len();
        let among: HashSet<&Name> = chosen.iter().collect();
        let mut rest: Vec<(Option<Instant>, &Name)> = self
            .entries
            .iter()
            .filter(|(name, entry)| !among.contains(name) && answers(entry))
            .map(|(name, entry)| (entry.asked, name))
            .collect();
        if rest.len() > left && left > 0 {
            rest.select_nth_unstable_by_key(left - 1, |&(asked, _)| asked);
        }
        let rest: Vec<Name> = rest.into_iter().take(left).map(|(_, name)| name.clone()).collect();
        chosen.extend(rest);
        chosen
    }

    /// Looks at those of the objects that one node has: which they are, and then what they hold.
    fn look(&mut self, index: usize, chosen: &[Name]) -> std::result::Result<(), Fault> {
        let connection = self.connection.clone();
        let mut pause = || connection.pause();
        let client = connection.client().map_err(|error| Fault::Protocol(error.to_string()))?;
        let Node { address, link: Some(link), .. } = &mut self.nodes[index] else { return Ok(()) };
        let entries = &mut self.entries;
        let here = |entries: &HashMap<Name, Entry>, name: &Name| {
            entries.get(name).is_some_and(|entry| entry.node == *address)
        };
        let new = |entries: &HashMap<Name, Entry>, name: &Name| {
            entries.get(name).is_some_and(|entry| entry.watched.is_none())
        };
        let unknown: Vec<&Name> =
            chosen.iter().filter(|name| here(entries, name) && new(entries, name)).collect();
        for name in &unknown {
            encode(link.out(), [&b"HGETALL"[..], &inspect::name_key(&connection, name)]);
        }
        for name in unknown {
            let answer = link.answer(Instant::now() + SILENCE, false, &mut pause)?;
            let Some(entry) = entries.get_mut(name) else { continue };
            entry.asked = Some(Instant::now());
            if refuses(&answer, &mut self.asked) {
                continue;
            }
            let info = inspect::described(name.clone(), &attributes(Some(&answer)));
            entry.watched = info.map(|info| Arc::new(Watched { info, state: None, looked: None }));
        }
        let known: Vec<Arc<Watched>> = chosen
            .iter()
            .filter(|name| here(entries, name))
            .filter_map(|name| entries.get(name)?.watched.clone())
            .collect();
        for (place, watched) in known.iter().enumerate() {
            // The first one brings the script's text, which the others name.
            with_request(&connection, &watched.info, FEW_TOKENS, |request| {
                client.encode(link.out(), request, Slot::NONE, place == 0, false);
            });
        }
        let mut answers = Vec::with_capacity(known.len());
        for _ in &known {
            answers.push(link.answer(Instant::now() + SILENCE, false, &mut pause)?);
        }
        // A first one that is refused brings nothing: then each of the others does.
        let again: Vec<(&Arc<Watched>, &mut Value)> = known
            .iter()
            .zip(&mut answers)
            .filter(|(_, answer)| match answer {
                Value::Error(refusal) => is_missing_script(refusal),
                _ => false,
            })
            .collect();
        for (watched, _) in &again {
            with_request(&connection, &watched.info, FEW_TOKENS, |request| {
                client.encode(link.out(), request, Slot::NONE, true, false);
            });
        }
        for (_, answer) in again {
            *answer = link.answer(Instant::now() + SILENCE, false, &mut pause)?;
        }
        let now = Instant::now();
        for (watched, answer) in known.into_iter().zip(answers) {
            let name = &watched.info.name;
            let Some(entry) = entries.get_mut(name) else { continue };
            entry.asked = Some(now);
            let state = if refuses(&answer, &mut self.asked) {
                match &answer {
                    Value::Error(refusal) if is_forbidden(refusal) => None,
                    // It passes: what is known stays.
                    _ => continue,
                }
            } else {
                match Look::of(name.kind(), &answer) {
                    Look::State(state) => Some(state),
                    Look::Strange => None,
                    Look::Replaced => {
                        entry.watched = None;
                        entry.asked = None;
                        continue;
                    }
                    Look::Gone => {
                        entries.remove(name);
                        continue;
                    }
                }
            };
            let info = watched.info.clone();
            entry.watched = Some(Arc::new(Watched { info, state, looked: Some(now) }));
        }
        Ok(())
    }
}

/// Whether a node refuses. One that names another does not have the key any more.
fn refuses(answer: &Value, asked: &mut Option<Instant>) -> bool {
    let Value::Error(refusal) = answer else { return false };
    if matches!(code(refusal), "MOVED" | "ASK") {
        *asked = None;
    }
    true
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch(\"{}\", {} objects)", self.connection.url(), self.entries.len())
    }
}
