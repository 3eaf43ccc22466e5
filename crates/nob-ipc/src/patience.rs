//! For how long a call on a queue waits, and how.

use std::time::Duration;

use crate::bell::Bell;
use crate::deadline::Deadline;

/// For how long, and how, a call on a queue waits.
#[derive(Clone, Copy, Debug)]
pub enum Patience<'a> {
    /// Until the deadline.
    Until(Deadline),
    /// Some milliseconds at the most. Then it reports [`Interrupted`](crate::ErrorKind::Interrupted):
    /// for a caller who has something to prepare before a longer wait, and would rather not for a
    /// short one.
    Brief,
    /// As long as it takes, unless the bell is rung. It does not spin: after a brief wait, that has
    /// been done.
    Unless(&'a Bell),
}

impl From<Deadline> for Patience<'_> {
    fn from(deadline: Deadline) -> Self {
        Patience::Until(deadline)
    }
}

impl Patience<'_> {
    /// Those who come later than that after another wait stay behind it when it prepares for longer. Most
    /// kernels tick more often than that: a timer that would come before the next tick has to be told to
    /// the hardware, which takes longer than all the rest of a short wait.
    pub(crate) const BRIEF: Duration = Duration::from_millis(5);

    /// When it is over, where that is a matter of time.
    pub(crate) fn deadline(self) -> Deadline {
        match self {
            Patience::Until(deadline) => deadline,
            Patience::Brief | Patience::Unless(_) => Deadline::NEVER,
        }
    }
}
