//! What a server is, and what is on it.

use nob_ipc::{Error, ErrorKind, Kind, Name, Operation, Result};

use crate::connection::Connection;
use crate::fault::{Fault, code};
use crate::link::Link;
use crate::object::{Object, letter};
use crate::opening::{self, Attributes, Common, attributes};
use crate::rights::{self, Lacking};
use crate::transport::Pause;
use crate::url::{Address, Durability, Topology};

/// An object on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// The name, and by it the kind.
    pub name: Name,
    /// What tells the object from others that have had, or will have, its name.
    pub generation: String,
    /// The machine of its creator, as that calls itself.
    pub creator_host: String,
    /// The process id of its creator on that machine.
    pub creator_pid: Option<u32>,
    /// How many messages it holds at most, or how many permits there are.
    pub bound: Option<u64>,
    /// How many bytes a message may have.
    pub max_message_size: Option<u64>,
}

/// The lines of INFO.
struct Info(String);

impl Info {
    /// `None`: this user may not ask.
    fn ask(connection: &Connection) -> Result<Option<Info>> {
        let client = connection.client()?;
        match connection.patiently(|pause| client.command(&[b"INFO"], pause)) {
            Ok(value) => Ok(Some(Info(value.text()))),
            Err(Fault::Refused(refusal)) if code(&refusal) == "NOPERM" => Ok(None),
            Err(fault) => Err(connection.error(&fault)),
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
    }

    /// Major and minor version.
    fn version(&self, key: &str) -> Option<(u32, u32)> {
        let mut parts = self.get(key)?.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    }

    /// What the server is, and what of that is likely to hurt.
    fn checks(&self, connection: &Connection) -> Vec<ServerCheck> {
        // Any node of a cluster may answer.
        let replica_is_fine = connection.settings().url.topology == Topology::Cluster;
        let mut checks = vec![self.check_version()];
        checks.extend(self.check_role().filter(|check| !replica_is_fine || check.suits()));
        checks.extend(self.check_policy());
        checks.extend(self.check_memory());
        checks.extend(self.check_append_only());
        checks.extend(self.check_replicas(connection.durability()));
        checks.extend(self.check_disk(connection.durability()));
        checks
    }

    fn check_version(&self) -> ServerCheck {
        let redis = self.version("redis_version");
        let valkey = self.get("valkey_version");
        let shown = self.get("redis_version").unwrap_or("?");
        let old = valkey.is_none() && redis.is_some_and(|version| version < (7, 0));
        ServerCheck {
            what: "version",
            value: valkey.map_or_else(|| format!("Redis {shown}"), |it| format!("Valkey {it}")),
            meaning: "Redis 7.0 or Valkey 7.2 is needed, or a newer one",
            objection: old
                .then(|| format!("it is version {shown}; Redis 7.0 or Valkey 7.2 is needed")),
            finding: None,
        }
    }

    /// Whether the server can say that its disk has something: WAITAOF.
    fn check_disk(&self, durability: Durability) -> Option<ServerCheck> {
        let version = self.version("redis_version")?;
        if durability != Durability::Fsync {
            return None;
        }
        let objection = if version < (7, 2) {
            Some("it cannot confirm what its disk has (WAITAOF), as Redis 7.2 and Valkey can")
        } else if self.get("aof_enabled") == Some("0") {
            Some("it has no append-only file to confirm; set appendonly to yes")
        } else {
            None
        };
        let other = "or choose another durability than fsync";
        Some(ServerCheck {
            what: "durability",
            value: durability.word().into(),
            meaning: "a change is confirmed when the server's disk has it",
            objection: objection.map(|why| format!("{why}, {other}")),
            finding: None,
        })
    }

    fn check_role(&self) -> Option<ServerCheck> {
        let role = self.get("role")?;
        let objection = "it is a replica; give the URL of its primary, or redis+sentinel://";
        Some(ServerCheck {
            what: "role",
            value: if role == "master" { "primary".into() } else { role.into() },
            meaning: "only a primary can be written to",
            objection: (role != "master").then(|| objection.into()),
            finding: None,
        })
    }

    fn check_policy(&self) -> Option<ServerCheck> {
        let policy = self.get("maxmemory_policy")?;
        let evicts = policy != "noeviction" && self.get("maxmemory") != Some("0");
        Some(ServerCheck {
            what: "maxmemory-policy",
            value: policy.into(),
            meaning: "with another than noeviction, a server with a maxmemory throws data away \
                      when its memory is full",
            objection: evicts.then(|| {
                format!(
                    "it throws data away when its memory is full (maxmemory-policy {policy}); \
                     set maxmemory-policy to noeviction"
                )
            }),
            finding: None,
        })
    }

    fn check_memory(&self) -> Option<ServerCheck> {
        let limit: u64 = self.get("maxmemory")?.parse().ok()?;
        let used: u64 = self.get("used_memory")?.parse().ok()?;
        let value = match limit {
            0 => format!("{used} bytes used, without bound"),
            _ => format!("{used} of {limit} bytes used"),
        };
        let full = limit > 0 && used >= limit - limit / 10;
        let finding = "the memory of the server is nearly full: soon nothing can be sent or \
                       created; receive, remove what is not needed, or raise maxmemory";
        Some(ServerCheck {
            what: "maxmemory",
            value,
            meaning: "what is sent or created when it is full fails",
            objection: None,
            finding: full.then(|| finding.into()),
        })
    }

    fn check_append_only(&self) -> Vec<ServerCheck> {
        let mut checks = Vec::new();
        if let Some(enabled) = self.get("aof_enabled") {
            let off = enabled == "0";
            let finding = "appendonly is off: a restart of the server loses all objects, or goes \
                           back to its last snapshot; set appendonly to yes";
            checks.push(ServerCheck {
                what: "appendonly",
                value: if off { "no".into() } else { "yes".into() },
                meaning: "without it a restart of the server loses all objects, or goes back to the last \
                          snapshot, which brings back what was received since",
                objection: None,
                finding: off.then(|| finding.into()),
            });
        }
        if let Some(status) = self.get("aof_last_write_status") {
            let finding = "the last write to the append-only file has failed; see the server's log";
            checks.push(ServerCheck {
                what: "append-only file",
                value: format!("last write {status}"),
                meaning: "what it has not, a restart of the server loses",
                objection: None,
                finding: (status != "ok").then(|| finding.into()),
            });
        }
        if let Some(loading) = self.get("loading") {
            let finding = "the server is still reading its data";
            checks.push(ServerCheck {
                what: "data",
                value: if loading == "0" { "read".into() } else { "being read".into() },
                meaning: "a server that has been started answers when it has read its data",
                objection: None,
                finding: (loading == "1").then(|| finding.into()),
            });
        }
        checks
    }

    fn check_replicas(&self, durability: Durability) -> Option<ServerCheck> {
        let replicas = self.get("connected_slaves")?;
        let missing = durability == Durability::Replica && replicas == "0";
        let finding = "the durability is replica and the server has none: every change ends as \
                       unconfirmed; give the server a replica, or choose another durability";
        Some(ServerCheck {
            what: "replicas",
            value: replicas.into(),
            meaning: "each has a copy, from which a failover goes on; what was acknowledged last \
                      may be missing there",
            objection: None,
            finding: missing.then(|| finding.into()),
        })
    }
}

/// Something that was looked at on a server, of [`Connection::checks`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCheck {
    /// What was looked at, in a word or two.
    pub what: &'static str,
    /// What it is now.
    pub value: String,
    /// What it means, in general.
    pub meaning: &'static str,
    /// Why [`Connection::open`] refuses such a server, and what mends it.
    pub objection: Option<String>,
    /// What is likely to hurt though the server suits, and what mends it.
    pub finding: Option<String>,
}

impl ServerCheck {
    fn suits(&self) -> bool {
        self.objection.is_none()
    }
}

/// Refuses a server that cannot keep what is promised.
pub(crate) fn check_server(connection: &Connection) -> Result<()> {
    let client = connection.client()?;
    let ping = connection.patiently(|pause| client.command(&[b"PING"], pause));
    ping.map_err(|fault| connection.error(&fault))?;
    let Some(info) = Info::ask(connection)? else { return Ok(()) };
    match info.checks(connection).into_iter().find_map(|check| check.objection) {
        Some(objection) => {
            let why = format!("the server {} does not suit: {objection}", connection.url());
            Err(Error::elsewhere(None, ErrorKind::Other, Some(libc::ENOTSUP), why))
        }
        None => Ok(()),
    }
}

/// Whether this user may do what calls need.
fn check_rights(connection: &Connection) -> Result<Vec<ServerCheck>> {
    let rights = |value, finding: Option<String>| ServerCheck {
        what: "rights",
        value,
        meaning: "commands, keys and channels that the access control list (ACL) permits this user",
        objection: None,
        finding,
    };
    let Some(Lacking { for_calls, for_lists }) = rights::check(connection)? else {
        let finding = "this user may not run scripts (EVAL): no call works, and which other \
                       rights are missing cannot be told; permit +eval";
        return Ok(vec![rights("+eval is missing".into(), Some(finding.into()))]);
    };
    let user = connection.settings().url.user.as_deref().unwrap_or("default");
    let calls = if for_calls.is_empty() {
        rights("enough for all calls".into(), None)
    } else {
        let finding = format!(
            "without {for_calls} this user's calls fail, at the latest when they need it; \
             permit it: ACL SETUSER {user} {for_calls}"
        );
        rights(format!("{for_calls} is missing"), Some(finding))
    };
    let lists = ServerCheck {
        what: "right to list",
        value: match &*for_lists {
            "" => "permitted".into(),
            missing => format!("{missing} is missing"),
        },
        meaning: "what tells which objects there are needs SCAN, and CLUSTER SLOTS of a cluster; no \
                  other call does",
        objection: None,
        finding: None,
    };
    Ok(vec![calls, lists])
}

impl Connection {
    /// What objects there are, sorted by kind and name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ServerUnavailable`]; [`ErrorKind::PermissionDenied`] where the server does not
    /// permit `SCAN`.
    pub fn list_objects(&self) -> Result<Vec<ObjectInfo>> {
        self.check_open(None)?;
        // A long list may take longer than the patience.
        let scan = |_: Pause<'_>| -> std::result::Result<Vec<ObjectInfo>, Fault> {
            let mut objects = Vec::new();
            for address in primaries(self)? {
                objects.extend(scan_node(self, &address)?);
            }
            Ok(objects)
        };
        let mut objects = self.patiently(scan).map_err(|fault| self.error(&fault))?;
        let order = |info: &ObjectInfo| (info.name.kind() as usize, info.name.as_bytes().to_vec());
        objects.sort_by_key(order);
        // A scan may show a key twice.
        objects.dedup_by(|one, other| one.name == other.name);
        Ok(objects)
    }

    /// The object that has this name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Unsupported`] for a kind that is not there on a
    /// server, [`ErrorKind::WrongType`] for an object of another version of this library,
    /// [`ErrorKind::ServerUnavailable`].
    pub fn find_object(&self, name: &Name) -> Result<ObjectInfo> {
        let common = Common::new(self);
        let (_, attributes) = opening::open(&common, name, &[], &[])?;
        described(name.clone(), &attributes).ok_or_else(|| {
            let subject = Some((Operation::Inspect, name));
            Error::elsewhere(subject, ErrorKind::WrongType, None, opening::DAMAGED)
        })
    }

    /// What the server says of itself that matters here, what this user may do there, and what of
    /// that is likely to hurt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ServerUnavailable`].
    pub fn checks(&self) -> Result<Vec<ServerCheck>> {
        self.check_open(None)?;
        let mut checks = match Info::ask(self)? {
            Some(info) => info.checks(self),
            None => vec![ServerCheck {
                what: "information",
                value: "refused".into(),
                meaning: "what the server says of itself (INFO) tells whether it suits",
                objection: None,
                finding: Some(
                    "this user may not ask the server about itself (INFO): whether it suits was not \
                     checked; permit +info"
                        .into(),
                ),
            }],
        };
        checks.extend(check_rights(self)?);
        Ok(checks)
    }

    /// What of the server is likely to hurt, in sentences; nothing when all is well.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ServerUnavailable`].
    pub fn findings(&self) -> Result<Vec<String>> {
        let sentence = |check: ServerCheck| check.objection.or(check.finding);
        Ok(self.checks()?.into_iter().filter_map(sentence).collect())
    }

    /// Removes the name of this very object: another that has its name by now keeps it.
    ///
    /// # Errors
    ///
    /// Those of [`unlink`](Connection::unlink); [`ErrorKind::Replaced`] for a name that belongs to another
    /// object.
    pub fn unlink_object(&self, info: &ObjectInfo) -> Result<()> {
        let name = &info.name;
        self.check_open(Some((Operation::Unlink, name)))?;
        let letter = Connection::letter(name, Operation::Unlink)?;
        let object = Object::new(self.namespace(), name, letter, &info.generation);
        let client = self.client()?;
        Common::new(self).handle(object, false, &client).unlink()
    }
}

/// The nodes that have keys.
pub(crate) fn primaries(connection: &Connection) -> std::result::Result<Vec<Address>, Fault> {
    let client = connection.client().map_err(|error| Fault::Protocol(error.to_string()))?;
    let mut pause = || connection.pause();
    let url = &connection.settings().url;
    let asked = client.discover(&mut pause)?;
    if url.topology != Topology::Cluster {
        return Ok(vec![asked]);
    }
    let slots = client.command_at(&asked, &[b"CLUSTER", b"SLOTS"], &mut pause)?;
    let mut addresses = Vec::new();
    for range in slots.list() {
        let [_, _, node, ..] = range.list() else { continue };
        let [host, port, ..] = node.list() else { continue };
        let Some(port) = port.integer().and_then(|port| u16::try_from(port).ok()) else { continue };
        let address = Address::beside(&asked, &host.text(), port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn scan_node(
    connection: &Connection,
    address: &Address,
) -> std::result::Result<Vec<ObjectInfo>, Fault> {
    let mut pause = || connection.pause();
    let mut link = Link::open(&connection.settings().url, address, &mut pause)?;
    let mut objects = Vec::new();
    let mut cursor = Cursor::default();
    loop {
        for name in cursor.step(&mut link, connection, &mut pause)? {
            let key = name_key(connection, &name);
            let value = link.ask(&[b"HGETALL", &key], &mut pause)?;
            objects.extend(described(name, &attributes(Some(&value))));
        }
        if cursor.is_at_the_begin() {
            return Ok(objects);
        }
    }
}

/// How far a node's keys have been gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(Vec<u8>);

impl Default for Cursor {
    fn default() -> Cursor {
        Cursor(b"0".to_vec())
    }
}

impl Cursor {
    /// Whether all have been gone through, or none yet.
    pub(crate) fn is_at_the_begin(&self) -> bool {
        self.0 == b"0"
    }

    /// The names among the next thousand keys or so. One may come twice.
    pub(crate) fn step(
        &mut self,
        link: &mut Link,
        connection: &Connection,
        pause: Pause<'_>,
    ) -> std::result::Result<Vec<Name>, Fault> {
        let namespace = connection.namespace();
        let pattern = format!("{namespace}:{{?/*}}");
        let page = link.demand(
            &[b"SCAN", &self.0, b"MATCH", pattern.as_bytes(), b"COUNT", b"1000", b"TYPE", b"hash"],
            pause,
        )?;
        let [next, keys] = page.list() else {
            return Err(Fault::Protocol("its answer to SCAN is none".into()));
        };
        self.0 = next.bytes().to_vec();
        if self.0.is_empty() {
            *self = Cursor::default();
        }
        Ok(keys.list().iter().filter_map(|key| name_of(namespace, key.bytes())).collect())
    }
}

/// The name that a key is for, if it is one of ours.
fn name_of(namespace: &str, key: &[u8]) -> Option<Name> {
    use std::os::unix::ffi::OsStrExt;

    let inner = key.strip_prefix(namespace.as_bytes())?.strip_prefix(b":{")?.strip_suffix(b"}")?;
    let kind = Kind::ALL
        .into_iter()
        .find(|&kind| letter(kind).is_some_and(|letter| inner.starts_with(letter.as_bytes())))?;
    Name::new(kind, std::ffi::OsStr::from_bytes(inner.get(2..)?)).ok()
}

/// The key of a name that was found.
pub(crate) fn name_key(connection: &Connection, name: &Name) -> Vec<u8> {
    let letter = letter(name.kind()).unwrap_or_default();
    Object::new(connection.namespace(), name, letter, "").name_key
}

pub(crate) fn described(name: Name, attributes: &Attributes) -> Option<ObjectInfo> {
    let generation = attributes.get("gen")?.clone();
    let creator = attributes.get("creator").map_or("", String::as_str);
    let (pid, host) = creator.split_once(' ').unwrap_or(("", creator));
    let number = |key: &str| attributes.get(key).and_then(|value| value.parse().ok());
    Some(ObjectInfo {
        name,
        generation,
        creator_host: host.into(),
        creator_pid: pid.parse().ok(),
        bound: number("max"),
        max_message_size: number("size"),
    })
}
