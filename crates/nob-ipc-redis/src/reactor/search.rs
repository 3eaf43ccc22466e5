//! What would have to be waited for before the native thread can connect: the addresses of a host,
//! and what sentinels say. A thread that ends with its answer waits for it, so that one that is slow
//! to answer holds nothing else up.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::{Kept, Peer, Reactor};
use crate::client::Client;
use crate::fault::{Fault, Stop};
use crate::hub::{Command, Found, Search};
use crate::object::Object;
use crate::sync::lock;
use crate::sys;
use crate::url::{Address, Topology};

/// How soon sentinels that have named no primary are asked again while a connection to one is there.
const PAUSE: Duration = Duration::from_millis(200);

impl Search {
    fn run(&self, client: &Client) -> Result<Found, Fault> {
        match self {
            Search::Primary => {
                // Nobody wants to know it once the native thread has ended.
                let is_wanted = || lock(&client.hub).running;
                let mut pause = || if is_wanted() { Ok(()) } else { Err(Stop::Late) };
                client.discover(&mut pause).map(Found::Primary)
            }
            Search::Host(host) => {
                let addresses = (host.as_str(), 0).to_socket_addrs()?.collect();
                Ok(Found::Host(host.clone(), addresses))
            }
        }
    }
}

impl Reactor {
    /// What waits for the answer to a search, which is begun unless it is under way.
    pub(super) fn search(&mut self, search: Search) -> Result<&mut Kept, Fault> {
        if !self.searches.contains_key(&search) {
            let (client, wanted) = (self.client.clone(), search.clone());
            let body = move || {
                let found = wanted.run(&client);
                client.tell_reactor(Command::Found(wanted, found));
            };
            sys::spawn_without_signals("nob-ipc-find", body)?;
        }
        Ok(self.searches.entry(search).or_default())
    }

    /// The server to ask about an object; `None`: sentinels are to say it first.
    pub(super) fn route(&mut self, object: &Object) -> Result<Option<Address>, Fault> {
        if let Some(address) = self.client.known_route(object) {
            return Ok(Some(address));
        }
        if !matches!(self.client.settings.url.topology, Topology::Sentinel { .. }) {
            return self.client.route(object, &mut || Ok(())).map(Some);
        }
        // Another connection was lost. As long as one is there, leases are renewed through it.
        let serves = |peer: &Peer| peer.is_ready() && !peer.refuses;
        let there = self.peers.iter().find(|(_, peer)| serves(peer)).map(|(way, _)| way.0.clone());
        if there.is_some() && Instant::now() >= self.search_again {
            // Without it, what is there is used, and the search tried again.
            let _ = self.search(Search::Primary);
        }
        Ok(there)
    }

    /// Where a server is, or what is to be found out first.
    pub(super) fn addresses(&self, address: &Address) -> Result<Vec<SocketAddr>, Search> {
        let Address::Tcp { host, port } = address else { return Ok(Vec::new()) };
        if let Ok(known) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(known, *port)]);
        }
        let found = self.hosts.get(host).ok_or_else(|| Search::Host(host.clone()))?;
        let mut found = found.clone();
        for address in &mut found {
            address.set_port(*port);
        }
        Ok(found)
    }

    /// A search has come to its end.
    pub(super) fn found(&mut self, search: &Search, found: Result<Found, Fault>) {
        let Some(kept) = self.searches.remove(search) else { return };
        match found {
            Ok(Found::Primary(address)) => {
                self.client.use_primary(address.clone());
                self.go_to_primary(&address);
            }
            Ok(Found::Host(host, addresses)) => {
                self.hosts.insert(host, addresses);
            }
            Err(fault) => {
                self.search_again = Instant::now() + PAUSE;
                if !kept.is_empty() {
                    self.back_off();
                    self.not_reached(kept, &fault);
                }
                return;
            }
        }
        self.queue.extend(kept.jobs);
        self.wanted.extend(kept.channels);
    }

    /// A calling thread has found the primary: what waits for a search need not wait for its end.
    pub(super) fn found_elsewhere(&mut self, address: &Address) {
        self.go_to_primary(address);
        if let Some(kept) = self.searches.remove(&Search::Primary) {
            self.queue.extend(kept.jobs);
            self.wanted.extend(kept.channels);
        }
    }

    fn go_to_primary(&mut self, address: &Address) {
        for (_, peer) in self.peers.iter_mut().filter(|(way, _)| way.0 == *address) {
            peer.refuses = false;
        }
        let channels: Vec<Vec<u8>> = self.channels.keys().cloned().collect();
        for channel in channels {
            self.listen_at(&channel, address);
        }
    }
}
