//! What threads and the native thread share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::fault::Fault;
use crate::job::Job;
use crate::object::Object;
use crate::task::Task;
use crate::url::Address;
use crate::waiter::Waiter;

/// What threads and the native thread share.
#[derive(Default)]
pub(crate) struct Hub {
    pub inbox: Vec<Command>,
    pub waiters: HashMap<u64, Arc<Waiter>>,
    /// How many handles have an object, by its channel.
    pub channels: HashMap<Vec<u8>, Listeners>,
    pub running: bool,
    pub stopping: bool,
    /// The thread has ended before all was settled.
    pub unsettled: bool,
}

pub(crate) struct Listeners {
    pub object: Arc<Object>,
    pub handles: Vec<u64>,
}

pub(crate) enum Command {
    Listen(Vec<u8>),
    Unlisten(Vec<u8>),
    Start(Box<Task>),
    Cancel(u64),
    CloseHandle(u64),
    Settle(Job),
    /// A calling thread has found the primary.
    Primary(Address),
    /// Another server is known to have the object of a channel.
    Moved(Vec<u8>),
    /// What was searched for.
    Found(Search, Result<Found, Fault>),
    /// Something else has changed: a hold, or the end has come.
    Look,
}

/// What is to be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Search {
    /// The server that sentinels name.
    Primary,
    /// The addresses of a host.
    Host(String),
}

pub(crate) enum Found {
    Primary(Address),
    /// A host, and its addresses, whose port is none.
    Host(String, Vec<SocketAddr>),
}
