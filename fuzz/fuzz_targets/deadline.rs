//! The door to deadlines: no time overflows, none is over before it began, and none is long enough
//! to make a call that need not wait do so.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use nob_ipc::{Deadline, Existence, Name, Semaphore};

/// Time enough for one run, however slow.
const AN_HOUR: u64 = 3600;

static SEMAPHORE: LazyLock<Semaphore> = LazyLock::new(|| {
    let name = Name::random(nob_ipc::Kind::Semaphore).expect("random bits");
    let mut options = Semaphore::options();
    let semaphore = options.initial_value(1).existence(Existence::Create).open_named(&name);
    let semaphore = semaphore.expect("a new semaphore");
    // The fuzzer ends without dropping anything.
    semaphore.ownership().unlink().expect("it is ours");
    semaphore
});

fuzz_target!(|time: (u64, u32)| {
    let (seconds, nanoseconds) = (time.0, time.1 % 1_000_000_000);
    let timeout = Duration::new(seconds, nanoseconds);
    let deadline = Deadline::after(timeout);
    assert_eq!(deadline == Deadline::NOW, timeout.is_zero());
    if seconds >= AN_HOUR {
        assert!(!deadline.has_passed() && !deadline.checked_every(Deadline::CHECK_INTERVAL).has_passed());
    }
    for deadline in [deadline, deadline.checked_every(Deadline::CHECK_INTERVAL)] {
        assert!(SEMAPHORE.acquire_until(deadline).expect("the permit is there"));
        SEMAPHORE.release().expect("far from the maximum");
    }
    if timeout <= Duration::from_micros(50) {
        assert!(SEMAPHORE.try_acquire());
        assert!(!SEMAPHORE.acquire_timeout(timeout).expect("time is up"));
        SEMAPHORE.release().expect("far from the maximum");
    }
});
