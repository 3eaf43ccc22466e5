//! The recent past of each object: its curve, and what a second brings.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use nob_ipc::registry::Measure;

use super::row::{Counts, Id, Row};

/// How many looks are remembered.
const LENGTH: usize = 120;

/// Two looks that are closer tell nothing of a second.
const CLOSE: Duration = Duration::from_millis(40);

/// What a second brings; `None`: nobody counts it, or there was one look only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Messages sent through a channel or a queue on a server, or acquisitions of a lock.
    pub into: Option<f64>,
    /// Messages received.
    pub out: Option<f64>,
}

/// What is remembered of an object.
struct Past {
    measures: VecDeque<u64>,
    /// When it was looked at last.
    seen: Instant,
    /// The look that the next rates begin at.
    last: (Instant, Counts),
    rates: Rates,
}

/// The past of each object that exists, by its identity.
#[derive(Default)]
pub struct History(HashMap<Id, Past>);

impl History {
    /// Remembers one more look; what is gone is forgotten.
    pub fn record(&mut self, rows: &[Row], now: Instant) {
        let mut old = std::mem::take(&mut self.0);
        for row in rows {
            let (id, counts) = (row.id(), row.counts());
            let now = row.looked().unwrap_or(now);
            let mut past = old.remove(&id).unwrap_or_else(|| Past {
                measures: VecDeque::new(),
                seen: now,
                last: (now, counts),
                rates: Rates::default(),
            });
            // Not all objects of a server are looked at each time.
            if !past.measures.is_empty() && past.seen == now {
                self.0.insert(id, past);
                continue;
            }
            past.seen = now;
            if past.measures.len() == LENGTH {
                past.measures.pop_front();
            }
            past.measures.push_back(row.amount());
            let passed = now.saturating_duration_since(past.last.0);
            if passed >= CLOSE {
                past.rates = rates(past.last.1, counts, passed);
                past.last = (now, counts);
            }
            self.0.insert(id, past);
        }
    }

    /// The last measures, the newest at the end.
    pub fn of(&self, row: &Row) -> Vec<u64> {
        let past = self.0.get(&row.id());
        past.into_iter().flat_map(|past| &past.measures).copied().collect()
    }

    /// What the last second brought.
    pub fn rates(&self, row: &Row) -> Rates {
        self.0.get(&row.id()).map_or(Rates::default(), |past| past.rates)
    }
}

/// The kernel counts neither the messages of queues nor the permits of semaphores, and the file of a bounded
/// semaphore has no count.
fn rates(then: Counts, now: Counts, passed: Duration) -> Rates {
    #[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
    let each_second = |count: u64| count as f64 / passed.as_secs_f64();
    if let (
        Counts::There { sent, messages },
        Counts::There { sent: sent_now, messages: messages_now },
    ) = (then, now)
    {
        // A number that went back is that of a server that has lost what it had.
        let Some(sent) = sent_now.checked_sub(sent) else { return Rates::default() };
        // Messages that were put back came in without being sent.
        let received = messages.saturating_add(sent).saturating_sub(messages_now);
        return Rates { into: Some(each_second(sent)), out: Some(each_second(received)) };
    }
    let (Counts::Here(then), Counts::Here(now)) = (then, now) else { return Rates::default() };
    match (then, now) {
        (Measure::Lock(Some(then)), Measure::Lock(Some(now))) => {
            // A number that went back was written by somebody else.
            Rates { into: now.holds.checked_sub(then.holds).map(each_second), out: None }
        }
        (Measure::Channel(Some(then)), Measure::Channel(Some(now))) => {
            let (sent, received) = now.since(&then);
            Rates { into: Some(each_second(sent)), out: Some(each_second(received)) }
        }
        _ => Rates::default(),
    }
}

/// What the top of a curve stands for: what the object holds at most, else the highest measure. What does not
/// change is a line at the foot.
pub fn scale(most: Option<u64>, measures: &[u64]) -> u64 {
    let highest = measures.iter().copied().max().unwrap_or(0);
    match most {
        Some(most) => most,
        _ if measures.iter().all(|&measure| measure == highest) => u64::MAX,
        _ => highest,
    }
}

/// The last measures as bars, one character each.
pub fn curve(measures: &[u64], scale: u64, width: usize) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = measures.len().saturating_sub(width);
    let bar = |&measure: &u64| {
        // What is not zero is seen.
        let eighths = (u128::from(measure) * 8).div_ceil(u128::from(scale.max(1))).min(8);
        BARS[usize::try_from(eighths).unwrap_or(8)]
    };
    measures[shown..].iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use nob_ipc::{Channel, Existence, Lock};
    use nob_ipc_testing::Unique;

    #[test]
    fn only_what_changes_rises() {
        assert_eq!(scale(None, &[3, 3]), u64::MAX);
        assert_eq!(scale(None, &[3, 1]), 3);
        assert_eq!(scale(Some(9), &[3, 1]), 9);
        assert_eq!(curve(&[3, 3], u64::MAX, 8), "▁▁");
    }

    #[test]
    fn a_curve_ends_with_the_newest() {
        assert_eq!(curve(&[0, 1, 5, 10], 10, 8), " ▁▄█");
        assert_eq!(curve(&[0, 1, 5, 10], 10, 2), "▄█");
        assert_eq!(curve(&[0, 0], 0, 8), "  ");
        assert_eq!(curve(&[u64::MAX], u64::MAX, 1), "█");
    }

    #[test]
    fn what_a_queue_on_a_server_has_counted() {
        let counts = |sent, messages| Counts::There { sent, messages };
        let each = |then, now| {
            let rates = rates(then, now, Duration::from_secs(2));
            (rates.into, rates.out)
        };
        assert_eq!(each(counts(10, 4), counts(30, 0)), (Some(10.0), Some(12.0)));
        // Some were put back meanwhile.
        assert_eq!(each(counts(10, 0), counts(12, 4)), (Some(1.0), Some(0.0)));
        assert_eq!(each(counts(10, 4), counts(2, 0)), (None, None));
        assert_eq!(each(counts(10, 4), Counts::Nobody), (None, None));
    }

    #[test]
    fn a_second_is_what_lies_between_two_looks() {
        let name = Unique::new();
        let lock = Lock::options().existence(Existence::Create).open(&*name);
        let lock = lock.expect("a new lock");
        let channel = Channel::options().existence(Existence::Create).open(&*name);
        let channel = channel.expect("a new channel");
        let objects = || {
            let names = [lock.ownership().name(), channel.ownership().name()];
            names
                .map(|name| Row::Here(Rc::new(nob_ipc::registry::find(name).expect("it is there"))))
        };
        let (mut history, begin) = (History::default(), Instant::now());
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let found = objects();
        history.record(&found, at(0));
        assert_eq!(history.rates(&found[0]), Rates::default(), "one look tells nothing");
        for _ in 0..10 {
            drop(lock.acquire().expect("it is free"));
            channel.send(b"x", 0).expect("there is room");
        }
        for _ in 0..4 {
            channel.receive().expect("there is one");
        }
        // Two looks at once are one.
        history.record(&objects(), at(1));
        assert_eq!(history.rates(&found[0]), Rates::default());
        history.record(&objects(), at(2000));
        assert_eq!(history.rates(&found[0]), Rates { into: Some(5.0), out: None });
        assert_eq!(history.rates(&found[1]), Rates { into: Some(5.0), out: Some(2.0) });
        history.record(&objects(), at(3000));
        assert_eq!(history.rates(&found[1]), Rates { into: Some(0.0), out: Some(0.0) });
    }
}
