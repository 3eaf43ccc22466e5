//! That an owner has died, every holder is told until one says that all is well (contract 9.2).

use std::time::Duration;

use nob_ipc::{ErrorKind, Kind, Lock, LockGuard, Name, registry};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, Waiter, hear, hold, say, wait_until, watchdog,
};

use crate::support::{assert_refused, new_lock};

pub const ROLES: &[Role] = &[("told::own", own)];

/// Takes the lock, says what it was told, and does what it hears.
fn own(arguments: &Arguments) {
    let lock = Lock::options().open(arguments.text(0)).expect("it is there");
    let guard = lock.acquire().expect("somebody dies or releases");
    say(if guard.owner_died() { "died" } else { "well" });
    match &*hear() {
        "release" => drop(guard),
        "repair" => {
            guard.mark_repaired().expect("it is held");
            assert!(!guard.owner_died());
            drop(guard);
        }
        "repair and die" => {
            guard.mark_repaired().expect("it is held");
            hold();
        }
        "die" => hold(),
        other => panic!("{other}?"),
    }
}

/// Starts a process that takes the lock, and that is told this; then it does what is said.
fn holder(name: &str, told: &str, then: &str) -> Child {
    let mut holder = Child::start("told::own", &[&name]);
    holder.expect(told);
    holder.say(then);
    holder
}

fn die(name: &str, told: &str) {
    let mut holder = holder(name, told, "die");
    holder.expect("ready");
    holder.kill();
}

/// L3: whoever holds it is told, also after one who was told has died.
#[test]
fn until_one_says_that_all_is_well() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let lock = new_lock(&name);
    let told = || lock.owner_died().expect("an answer");
    assert!(!told());
    die(&name, "well");
    assert!(told(), "also before anybody has taken it over");
    for _ in 0..3 {
        holder(&name, "died", "release").finish();
        assert!(told());
    }
    // Whom it was told dies as well, and so does the next.
    die(&name, "died");
    die(&name, "died");
    assert!(told());
    let guard = lock.acquire().expect("nobody lives who has it");
    assert!(guard.owner_died());
    drop(guard);
    holder(&name, "died", "repair").finish();
    assert!(!told());
    for _ in 0..2 {
        holder(&name, "well", "release").finish();
    }
    // Who says so and dies afterwards is another death.
    die(&name, "well");
    let mut repairer = holder(&name, "died", "repair and die");
    repairer.expect("ready");
    assert!(!told());
    repairer.kill();
    assert!(told());
    assert!(lock.acquire().expect("nobody lives who has it").owner_died());
}

/// L6: who does not hold it cannot say anything about it.
#[test]
fn only_the_holder_may_say_so() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let lock = new_lock(&name);
    let other = Lock::options().open(&*name).expect("it is there");
    let refuse = |lock: &Lock| {
        let results =
            [lock.mark_repaired(), lock.note_time(), lock.release(), lock.fence().map(|_| ())];
        for result in results {
            let error = assert_refused(result, &name, ErrorKind::NotHeld, None);
            assert!(error.message().contains("acquire it first"), "{error}");
        }
    };
    refuse(&lock);
    die(&name, "well");
    refuse(&lock);
    let guard = other.acquire().expect("nobody lives who has it");
    refuse(&lock);
    assert!(lock.owner_died().expect("an answer"));
    guard.mark_repaired().expect("it is held");
    drop(guard);
    refuse(&other);
    assert!(!lock.owner_died().expect("an answer"));
}

/// A guard that is dropped in a panic gives the lock up, and nobody is told of a death.
#[test]
fn a_panic_is_no_death() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let lock = new_lock(&name);
    let panicked = std::panic::catch_unwind(|| {
        let _guard = lock.acquire().expect("it is free");
        std::panic::resume_unwind(Box::new("with the lock"));
    });
    assert!(panicked.is_err());
    assert!(!lock.is_held() && !lock.owner_died().expect("an answer"));
}

/// A leaked guard leaves the lock held, and whoever releases it ends the hold of a guard as well.
#[test]
fn guards_that_do_not_release() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let lock = new_lock(&name);
    lock.acquire().expect("it is free").leak();
    assert!(lock.is_held() && lock.try_acquire().expect("an answer").is_none());
    lock.release().expect("it is held");
    let guard = lock.acquire().expect("it is free");
    lock.release().expect("it is held");
    assert_eq!(guard.fence().expect_err("it is released").kind(), ErrorKind::NotHeld);
    drop(guard);
    assert!(!lock.is_locked().expect("an answer"));
    let timed = lock.acquire_timeout(Duration::from_secs(1)).expect("it is free");
    assert!(timed.map(LockGuard::leak).is_some());
    lock.release().expect("it is held");
}

/// Who lists objects sees who has it, who waits, and what has happened.
#[test]
fn what_is_listed() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let lock = new_lock(&name);
    let checked = Name::new(Kind::Lock, &*name).expect("a legal name");
    let listed = || {
        let object = registry::find(&checked).expect("it is there");
        let registry::Measure::Lock(Some(state)) = object.measure() else { panic!("{object:?}") };
        (state, object.owners().to_vec())
    };
    let (free, owners) = listed();
    assert_eq!((free.holder, free.held_for, free.waiters, free.deaths), (None, None, 0, 0));
    assert!(!free.owner_died && owners.is_empty());
    assert_eq!(free.holds, 0);
    for hold in 1..=3 {
        let guard = lock.acquire().expect("it is free");
        assert_eq!((guard.fence().expect("it is held"), listed().0.holds), (hold, hold));
    }

    let mut owner = holder(&name, "well", "die");
    owner.expect("ready");
    let pid = owner.id().cast_unsigned();
    let (held, owners) = listed();
    assert_eq!((held.holder, held.held_for), (Some(pid), None), "nobody has noted when");
    assert_eq!(owners, [pid]);
    assert!(lock.acquire_timeout(Duration::from_millis(30)).expect("no error").is_none());
    let noted = listed().0.held_for.expect("who has waited has noted when");
    std::thread::sleep(Duration::from_millis(20));
    let later = listed().0.held_for.expect("it is noted still");
    assert!(later >= noted + Duration::from_millis(20), "{noted:?}, {later:?}");
    std::thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_futex, || lock.acquire().map(|_| ()));
        wait_until(|| listed().0.waiters == 1);
        owner.kill();
        waiter.join().expect("nobody lives who has it");
    });
    let (after, owners) = listed();
    assert_eq!((after.holder, after.waiters, after.deaths), (None, 0, 1));
    assert!(after.owner_died && owners.is_empty());
    let guard = lock.acquire().expect("it is free");
    lock.note_time().expect("it is held");
    let (ours, _) = listed();
    assert_eq!(ours.holder, Some(std::process::id()));
    assert!(ours.held_for.is_some());
    guard.mark_repaired().expect("it is held");
    assert!(!listed().0.owner_died);
}
