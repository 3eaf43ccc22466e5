//! Giving way to others on the same processor while spinning.
//!
//! Linux likes to put those who wake each other on one processor, also when another is idle. Then the
//! partner cannot answer while this process spins: it waits for the very processor that the spinning
//! keeps busy. To give way lets it answer, for less than it costs to sleep and to be woken. But whoever
//! gives way to a stranger has lost the processor for milliseconds.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// A partner that runs has often answered by then, and a processor that nobody else wants has come
/// back.
const ANSWER: Duration = Duration::from_micros(1);

/// Whoever keeps the processor for longer is a stranger, or a partner that is not worth waiting for here.
const STRANGER: Duration = Duration::from_micros(50);

/// For how many waits that are longer than an answer takes a stranger is remembered: at first, and at
/// most, when one comes again and again.
const LEAST: u32 = 16;
const MOST: u32 = 1024;

/// What the waits on one handle have learnt.
#[derive(Debug)]
pub(crate) struct Courtesy {
    /// The partner was on this processor the last time.
    at_once: AtomicBool,
    /// For how many such waits more nobody is given way.
    none_for: AtomicU32,
    /// For how many the last stranger was to be remembered.
    remembered: AtomicU32,
}

impl Courtesy {
    /// Nothing has been learnt.
    pub(crate) const fn new() -> Courtesy {
        Courtesy {
            at_once: AtomicBool::new(false),
            none_for: AtomicU32::new(0),
            remembered: AtomicU32::new(0),
        }
    }

    /// After how long of spinning this wait begins to give way; `None`: it does not.
    pub(crate) fn begins(&self) -> Option<Duration> {
        if self.none_for.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let at_once = self.at_once.load(Ordering::Relaxed);
        Some(if at_once { Duration::ZERO } else { ANSWER })
    }

    /// Learns from a wait: for how long it spun, for how long at a time it was off the processor as it
    /// gave way, and whether it got what it waited for.
    pub(crate) fn learn(&self, spun: Duration, away: Duration, paid: bool) {
        if away > STRANGER {
            let waits = (self.remembered.load(Ordering::Relaxed) * 2).clamp(LEAST, MOST);
            self.remembered.store(waits, Ordering::Relaxed);
            self.none_for.store(waits, Ordering::Relaxed);
        } else if spun >= ANSWER {
            let waits = self.none_for.load(Ordering::Relaxed).saturating_sub(1);
            self.none_for.store(waits, Ordering::Relaxed);
        }
        let partner = paid && (ANSWER..=STRANGER).contains(&away);
        if partner {
            self.remembered.store(0, Ordering::Relaxed);
        }
        self.at_once.store(partner, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Duration = Duration::from_nanos(200);
    const PARTNER: Duration = Duration::from_micros(3);
    const OTHER: Duration = Duration::from_millis(3);

    #[test]
    fn a_partner_on_this_processor_is_given_way_at_once() {
        let courtesy = Courtesy::new();
        assert_eq!(courtesy.begins(), Some(ANSWER));
        courtesy.learn(PARTNER, PARTNER, true);
        assert_eq!(courtesy.begins(), Some(Duration::ZERO));
        courtesy.learn(NOBODY, NOBODY, true);
        assert_eq!(courtesy.begins(), Some(ANSWER));
    }

    #[test]
    fn a_stranger_is_remembered_for_longer_each_time() {
        let courtesy = Courtesy::new();
        for waits in [LEAST, 2 * LEAST, 4 * LEAST] {
            courtesy.learn(OTHER, OTHER, true);
            for _ in 0..waits {
                // A wait that is answered at once tells nothing.
                courtesy.learn(NOBODY, Duration::ZERO, true);
                assert_eq!(courtesy.begins(), None);
                courtesy.learn(PARTNER, Duration::ZERO, true);
            }
            assert_eq!(courtesy.begins(), Some(ANSWER));
        }
        courtesy.learn(PARTNER, PARTNER, true);
        courtesy.learn(OTHER, OTHER, false);
        assert_eq!(courtesy.none_for.load(Ordering::Relaxed), LEAST);
    }

    #[test]
    fn a_stranger_is_remembered_for_so_long_at_most() {
        let courtesy = Courtesy::new();
        for _ in 0..40 {
            courtesy.learn(OTHER, OTHER, false);
        }
        assert_eq!(courtesy.none_for.load(Ordering::Relaxed), MOST);
    }
}
