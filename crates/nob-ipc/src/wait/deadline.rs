//! When a wait ends.

use std::time::Duration;

use crate::sys::time::monotonic;

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
    check_every: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Now,
    At(Duration),
    Never,
}

impl Deadline {
    /// The wait takes what is there and does not wait.
    pub const NOW: Deadline = Deadline { end: End::Now, check_every: None };

    /// The wait goes on for ever.
    pub const NEVER: Deadline = Deadline { end: End::Never, check_every: None };

    /// How often a caller should check who has promised to react within half a second.
    pub const CHECK_INTERVAL: Duration = Duration::from_millis(400);

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
        Deadline { end, check_every: None }
    }

    /// The same moment, but the wait reports [`Interrupted`](crate::ErrorKind::Interrupted) after
    /// this interval at the latest. The caller can then check what no signal tells, for example a
    /// flag that another thread has set, and call again.
    #[must_use]
    pub fn checked_every(self, interval: Duration) -> Deadline {
        Deadline { check_every: Some(interval), ..self }
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

    /// How long it is until then, nothing when it is over; `None`: it never comes.
    #[must_use]
    pub fn remaining(self) -> Option<Duration> {
        match self.end {
            End::Now => Some(Duration::ZERO),
            End::At(end) => Some(end.saturating_sub(monotonic())),
            End::Never => None,
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

    /// How long the wait may sleep before its caller checks.
    #[must_use]
    pub fn check_interval(self) -> Option<Duration> {
        self.check_every
    }

    /// The moment at which to stop sleeping: the end, or the next check if that is earlier.
    pub(crate) fn sleep_until(self) -> Duration {
        let end = match self.end {
            End::Now => Duration::ZERO,
            End::At(end) => end,
            End::Never => Duration::MAX,
        };
        match self.check_every {
            Some(interval) => end.min(monotonic().saturating_add(interval)),
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
        let left = Deadline::after(Duration::from_secs(60)).remaining().unwrap();
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(1));
        assert_eq!(Deadline::NOW.remaining(), Some(Duration::ZERO));
        assert_eq!(Deadline::NEVER.remaining(), None);
        let deadline = Deadline::after(Duration::from_secs(60));
        assert!(deadline.is_within(Duration::from_secs(60)));
        assert!(!deadline.is_within(Duration::from_secs(1)));
        assert!(Deadline::NOW.is_within(Duration::from_nanos(1)));
        assert!(!Deadline::NEVER.checked_every(Duration::ZERO).is_within(Duration::MAX));
    }

    #[test]
    fn a_check_shortens_the_sleep_and_keeps_the_end() {
        let interval = Duration::from_millis(400);
        let deadline = Deadline::NEVER.checked_every(interval);
        assert!(deadline.sleep_until() <= monotonic() + interval);
        assert!(!deadline.has_passed());
        assert!(Deadline::NEVER.sleep_until() > Duration::from_secs(1 << 40));
    }
}
