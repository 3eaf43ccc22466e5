//! What an object measures: each kind's file says it in a way of its own, and this is where that is read.

use std::time::Duration;

use crate::channel::{self, ChannelState};
use crate::home::Found;
use crate::kind::Kind;
use crate::robust::state as owned;
use crate::sys::{self, BorrowedFd, Errno};

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Depth {
    /// How many messages are in it.
    pub messages: u64,
    /// How many it takes.
    pub max_messages: u64,
    /// How many bytes a message may have.
    pub max_message_size: u64,
}

/// Who has a lock, at the moment when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockState {
    /// The process of the living handle that holds it, as it calls itself.
    pub holder: Option<u32>,
    /// For how long at the least: since somebody began to sleep for it, or its holder noted the time
    /// ([`Lock::note_time`](crate::Lock::note_time)); `None`: neither has happened.
    pub held_for: Option<Duration>,
    /// How often it was ever acquired: the number of the last hold, as
    /// [`fence`](crate::LockGuard::fence) tells its holder.
    pub holds: u64,
    /// How many threads sleep until it is free.
    pub waiters: u32,
    /// How often a handle died with it, or gave up.
    pub deaths: u32,
    /// Whether an owner has died with it, and nobody has said since that all is well.
    pub owner_died: bool,
}

/// Who has the permits of a bounded semaphore, at the moment when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermitsState {
    /// How many are free, those of dead holders included.
    pub free: u32,
    /// How many there are.
    pub bound: u32,
    /// How many threads sleep until one is free.
    pub waiters: u32,
    /// How many were those of handles that died, or gave up.
    pub deaths: u32,
}

/// What an object measures; `None` inside: this user may not look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// A semaphore's value.
    Value(Option<u32>),
    /// A segment's size in bytes, and how many of them are really taken.
    Size {
        /// The size.
        bytes: u64,
        /// Memory that it takes, in whole pages.
        allocated: u64,
    },
    /// A queue's messages and capacity.
    Depth(Option<Depth>),
    /// Who has a lock.
    Lock(Option<LockState>),
    /// Who has the permits of a bounded semaphore.
    Permits(Option<PermitsState>),
    /// How full a channel is.
    Channel(Option<ChannelState>),
}

/// What a look at an object has shown of what it holds.
pub(super) struct Content {
    pub measure: Measure,
    /// Whether it could be read, and is not what a file of its kind is.
    pub is_damaged: bool,
    /// Whether a semaphore has the value that it was made with, and a lock has nothing to tell.
    pub at_rest: bool,
    /// The processes that have a lock or permits, one for each permit.
    pub owners: Vec<u32>,
}

impl Content {
    /// Reads what was found; where that is not open, this user may not look, or could not.
    pub(super) fn of(found: &Found) -> Content {
        let file = found.opened.as_ref().map(|opened| opened.as_fd());
        match found.name.kind() {
            Kind::Semaphore => Content::of_semaphore(file),
            Kind::SharedMemory => {
                let (bytes, allocated) = (found.stat.size, found.stat.allocated);
                Content::resting(Measure::Size { bytes, allocated })
            }
            Kind::MessageQueue => {
                let state = file.and_then(|queue| sys::mqueue::state(queue).ok());
                Content::resting(Measure::Depth(state.map(|state| Depth {
                    messages: state.current_messages,
                    max_messages: state.capacity.max_messages,
                    max_message_size: state.capacity.max_message_size,
                })))
            }
            kind @ (Kind::Lock | Kind::BoundedSemaphore) => {
                let (state, is_damaged) = known(file.map(|file| owned::read(kind, file)));
                Content { is_damaged, ..Content::of_owned(kind, state) }
            }
            Kind::Channel => {
                let (state, is_damaged) = known(file.map(channel::state::read));
                Content { is_damaged, ..Content::resting(Measure::Channel(state)) }
            }
        }
    }

    fn resting(measure: Measure) -> Content {
        Content { measure, is_damaged: false, at_rest: true, owners: Vec::new() }
    }

    fn of_semaphore(file: Option<BorrowedFd<'_>>) -> Content {
        let now = file.map(sys::files::semaphore_value);
        // A file that is too short is no semaphore, and has no value.
        let is_damaged = now == Some(Err(Errno::INVAL));
        let now = now.and_then(Result::ok);
        let at_rest = now.is_some() && now == file.and_then(sys::xattr::initial_value);
        Content { is_damaged, at_rest, ..Content::resting(Measure::Value(now)) }
    }

    fn of_owned(kind: Kind, state: Option<owned::State>) -> Content {
        let measure = if kind == Kind::Lock {
            Measure::Lock(state.as_ref().map(|state| LockState {
                holder: state.holders.first().copied(),
                held_for: state.held_for,
                holds: state.holds,
                waiters: state.waiters,
                deaths: state.deaths,
                owner_died: state.owner_died,
            }))
        } else {
            Measure::Permits(state.as_ref().map(|state| {
                let held = u32::try_from(state.holders.len()).unwrap_or(u32::MAX);
                PermitsState {
                    free: state.bound.saturating_sub(held),
                    bound: state.bound,
                    waiters: state.waiters,
                    deaths: state.deaths,
                }
            }))
        };
        let at_rest = state.as_ref().is_none_or(|state| !state.owner_died);
        let owners = state.map(|state| state.holders).unwrap_or_default();
        Content { at_rest, owners, ..Content::resting(measure) }
    }
}

/// The state that was read, and whether the file is damaged: it could be read, and is none of its kind.
fn known<T>(read: Option<sys::Result<Option<T>>>) -> (Option<T>, bool) {
    let is_damaged = matches!(read, Some(Ok(None)));
    (read.and_then(Result::ok).flatten(), is_damaged)
}
