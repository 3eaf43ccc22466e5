//! The recent past of each object, and its curve.

use std::collections::{HashMap, VecDeque};

use nob_ipc::registry::{Measure, Object};

/// How many looks are remembered.
const LENGTH: usize = 120;

/// The last measures of each object that exists, by its identity.
#[derive(Default)]
pub struct History(HashMap<(u64, u64), VecDeque<u64>>);

impl History {
    /// Remembers one more look; what is gone is forgotten.
    pub fn record(&mut self, objects: &[Object]) {
        let mut old = std::mem::take(&mut self.0);
        for object in objects {
            let mut measures = old.remove(&object.identity()).unwrap_or_default();
            if measures.len() == LENGTH {
                measures.pop_front();
            }
            measures.push_back(amount(object.measure()));
            self.0.insert(object.identity(), measures);
        }
    }

    /// The last measures, the newest at the end.
    pub fn of(&self, object: &Object) -> Vec<u64> {
        self.0.get(&object.identity()).into_iter().flatten().copied().collect()
    }
}

/// The number behind a measure: of a channel, the bytes that are used; of a lock, how many have it or wait
/// for it. What may not be seen is 0.
pub fn amount(measure: Measure) -> u64 {
    match measure {
        Measure::Value(value) => value.unwrap_or(0).into(),
        Measure::Size { bytes, .. } => bytes,
        Measure::Depth(depth) => depth.map_or(0, |depth| depth.messages),
        Measure::Lock(state) => {
            state.map_or(0, |state| u64::from(state.holder.is_some()) + u64::from(state.waiters))
        }
        Measure::Permits(state) => state.map_or(0, |state| state.free.into()),
        Measure::Channel(state) => state.map_or(0, |state| state.used),
        _ => 0,
    }
}

/// What the top of a curve stands for: the room of a queue or channel, how many permits there are, else the
/// highest measure. What does not change is a line at the foot.
pub fn scale(measure: Measure, measures: &[u64]) -> u64 {
    let highest = measures.iter().copied().max().unwrap_or(0);
    match measure {
        Measure::Depth(Some(depth)) => depth.max_messages,
        Measure::Permits(Some(state)) => state.bound.into(),
        Measure::Channel(Some(state)) => state.capacity,
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
    use super::*;

    #[test]
    fn only_what_changes_rises() {
        let value = Measure::Value(Some(3));
        assert_eq!(scale(value, &[3, 3]), u64::MAX);
        assert_eq!(scale(value, &[3, 1]), 3);
        assert_eq!(curve(&[3, 3], u64::MAX, 8), "▁▁");
    }

    #[test]
    fn a_curve_ends_with_the_newest() {
        assert_eq!(curve(&[0, 1, 5, 10], 10, 8), " ▁▄█");
        assert_eq!(curve(&[0, 1, 5, 10], 10, 2), "▄█");
        assert_eq!(curve(&[0, 0], 0, 8), "  ");
        assert_eq!(curve(&[u64::MAX], u64::MAX, 1), "█");
    }
}
