//! Spinning before sleeping: the hand-over between two running processes then costs no context
//! switch.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::sys;
use crate::sys::time::monotonic;
use crate::wait::Deadline;
use crate::wait::courtesy::Courtesy;

/// After so many waits in which spinning brought nothing, it is cut short in all but every
/// `RETRY`th one.
const MISSES: u32 = 16;
const RETRY: u32 = 8;
const CUT: u32 = 16;

/// Whoever gives way may be back this late.
const SLICE: Duration = Duration::from_millis(10);

/// Who waits on one handle in this process, and whether spinning has paid lately.
#[derive(Debug)]
pub(crate) struct Waiters {
    /// How many wait, in the low half; the fork generation in which they do, in the high half. The
    /// threads that waited when the process forked do not exist in the child.
    waiting: AtomicU64,
    /// Waits since spinning last paid.
    misses: AtomicU32,
    courtesy: Courtesy,
}

/// One wait of a thread.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    generation: u64,
    alone: bool,
}

const COUNT: u64 = u32::MAX as u64;

impl Waiters {
    /// Nobody waits, and spinning has yet to show that it pays.
    pub(crate) const fn new() -> Waiters {
        Waiters { waiting: AtomicU64::new(0), misses: AtomicU32::new(1), courtesy: Courtesy::new() }
    }

    /// Counts a wait.
    pub(crate) fn enter(&self) -> Waiting<'_> {
        // 2^32 forks from parent to child would be needed to repeat the half that is compared.
        let generation = sys::fork::generation() & COUNT;
        let count = |state: u64| {
            if state >> 32 == generation { state & COUNT } else { 0 }
        };
        let update = |state| Some(generation << 32 | (count(state) + 1));
        let before = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update)
            .map_or(0, count);
        Waiting { waiters: self, generation, alone: before == 0 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let update =
            |state: u64| (state >> 32 == self.generation && state & COUNT > 0).then(|| state - 1);
        // A wait that began before a fork is not counted in the child: nothing to take back.
        let _ = self.waiters.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }
}

impl Waiting<'_> {
    /// Tries again and again for up to `limit`, unless that is known to be in vain: on one
    /// processor, or when another thread of this process waits already. Looks at the clock after
    /// every `stride` attempts. It gives way to others unless the wait is due to end soon.
    pub(crate) fn spin<T>(
        &self,
        limit: Duration,
        stride: u32,
        deadline: Deadline,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let misses = self.waiters.misses.load(Ordering::Relaxed);
        if !self.alone || !several_processors(misses) {
            return None;
        }
        let cut = misses > MISSES && !misses.is_multiple_of(RETRY);
        let limit = if cut { limit / CUT } else { limit };
        let gives_way = self.waiters.courtesy.begins().filter(|_| !deadline.is_within(SLICE));
        let mut away = Duration::ZERO;
        let start = monotonic();
        let mut spun = Duration::ZERO;
        let end = loop {
            if gives_way.is_some_and(|begins| spun >= begins) {
                let left = monotonic();
                give_way();
                away = away.max(monotonic().saturating_sub(left));
            }
            let end = several(stride, &mut attempt);
            if end.is_some() {
                break end;
            }
            spun = monotonic().saturating_sub(start);
            if spun >= limit {
                break None;
            }
        };
        let misses = if end.is_some() { 0 } else { misses.wrapping_add(1) };
        self.waiters.misses.store(misses, Ordering::Relaxed);
        self.waiters.courtesy.learn(spun, away, end.is_some());
        end
    }
}

fn give_way() {
    thread::yield_now();
    #[cfg(test)]
    tests::GAVE_WAY.set(tests::GAVE_WAY.get() + 1);
}

/// Up to so many attempts.
#[inline]
fn several<T>(attempts: u32, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..attempts {
        if let Some(value) = attempt() {
            return Some(value);
        }
        std::hint::spin_loop();
    }
    None
}

/// Whether another process can run while this one spins: affinity and cgroup quota counted. The
/// affinity may change at any time, so it is asked for whenever spinning did not pay the last time.
fn several_processors(misses: u32) -> bool {
    const UNKNOWN: u8 = 0;
    const ONE: u8 = 1;
    const SEVERAL: u8 = 2;
    // No `OnceLock`: a child forked while a thread is inside would wait for that thread for ever.
    static QUOTA: AtomicU8 = AtomicU8::new(UNKNOWN);
    let mut quota = QUOTA.load(Ordering::Relaxed);
    if quota == UNKNOWN {
        let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        quota = if several { SEVERAL } else { ONE };
        QUOTA.store(quota, Ordering::Relaxed);
    }
    quota == SEVERAL && (misses == 0 || sys::sched::processors() > 1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static GAVE_WAY: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn a_second_waiter_does_not_spin() {
        let waiters = Waiters::new();
        let first = waiters.enter();
        let second = waiters.enter();
        assert!(first.alone && !second.alone);
        let mut attempts = 0;
        let got: Option<()> = second.spin(Duration::MAX, 1, Deadline::NEVER, || {
            attempts += 1;
            None
        });
        assert_eq!((got, attempts), (None, 0));
        drop((first, second));
        assert!(waiters.enter().alone);
    }

    #[test]
    fn waits_of_another_generation_do_not_count() {
        let waiters = Waiters::new();
        let inherited = Waiting { waiters: &waiters, generation: 77, alone: true };
        waiters.waiting.store(77 << 32 | 5, Ordering::Relaxed);
        let own = waiters.enter();
        assert!(own.alone);
        drop(inherited);
        assert_eq!(waiters.waiting.load(Ordering::Relaxed) & COUNT, 1);
    }

    #[test]
    fn success_ends_the_misses() {
        let waiters = Waiters::new();
        let waiting = waiters.enter();
        for _ in 0..40 {
            assert_eq!(waiting.spin(Duration::ZERO, 1, Deadline::NEVER, || None::<()>), None);
        }
        if sys::sched::processors() > 1 {
            assert_eq!(waiters.misses.load(Ordering::Relaxed), 41);
            assert_eq!(waiting.spin(Duration::ZERO, 1, Deadline::NEVER, || Some(7)), Some(7));
            assert_eq!(waiters.misses.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_long_spin_gives_way_unless_the_wait_ends_soon() {
        if !several_processors(1) {
            return;
        }
        let spin = |deadline| {
            GAVE_WAY.set(0);
            let end = Waiters::new().enter().spin(10 * SLICE, 1, deadline, || {
                (GAVE_WAY.get() > 0 || deadline.has_passed()).then_some(())
            });
            assert!(end.is_some());
            GAVE_WAY.get()
        };
        assert_eq!(spin(Deadline::NEVER), 1);
        assert_eq!(spin(Deadline::after(1000 * SLICE)), 1);
        assert_eq!(spin(Deadline::after(SLICE / 2)), 0);
    }
}
