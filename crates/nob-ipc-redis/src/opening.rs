//! How objects are opened and removed by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nob_ipc::{Error, ErrorKind, Existence, Kind, Name, Operation, Result};

use crate::client::Client;
use crate::connection::Connection;
use crate::fault::{self, Fault, Subject, unexpected};
use crate::handle::Handle;
use crate::job::{Job, Purpose};
use crate::object::Object;
use crate::request::{Failure, Request};
use crate::scripts::Script;
use crate::sys;
use crate::wire::Value;

/// The version of what is on the server.
pub(crate) const FORMAT: &str = "1";

pub(crate) const DAMAGED: &str = "what has this name on the server is damaged; remove it";

/// How long others may create and remove objects of the name before opening one, or removing the name, is
/// given up.
const CONTENTION: Duration = Duration::from_secs(1);

/// What an object is created with, and what all handles to it know.
pub(crate) type Attributes = HashMap<String, String>;

/// What all options have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub connection: Connection,
    pub existence: Existence,
    pub unlink_on_drop: Option<bool>,
    pub lease: Duration,
    /// That of an opening whose outcome is unknown, to be repeated.
    pub generation: Option<String>,
}

/// Goes with the error of an opening whose outcome is unknown: what the new object would be.
pub(crate) struct Unknown(String);

impl Common {
    pub(crate) fn new(connection: &Connection) -> Common {
        Common {
            connection: connection.clone(),
            existence: Existence::default(),
            unlink_on_drop: None,
            lease: Duration::from_secs(10),
            generation: None,
        }
    }

    pub(crate) fn repeat(&mut self, error: &Error) {
        self.generation = error.detail::<Unknown>().map(|unknown| unknown.0.clone());
    }

    pub(crate) fn handle(&self, object: Object, created: bool, client: &Client) -> Arc<Handle> {
        let owned = created && self.existence != Existence::LinkOrCreate;
        let unlink_on_drop = self.unlink_on_drop.unwrap_or(owned);
        Handle::new(&self.connection, object, created, unlink_on_drop, self.lease, client)
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

/// Refuses a name of another kind.
pub(crate) fn check_kind(name: &Name, kind: Kind) -> Result<()> {
    if name.kind() == kind {
        return Ok(());
    }
    Err(invalid(
        name,
        Operation::Link,
        format!("the name is of another kind; give one of a {kind}"),
    ))
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

        /// Repeats the opening that has ended in this error, of the kind
        /// [`OutcomeUnknown`](nob_ipc::ErrorKind::OutcomeUnknown): if it has made an object after
        /// all, [`open`](Self::open) gives a handle to that one, which counts as created. For the
        /// same name and options; otherwise it is another opening.
        pub fn again_after(&mut self, error: &nob_ipc::Error) -> &mut Self {
            self.common.repeat(error);
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

/// An object in the opening.
struct Opening<'a> {
    common: &'a Common,
    subject: Subject<'a>,
    client: Arc<Client>,
    /// The object that is made, if one is made.
    new: Object,
    /// What handles are to know.
    public: Vec<(&'a str, String)>,
    /// What the object begins with.
    data: Vec<(&'a str, String)>,
    /// An opening whose outcome is unknown is repeated.
    again: bool,
}

/// Opens an object. `public`: what handles are to know; `data`: what the object begins with.
pub(crate) fn open<'a>(
    common: &'a Common,
    name: &'a Name,
    public: &[(&'a str, String)],
    data: &[(&'a str, String)],
) -> Result<(Arc<Handle>, Attributes)> {
    let links = common.existence == Existence::Link;
    let operation = if links { Operation::Link } else { Operation::Create };
    let subject = Some((operation, name));
    common.connection.check_open(subject)?;
    let letter = Connection::letter(name, operation)?;
    let fresh = || format!("{:016x}", sys::random());
    let generation = common.generation.clone().unwrap_or_else(fresh);
    let creator = format!("{} {}", std::process::id(), sys::host_name());
    let about = [("kind", letter.into()), ("pv", FORMAT.into()), ("creator", creator)];
    let mut opening = Opening {
        common,
        subject,
        client: common.connection.client()?,
        new: Object::new(common.connection.namespace(), name, letter, &generation),
        public: [public, &about].concat(),
        data: [data, &[("kind", letter.to_string())]].concat(),
        again: common.generation.is_some(),
    };
    let mode: &[u8] = match common.existence {
        Existence::Create => b"create",
        Existence::Link => b"link",
        Existence::LinkOrCreate => b"both",
        Existence::UnlinkAndCreate => b"replace",
    };
    let mut old = String::new();
    let begin = Instant::now();
    loop {
        let answer = match opening.ask(mode, &old) {
            Ok(answer) => answer,
            Err(failure) if mode == b"both" && failure.is_out_of_memory() => {
                // What is there can be had without memory.
                match opening.ask(b"link", "") {
                    Ok(answer) if answer.word() == b"LINKED" => answer,
                    _ => return Err(opening.failed(&failure)),
                }
            }
            Err(failure) => return Err(opening.failed(&failure)),
        };
        if !matches!(answer.word(), b"RETRY" | b"GONE") {
            return opening.conclude(&answer);
        }
        old = answer.list().get(1).map_or_else(String::new, Value::text);
        // Nothing was made of this generation, nor will be.
        opening.new = opening.new.of_generation(&fresh());
        opening.again = false;
        if begin.elapsed() > CONTENTION {
            let why = "others create and remove objects of this name without pause; try again";
            return opening.refuse(ErrorKind::Busy, libc::EBUSY, why);
        }
    }
}

impl Opening<'_> {
    /// `old`: the generation that is replaced, if any.
    fn ask(&self, mode: &[u8], old: &str) -> std::result::Result<Value, Failure> {
        let new = &self.new;
        let mut keys: Vec<_> = b"NMT".map(|letter| new.key(letter, b"", b"")).into();
        if !old.is_empty() {
            let replaced = new.of_generation(old);
            keys.extend(b"MZWS".map(|letter| replaced.key(letter, b"", b"")));
        }
        let count = |pairs: &[(&str, String)]| (2 * pairs.len()).to_string();
        let (public_count, data_count) = (count(&self.public), count(&self.data));
        let mut arguments: Vec<&[u8]> = vec![mode, new.generation.as_bytes(), old.as_bytes()];
        for (count, pairs) in [(&public_count, &self.public), (&data_count, &self.data)] {
            arguments.push(count.as_bytes());
            arguments
                .extend(pairs.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]));
        }
        let script = if mode == b"link" { Script::Link } else { Script::Open };
        let mut request = Request::new(script, new, &arguments);
        request.keys = Some(&keys);
        request.again = self.again;
        let connection = &self.common.connection;
        self.client.call(&request, None, &mut || connection.pause())
    }

    fn failed(&self, failure: &Failure) -> Error {
        if let Some(answer) = &failure.unconfirmed {
            // A new object that nobody is sure of is removed again.
            if answer.word() == b"CREATED" {
                self.remove_new();
            }
            return fault::unconfirmed(self.subject);
        }
        if failure.unanswered.is_none() || self.common.existence == Existence::Link {
            return failure.unavailable(self.subject);
        }
        match &failure.fault {
            Fault::Stopped(stop) => {
                self.remove_new();
                fault::stopped(self.subject, *stop)
            }
            fault => {
                let generation = self.new.generation.clone();
                let error = fault::unknown(self.subject, &failure.server, fault);
                error.with_detail(Arc::new(Unknown(generation)))
            }
        }
    }

    /// Has the name of a new object removed in the background.
    fn remove_new(&self) {
        let generation = self.new.generation.clone().into_bytes();
        self.client.settle(Job {
            script: Script::Unlink,
            object: Arc::new(self.new.of_generation(&self.new.generation)),
            slot: None,
            token: Vec::new(),
            arguments: vec![generation.clone(), generation, b"undo".to_vec()],
            bulk: false,
            purpose: Purpose::Settle,
        });
    }

    fn refuse<T>(&self, kind: ErrorKind, errno: i32, why: &'static str) -> Result<T> {
        Err(Error::elsewhere(self.subject, kind, Some(errno), why))
    }

    /// What the answer comes to.
    fn conclude(&self, answer: &Value) -> Result<(Arc<Handle>, Attributes)> {
        let created = match answer.word() {
            b"CREATED" => true,
            b"LINKED" => false,
            b"EEXIST" => {
                let why = "the name is taken; choose another, or ask for link-or-create or \
                           unlink-and-create";
                return self.refuse(ErrorKind::AlreadyExists, libc::EEXIST, why);
            }
            b"ENOENT" => {
                let why = "nothing has this name on the server; create it first, or ask for \
                           link-or-create";
                return self.refuse(ErrorKind::NotFound, libc::ENOENT, why);
            }
            _ => return Err(unexpected(self.subject, answer)),
        };
        let attributes = attributes(answer.list().get(1));
        if attributes.get("pv").map(String::as_str) != Some(FORMAT) {
            let why = "the object is of another version of this library; use the same on all \
                       machines";
            return self.refuse(ErrorKind::WrongType, libc::EPROTO, why);
        }
        let generation = attributes.get("gen").map_or("", String::as_str);
        let object = self.new.of_generation(generation);
        Ok((self.common.handle(object, created, &self.client), attributes))
    }
}

/// An attribute that is 1 to `limit`, as the options see to. On the server others can write it.
pub(crate) fn attribute(
    name: &Name,
    attributes: &Attributes,
    key: &str,
    limit: u64,
) -> Result<u64> {
    let value = attributes.get(key).and_then(|value| value.parse().ok());
    value.filter(|value| (1..=limit).contains(value)).ok_or_else(|| {
        let (kind, errno) = (ErrorKind::WrongType, Some(libc::EPROTO));
        Error::elsewhere(Some((Operation::Link, name)), kind, errno, DAMAGED)
    })
}

/// The pairs of a list.
pub(crate) fn attributes(list: Option<&Value>) -> Attributes {
    let pairs = list.map_or(&[][..], Value::list).chunks_exact(2);
    pairs.map(|pair| (pair[0].text(), pair[1].text())).collect()
}

impl Connection {
    /// Removes a name, whoever uses the object. Open handles go on; the object ends an hour after
    /// its last use.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Unsupported`] for a kind that is not there on a
    /// server, [`ErrorKind::ServerUnavailable`], [`ErrorKind::OutcomeUnknown`].
    pub fn unlink(&self, name: &Name) -> Result<()> {
        let subject = Some((Operation::Unlink, name));
        self.check_open(subject)?;
        let letter = Connection::letter(name, Operation::Unlink)?;
        let common = Common::new(self);
        let client = self.client()?;
        // Which object has the name is looked up; it is that one that loses it.
        let unopened = Object::new(self.namespace(), name, letter, "");
        let begin = Instant::now();
        loop {
            let request = Request::new(Script::Look, &unopened, &[]);
            let answer = client
                .call(&request, None, &mut || self.pause())
                .map_err(|failure| failure.unavailable(subject))?;
            let generation = answer.list().get(1).map_or_else(String::new, Value::text);
            if generation.is_empty() {
                let why = "nothing has this name on the server; look at its spelling, or it is \
                           unlinked already";
                return Err(Error::elsewhere(
                    subject,
                    ErrorKind::NotFound,
                    Some(libc::ENOENT),
                    why,
                ));
            }
            let handle = common.handle(unopened.of_generation(&generation), false, &client);
            match handle.unlink() {
                Err(error)
                    if error.kind() == ErrorKind::Replaced && begin.elapsed() < CONTENTION => {}
                result => return result,
            }
        }
    }
}
