//! A handle to an object on a server: what all kinds have in common.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Error, ErrorKind, Existence, Name, Operation, Result, fork_generation};

use crate::client::{Client, Failure, Request, lock};
use crate::connection::Connection;
use crate::fault::{self, Fault, Stop};
use crate::hold::Hold;
use crate::object::Object;
use crate::plan::{Plan, Reply};
use crate::reactor::Job;
use crate::scripts::Script;
use crate::sys;
use crate::waiter::{Line, Waiter};
use crate::wire::Value;

/// How long dropping a handle tries to reach the server.
const FAREWELL: Duration = Duration::from_secs(1);

/// The version of what is on the server.
const FORMAT: &str = "1";

/// An open handle to an object: its name, its state and its end. Each kind has one inside.
pub struct Handle {
    connection: Connection,
    pub(crate) object: Arc<Object>,
    pub(crate) id: u64,
    created: bool,
    /// For a lock or permits.
    pub(crate) lease: Duration,
    closed: AtomicBool,
    deleted: AtomicBool,
    unlink_on_drop: AtomicBool,
    /// The process whose handle this is to unlink by: a forked child does not.
    owned_in: AtomicU64,
}

/// What an object is created with, and what all handles to it know.
pub(crate) type Attributes = HashMap<String, String>;

/// What all options have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub connection: Connection,
    pub existence: Existence,
    pub unlink_on_drop: Option<bool>,
    pub lease: Duration,
}

impl Common {
    pub(crate) fn new(connection: &Connection) -> Common {
        Common {
            connection: connection.clone(),
            existence: Existence::default(),
            unlink_on_drop: None,
            lease: Duration::from_secs(10),
        }
    }

    /// Refuses a lease that cannot be kept.
    pub(crate) fn check_lease(&self, name: &Name) -> Result<()> {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(86_400));
        if (least..=most).contains(&self.lease) {
            return Ok(());
        }
        let why = format!("the lease is {:?}; give 1 s to 86,400 s", self.lease);
        Err(invalid(name, Operation::Create, why))
    }
}

pub(crate) fn invalid(name: &Name, operation: Operation, why: String) -> Error {
    Error::elsewhere(Some((operation, name)), ErrorKind::InvalidArgument, None, why)
}

/// The setters of [`Common`], for the options of a kind.
macro_rules! common_setters {
    () => {
        /// What to do about an object that exists, or does not; default
        /// [`Existence::Link`](nob_ipc::Existence::Link).
        pub fn existence(&mut self, existence: nob_ipc::Existence) -> &mut Self {
            self.common.existence = existence;
            self
        }

        /// Whether dropping the handle removes the name. Default: what
        /// [`Create`](nob_ipc::Existence::Create) and
        /// [`UnlinkAndCreate`](nob_ipc::Existence::UnlinkAndCreate) make is removed; all else
        /// stays, since nobody knows the last user of an object on a server.
        pub fn unlink_on_drop(&mut self, unlink: bool) -> &mut Self {
            self.common.unlink_on_drop = Some(unlink);
            self
        }
    };
}
pub(crate) use common_setters;

impl Handle {
    /// Opens an object. `public`: what handles are to know; `data`: what the object begins with.
    pub(crate) fn open(
        common: &Common,
        name: &Name,
        public: &[(&str, String)],
        data: &[(&str, String)],
    ) -> Result<(Arc<Handle>, Attributes)> {
        let connection = &common.connection;
        let may_create = common.existence != Existence::Link;
        let operation = if may_create { Operation::Create } else { Operation::Link };
        let subject = Some((operation, name));
        connection.check_open(subject)?;
        let letter = Connection::letter(name, operation)?;
        let client = connection.client()?;
        let mode: &[u8] = match common.existence {
            Existence::Create => b"create",
            Existence::Link => b"link",
            Existence::LinkOrCreate => b"both",
            Existence::UnlinkAndCreate => b"replace",
        };
        let new = format!("{:016x}", sys::random());
        let object = Object::new(connection.namespace(), name, letter, &new);
        let creator = format!("{} {}", std::process::id(), sys::host_name());
        let mut public: Vec<(&str, String)> = public.to_vec();
        public.extend([("kind", letter.into()), ("pv", FORMAT.into()), ("creator", creator)]);
        let data = [data, &[("kind", letter.to_string())]].concat();
        let mut old = String::new();
        let begin = Instant::now();
        loop {
            let mut keys = vec![object.key(b'N', b"", b""), object.key(b'M', b"", b"")];
            if !old.is_empty() {
                let replaced = object.of_generation(&old);
                keys.extend(b"MZWS".map(|letter| replaced.key(letter, b"", b"")));
            }
            let (public_count, data_count) =
                ((2 * public.len()).to_string(), (2 * data.len()).to_string());
            let mut arguments: Vec<&[u8]> = vec![mode, new.as_bytes(), old.as_bytes()];
            for (count, pairs) in [(&public_count, &public), (&data_count, &data)] {
                arguments.push(count.as_bytes());
                arguments.extend(
                    pairs.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]),
                );
            }
            let mut request = Request::new(Script::Open, &object, &arguments);
            request.keys = Some(&keys);
            let answer = client.call(&request, None, &mut || connection.pause());
            let answer = match answer {
                Err(Failure { unconfirmed: Some(value), .. }) => {
                    let error = unconfirmed(subject);
                    // A new object that is not sure of itself is removed again, as far as that
                    // goes.
                    if value.word() == b"CREATED" {
                        let handle = Handle::new(common, name, letter, &new, true, &client);
                        let _ = handle.unlink();
                    }
                    return Err(error);
                }
                Err(failure) if failure.unanswered.is_some() && may_create => {
                    return Err(match &failure.fault {
                        Fault::Stopped(stop) => fault::stopped(subject, *stop),
                        fault => unknown(subject, &failure.server, fault),
                    });
                }
                other => other.map_err(|failure| failure.unavailable(subject))?,
            };
            match answer.word() {
                b"RETRY" => {
                    old = answer.list().get(1).map_or_else(String::new, Value::text);
                    if begin.elapsed() > Duration::from_secs(1) {
                        let why = "others create and remove objects of this name without pause; \
                                   try again";
                        let errno = Some(libc::EBUSY);
                        return Err(Error::elsewhere(subject, ErrorKind::Busy, errno, why));
                    }
                }
                b"EEXIST" => {
                    let why = "the name is taken; choose another, or ask for link-or-create or \
                               unlink-and-create";
                    let errno = Some(libc::EEXIST);
                    return Err(Error::elsewhere(subject, ErrorKind::AlreadyExists, errno, why));
                }
                b"ENOENT" => {
                    let why = "nothing has this name on the server; create it first, or ask for \
                               link-or-create";
                    let errno = Some(libc::ENOENT);
                    return Err(Error::elsewhere(subject, ErrorKind::NotFound, errno, why));
                }
                word @ (b"CREATED" | b"LINKED") => {
                    let created = word == b"CREATED";
                    let attributes = attributes(answer.list().get(1));
                    let generation = attributes.get("gen").map_or("", String::as_str);
                    if attributes.get("pv").map(String::as_str) != Some(FORMAT) {
                        let why = "the object is of another version of this library; use the same \
                                   on all machines";
                        let errno = Some(libc::EPROTO);
                        return Err(Error::elsewhere(subject, ErrorKind::WrongType, errno, why));
                    }
                    let handle = Handle::new(common, name, letter, generation, created, &client);
                    return Ok((handle, attributes));
                }
                _ => return Err(unexpected(subject, &answer)),
            }
        }
    }

    fn new(
        common: &Common,
        name: &Name,
        letter: &str,
        generation: &str,
        created: bool,
        client: &Arc<Client>,
    ) -> Arc<Handle> {
        let owned = created && common.existence != Existence::LinkOrCreate;
        let object = Object::new(common.connection.namespace(), name, letter, generation);
        let handle = Arc::new(Handle {
            connection: common.connection.clone(),
            object: Arc::new(object),
            id: client.number(),
            created,
            lease: common.lease,
            closed: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            unlink_on_drop: AtomicBool::new(common.unlink_on_drop.unwrap_or(owned)),
            owned_in: AtomicU64::new(fork_generation()),
        });
        let mut handles = lock(&client.handles);
        if handles.len() == handles.capacity() {
            handles.retain(|handle| handle.strong_count() > 0);
        }
        handles.push(Arc::downgrade(&handle));
        handle
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.object.name
    }

    /// Whether this handle created the object.
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }

    /// The connection that it was opened through.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What tells the object from others that have had, or will have, its name.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.object.generation
    }

    /// Whether the handle, or its connection, was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) || self.connection.is_closed()
    }

    /// Whether dropping the handle removes the name.
    #[must_use]
    pub fn unlink_on_drop(&self) -> bool {
        self.unlink_on_drop.load(Ordering::SeqCst)
    }

    /// Says whether dropping the handle removes the name. Saying yes in a forked child hands the
    /// duty to it.
    pub fn set_unlink_on_drop(&self, unlink: bool) {
        if unlink {
            self.owned_in.store(fork_generation(), Ordering::SeqCst);
        }
        self.unlink_on_drop.store(unlink, Ordering::SeqCst);
    }

    /// Gives up the handle, and lets go of what it holds: of a lock, the next owner is told. The
    /// name stays. Waits in other threads end with [`ErrorKind::Closed`] within half a second.
    /// Twice is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ServerUnavailable`] when the server could not be told within a second; then the
    /// leases end what was held.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let client = self.connection.client()?;
        client.close_handle(self.id);
        let hold = lock(&client.holds).remove(&self.id);
        let rest = hold.map(|hold| hold.take(usize::MAX)).unwrap_or_default();
        self.let_go(&client, &rest)
    }

    /// Gives up what a handle holds that is closed.
    fn let_go(&self, client: &Client, held: &[crate::hold::Held]) -> Result<()> {
        let mut result = Ok(());
        let is_lock = self.name().kind() == nob_ipc::Kind::Lock;
        for held in held {
            let token = held.token.as_bytes();
            let (script, arguments) = if is_lock {
                (Script::Unlock, [token, &b"abandon"[..]])
            } else {
                (Script::Give, [&b"release"[..], token])
            };
            let mut request = Request::new(script, &self.object, &arguments);
            request.token = token;
            let end = Instant::now() + FAREWELL;
            let done = self.farewell(client, || client.call(&request, Some(end), &mut || Ok(())));
            result = result.and(done);
        }
        result.map_err(|failure| failure.unavailable(Some((Operation::Release, self.name()))))
    }

    /// A call of a handle that goes. After the first that finds no server, there is none any more.
    fn farewell<T>(
        &self,
        client: &Client,
        call: impl FnOnce() -> std::result::Result<T, Failure>,
    ) -> std::result::Result<(), Failure> {
        if client.gave_up.load(Ordering::SeqCst) {
            let (fault, server) = (Fault::Silence, self.connection.url());
            return Err(Failure { fault, server, unanswered: None, unconfirmed: None });
        }
        match call() {
            Ok(_) => Ok(()),
            Err(failure) => {
                client.gave_up.store(true, Ordering::SeqCst);
                Err(failure)
            }
        }
    }

    /// Does what dropping the handle does: closes it, and removes the name if that is due. Tries to
    /// reach the server for a second, and for the other handles of this connection no more after
    /// the first failure.
    ///
    /// # Errors
    ///
    /// As [`close`](Handle::close), and what the server says of the removal. That the name is gone,
    /// or another's, is no error.
    pub fn delete(&self) -> Result<()> {
        let closed = self.close();
        let due =
            self.unlink_on_drop() && self.owned_in.load(Ordering::SeqCst) == fork_generation();
        if self.deleted.swap(true, Ordering::SeqCst) || !due {
            return closed;
        }
        let client = self.connection.client()?;
        let token = format!("{:016x}", sys::random());
        let arguments = [self.object.generation.as_bytes(), token.as_bytes()];
        let request = Request::new(Script::Unlink, &self.object, &arguments);
        let end = Instant::now() + FAREWELL;
        let done = self.farewell(&client, || client.call(&request, Some(end), &mut || Ok(())));
        let subject = Some((Operation::Unlink, self.name()));
        closed.and(done.map_err(|failure| failure.unavailable(subject)))
    }

    /// Removes the name, if it is still this object's. The object goes on, and ends an hour after
    /// its last use.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the name is gone, [`ErrorKind::Replaced`] if it belongs to
    /// another object now, [`ErrorKind::ServerUnavailable`], [`ErrorKind::OutcomeUnknown`].
    pub fn unlink(&self) -> Result<()> {
        let token = format!("{:016x}", sys::random());
        let generation = self.object.generation.as_bytes().to_vec();
        let tail = vec![Cow::Owned(generation), Cow::Owned(token.into_bytes())];
        let plan = Plan::once(Script::Unlink, Operation::Unlink, tail);
        // A closed handle unlinks as well.
        let mut pause = || self.connection.pause();
        self.run(&plan, None, &mut pause).map(|_| ())
    }

    /// Whether the name leads to another object or to none, or the object itself is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ServerUnavailable`].
    pub fn is_stale(&self) -> Result<bool> {
        let plan = Plan::once(Script::Look, Operation::Inspect, Vec::new());
        let answer = self.once(&plan)?;
        let [_, generation, there] = answer.list() else {
            return Err(unexpected(self.subject(Operation::Inspect), &answer));
        };
        Ok(generation.text() != self.object.generation || there.integer() != Some(1))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what errors are made of")]
    pub(crate) fn subject(&self, operation: Operation) -> fault::Subject<'_> {
        Some((operation, self.name()))
    }

    /// What a call that waits does in between.
    fn pause(&self, deadline: Deadline) -> impl FnMut() -> std::result::Result<(), Stop> + '_ {
        let checks =
            self.connection.settings().check.is_none() && deadline.check_interval().is_some();
        move || {
            if self.is_closed() {
                return Err(Stop::Closed);
            }
            self.connection.pause()?;
            if checks && !deadline.has_passed() { Err(Stop::Interrupted) } else { Ok(()) }
        }
    }

    /// One request that does not wait for the object.
    pub(crate) fn once(&self, plan: &Plan<'_>) -> Result<Value> {
        if self.is_closed() {
            return Err(fault::stopped(self.subject(plan.operation), Stop::Closed));
        }
        self.run(plan, None, &mut self.pause(Deadline::NEVER))
    }

    /// Runs a plan once, and tells what went wrong.
    fn run(
        &self,
        plan: &Plan<'_>,
        until: Option<Instant>,
        pause: &mut dyn FnMut() -> std::result::Result<(), Stop>,
    ) -> Result<Value> {
        let client = self.connection.client()?;
        match plan
            .with_request(&self.object, b"", b"-", |request| client.call(request, until, pause))
        {
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
    ) -> Result<Option<Reply>> {
        if self.is_closed() {
            return Err(fault::stopped(self.subject(plan.operation), Stop::Closed));
        }
        let client = self.connection.client()?;
        let mut pause = self.pause(deadline);
        if !tried || deadline.remaining() == Some(Duration::ZERO) {
            let now = deadline.has_passed();
            if let Some(reply) =
                self.attempt(plan, &client, b"", b"-", deadline, &mut pause)?.taken()
            {
                return Ok(Some(reply));
            }
            if now {
                return Ok(None);
            }
        }
        let waiter = client.enlist(&self.object, self.id, None);
        let line = Line { client: &client, waiter: &waiter };
        let result = self.wait_in_line(plan, &client, &waiter, deadline, &mut pause);
        if result.is_err() {
            // What has come meanwhile is passed on.
            client.settle(Job::leave(&self.object, plan.leave(), &waiter));
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
    ) -> Result<Option<Reply>> {
        let member = waiter.member.as_bytes();
        loop {
            waiter.rearm();
            let last = deadline.has_passed();
            let mode: &[u8] = if last { b"-" } else { b"w" };
            let attempt = self.attempt(plan, client, member, mode, deadline, pause)?;
            let pause_at_most = match attempt {
                Attempt::Taken(reply) => return Ok(Some(reply)),
                Attempt::Nothing(_) if last => return Ok(None),
                Attempt::Nothing(again) => again,
            };
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
        let until =
            instant(deadline).map(|end| end.max(Instant::now()) + Duration::from_millis(1500));
        let answer = plan
            .with_request(&self.object, member, mode, |request| client.call(request, until, pause));
        match answer {
            Ok(value) => {
                if let Some(again) = Plan::nothing(&value) {
                    return Ok(Attempt::Nothing(again));
                }
                let value = plan.check(self, value)?;
                plan.take(self, client, &value, sent).map(Attempt::Taken)
            }
            Err(failure) => Err(plan.failed(self, client, &failure)),
        }
    }

    /// The hold of this handle in this process.
    pub(crate) fn hold(&self, client: &Client) -> Arc<Hold> {
        let mut holds = lock(&client.holds);
        let new = || Arc::new(Hold::new(self.object.clone(), self.lease));
        holds.entry(self.id).or_insert_with(new).clone()
    }

    /// The hold of this handle, if it has taken anything in this process.
    pub(crate) fn existing_hold(&self) -> Option<Arc<Hold>> {
        let client = self.connection.client().ok()?;
        let holds = lock(&client.holds);
        holds.get(&self.id).cloned()
    }
}

/// How an attempt ended.
pub(crate) enum Attempt {
    Taken(Reply),
    /// There was nothing; look again after this time at the latest.
    Nothing(Duration),
}

impl Attempt {
    fn taken(self) -> Option<Reply> {
        match self {
            Attempt::Taken(reply) => Some(reply),
            Attempt::Nothing(_) => None,
        }
    }
}

/// The moment of a deadline; `None`: never, or so late that the clock does not count so far.
pub(crate) fn instant(deadline: Deadline) -> Option<Instant> {
    Instant::now().checked_add(deadline.remaining()?)
}

/// The pairs of a list.
pub(crate) fn attributes(list: Option<&Value>) -> Attributes {
    let pairs = list.map_or(&[][..], Value::list).chunks_exact(2);
    pairs.map(|pair| (pair[0].text(), pair[1].text())).collect()
}

pub(crate) fn unexpected(subject: fault::Subject<'_>, answer: &Value) -> Error {
    let word = String::from_utf8_lossy(answer.word()).into_owned();
    let why = format!("the server's script has answered {word:?}, which nobody expects here");
    Error::elsewhere(subject, ErrorKind::Other, Some(libc::EPROTO), why)
}

pub(crate) fn unknown(subject: fault::Subject<'_>, server: &str, fault: &Fault) -> Error {
    let why = format!(
        "it was sent to the server {server}, and no answer came: {}; it may have been done or \
         not; retry it, or look at the object",
        fault.words()
    );
    Error::elsewhere(subject, ErrorKind::OutcomeUnknown, Some(fault.errno()), why)
}

pub(crate) fn unconfirmed(subject: fault::Subject<'_>) -> Error {
    let why = "the server has done it, but too few replicas or disks have said so in time; a \
               failover or a loss of power now may undo it";
    Error::elsewhere(subject, ErrorKind::Unconfirmed, Some(libc::ETIMEDOUT), why)
}

/// Removes a name, whoever uses the object.
pub(crate) fn unlink_name(connection: &Connection, name: &Name) -> Result<()> {
    let subject = Some((Operation::Unlink, name));
    connection.check_open(subject)?;
    let letter = Connection::letter(name, Operation::Unlink)?;
    let common = Common::new(connection);
    let client = connection.client()?;
    // Which object has the name is looked up; it is that one that loses it.
    let unopened = Object::new(connection.namespace(), name, letter, "");
    let begin = Instant::now();
    loop {
        let request = Request::new(Script::Look, &unopened, &[]);
        let answer = client
            .call(&request, None, &mut || connection.pause())
            .map_err(|failure| failure.unavailable(subject))?;
        let generation = answer.list().get(1).map_or_else(String::new, Value::text);
        if generation.is_empty() {
            let why = "nothing has this name on the server; look at its spelling, or it is \
                       unlinked already";
            return Err(Error::elsewhere(subject, ErrorKind::NotFound, Some(libc::ENOENT), why));
        }
        let handle = Handle::new(&common, name, letter, &generation, false, &client);
        match handle.unlink() {
            Err(error)
                if error.kind() == ErrorKind::Replaced
                    && begin.elapsed() < Duration::from_secs(1) => {}
            result => return result,
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("name", self.name())
            .field("connection", &self.connection)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
