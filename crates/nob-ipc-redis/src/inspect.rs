//! What a server is, and what is on it.

use std::time::{Duration, Instant};

use nob_ipc::{Error, ErrorKind, Kind, Name, Result};

use crate::client::sleep;
use crate::connection::Connection;
use crate::fault::{self, Fault, code, is_transient};
use crate::link::{Link, Use};
use crate::object::letter;
use crate::opening::attributes;
use crate::url::{Address, Topology};
use crate::wire::Value;

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
        match patiently(connection, || client.command(&[b"INFO"], &mut || connection.pause())) {
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

    /// The sentence that says why the server does not suit.
    fn objection(&self) -> Option<String> {
        let redis = self.version("redis_version");
        if self.get("valkey_version").is_none() && redis.is_some_and(|version| version < (7, 0)) {
            let version = self.get("redis_version").unwrap_or("?");
            return Some(format!("it is version {version}; Redis 7.0 or Valkey 7.2 is needed"));
        }
        if self.get("role").is_some_and(|role| role != "master") {
            return Some(
                "it is a replica; give the URL of its primary, or redis+sentinel://".into(),
            );
        }
        let policy = self.get("maxmemory_policy").unwrap_or("noeviction");
        if policy != "noeviction" && self.get("maxmemory") != Some("0") {
            return Some(format!(
                "it throws data away when its memory is full (maxmemory-policy {policy}); set \
                 maxmemory-policy to noeviction"
            ));
        }
        None
    }
}

/// Repeats a command that does no harm, as long as patience lasts.
fn patiently<T>(
    connection: &Connection,
    mut command: impl FnMut() -> std::result::Result<T, Fault>,
) -> std::result::Result<T, Fault> {
    let end = Instant::now() + connection.patience();
    let mut back_off = Duration::from_millis(5);
    loop {
        match command() {
            Err(fault) if Instant::now() < end && may_pass(&fault) => {
                sleep((Instant::now() + back_off).min(end), &mut || connection.pause())
                    .map_err(Fault::Stopped)?;
                back_off = (back_off * 2).min(Duration::from_millis(200));
            }
            result => return result,
        }
    }
}

fn may_pass(fault: &Fault) -> bool {
    match fault {
        Fault::Refused(refusal) => is_transient(refusal),
        Fault::Stopped(_) => false,
        fault => !crate::client::is_permanent(fault),
    }
}

/// Refuses a server that cannot keep what is promised.
pub(crate) fn check_server(connection: &Connection) -> Result<()> {
    let client = connection.client()?;
    let ping = patiently(connection, || client.command(&[b"PING"], &mut || connection.pause()));
    ping.map_err(|fault| connection.error(&fault))?;
    let Some(info) = Info::ask(connection)? else { return Ok(()) };
    // Any node of a cluster may answer.
    let replica_is_fine = connection.settings().url.topology == Topology::Cluster;
    match info.objection() {
        Some(_) if replica_is_fine && info.get("role") != Some("master") => Ok(()),
        Some(objection) => {
            let why = format!("the server {} does not suit: {objection}", connection.url());
            Err(Error::elsewhere(None, ErrorKind::Other, Some(libc::ENOTSUP), why))
        }
        None => Ok(()),
    }
}

pub(crate) fn findings(connection: &Connection) -> Result<Vec<String>> {
    connection.check_open(None)?;
    let Some(info) = Info::ask(connection)? else {
        return Ok(vec![
            "this user may not ask the server about itself (INFO): nothing was checked".into(),
        ]);
    };
    let mut findings: Vec<String> = info.objection().into_iter().collect();
    let mut find = |applies: bool, finding: &str| {
        if applies {
            findings.push(finding.into());
        }
    };
    find(
        info.get("aof_enabled") == Some("0"),
        "appendonly is off: a restart of the server loses all objects; set appendonly to yes",
    );
    find(
        info.get("aof_last_write_status").is_some_and(|status| status != "ok"),
        "the last write to the append-only file has failed; see the server's log",
    );
    find(info.get("loading") == Some("1"), "the server is still reading its data");
    Ok(findings)
}

/// The nodes that have keys.
fn primaries(connection: &Connection) -> std::result::Result<Vec<Address>, Fault> {
    let client = connection.client().map_err(|error| Fault::Protocol(error.to_string()))?;
    let mut pause = || connection.pause();
    let url = &connection.settings().url;
    if url.topology != Topology::Cluster {
        return Ok(vec![crate::link::discover(url, &[], 0, &mut pause)?]);
    }
    let slots = client.command(&[b"CLUSTER", b"SLOTS"], &mut pause)?;
    let mut addresses = Vec::new();
    for range in slots.list() {
        let [_, _, node, ..] = range.list() else { continue };
        let [host, port, ..] = node.list() else { continue };
        let Some(port) = port.integer().and_then(|port| u16::try_from(port).ok()) else { continue };
        let address = Address::Tcp { host: host.text(), port };
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

pub(crate) fn list(connection: &Connection) -> Result<Vec<ObjectInfo>> {
    connection.check_open(None)?;
    let scan = || -> std::result::Result<Vec<ObjectInfo>, Fault> {
        let mut objects = Vec::new();
        for address in primaries(connection)? {
            objects.extend(scan_node(connection, &address)?);
        }
        Ok(objects)
    };
    let mut objects = patiently(connection, scan).map_err(|fault| match fault {
        Fault::Stopped(stop) => fault::stopped(None, stop),
        fault => connection.error(&fault),
    })?;
    let order = |info: &ObjectInfo| (info.name.kind() as usize, info.name.as_bytes().to_vec());
    objects.sort_by_key(order);
    // A scan may show a key twice.
    objects.dedup_by(|one, other| one.name == other.name);
    Ok(objects)
}

fn scan_node(
    connection: &Connection,
    address: &Address,
) -> std::result::Result<Vec<ObjectInfo>, Fault> {
    let mut pause = || connection.pause();
    let mut link = Link::open(&connection.settings().url, address, Use::Calls, &mut pause)?;
    let pattern = format!("{}:{{?/*}}", connection.namespace());
    let mut objects = Vec::new();
    let mut cursor = b"0".to_vec();
    loop {
        let page = link.demand(
            &[b"SCAN", &cursor, b"MATCH", pattern.as_bytes(), b"COUNT", b"1000", b"TYPE", b"hash"],
            &mut pause,
        )?;
        let [next, keys] = page.list() else {
            return Err(Fault::Protocol("its answer to SCAN is none".into()));
        };
        for key in keys.list() {
            let value = link.ask(&[b"HGETALL", key.bytes()], &mut pause)?;
            objects.extend(object(connection.namespace(), key.bytes(), &value));
        }
        cursor = next.bytes().to_vec();
        if cursor == b"0" || cursor.is_empty() {
            return Ok(objects);
        }
    }
}

/// The object of a key, if it is one of ours.
fn object(namespace: &str, key: &[u8], value: &Value) -> Option<ObjectInfo> {
    use std::os::unix::ffi::OsStrExt;

    let inner = key.strip_prefix(namespace.as_bytes())?.strip_prefix(b":{")?.strip_suffix(b"}")?;
    let kind = Kind::ALL
        .into_iter()
        .find(|&kind| letter(kind).is_some_and(|letter| inner.starts_with(letter.as_bytes())))?;
    let name = Name::new(kind, std::ffi::OsStr::from_bytes(inner.get(2..)?)).ok()?;
    let attributes = attributes(Some(value));
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
