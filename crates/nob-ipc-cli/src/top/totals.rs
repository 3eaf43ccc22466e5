//! What all objects together come to.

use std::collections::HashSet;

use nob_ipc::Kind;
use nob_ipc::registry::{Listing, Object, State};

use super::history::History;
use crate::people::Users;
use crate::room::Room;
use crate::text;

#[derive(Default)]
pub struct Totals {
    /// How many there are of each kind, in the order of lists.
    kinds: [usize; Kind::ALL.len()],
    processes: usize,
    owners: Vec<String>,
    orphans: usize,
    unused: usize,
    /// What has lost its name and is still held, and the bytes of it.
    unlinked: (usize, u64),
    unseen: usize,
    /// Messages that went into channels, and acquisitions of locks, in a second.
    messages: Option<f64>,
    acquisitions: Option<f64>,
    room: Option<Room>,
}

impl Totals {
    pub fn new(
        listing: &Listing,
        history: &History,
        users: &mut Users,
        room: Option<Room>,
    ) -> Totals {
        let objects = &listing.objects;
        let of = |kind| objects.iter().filter(|object| object.kind() == kind).count();
        let in_state = |state| objects.iter().filter(|object| object.state() == state).count();
        let pids: HashSet<u32> = objects
            .iter()
            .flat_map(Object::holders)
            .chain(listing.unlinked.iter().flat_map(|unlinked| &unlinked.holders))
            .map(|holder| holder.pid)
            .collect();
        let mut owners: Vec<u32> = objects.iter().map(Object::owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let each_second = |kind| {
            let rates = objects.iter().filter(|object| object.kind() == kind);
            rates.filter_map(|object| history.rates(object).into).reduce(|one, next| one + next)
        };
        let sizes = listing.unlinked.iter().filter_map(|unlinked| unlinked.size);
        Totals {
            kinds: Kind::ALL.map(of),
            processes: pids.len(),
            owners: owners.into_iter().map(|owner| text::escape_str(users.name(owner))).collect(),
            orphans: in_state(State::Orphan),
            unused: in_state(State::Unused),
            unlinked: (listing.unlinked.len(), sizes.fold(0, u64::saturating_add)),
            unseen: listing.unseen_processes,
            messages: each_second(Kind::Channel),
            acquisitions: each_second(Kind::Lock),
            room,
        }
    }

    pub fn room(&self) -> Option<Room> {
        self.room
    }

    pub fn orphans(&self) -> usize {
        self.orphans
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
        let mut words = vec![
            format!("used by {}", text::count(self.processes, "process", "processes")),
            match &*self.owners {
                [] => "owned by nobody".into(),
                [owner] => format!("owned by {owner}"),
                more => format!("owned by {} users", more.len()),
            },
        ];
        if self.orphans > 0 {
            words.push(text::count(self.orphans, "orphan", "orphans"));
        }
        let rates = [(self.messages, "messages"), (self.acquisitions, "acquisitions")];
        for (rate, what) in rates {
            words.extend(rate.map(|rate| format!("{what} {}", text::rate(rate))));
        }
        if self.unused > 0 {
            words.push(format!("{} unused", self.unused));
        }
        if self.unlinked.0 > 0 {
            words.push(format!("{} unlinked ({})", self.unlinked.0, text::size(self.unlinked.1)));
        }
        if self.unseen > 0 {
            words.push(text::count(self.unseen, "process unseen", "processes unseen"));
        }
        words
    }
}
