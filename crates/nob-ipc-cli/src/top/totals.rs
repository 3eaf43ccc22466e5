//! What all objects together come to.

use std::collections::HashSet;

use nob_ipc::Kind;
use nob_ipc::registry::{Listing, Object, State};

use super::history::History;
use super::row::Row;
use crate::people::Users;
use crate::room::Room;
use crate::text;

#[derive(Default)]
pub struct Totals {
    /// How many there are of each kind, in the order of lists.
    kinds: [usize; Kind::ALL.len()],
    /// Messages that went into channels and queues, and acquisitions of locks, in a second.
    messages: Option<f64>,
    acquisitions: Option<f64>,
    users: UserTotals,
}

/// Who uses them.
enum UserTotals {
    Machine {
        processes: usize,
        owners: Vec<String>,
        orphans: usize,
        unused: usize,
        /// What has lost its name and is still held, and the bytes of it.
        unlinked: (usize, u64),
        unseen: usize,
        room: Option<Room>,
    },
    Server {
        /// Locks and permits that somebody has, and who waits for anything.
        held: usize,
        waiting: u64,
    },
}

impl Default for UserTotals {
    fn default() -> UserTotals {
        UserTotals::Server { held: 0, waiting: 0 }
    }
}

impl Totals {
    pub fn of_machine(
        rows: &[Row],
        // Without its objects, which are the rows.
        listing: &Listing,
        history: &History,
        users: &mut Users,
        room: Option<Room>,
    ) -> Totals {
        let objects = || {
            rows.iter().filter_map(|row| match row {
                Row::Here(object) => Some(&**object),
                Row::There(_) => None,
            })
        };
        let in_state = |state| objects().filter(|object| object.state() == state).count();
        let pids: HashSet<u32> = objects()
            .flat_map(Object::holders)
            .chain(listing.unlinked.iter().flat_map(|unlinked| &unlinked.holders))
            .map(|holder| holder.pid)
            .collect();
        let mut owners: Vec<u32> = objects().map(Object::owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let sizes = listing.unlinked.iter().filter_map(|unlinked| unlinked.size);
        let users = UserTotals::Machine {
            processes: pids.len(),
            owners: owners.into_iter().map(|owner| text::escape_str(users.name(owner))).collect(),
            orphans: in_state(State::Orphan),
            unused: in_state(State::Unused),
            unlinked: (listing.unlinked.len(), sizes.fold(0, u64::saturating_add)),
            unseen: listing.unseen_processes,
            room,
        };
        Totals::new(rows, history, users)
    }

    pub fn of_server(rows: &[Row], history: &History) -> Totals {
        let held = rows.iter().map(Row::holder_count).sum();
        let waiting = rows.iter().map(Row::waiters).fold(0, u64::saturating_add);
        Totals::new(rows, history, UserTotals::Server { held, waiting })
    }

    fn new(rows: &[Row], history: &History, users: UserTotals) -> Totals {
        let of = |kind| rows.iter().filter(|row| row.kind() == kind).count();
        let each_second = |kinds: &[Kind]| {
            let rates = rows.iter().filter(|row| kinds.contains(&row.kind()));
            rates.filter_map(|row| history.rates(row).into).reduce(|one, next| one + next)
        };
        Totals {
            kinds: Kind::ALL.map(of),
            messages: each_second(&[Kind::Channel, Kind::MessageQueue]),
            acquisitions: each_second(&[Kind::Lock]),
            users,
        }
    }

    /// How full `/dev/shm` is, if that could be seen.
    pub fn room(&self) -> Option<Room> {
        match self.users {
            UserTotals::Machine { room, .. } => room,
            UserTotals::Server { .. } => None,
        }
    }

    pub fn orphans(&self) -> usize {
        match self.users {
            UserTotals::Machine { orphans, .. } => orphans,
            UserTotals::Server { .. } => 0,
        }
    }

    /// How many objects there are, of which kinds.
    pub fn objects(&self) -> Vec<String> {
        let all = text::count(self.kinds.iter().sum::<usize>(), "object", "objects");
        let kinds = Kind::ALL.into_iter().zip(self.kinds).filter(|&(_, count)| count > 0);
        let kinds = kinds.map(|(kind, count)| format!("{count} {}", kind.short_word()));
        [all].into_iter().chain(kinds).collect()
    }

    /// Who uses them, and what happens.
    pub fn users(&self) -> Vec<String> {
        let rates = [(self.messages, "messages"), (self.acquisitions, "acquisitions")];
        let rates = rates
            .into_iter()
            .filter_map(|(rate, what)| rate.map(|rate| format!("{what} {}", text::rate(rate))));
        match &self.users {
            UserTotals::Server { held, waiting } => {
                let held = text::count(*held, "lock or permit", "locks and permits");
                let words = [format!("{held} held"), format!("{waiting} waiting")];
                words.into_iter().chain(rates).collect()
            }
            UserTotals::Machine {
                processes, owners, orphans, unused, unlinked, unseen, ..
            } => {
                let mut words = vec![
                    format!("used by {}", text::count(*processes, "process", "processes")),
                    match &**owners {
                        [] => "owned by nobody".into(),
                        [owner] => format!("owned by {owner}"),
                        more => format!("owned by {} users", more.len()),
                    },
                ];
                if *orphans > 0 {
                    words.push(text::count(*orphans, "orphan", "orphans"));
                }
                words.extend(rates);
                if *unused > 0 {
                    words.push(format!("{unused} unused"));
                }
                if unlinked.0 > 0 {
                    words.push(format!("{} unlinked ({})", unlinked.0, text::size(unlinked.1)));
                }
                if *unseen > 0 {
                    words.push(text::count(*unseen, "process unseen", "processes unseen"));
                }
                words
            }
        }
    }
}
