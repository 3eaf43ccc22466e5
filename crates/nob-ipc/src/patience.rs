//! For how long a call on a queue waits, and how.

use crate::bell::Bell;
use crate::deadline::Deadline;

/// For how long, and how, a call on a queue waits.
#[derive(Clone, Copy, Debug)]
pub enum Patience<'a> {
    /// Until the deadline: it spins, where that can pay, and then sleeps.
    Until(Deadline),
    /// Spinning only. Where it would sleep, it reports [`Interrupted`](crate::ErrorKind::Interrupted):
    /// for a caller who has something to prepare before one of the two that follow.
    Awake,
    /// Until the deadline, asleep.
    AsleepUntil(Deadline),
    /// As long as it takes, asleep, unless the bell is rung.
    AsleepUnless(&'a Bell),
}

impl From<Deadline> for Patience<'_> {
    fn from(deadline: Deadline) -> Self {
        Patience::Until(deadline)
    }
}

impl Patience<'_> {
    /// When it is over, where that is a matter of time.
    pub(crate) fn deadline(self) -> Deadline {
        match self {
            Patience::Until(deadline) | Patience::AsleepUntil(deadline) => deadline,
            Patience::Awake | Patience::AsleepUnless(_) => Deadline::NEVER,
        }
    }

    pub(crate) fn spins(self) -> bool {
        matches!(self, Patience::Until(_) | Patience::Awake)
    }
}
