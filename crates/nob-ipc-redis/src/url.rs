//! Where a server is, as a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nob_ipc::{Error, ErrorKind};

/// How sure a change is to be before a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// The server has done it.
    #[default]
    Memory,
    /// A replica has it as well.
    Replica,
    /// The server has written it to its disk.
    Fsync,
}

impl Durability {
    /// The word for it in a URL.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Durability::Memory => "memory",
            Durability::Replica => "replica",
            Durability::Fsync => "fsync",
        }
    }
}

impl FromStr for Durability {
    type Err = Error;

    fn from_str(word: &str) -> Result<Durability, Error> {
        let all = [Durability::Memory, Durability::Replica, Durability::Fsync];
        all.into_iter().find(|level| level.word() == word).ok_or_else(|| {
            invalid(format!("the durability {word:?} is none of memory, replica and fsync"))
        })
    }
}

/// How servers are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server.
    Single,
    /// Sentinels know the primary of this name.
    Sentinel { master: String },
    /// Any node names the owner of a key.
    Cluster,
}

/// An address to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// A node that another one names: without a host, it is that one's. `?` is a host that nobody has been told.
    pub(crate) fn beside(asked: &Address, host: &str, port: u16) -> Address {
        match asked {
            Address::Tcp { host: asked, .. } if matches!(host, "" | "?") => {
                Address::Tcp { host: asked.clone(), port }
            }
            _ => Address::Tcp { host: host.into(), port },
        }
    }

    /// `host:port` as servers say it. `None`: it is none.
    pub(crate) fn parse(text: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|&port| port > 0)?;
        (!host.is_empty()).then(|| Address::Tcp { host: host.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A server's URL, taken apart. Its [`Display`](fmt::Display) masks the password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    scheme: String,
    pub topology: Topology,
    pub addresses: Vec<Address>,
    pub tls: bool,
    pub user: Option<String>,
    pub password: Option<String>,
    pub database: u32,
    pub cafile: Option<PathBuf>,
    pub patience: Option<Duration>,
    pub durability: Option<Durability>,
    pub namespace: Option<String>,
}

const FORMS: &str = "redis://[user[:password]@]host[:port][/db], rediss://..., \
                     unix:///path[?db=n], redis+sentinel://h1,h2/master[/db] or \
                     redis+cluster://h1,h2";

/// What is around it may be a part of the password.
const STRAY: &str = "the server's URL has an '@' behind its host; write %2F for a '/' in a user or \
                     password, %3F for a '?', and %40 for an '@'";

fn invalid(why: impl Into<String>) -> Error {
    Error::elsewhere(None, ErrorKind::InvalidArgument, None, why.into())
}

impl Url {
    /// # Errors
    ///
    /// A sentence that says what is right, and never has the password in it.
    pub(crate) fn parse(text: &str) -> Result<Url, Error> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(invalid(format!("the server's URL has no scheme; give {FORMS}")));
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if rest.contains('#') || query.contains('#') {
            return Err(invalid("the server's URL has a '#'; write %23 in a user or password"));
        }
        let mut url = Url::of_scheme(scheme)?;
        if url.scheme == "unix" {
            url.unix(rest)?;
        } else {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            if path.contains('@') {
                return Err(invalid(STRAY));
            }
            url.authority(authority)?;
            url.path(path)?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if pair.contains('@') && key != "cafile" {
                return Err(invalid(STRAY));
            }
            url.option(key, &decode(value, key)?)?;
        }
        if url.topology == Topology::Cluster && url.database != 0 {
            return Err(invalid("a cluster has database 0 alone; leave the number away"));
        }
        if url.cafile.is_some() && !url.tls {
            return Err(invalid("cafile belongs to an encrypted connection; give rediss://"));
        }
        Ok(url)
    }

    fn of_scheme(scheme: &str) -> Result<Url, Error> {
        let (base, form) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match base {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            "unix" if form.is_empty() => false,
            _ => {
                let why =
                    format!("the scheme {scheme:?} of the server's URL is not known; give {FORMS}");
                return Err(invalid(why));
            }
        };
        let topology = match form {
            "" if !scheme.ends_with('+') => Topology::Single,
            "sentinel" => Topology::Sentinel { master: String::new() },
            "cluster" => Topology::Cluster,
            _ => {
                let why = format!(
                    "the scheme {scheme:?} is none: after the '+' comes sentinel or cluster"
                );
                return Err(invalid(why));
            }
        };
        Ok(Url {
            scheme: scheme.into(),
            topology,
            addresses: Vec::new(),
            tls,
            user: None,
            password: None,
            database: 0,
            cafile: None,
            patience: None,
            durability: None,
            namespace: None,
        })
    }

    fn unix(&mut self, path: &str) -> Result<(), Error> {
        let (credentials, path) = match path.find('/') {
            Some(0) => (None, path),
            Some(slash) if path[..slash].ends_with('@') => {
                (Some(&path[..slash - 1]), &path[slash..])
            }
            _ => {
                return Err(invalid("a socket's URL has an absolute path: unix:///run/redis.sock"));
            }
        };
        if let Some(credentials) = credentials {
            self.credentials(credentials)?;
        }
        self.addresses.push(Address::Unix(decode(path, "path")?.into()));
        Ok(())
    }

    fn authority(&mut self, authority: &str) -> Result<(), Error> {
        let hosts = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => {
                self.credentials(credentials)?;
                hosts
            }
            None => authority,
        };
        let default = if matches!(self.topology, Topology::Sentinel { .. }) { 26379 } else { 6379 };
        for host in hosts.split(',') {
            self.addresses.push(address(host, default)?);
        }
        if self.topology == Topology::Single && self.addresses.len() > 1 {
            return Err(invalid(format!(
                "{}:// names one server; several belong to redis+sentinel:// or redis+cluster://",
                self.scheme
            )));
        }
        Ok(())
    }

    fn credentials(&mut self, text: &str) -> Result<(), Error> {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (text, None),
        };
        if !user.is_empty() {
            self.user = Some(decode(user, "user")?);
        }
        if let Some(password) = password {
            self.password = Some(decode(password, "password")?);
        }
        Ok(())
    }

    fn path(&mut self, path: &str) -> Result<(), Error> {
        let mut parts = path.split('/');
        if let Topology::Sentinel { master } = &mut self.topology {
            *master = decode(parts.next().unwrap_or(""), "master")?;
            if master.is_empty() {
                return Err(invalid(format!(
                    "{}:// needs the name of the primary as sentinels know it: h1,h2/mymaster",
                    self.scheme
                )));
            }
        }
        if let Some(database) = parts.next().filter(|part| !part.is_empty()) {
            self.database = number(database)?;
        }
        match parts.find(|part| !part.is_empty()) {
            Some(_) => Err(invalid(format!("the server's URL has too long a path; give {FORMS}"))),
            None => Ok(()),
        }
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), Error> {
        match key {
            "db" => self.database = number(value)?,
            "cafile" => self.cafile = Some(value.into()),
            "patience" => {
                let seconds = value.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
                let Some(patience) = seconds else {
                    return Err(invalid(format!(
                        "patience is {value:?}; give seconds, such as 10"
                    )));
                };
                self.patience = Some(patience);
            }
            "durability" => self.durability = Some(value.parse()?),
            "namespace" => {
                check_namespace(value)?;
                self.namespace = Some(value.into());
            }
            _ => {
                return Err(invalid(format!(
                    "the server's URL has the key {key:?} behind its '?'; known are patience, \
                     durability, namespace, cafile and db"
                )));
            }
        }
        Ok(())
    }
}

/// Refuses what cannot be the first part of a key, or could be taken for another part.
pub(crate) fn check_namespace(namespace: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if namespace.is_empty() || namespace.len() > 64 || !namespace.chars().all(legal) {
        return Err(invalid(format!(
            "the namespace {namespace:?} is none; give 1 to 64 letters, digits, '-', '_' and '.'"
        )));
    }
    Ok(())
}

/// What is wrong is not shown: it may be a password that no host follows.
fn address(text: &str, default: u16) -> Result<Address, Error> {
    let bad = || {
        invalid(
            "the server's URL has a host that is none; give host, host:port or [IPv6 \
             address]:port, and %2F for a '/' in a user or password, %3F for a '?'",
        )
    };
    if text.is_empty() {
        return Err(invalid(format!("the server's URL names no host; give {FORMS}")));
    }
    let has_port = match text.strip_prefix('[') {
        Some(rest) => {
            let (_, after) = rest.split_once(']').ok_or_else(bad)?;
            if !after.is_empty() && !after.starts_with(':') {
                return Err(bad());
            }
            !after.is_empty()
        }
        None => match text.matches(':').count() {
            0 => false,
            1 => true,
            _ => return Err(bad()),
        },
    };
    let whole = if has_port { text.to_string() } else { format!("{text}:{default}") };
    Address::parse(&whole).ok_or_else(bad)
}

fn number(text: &str) -> Result<u32, Error> {
    text.parse().map_err(|_| invalid("the database in the server's URL is no number"))
}

/// Undoes percent-encoding. What is wrong is not shown: it may be a password.
fn decode(text: &str, what: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit =
            |byte: Option<u8>| -> Option<u8> { char::from(byte?).to_digit(16)?.try_into().ok() };
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) => bytes.push(high * 16 + low),
            _ => {
                return Err(invalid(format!(
                    "the {what} in the server's URL has a '%' without two hexadecimal digits; \
                     write %25"
                )));
            }
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| invalid(format!("the {what} in the server's URL is not UTF-8")))
}

fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let piece = |byte| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(piece).collect()
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if self.user.is_some() || self.password.is_some() {
            write!(f, "{}", encode(self.user.as_deref().unwrap_or("")))?;
            f.write_str(if self.password.is_some() { ":***@" } else { "@" })?;
        }
        for (index, address) in self.addresses.iter().enumerate() {
            match address {
                Address::Unix(path) => write!(f, "{}", path.display())?,
                tcp @ Address::Tcp { .. } => {
                    write!(f, "{}{tcp}", if index > 0 { "," } else { "" })?;
                }
            }
        }
        if let Topology::Sentinel { master } = &self.topology {
            write!(f, "/{}", encode(master))?;
        }
        match self.database {
            0 => Ok(()),
            database if self.scheme == "unix" => write!(f, "?db={database}"),
            database => write!(f, "/{database}"),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url(\"{self}\")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_how_they_are_shown() {
        for (given, shown) in [
            ("redis://h", "redis://h:6379"),
            ("valkey://h:7/3", "valkey://h:7/3"),
            ("rediss://:p%40w@h?cafile=/ca.pem", "rediss://:***@h:6379"),
            ("redis://u%3a:secret@[::1]:6380/0", "redis://u%3A:***@[::1]:6380"),
            ("redis://me@[::1]", "redis://me@[::1]:6379"),
            ("unix:///run/a@b.sock", "unix:///run/a@b.sock"),
            ("rediss://h?cafile=/etc/a@b.pem", "rediss://h:6379"),
            ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
            ("unix://u:pw@/run/redis.sock", "unix://u:***@/run/redis.sock"),
            ("redis+sentinel://a,b:5/my/1", "redis+sentinel://a:26379,b:5/my/1"),
            ("valkeys+cluster://:pw@a,b", "valkeys+cluster://:***@a:6379,b:6379"),
        ] {
            let url = Url::parse(given).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("Url(\"{shown}\")"));
        }
    }

    #[test]
    fn parts() {
        let url = Url::parse(
            "rediss+sentinel://u%25:p:%2f@a,[::2]:3/m/4?patience=2.5&durability=fsync&namespace=x\
             &cafile=%2fca",
        )
        .unwrap();
        assert!(url.tls);
        assert_eq!(url.topology, Topology::Sentinel { master: "m".into() });
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("u%"), Some("p:/")));
        assert_eq!(url.addresses[1], Address::Tcp { host: "::2".into(), port: 3 });
        assert_eq!((url.database, url.patience), (4, Some(Duration::from_millis(2500))));
        assert_eq!(
            (url.durability, url.namespace.as_deref()),
            (Some(Durability::Fsync), Some("x"))
        );
        assert_eq!(url.cafile, Some("/ca".into()));
    }

    #[test]
    fn errors_say_what_is_right_and_keep_the_password() {
        for (bad, says) in [
            ("localhost", "redis://"),
            ("http://h", "redis://"),
            ("redis+x://h", "sentinel or cluster"),
            ("redis+://h", "sentinel or cluster"),
            ("unix+cluster://h", "unix:///path"),
            ("redis://:hunter2@a,b", "redis+cluster://"),
            ("redis://:hunter2@a:x", "host:port"),
            ("redis://:hunter2@a:0", "host:port"),
            ("redis://:hunter2@::1", "IPv6"),
            ("redis://:hunter2@[::1", "IPv6"),
            ("redis://:hunter2@", "no host"),
            ("redis://:hunter2%zz@h", "%25"),
            ("redis://:hunter2%ff@h", "UTF-8"),
            ("redis://:hunter2@h/x", "no number"),
            ("redis://:hunter2@h/1/2", "too long a path"),
            ("redis://:hunter2#@h", "%23"),
            ("redis+cluster://:hunter2@h/1", "database 0"),
            ("redis+sentinel://:hunter2@h", "mymaster"),
            ("redis://:hunter2@h?timeout=1", "patience, durability"),
            ("redis://:hunter2@h?patience=-1", "seconds"),
            ("redis://:hunter2@h?durability=disk", "fsync"),
            ("redis://:hunter2@h?namespace={x}", "letters"),
            ("redis://:hunter2@h?cafile=/ca", "rediss://"),
            ("unix://run/redis.sock", "unix:///run"),
            // A password that should have been encoded lands elsewhere.
            ("redis://:hunter2/x@h", "%2F"),
            ("redis://user:hunter2/x@h:1", "%2F"),
            ("redis://:hunter2?x@h", "%3F"),
            ("redis://user:6379/hunter2@h", "%2F"),
            ("redis://user:6379/1?hunter2@h", "%3F"),
            ("redis://user:6379/1?patience=hunter2@h", "%3F"),
            ("redis+sentinel://u:6379/hunter2@h", "%2F"),
            ("redis+sentinel://u:6379/hunter2@h/m", "%2F"),
            ("redis://h:hunter2", "host:port"),
            ("redis://:hunter2", "host:port"),
            ("redis://u:hunter2,h:1", "host:port"),
            ("redis://h?db=hunter2", "no number"),
        ] {
            let error = Url::parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
            let text = error.to_string();
            assert!(text.contains(says), "{bad}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
