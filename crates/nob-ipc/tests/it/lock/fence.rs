//! Numbers of holds: each is larger than every earlier one (contract 9).

use std::thread;

use nob_ipc::Lock;
use nob_ipc_testing::{Unique, forks, watchdog};

use crate::support::new_lock;

/// Whatever way it is taken, by whatever handle and thread.
#[test]
fn each_hold_has_a_larger_number() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let handles = [(); 3].map(|()| {
        let mut options = Lock::options();
        options.existence(nob_ipc::Existence::LinkOrCreate).open(&*name).expect("an object")
    });
    let mut last = 0;
    let mut next = |fence: u64| {
        assert!(fence > last, "{fence} after {last}");
        last = fence;
    };
    for lock in handles.iter().cycle().take(12) {
        let guard = lock.acquire().expect("it is free");
        next(guard.fence().expect("it is held"));
        let again = lock.fence().expect("it is held");
        assert_eq!(guard.fence().expect("it is held"), again, "one hold has one number");
        drop(guard);
        next(lock.try_acquire().expect("an answer").expect("it is free").fence().expect("held"));
    }
    // Taken over from a handle that was dropped with it.
    let [first, second, _third] = handles;
    let guard = first.acquire().expect("it is free");
    next(guard.fence().expect("it is held"));
    guard.leak();
    drop(first);
    next(second.acquire().expect("nobody has it").fence().expect("it is held"));

    // Of those who wait for each other.
    let fences = thread::scope(|scope| {
        let take = || (0..200).map(|_| second.acquire()?.fence()).collect::<Result<Vec<_>, _>>();
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(take)).collect();
        let fences = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        fences.map(|fences| fences.expect("it is held")).collect::<Vec<_>>()
    });
    for fences in &fences {
        assert!(fences.is_sorted());
    }
    let mut all: Vec<_> = fences.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 600, "no number twice");
    next(all[0]);
}

/// L17: also over the deaths of owners.
#[test]
fn numbers_grow_over_deaths() {
    let _watchdog = watchdog();
    nob_ipc_testing::Child::run("kill_loop::fences", &[]);
}

pub(super) fn over_deaths() {
    let name = Unique::new();
    let lock = new_lock(&name);
    let mut last = 0;
    for _ in 0..50 {
        let owner = forks::fork(|| {
            lock.acquire().expect("nobody lives who has it").leak();
            loop {
                thread::park();
            }
        });
        nob_ipc_testing::wait_until(|| lock.is_locked().expect("an answer"));
        forks::kill(owner);
        let guard = lock.acquire().expect("nobody lives who has it");
        let fence = guard.fence().expect("it is held");
        assert!(fence >= last + 2, "{fence} after {last}, and one in between");
        last = fence;
    }
}
