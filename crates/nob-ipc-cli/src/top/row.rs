//! One line of the list: an object of this machine, or one on a server.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use nob_ipc::registry::{Measure, Object, State};
use nob_ipc::{Kind, Name};
use nob_ipc_redis::{Content, Watched};

use crate::describe::{self, holders_words, measure_words, state_word};
use crate::people::Users;
use crate::server::objects;
use crate::text;

/// Where the objects are that are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Machine,
    Server,
}

#[derive(Clone, Debug)]
pub enum Row {
    Here(Rc<Object>),
    There(Arc<Watched>),
}

/// What tells an object from others that have had its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Id {
    Here((u64, u64)),
    There(String),
}

/// What was counted at a look, from which two looks make a rate.
#[derive(Clone, Copy, Debug)]
pub enum Counts {
    Nobody,
    Here(Measure),
    /// Messages that were sent in all, and those that are there.
    There {
        sent: u64,
        messages: u64,
    },
}

impl Row {
    pub fn id(&self) -> Id {
        match self {
            Row::Here(object) => Id::Here(object.identity()),
            Row::There(watched) => Id::There(watched.info.generation.clone()),
        }
    }

    pub fn name(&self) -> &Name {
        match self {
            Row::Here(object) => object.name(),
            Row::There(watched) => &watched.info.name,
        }
    }

    pub fn kind(&self) -> Kind {
        self.name().kind()
    }

    /// `sem:/name`, safe to print.
    pub fn address(&self) -> String {
        describe::address(self.name())
    }

    /// When it was looked at, if that was not together with all others.
    pub fn looked(&self) -> Option<Instant> {
        match self {
            Row::Here(_) => None,
            Row::There(watched) => watched.looked,
        }
    }

    /// What it holds, in a few characters.
    pub fn content(&self) -> String {
        match self {
            Row::Here(object) => measure_words(object),
            Row::There(watched) if watched.looked.is_none() => "…".into(),
            Row::There(watched) => objects::content_words(&watched.info, watched.state.as_ref()),
        }
    }

    fn remote_content(&self) -> Option<&Content> {
        match self {
            Row::Here(_) => None,
            Row::There(watched) => watched.state.as_ref().map(|state| &state.content),
        }
    }

    /// The number behind the content: of a channel, the bytes that are used; of a lock, how many have it or
    /// wait for it. What may not be seen is 0.
    pub fn amount(&self) -> u64 {
        let Row::Here(object) = self else {
            return match self.remote_content() {
                Some(&Content::Value(value)) => value.into(),
                Some(&Content::Messages { messages, .. }) => messages,
                Some(&Content::Permits { held, .. }) => self.free(held).into(),
                Some(&Content::Lock { held, .. }) => u64::from(held).saturating_add(self.waiters()),
                _ => 0,
            };
        };
        match object.measure() {
            Measure::Value(value) => value.unwrap_or(0).into(),
            Measure::Size { bytes, .. } => bytes,
            Measure::Depth(depth) => depth.map_or(0, |depth| depth.messages),
            Measure::Lock(state) => state
                .map_or(0, |state| u64::from(state.holder.is_some()) + u64::from(state.waiters)),
            Measure::Permits(state) => state.map_or(0, |state| state.free.into()),
            Measure::Channel(state) => state.map_or(0, |state| state.used),
            _ => 0,
        }
    }

    fn free(&self, held: u32) -> u32 {
        match self {
            Row::Here(_) => 0,
            Row::There(watched) => objects::permits(&watched.info, held).0,
        }
    }

    /// What it holds at most: the room of a queue or channel, how many permits there are.
    pub fn most(&self) -> Option<u64> {
        match self {
            Row::Here(object) => match object.measure() {
                Measure::Depth(Some(depth)) => Some(depth.max_messages),
                Measure::Permits(Some(state)) => Some(state.bound.into()),
                Measure::Channel(Some(state)) => Some(state.capacity),
                _ => None,
            },
            Row::There(watched) => watched.info.bound,
        }
    }

    pub fn counts(&self) -> Counts {
        match self {
            Row::Here(object) => Counts::Here(object.measure()),
            Row::There(_) => match self.remote_content() {
                Some(&Content::Messages { messages, sent }) => Counts::There { sent, messages },
                _ => Counts::Nobody,
            },
        }
    }

    /// Who owns it, as text that is safe to print.
    pub fn owner(&self, users: &mut Users) -> String {
        match self {
            Row::Here(object) => text::escape_str(users.name(object.owner())),
            Row::There(_) => String::new(),
        }
    }

    pub fn mode(&self) -> u32 {
        match self {
            Row::Here(object) => object.mode(),
            Row::There(_) => 0,
        }
    }

    pub fn age(&self) -> Duration {
        match self {
            Row::Here(object) => object.age(),
            Row::There(_) => Duration::ZERO,
        }
    }

    /// When it was created, or has changed where that alone is known.
    pub fn born(&self) -> Option<SystemTime> {
        match self {
            Row::Here(object) => Some(object.created().unwrap_or(object.changed())),
            Row::There(_) => None,
        }
    }

    pub fn state(&self) -> State {
        match self {
            Row::Here(object) => object.state(),
            Row::There(_) => State::Unknown,
        }
    }

    /// How many processes hold or use it.
    pub fn holder_count(&self) -> usize {
        match self {
            Row::Here(object) => object.holders().len(),
            Row::There(watched) => objects::holders(watched.state.as_ref()).len(),
        }
    }

    /// The processes, safe to print.
    pub fn holders(&self) -> String {
        let Row::There(watched) = self else {
            let Row::Here(object) = self else { return String::new() };
            return text::escape(&holders_words(object.holders()));
        };
        let pids = objects::holders(watched.state.as_ref());
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        if pids.is_empty() { "-".into() } else { pids.join(", ") }
    }

    /// How many wait on a server.
    pub fn waiters(&self) -> u64 {
        match self {
            Row::Here(_) => 0,
            Row::There(watched) => watched.state.as_ref().map_or(0, objects::waiters),
        }
    }

    /// How long the first lease has left that somebody holds.
    pub fn lease(&self) -> Option<Duration> {
        match self {
            Row::Here(_) => None,
            Row::There(watched) => {
                let left = watched.state.as_ref()?.lease_left?;
                // It runs on between two looks.
                Some(left.saturating_sub(watched.looked?.elapsed()))
            }
        }
    }

    /// Who has created an object on a server, safe to print.
    pub fn creator(&self) -> String {
        match self {
            Row::Here(_) => String::new(),
            Row::There(watched) => text::escape_str(&objects::creator(&watched.info)),
        }
    }

    /// Each fact with its label.
    pub fn facts(&self) -> Vec<(&'static str, Vec<u8>)> {
        match self {
            Row::Here(object) => describe::facts(object),
            Row::There(watched) => objects::facts(&watched.info, watched.state.as_ref()),
        }
    }

    /// Who would be concerned if it were removed.
    pub fn concerned(&self) -> String {
        match self {
            Row::Here(object) => match object.holders().len() {
                0 => "Nobody is seen to use it.".into(),
                count => {
                    let processes = text::count(count, "process", "processes");
                    format!("Used by {processes}, which can go on: {}.", self.holders())
                }
            },
            Row::There(_) => {
                let mut words = String::from("Whoever has it open can go on");
                if self.holder_count() > 0 {
                    words = format!("Held by {}. {words}", self.holders());
                }
                describe::add_waiters(&mut words, self.waiters());
                words + "."
            }
        }
    }

    /// Whether the address, the state, the creator or a holder has the text in it.
    pub fn matches(&self, filter: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(filter);
        has(&self.address())
            || match self {
                Row::Here(object) => {
                    has(state_word(object.state()))
                        || object.holders().iter().any(|holder| {
                            has(&text::escape(&holder.command)) || holder.pid.to_string() == filter
                        })
                }
                Row::There(watched) => {
                    let holders = objects::holders(watched.state.as_ref());
                    has(&self.creator()) || holders.iter().any(|pid| pid.to_string() == filter)
                }
            }
    }
}
