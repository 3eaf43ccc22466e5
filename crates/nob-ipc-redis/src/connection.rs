//! A connection to a server.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nob_ipc::{Error, ErrorKind, Kind, Name, Operation, Result, fork_generation};

use crate::client::{Client, Delete, Settings, is_permanent, sleep};
use crate::farewell::let_go;
use crate::fault::{self, Fault, Stop, Subject, is_transient};
use crate::object;
use crate::sync::lock;
use crate::transport::{Pause, SLICE};
use crate::url::Durability;

/// A connection to a server; clones are the same one. Handles keep what they need of it.
///
/// It is safe to share among threads. A forked child has connections of its own, from its first
/// call on.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

pub(crate) struct Shared {
    settings: Arc<Settings>,
    client: PerFork,
    closed: AtomicBool,
}

/// What goes on in the background for a [`Connection`], also when that is closed or gone: what interrupted
/// calls had taken goes back.
#[derive(Clone, Debug)]
pub struct Background {
    client: Weak<Client>,
    generation: u64,
}

impl Background {
    /// Whether nothing goes on, nor will: the connection is closed or gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.generation != fork_generation()
            || self.client.upgrade().is_none_or(|client| client.has_ended())
    }

    /// Waits until all that has begun is done, for a program that makes no more calls. `false` when that was
    /// not done in the time; what has not gone back is lost with the process. In a forked child, which has
    /// nothing of its parent in the background, it is done.
    #[must_use]
    pub fn finish(&self, within: Duration) -> bool {
        if self.generation != fork_generation() {
            return true;
        }
        self.client.upgrade().is_none_or(|client| {
            client.stop();
            client.join(within)
        })
    }
}

/// The client of this process. A forked child makes its own, and leaves that of its parent alone: a
/// thread of the parent may have been inside.
struct PerFork(AtomicPtr<(u64, Arc<Client>)>);

impl PerFork {
    #[allow(unsafe_code)]
    fn get(&self, settings: &Arc<Settings>) -> std::io::Result<Arc<Client>> {
        let generation = fork_generation();
        let current = self.0.load(Ordering::Acquire);
        // SAFETY: non-null pointers come from `Box::into_raw` below, and live until this is
        // dropped.
        if let Some((made_in, client)) = unsafe { current.as_ref() }
            && *made_in == generation
        {
            return Ok(client.clone());
        }
        let client = Client::new(settings.clone())?;
        let new = Box::into_raw(Box::new((generation, client.clone())));
        let exchanged = self.0.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire);
        if exchanged.is_ok() {
            // What was there is the parent's: it is not freed.
            return Ok(client);
        }
        // SAFETY: `new` was not published, so this is its only owner.
        drop(unsafe { Box::from_raw(new) });
        self.get(settings)
    }

    /// The client of this process, if it has one.
    #[allow(unsafe_code)]
    fn existing(&self) -> Option<&Arc<Client>> {
        // SAFETY: as above.
        let current = unsafe { self.0.load(Ordering::Acquire).as_ref() };
        current.filter(|(generation, _)| *generation == fork_generation()).map(|(_, client)| client)
    }
}

impl Drop for Shared {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if let Some(client) = self.client.existing() {
            client.stop();
            let current = self.client.0.swap(ptr::null_mut(), Ordering::AcqRel);
            // SAFETY: it comes from `Box::into_raw`, and nobody else has this any more.
            drop(unsafe { Box::from_raw(current) });
        }
    }
}

impl Connection {
    pub(crate) fn new(settings: Settings) -> Connection {
        let client = PerFork(AtomicPtr::new(ptr::null_mut()));
        let (settings, closed) = (Arc::new(settings), AtomicBool::new(false));
        Connection(Arc::new(Shared { settings, client, closed }))
    }

    /// The server's URL, with the password masked.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.settings.url.to_string()
    }

    /// The URL as it was given, password included: for another process that is to connect alike.
    #[must_use]
    pub fn secret_url(&self) -> &str {
        &self.0.settings.secret_url
    }

    /// How long a call goes on trying to reach the server.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.0.settings.patience
    }

    /// How sure a change is to be.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.0.settings.durability
    }

    /// The first part of all keys and channels.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.settings.namespace
    }

    /// Whether [`close`](Connection::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    /// Closes all handles of this connection, and removes the names that are due. Twice is fine.
    ///
    /// # Errors
    ///
    /// The first of what [`Handle::delete`](crate::Handle::delete) says.
    pub fn close(&self) -> Result<()> {
        let handles: Vec<Weak<dyn Delete>> = match self.0.client.existing() {
            Some(client) => lock(&client.handles).drain(..).collect(),
            None => Vec::new(),
        };
        let mut result = Ok(());
        for handle in handles.iter().filter_map(Weak::upgrade) {
            result = result.and(handle.delete());
        }
        if let Some(client) = self.0.client.existing() {
            // What a forked child holds by handles of its parent.
            let holds: Vec<_> = lock(&client.holds).drain().map(|(_, hold)| hold).collect();
            for hold in holds {
                result = result.and(let_go(client, &hold));
            }
        }
        if !self.0.closed.swap(true, Ordering::SeqCst)
            && let Some(client) = self.0.client.existing()
        {
            client.stop();
        }
        result
    }

    /// As [`close`](Connection::close), and waits until what interrupted calls had taken is back: for
    /// a program that ends. `false` when that was not done in the time, or when the server did not
    /// answer; what has not gone back is lost with the process.
    ///
    /// # Errors
    ///
    /// Those of [`close`](Connection::close).
    pub fn finish(&self, within: Duration) -> Result<bool> {
        self.close()?;
        Ok(self.0.client.existing().is_none_or(|client| client.join(within)))
    }

    /// What goes on in the background of this process, for a program that ends.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn background(&self) -> Result<Background> {
        Ok(Background { client: Arc::downgrade(&self.client()?), generation: fork_generation() })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The client of this process.
    pub(crate) fn client(&self) -> Result<Arc<Client>> {
        self.0.client.get(&self.0.settings).map_err(|error| fault::no_eventfd(&error))
    }

    /// What a call that waits does in between.
    pub(crate) fn pause(&self) -> std::result::Result<(), Stop> {
        if self.is_closed() {
            return Err(Stop::Closed);
        }
        match &self.0.settings.check {
            Some(check) if !check() => Err(Stop::Interrupted),
            _ => Ok(()),
        }
    }

    pub(crate) fn check_open(&self, subject: Subject<'_>) -> Result<()> {
        if self.is_closed() { Err(fault::stopped(subject, Stop::Closed)) } else { Ok(()) }
    }

    /// Repeats a command that does no harm, as long as patience lasts.
    pub(crate) fn patiently<T>(
        &self,
        mut command: impl FnMut(Pause<'_>) -> std::result::Result<T, Fault>,
    ) -> std::result::Result<T, Fault> {
        let end = Instant::now() + self.patience();
        let mut back_off = Duration::from_millis(5);
        loop {
            let late = end.max(Instant::now() + SLICE);
            let mut pause = || {
                self.pause()?;
                if Instant::now() >= late { Err(Stop::Late) } else { Ok(()) }
            };
            match command(&mut pause) {
                Err(fault) if Instant::now() < end && may_pass(&fault) => {
                    sleep((Instant::now() + back_off).min(end), &mut || self.pause())
                        .map_err(Fault::from)?;
                    back_off = (back_off * 2).min(Duration::from_millis(200));
                }
                result => return result,
            }
        }
    }

    /// A failed command that concerns no object.
    pub(crate) fn error(&self, fault: &Fault) -> Error {
        match fault {
            Fault::Stopped(stop) => fault::stopped(None, *stop),
            Fault::Refused(refusal) if !is_transient(refusal) => {
                fault::refused(None, &self.url(), refusal)
            }
            fault => fault::unavailable(None, &self.url(), fault),
        }
    }

    /// The letter of a kind that there is on a server.
    pub(crate) fn letter(name: &Name, operation: Operation) -> Result<&'static str> {
        object::letter(name.kind()).ok_or_else(|| {
            let why = match name.kind() {
                Kind::Channel => "there are no channels on a server; use a message queue",
                _ => {
                    "there is no shared memory on a server; send what is to be shared by a \
                      message queue"
                }
            };
            Error::elsewhere(Some((operation, name)), ErrorKind::Unsupported, None, why)
        })
    }
}

fn may_pass(fault: &Fault) -> bool {
    match fault {
        Fault::Refused(refusal) => is_transient(refusal),
        Fault::Stopped(_) => false,
        fault => !is_permanent(fault),
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection(\"{}\")", self.url())
    }
}
