//! When a wait ends.

use std::time::Duration;

use crate::sys::time::monotonic;

/// How long an attentive wait goes on before it lets its caller look up.
const ATTENTION: Duration = Duration::from_millis(400);

/// The moment at which a wait ends, on the monotonic clock: a step of the wall clock changes
/// nothing.
///
/// ```
/// use std::time::Duration;
/// use nob_ipc::Deadline;
///
/// let deadline = Deadline::after(Duration::from_millis(5));
/// assert!(!Deadline::NEVER.has_passed() && Deadline::NOW.has_passed());
/// std::thread::sleep(Duration::from_millis(5));
/// assert!(deadline.has_passed());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    end: End,
    attentive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Now,
    At(Duration),
    Never,
}

impl Deadline {
    /// The wait takes what is there and does not wait.
    pub const NOW: Deadline = Deadline { end: End::Now, attentive: false };

    /// The wait goes on for ever.
    pub const NEVER: Deadline = Deadline { end: End::Never, attentive: false };

    /// `timeout` from now; [`NEVER`](Deadline::NEVER) where the clock cannot count so far.
    #[must_use]
    pub fn after(timeout: Duration) -> Deadline {
        // The clock's seconds are 64 signed bits.
        const LAST: Duration = Duration::new(i64::MAX.cast_unsigned(), 0);
        let end = match monotonic().checked_add(timeout) {
            _ if timeout.is_zero() => End::Now,
            Some(end) if end < LAST => End::At(end),
            _ => End::Never,
        };
        Deadline { end, attentive: false }
    }

    /// The same moment, but the wait reports [`Interrupted`](crate::ErrorKind::Interrupted) at
    /// least every 0.4 s, so that its caller can look at what no signal tells, for example at a
    /// flag that another thread has set, and call again.
    #[must_use]
    pub fn attentive(self) -> Deadline {
        Deadline { attentive: true, ..self }
    }

    /// Whether the moment is over.
    #[must_use]
    pub fn has_passed(self) -> bool {
        match self.end {
            End::Now => true,
            End::At(end) => monotonic() >= end,
            End::Never => false,
        }
    }

    /// Whether the moment is nearer than that.
    pub(crate) fn is_within(self, time: Duration) -> bool {
        match self.end {
            End::Now => true,
            End::At(end) => end.saturating_sub(monotonic()) < time,
            End::Never => false,
        }
    }

    /// Whether the wait is to last until it is served.
    pub(crate) fn is_never(self) -> bool {
        self.end == End::Never
    }

    /// Whether it is known without the clock that there is no wait.
    pub(crate) fn is_now(self) -> bool {
        self.end == End::Now
    }

    /// When the caller is due to look up, seen from now.
    pub(crate) fn attention(self) -> Option<Duration> {
        self.attentive.then_some(ATTENTION)
    }

    /// The moment at which to stop sleeping: the end, or earlier where attention is due.
    pub(crate) fn sleep_until(self) -> Duration {
        let end = match self.end {
            End::Now => Duration::ZERO,
            End::At(end) => end,
            End::Never => Duration::MAX,
        };
        match self.attention() {
            Some(attention) => end.min(monotonic().saturating_add(attention)),
            None => end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_now_and_never() {
        assert_eq!(Deadline::after(Duration::ZERO), Deadline::NOW);
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
        assert_eq!(Deadline::after(Duration::from_secs(i64::MAX as u64)), Deadline::NEVER);
        assert!(!Deadline::after(Duration::from_secs(1 << 40)).has_passed());
    }

    #[test]
    fn a_deadline_is_never_early() {
        let timeout = Duration::from_millis(3);
        let before = monotonic();
        let deadline = Deadline::after(timeout);
        while !deadline.has_passed() {}
        assert!(monotonic().saturating_sub(before) >= timeout);
    }

    #[test]
    fn a_deadline_comes_nearer() {
        let deadline = Deadline::after(Duration::from_secs(60));
        assert!(deadline.is_within(Duration::from_secs(60)));
        assert!(!deadline.is_within(Duration::from_secs(1)));
        assert!(Deadline::NOW.is_within(Duration::from_nanos(1)));
        assert!(!Deadline::NEVER.attentive().is_within(Duration::MAX));
    }

    #[test]
    fn attention_shortens_the_sleep_and_keeps_the_end() {
        let deadline = Deadline::NEVER.attentive();
        assert!(deadline.sleep_until() <= monotonic() + ATTENTION);
        assert!(!deadline.has_passed());
        assert!(Deadline::NEVER.sleep_until() > Duration::from_secs(1 << 40));
    }
}
