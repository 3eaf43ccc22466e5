//! Spinning before sleeping: the hand-over between two running processes then costs no context
//! switch.
//!
//! What a handle remembers of its waits pays for itself. With a busy loop on each of two processors, a
//! round trip over two semaphores takes 0.4 µs in the mean, and 11 to 15 µs if every wait yields anew
//! to the busy loop; over two queues 7 µs against 96 to 128.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::sys;
use crate::sys::time::monotonic;
use crate::wait::Deadline;

/// After so many waits in which spinning did not pay, it is cut short in all but every `RETRY`th one.
const MISSES: u32 = 16;
const RETRY: u32 = 8;
const CUT: u32 = 16;

/// From here on a spinning wait yields. Linux likes to put processes that wake each other on one
/// processor, also when another is idle. There the waker cannot run while this process spins.
const YIELD_AFTER: Duration = Duration::from_micros(1);

/// A yield that takes longer has let an unrelated task run, for a slice of its time, and not the waker.
const UNRELATED: Duration = Duration::from_micros(50);

/// For so many waits that are long enough to yield no wait yields, after an unrelated task has run.
const SUSPENDED: u32 = 1024;

/// A yield can take as long as a slice, so a wait that ends sooner does not yield.
const SLICE: Duration = Duration::from_millis(10);

/// Who waits on one handle in this process, and whether spinning has paid lately.
#[derive(Debug)]
pub(crate) struct Waiters {
    /// How many wait, in the low half; the fork generation in which they do, in the high half. The
    /// threads that waited when the process forked do not exist in the child.
    waiting: AtomicU64,
    /// Waits since spinning last paid.
    misses: AtomicU32,
    /// Waits that do not yield.
    suspended: AtomicU32,
    /// Whether the last wait that slept could run on one processor alone.
    one_processor: AtomicBool,
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
        Waiters {
            waiting: AtomicU64::new(0),
            misses: AtomicU32::new(0),
            suspended: AtomicU32::new(0),
            one_processor: AtomicBool::new(false),
        }
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
    /// Tries again and again for up to `limit`, unless that cannot pay: on one processor, or when
    /// another thread of this process waits already. Looks at the clock after every `stride` attempts.
    pub(crate) fn spin<T>(
        &self,
        limit: Duration,
        stride: u32,
        deadline: Deadline,
        attempt: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let Waiters { misses, suspended, one_processor, .. } = self.waiters;
        if !quota_is_several() {
            return None;
        }
        if self.alone && !one_processor.load(Ordering::Relaxed) {
            let missed = misses.load(Ordering::Relaxed);
            let cut = missed > MISSES && !missed.is_multiple_of(RETRY);
            let limit = if cut { limit / CUT } else { limit };
            let end = spin(limit, stride, deadline, suspended, attempt);
            misses.store(if end.is_some() { 0 } else { missed.wrapping_add(1) }, Ordering::Relaxed);
            if end.is_some() {
                return end;
            }
        }
        // It is about to sleep, so there is time to ask: the affinity may change at any moment.
        one_processor.store(sys::sched::processors() < 2, Ordering::Relaxed);
        None
    }
}

fn spin<T>(
    limit: Duration,
    stride: u32,
    deadline: Deadline,
    suspended: &AtomicU32,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
    let start = monotonic();
    let mut yields = None;
    loop {
        if let Some(value) = several(stride, &mut attempt) {
            return Some(value);
        }
        let now = monotonic();
        let spun = now.saturating_sub(start);
        if spun >= limit {
            return None;
        }
        if spun >= YIELD_AFTER && *yields.get_or_insert_with(|| may_yield(deadline, suspended)) {
            yield_now();
            if monotonic().saturating_sub(now) > UNRELATED {
                suspended.store(SUSPENDED, Ordering::Relaxed);
                yields = Some(false);
            }
        }
    }
}

/// Whether a wait that is long enough to yield does so.
fn may_yield(deadline: Deadline, suspended: &AtomicU32) -> bool {
    let waits = suspended.load(Ordering::Relaxed);
    suspended.store(waits.saturating_sub(1), Ordering::Relaxed);
    waits == 0 && !deadline.is_within(SLICE)
}

fn yield_now() {
    thread::yield_now();
    #[cfg(test)]
    tests::YIELDED.set(tests::YIELDED.get() + 1);
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

/// Whether the cgroup's quota, and the affinity at the first call, let another process run while this
/// one spins.
fn quota_is_several() -> bool {
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
    quota == SEVERAL
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static YIELDED: Cell<u32> = const { Cell::new(0) };
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
            assert_eq!(waiters.misses.load(Ordering::Relaxed), 40);
            assert_eq!(waiting.spin(Duration::ZERO, 1, Deadline::NEVER, || Some(7)), Some(7));
            assert_eq!(waiters.misses.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn one_processor_is_noticed_before_the_next_spin() {
        let waiters = Waiters::new();
        let waiting = waiters.enter();
        waiters.one_processor.store(true, Ordering::Relaxed);
        let mut attempts = 0;
        let mut attempt = || {
            attempts += 1;
            None::<()>
        };
        assert_eq!(waiting.spin(Duration::ZERO, 1, Deadline::NEVER, &mut attempt), None);
        let several = sys::sched::processors() > 1;
        assert_eq!(waiters.one_processor.load(Ordering::Relaxed), !several);
        assert_eq!(attempts, 0);
    }

    #[test]
    fn a_long_spin_yields_unless_the_wait_ends_soon() {
        let yields = |deadline| {
            YIELDED.set(0);
            let limit = Duration::from_micros(200);
            spin(limit, 1, deadline, &AtomicU32::new(0), || None::<()>);
            YIELDED.get()
        };
        assert!(yields(Deadline::NEVER) > 0);
        assert!(yields(Deadline::after(1000 * SLICE)) > 0);
        assert_eq!(yields(Deadline::after(SLICE / 2)), 0);
    }
    #[test]
    fn yielding_is_suspended_for_so_many_waits() {
        let suspended = AtomicU32::new(SUSPENDED);
        for _ in 0..SUSPENDED {
            assert!(!may_yield(Deadline::NEVER, &suspended));
        }
        assert!(may_yield(Deadline::NEVER, &suspended));
    }
}
