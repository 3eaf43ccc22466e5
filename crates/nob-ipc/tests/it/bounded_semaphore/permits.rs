//! Permits: how many there are, and who has them.

use std::process;
use std::time::Duration;

use nob_ipc::{BoundedSemaphore, ErrorKind, Existence, Kind, Name, Permits, registry};
use nob_ipc_testing::{Arguments, Child, Role, Unique, Waiter, hold, wait_until, watchdog};

use crate::support::{assert_refused, assert_words, new_permits};

pub const ROLES: &[Role] = &[("permits::own", own)];

fn link(name: &str) -> BoundedSemaphore {
    BoundedSemaphore::options().open(name).expect("it is there")
}

/// Takes so many, and keeps them.
fn own(arguments: &Arguments) {
    let permits = link(arguments.text(0));
    for _ in 0..arguments.number(1) {
        assert!(permits.try_acquire().expect("an answer"));
    }
    hold();
}

fn holder(name: &str, count: u32) -> Child {
    Child::holding("permits::own", &[&name, &count])
}

/// 1 to 512, and no other.
#[test]
fn bounds() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for bound in [1, 2, 3, 64, 511, BoundedSemaphore::MAX_BOUND] {
        let permits = new_permits(&name, bound);
        let other = link(&name);
        assert_eq!((permits.bound(), other.bound()), (bound, bound));
        for left in (0..bound).rev() {
            assert!(permits.try_acquire().expect("an answer"));
            assert_eq!(permits.held(), bound - left);
            assert_eq!(other.value().expect("an answer"), left);
        }
        assert!(!permits.try_acquire().expect("an answer"));
        assert!(!other.try_acquire().expect("an answer"));
        for _ in 0..bound {
            permits.release().expect("it is held");
        }
        assert_eq!((permits.held(), other.value().expect("an answer")), (0, bound));
        assert_refused(permits.release(), &name, ErrorKind::NotHeld, None);
    }
    let mut options = BoundedSemaphore::options();
    assert_eq!(options.existence(Existence::Create).open(&*name).expect("a new one").bound(), 1);
    for bound in [0, 513, u32::MAX] {
        let refused = options.bound(bound).open(&*name);
        let error = assert_refused(refused, &name, ErrorKind::InvalidArgument, None);
        assert_words(&error, &[&bound.to_string(), "1 to 512"]);
    }
}

/// A handle gives back what it has, and no more.
#[test]
fn many_at_once() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (permits, other) = (new_permits(&name, 4), link(&name));
    for _ in 0..2 {
        permits.acquire().expect("one is free");
    }
    other.acquire().expect("one is free");
    for count in [3, 4, u32::MAX] {
        let error = assert_refused(permits.release_many(count), &name, ErrorKind::NotHeld, None);
        assert_words(&error, &[&count.to_string(), "none was released"]);
    }
    assert_refused(permits.release_many(0), &name, ErrorKind::InvalidArgument, None);
    assert_eq!((permits.held(), other.held()), (2, 1));
    permits.release_many(2).expect("both are held");
    assert_eq!(permits.value().expect("an answer"), 3);
    assert_refused(permits.release(), &name, ErrorKind::NotHeld, None);
    drop(other);
    assert_eq!(permits.value().expect("an answer"), 4);
}

/// The permits of the dead count as free, and can be had, each of them.
#[test]
fn the_dead_have_none() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let permits = new_permits(&name, 5);
    let holders = || {
        let mut holders = permits.holders().expect("an answer");
        holders.sort_unstable();
        holders
    };
    let pid = |child: &Child| child.id().cast_unsigned();
    let sorted = |mut pids: Vec<u32>| {
        pids.sort_unstable();
        pids
    };
    for killed_first in [false, true] {
        let (mut one, mut two) = (holder(&name, 1), holder(&name, 2));
        permits.acquire().expect("one is free");
        let own = process::id();
        assert_eq!(holders(), sorted(vec![pid(&one), pid(&two), pid(&two), own]));
        assert_eq!(permits.value().expect("an answer"), 1);
        let living = if killed_first {
            one.kill();
            vec![pid(&two), pid(&two), own]
        } else {
            two.kill();
            vec![pid(&one), own]
        };
        let free = 5 - u32::try_from(living.len()).expect("they are few");
        assert_eq!(holders(), sorted(living));
        assert_eq!(permits.value().expect("an answer"), free);
        for _ in 0..free {
            assert!(permits.try_acquire().expect("an answer"));
        }
        assert!(!permits.try_acquire().expect("an answer"));
        if killed_first {
            two.kill();
        } else {
            one.kill();
        }
        while permits.try_acquire().expect("an answer") {}
        assert_eq!((permits.held(), permits.value().expect("an answer")), (5, 0));
        permits.release_many(5).expect("all are held");
    }
}

/// Several who sleep have what one has left who died with several.
#[test]
fn sleepers_share_what_is_left() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let permits = new_permits(&name, 3);
    let mut owner = holder(&name, 3);
    let handles = [(); 4].map(|()| link(&name));
    std::thread::scope(|scope| {
        let mut waiters: Vec<_> = handles
            .iter()
            .map(|handle| Waiter::start_in(scope, libc::SYS_futex, || handle.acquire()))
            .collect();
        owner.kill();
        wait_until(|| waiters.iter().filter(|waiter| waiter.has_ended()).count() == 3);
        std::thread::sleep(Duration::from_millis(40));
        let last = waiters.iter().position(|waiter| !waiter.has_ended()).expect("three for four");
        let last = waiters.swap_remove(last);
        for waiter in waiters {
            waiter.join().expect("a permit");
        }
        let held = handles.iter().find(|handle| handle.held() == 1).expect("three have one");
        held.release().expect("it is held");
        last.join().expect("a permit");
    });
    assert_eq!(permits.value().expect("an answer"), 0);
}

/// Who lists objects sees how many are free, and who has the others.
#[test]
fn what_is_listed() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let permits = new_permits(&name, 3);
    let checked = Name::new(Kind::BoundedSemaphore, &*name).expect("a legal name");
    let look = || {
        let object = registry::find(&checked).expect("it is there");
        let registry::Measure::Permits(Some(state)) = object.measure() else {
            panic!("{object:?}")
        };
        (state, object.owners().to_vec())
    };
    let (state, owners) = look();
    assert_eq!((state.free, state.bound, state.waiters, state.deaths), (3, 3, 0, 0));
    assert!(owners.is_empty());
    let mut owner = holder(&name, 2);
    let pid = owner.id().cast_unsigned();
    let (state, owners) = look();
    assert_eq!((state.free, owners), (1, vec![pid; 2]));
    permits.acquire().expect("one is free");
    std::thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_futex, || permits.acquire());
        wait_until(|| look().0.waiters == 1);
        assert_eq!(look().0.free, 0);
        owner.kill();
        waiter.join().expect("the dead have none");
    });
    let (state, owners) = look();
    // One of the dead holder's two permits has been taken over, the other not yet.
    assert_eq!((state.free, state.waiters, state.deaths), (1, 0, 2));
    assert_eq!(owners, [process::id(); 2]);
    permits.acquire().expect("one is free");
    assert_eq!(look().0.deaths, 2, "those who take over count none twice");
}
