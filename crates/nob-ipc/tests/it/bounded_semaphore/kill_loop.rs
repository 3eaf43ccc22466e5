//! Holders that are killed at random moments: never are more permits out than there are, and none is lost.
//! `make stress` lets it go on for longer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nob_ipc::BoundedSemaphore;
use nob_ipc_testing::{Child, Role, Unique, say, watchdog};

use crate::support::{Workers, new_permits, random, shared_words};

pub const ROLES: &[Role] = &[("permits_kill_loop::holders", |_| kill_holders())];

const BOUND: u32 = 3;

#[test]
fn no_permit_is_lost_or_doubled() {
    let _watchdog = watchdog();
    let mut killer = Child::start("permits_kill_loop::holders", &[]);
    println!("{}", killer.hear());
    killer.finish();
}

/// Who is inside, in the low half, and who is being killed, in the high half: one bit each, so that both are
/// read and changed at once.
struct Inside(&'static AtomicU64);

impl Inside {
    fn enter(&self, number: usize) {
        let own = 1 << number;
        let now = self.0.fetch_or(own, Ordering::SeqCst) | own;
        let living = now & !(now >> 32) & 0xffff_ffff;
        assert!(living.count_ones() <= BOUND, "{living:#b} are inside");
    }

    fn leave(&self, number: usize) {
        self.0.fetch_and(!(1 << number), Ordering::SeqCst);
    }

    fn about_to_die(&self, number: usize) {
        self.0.fetch_or(1 << (number + 32), Ordering::SeqCst);
    }

    fn is_dead(&self, number: usize) {
        self.0.fetch_and(!(1 << number | 1 << (number + 32)), Ordering::SeqCst);
    }
}

/// Takes permits in each way, sometimes a second one.
fn work(name: &str, number: usize, inside: &Inside, holds: &AtomicU64) {
    let permits = BoundedSemaphore::options().open(name).expect("it is there");
    loop {
        let taken = match random(4) {
            0 => permits.try_acquire().expect("an answer"),
            1 => {
                let short = Duration::from_micros(random(3000));
                permits.acquire_timeout(short).expect("an answer")
            }
            _ => permits.acquire().is_ok(),
        };
        if !taken {
            continue;
        }
        inside.enter(number);
        let second = random(8) == 0 && permits.try_acquire().expect("an answer");
        for _ in 0..random(2000) {
            std::hint::spin_loop();
        }
        holds.fetch_add(1, Ordering::Relaxed);
        if second {
            permits.release().expect("it is held");
        }
        inside.leave(number);
        permits.release().expect("it is held");
    }
}

/// As many can be had as there are; then they are given back.
fn all_can_be_had(permits: &BoundedSemaphore) {
    assert_eq!(permits.value().expect("an answer"), BOUND);
    for _ in 0..BOUND {
        assert!(permits.try_acquire().expect("an answer"), "a permit is lost");
    }
    assert!(!permits.try_acquire().expect("an answer"), "there is one too many");
    assert_eq!(permits.held(), BOUND);
    for _ in 0..BOUND {
        permits.release().expect("it is held");
    }
}

fn kill_holders() {
    let name = Unique::new();
    let permits = new_permits(&name, BOUND);
    let words = shared_words();
    let (inside, holds) = (Inside(&words[0]), &words[8]);
    let work = |number| work(&name, number, &inside, holds);
    let about = |number, dead| {
        if dead { inside.is_dead(number) } else { inside.about_to_die(number) }
    };
    let mut workers = Workers::start(5, &work);
    let mut checks = 0;
    let kills = workers.kill_at_random(&about, |workers, kills| {
        if kills.is_multiple_of(45) {
            workers.kill_all(&about);
            all_can_be_had(&permits);
            checks += 1;
            workers.start_again();
        }
    });
    workers.kill_all(&about);
    all_can_be_had(&permits);
    assert!(kills > 50 && checks > 0, "{kills} killed, {checks} checks");
    let holds = holds.load(Ordering::Relaxed);
    say(format_args!("{kills} holders killed, of {holds} holds; {checks} times all came back"));
}
