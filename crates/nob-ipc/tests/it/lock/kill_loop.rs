//! Owners that are killed at random moments, some of them in the midst of a change.
//! `make stress` lets it go on for longer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nob_ipc::{Lock, LockGuard};
use nob_ipc_testing::{Child, Role, Unique, say, watchdog};

use super::fence;
use crate::support::{Workers, new_lock, random, shared_words};

pub const ROLES: &[Role] =
    &[("kill_loop::owners", |_| kill_owners()), ("kill_loop::fences", |_| fence::over_deaths())];

/// L16: two words are written one after the other. Who finds them different was told that an owner has died.
#[test]
fn what_is_half_done_is_told() {
    let _watchdog = watchdog();
    let mut killer = Child::start("kill_loop::owners", &[]);
    println!("{}", killer.hear());
    killer.finish();
}

/// What the owners change, and what is counted.
#[derive(Clone, Copy)]
struct Books {
    first: &'static AtomicU64,
    second: &'static AtomicU64,
    owner: &'static AtomicU64,
    fence: &'static AtomicU64,
    holds: &'static AtomicU64,
    half_done: &'static AtomicU64,
}

impl Books {
    fn new() -> Books {
        // Each has a line of the processor's cache.
        let [first, second, owner, fence, holds, half_done] =
            [0, 8, 16, 24, 32, 40].map(|index| &shared_words()[index]);
        Books { first, second, owner, fence, holds, half_done }
    }

    fn change(self, guard: &LockGuard<'_>) {
        let own = u64::from(std::process::id());
        self.owner.store(own, Ordering::Relaxed);
        let (first, second) =
            (self.first.load(Ordering::Relaxed), self.second.load(Ordering::Relaxed));
        if first != second {
            assert!(guard.owner_died(), "{first} and {second}, and nobody was told");
            self.half_done.fetch_add(1, Ordering::Relaxed);
            self.second.store(first, Ordering::Relaxed);
        }
        if guard.owner_died() {
            guard.mark_repaired().expect("it is held");
        }
        let fence = guard.fence().expect("it is held");
        let last = self.fence.swap(fence, Ordering::Relaxed);
        assert!(fence > last, "{fence} after {last}");

        self.first.store(first + 1, Ordering::Relaxed);
        for _ in 0..random(2000) {
            std::hint::spin_loop();
        }
        assert_eq!(self.owner.load(Ordering::Relaxed), own, "two have it");
        self.second.store(first + 1, Ordering::Relaxed);
        self.holds.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes the lock in each way.
fn work(name: &str, books: Books) {
    let lock = Lock::options().open(name).expect("it is there");
    loop {
        let taken = match random(4) {
            0 => lock.try_acquire().expect("an answer"),
            1 => {
                let short = Duration::from_micros(random(3000));
                lock.acquire_timeout(short).expect("an answer")
            }
            _ => Some(lock.acquire().expect("it is released, or its owner dies")),
        };
        if let Some(guard) = taken {
            books.change(&guard);
        }
    }
}

fn kill_owners() {
    let name = Unique::new();
    let lock = new_lock(&name);
    let books = Books::new();
    let work = |_| work(&name, books);
    let mut workers = Workers::start(4, &work);
    let mut before = 0;
    let kills = workers.kill_at_random(&|_, _| {}, |_, kills| {
        if kills.is_multiple_of(50) {
            let holds = books.holds.load(Ordering::Relaxed);
            assert!(holds > before, "nobody has had it since");
            before = holds;
        }
    });
    workers.kill_all(&|_, _| {});
    let guard = lock.try_acquire().expect("an answer").expect("all are dead");
    books.change(&guard);
    drop(guard);
    assert!(!lock.owner_died().expect("an answer"));
    let half_done = books.half_done.load(Ordering::Relaxed);
    assert!(kills > 50 && half_done > 0, "{kills} killed, {half_done} of them in a change");
    let holds = books.holds.load(Ordering::Relaxed);
    say(format_args!("{kills} owners killed, {half_done} in a change, of {holds} holds"));
}
