//! How a connection is opened.

use std::fmt;
use std::time::Duration;

use nob_ipc::{Error, ErrorKind, Result};

use crate::client::Settings;
use crate::connection::Connection;
use crate::inspect;
use crate::url::{self, Durability, Url};

/// The environment variable that a password comes from which is not in the URL.
const PASSWORD: &str = "NOB_IPC_PASSWORD";

/// How a [`Connection`] is opened; made by [`Connection::options`].
#[derive(Default)]
pub struct ConnectionOptions {
    patience: Option<Duration>,
    durability: Option<Durability>,
    namespace: Option<String>,
    check: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl ConnectionOptions {
    /// How long a call goes on trying to reach the server; default: what the URL says, else 10 s.
    pub fn patience(&mut self, patience: Duration) -> &mut Self {
        self.patience = Some(patience);
        self
    }

    /// How sure a change is to be; default: what the URL says, else [`Durability::Memory`].
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.durability = Some(durability);
        self
    }

    /// The first part of all keys and channels; default: what the URL says, else `nipc`.
    pub fn namespace(&mut self, namespace: &str) -> &mut Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Is called in the thread of a call that waits, for the server or for an object: after each
    /// signal and every 0.4 s. `false` ends that call with [`ErrorKind::Interrupted`]; what it may
    /// have taken goes back.
    ///
    /// With it, the periodic check of a [`Deadline`](nob_ipc::Deadline) is not needed, and ignored.
    pub fn check(&mut self, check: impl Fn() -> bool + Send + Sync + 'static) -> &mut Self {
        self.check = Some(Box::new(check));
        self
    }

    /// Connects to the server of this URL, and checks that it suits. A password that the URL has
    /// not comes from the environment variable `NOB_IPC_PASSWORD`, if that is set.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for the URL or the namespace,
    /// [`ErrorKind::ServerUnavailable`], [`ErrorKind::PermissionDenied`] for a wrong password,
    /// [`ErrorKind::Other`] with `ENOTSUP` for a server that does not suit.
    pub fn open(&mut self, url: &str) -> Result<Connection> {
        let mut parsed = Url::parse(url)?;
        if parsed.password.is_none() {
            parsed.password = std::env::var(PASSWORD).ok().filter(|word| !word.is_empty());
        }
        let namespace = self.namespace.clone().or_else(|| parsed.namespace.clone());
        let namespace = namespace.unwrap_or_else(|| "nipc".into());
        url::check_namespace(&namespace)?;
        // The server remembers an answer for 10 min; no request is repeated for longer.
        let patience = self.patience.or(parsed.patience).unwrap_or(Duration::from_secs(10));
        if patience > Duration::from_secs(300) {
            let why = "the patience is longer than 300 s; give less";
            return Err(Error::elsewhere(None, ErrorKind::InvalidArgument, None, why));
        }
        let settings = Settings {
            patience,
            durability: self.durability.or(parsed.durability).unwrap_or_default(),
            namespace,
            secret_url: url.into(),
            check: self.check.take(),
            url: parsed,
        };
        let connection = Connection::new(settings);
        inspect::check_server(&connection)?;
        Ok(connection)
    }
}

impl fmt::Debug for ConnectionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConnectionOptions { patience, durability, namespace, check } = self;
        f.debug_struct("ConnectionOptions")
            .field("patience", patience)
            .field("durability", durability)
            .field("namespace", namespace)
            .field("check", &check.is_some())
            .finish()
    }
}

impl Connection {
    /// Options to connect with.
    #[must_use]
    pub fn options() -> ConnectionOptions {
        ConnectionOptions::default()
    }

    /// Connects with the options that the URL has.
    ///
    /// # Errors
    ///
    /// As [`ConnectionOptions::open`].
    pub fn open(url: &str) -> Result<Connection> {
        Connection::options().open(url)
    }
}
