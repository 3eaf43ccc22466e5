//! What the options of several kinds have in common.

use crate::error::Result;
use crate::kind::Kind;
use crate::name::Name;
use crate::object::existence::Existence;
use crate::object::ownership::Lifetime;
use crate::object::{left, open};
use crate::sys::Stat;

/// What a handle may do with its queue or channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Send and receive.
    #[default]
    Both,
    /// Receive only.
    Receive,
    /// Send only.
    Send,
}

/// Whether the memory of a segment or channel is allocated when it is created or grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Reservation {
    /// It is: being out of memory is an error then.
    #[default]
    Reserved,
    /// Each page is allocated when it is first touched; being out of memory is a bus error then.
    Sparse,
}

/// How an object of any kind is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common {
    pub existence: Existence,
    pub mode: u32,
    pub unlink_on_drop: Option<bool>,
}

impl Common {
    pub(crate) fn new() -> Common {
        Common { existence: Existence::default(), mode: 0o600, unlink_on_drop: None }
    }

    /// Refuses a name of another kind, and permission bits that are none.
    pub(crate) fn check(self, name: &Name, kind: Kind) -> Result<()> {
        open::check_kind(name, kind)?;
        open::check_mode(name, self.mode)
    }

    /// Whether an object that is created is shared.
    fn shares(self) -> bool {
        self.existence == Existence::LinkOrCreate && self.unlink_on_drop.is_none()
    }

    /// The mode of an object that is created, with what says that it is shared.
    pub(crate) fn mode_of_new(self) -> u32 {
        self.mode | if self.shares() { Stat::SHARED } else { 0 }
    }

    /// Whether an object that is created carries its creator's mark.
    pub(crate) fn is_marked(self) -> bool {
        self.unlink_on_drop != Some(false)
    }

    /// How long the name lives, as far as a handle to the object is concerned.
    pub(crate) fn lifetime(self, stat: &Stat, created: bool) -> Lifetime {
        let shared = if created { self.shares() } else { stat.is_shared() };
        Lifetime::of_handle(self.unlink_on_drop, created, shared)
    }

    /// Leaves an object whose use this process has taken part in, when no handle comes of it.
    pub(crate) fn give_up(self, name: &Name, stat: &Stat) {
        if self.lifetime(stat, false) == Lifetime::Shared {
            // The error that led here is the one to tell.
            let _ = left::remove_if_unused(name, stat.identity, stat.owner);
        }
    }
}

/// The setters of [`Common`], for the options of a kind.
macro_rules! common_setters {
    () => {
        /// What to do about an object that exists, or does not; default
        /// [`Existence::Link`](crate::Existence::Link).
        pub fn existence(&mut self, existence: crate::object::existence::Existence) -> &mut Self {
            self.common.existence = existence;
            self
        }

        /// The permission bits of an object that is created, subject to the umask; default `0o600`. Who
        /// links to a queue or a segment needs read permission, write permission, or both, for what the
        /// handle is to do; to another kind, both.
        pub fn mode(&mut self, mode: u32) -> &mut Self {
            self.common.mode = mode;
            self
        }

        /// Whether dropping the handle removes the name: `true`, whoever uses the object; `false`, never.
        /// Default: what [`Create`](crate::Existence::Create) and
        /// [`UnlinkAndCreate`](crate::Existence::UnlinkAndCreate) make is this handle's own
        /// ([`Lifetime::Owned`](crate::Lifetime::Owned)); what
        /// [`LinkOrCreate`](crate::Existence::LinkOrCreate) makes is
        /// [shared](crate::Lifetime::Shared), also by those who link to it without saying otherwise.
        pub fn unlink_on_drop(&mut self, unlink: bool) -> &mut Self {
            self.common.unlink_on_drop = Some(unlink);
            self
        }
    };
}

pub(crate) use common_setters;
