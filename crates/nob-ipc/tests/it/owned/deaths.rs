//! Owners that die, in whatever way: who comes next has it (contract 9.2).

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Kind};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, Waiter, files, forks, hear, hold, limits, say, users, watchdog,
};

use crate::support::{OWNED, Owned, assert_words};

pub const ROLES: &[Role] = &[
    ("deaths::own", own),
    ("deaths::wait", wait),
    ("deaths::without_a_descriptor", without_a_descriptor),
    ("deaths::without_rights", without_rights),
];

/// A sleeper has it within 16 ms; the machine may be busy.
const SOON: Duration = Duration::from_secs(1);

/// The ways in which a process ends, or stops being the one that took it.
const ENDS: [&str; 10] =
    ["kill", "ill", "term", "abort", "stopped", "exit", "_exit", "return", "exec", "drop"];

/// Takes it, and ends when it is told to.
fn own(arguments: &Arguments) {
    let handle = Owned::link(arguments.kind(0), arguments.text(1));
    handle.takes();
    say("has it");
    match &*hear() {
        "exit" => process::exit(0),
        "_exit" => forks::exit_now(0),
        "abort" => process::abort(),
        "return" => {}
        "drop" => {
            drop(handle);
            hold();
        }
        "exec" => {
            // Whoever reads takes what is after the mark for a line of this process.
            let failed = Command::new("sh").args(["-c", "echo '> ready'; exec sleep 100"]).exec();
            panic!("sh is not executed: {failed}");
        }
        "wait" => hold(),
        other => panic!("{other}?"),
    }
}

fn owner(kind: Kind, name: &str) -> Child {
    let mut owner = Child::start("deaths::own", &[&kind.short_word(), &name]);
    owner.expect("has it");
    owner
}

/// Lets an owner end; when this returns, it has ended.
fn end(owner: &mut Child, way: &str) {
    let signals = [
        ("kill", libc::SIGKILL),
        ("ill", libc::SIGILL),
        ("term", libc::SIGTERM),
        ("stopped", libc::SIGKILL),
    ];
    if let Some((_, number)) = signals.into_iter().find(|(signal, _)| *signal == way) {
        if way == "stopped" {
            owner.signal(libc::SIGSTOP);
        }
        owner.signal(number);
        assert_eq!(owner.ended_by(), Some(number), "{way}");
        return;
    }
    owner.say(way);
    match way {
        "exec" | "drop" => owner.expect("ready"),
        "abort" => assert_eq!(owner.ended_by(), Some(libc::SIGABRT)),
        _ => assert_eq!(owner.ended_by(), None, "{way}"),
    }
}

/// L1, L4: who asks next has it at once, with an old handle and with a new one; and it is told.
#[test]
fn who_asks_next_has_it() {
    let _watchdog = watchdog();
    for kind in OWNED {
        for (number, way) in ENDS.into_iter().enumerate() {
            let name = Unique::new();
            let old = Owned::create(kind, &name);
            let mut owner = owner(kind, &name);
            assert!(!old.tries() && old.is_taken());
            assert_eq!(old.holder(), Some(owner.id().cast_unsigned()));
            old.assert_told(false);
            end(&mut owner, way);
            assert!(!old.is_taken() && old.holder().is_none(), "{way}: the dead have nothing");
            old.assert_told(true);
            let new = Owned::link(kind, &name);
            let next = if number % 2 == 0 { &old } else { &new };
            assert!(next.tries(), "{kind}, {way}");
            assert!(next.has_it());
            next.assert_told(true);
            next.gives();
        }
    }
}

/// L2: of those who sleep, one has it, soon, and the others sleep on.
#[test]
fn a_sleeper_has_it_soon() {
    let _watchdog = watchdog();
    for kind in OWNED {
        for sleepers in [1, 5] {
            for way in ENDS {
                let name = Unique::new();
                let observer = Owned::create(kind, &name);
                let mut owner = owner(kind, &name);
                let handles: Vec<_> = (0..sleepers).map(|_| Owned::link(kind, &name)).collect();
                thread::scope(|scope| {
                    let sleep = |handle| {
                        let wait = move || Owned::wait(handle, Deadline::NEVER);
                        Waiter::start_in(scope, libc::SYS_futex, wait)
                    };
                    let mut waiters: Vec<_> = handles.iter().map(sleep).collect();
                    end(&mut owner, way);
                    let died = Instant::now();
                    for _ in 0..sleepers {
                        let ended = loop {
                            match waiters.iter().position(Waiter::has_ended) {
                                Some(ended) => break ended,
                                None => thread::yield_now(),
                            }
                        };
                        assert!(died.elapsed() < SOON, "{kind}, {way}: {:?}", died.elapsed());
                        assert!(waiters.swap_remove(ended).join().expect("no signal comes"));
                        assert!(!waiters.iter().any(Waiter::has_ended), "two have it");
                        let mut holders = handles.iter().filter(|handle| handle.has_it());
                        let holder = holders.next().expect("one has it");
                        assert!(holders.next().is_none() && observer.is_taken());
                        holder.assert_told(true);
                        holder.gives();
                    }
                });
            }
        }
    }
}

/// Who has slept for long looks as often as before.
#[test]
fn an_old_sleeper_has_it_soon() {
    let _watchdog = watchdog();
    let names = OWNED.map(|_| Unique::new());
    let pairs = OWNED.into_iter().zip(&names).map(|(kind, name)| {
        let handle = Owned::create(kind, name);
        (handle, owner(kind, name))
    });
    let (handles, mut owners): (Vec<_>, Vec<_>) = pairs.unzip();
    thread::scope(|scope| {
        let sleep = |handle| {
            let wait = move || Owned::wait(handle, Deadline::NEVER).map(|_| Instant::now());
            Waiter::start_in(scope, libc::SYS_futex, wait)
        };
        let waiters: Vec<_> = handles.iter().map(sleep).collect();
        // If the pauses went on to double, the next look would be more than a second and a half away.
        thread::sleep(Duration::from_millis(2300));
        let before = Instant::now();
        for owner in &mut owners {
            end(owner, "kill");
        }
        for waiter in waiters {
            let taken = waiter.join().expect("no signal comes");
            assert!(taken - before < SOON, "{:?}", taken - before);
        }
    });
}

/// Sleeps until it has it.
fn wait(arguments: &Arguments) {
    let handle = Owned::link(arguments.kind(0), arguments.text(1));
    say("waits");
    handle.wait(Deadline::NEVER).expect("no signal comes");
    hold();
}

/// A sleeper that is killed takes nothing along, and wakes nobody in vain; nor does one that is killed when
/// it was just woken.
#[test]
fn sleepers_die_as_well() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let holder = Owned::create(kind, &name);
        let other = Owned::link(kind, &name);
        for round in 0..15 {
            holder.takes();
            let mut sleeper = Child::start("deaths::wait", &[&kind.short_word(), &name]);
            sleeper.expect("waits");
            thread::scope(|scope| {
                let waiter =
                    Waiter::start_in(scope, libc::SYS_futex, || other.wait(Deadline::NEVER));
                if round % 3 == 0 {
                    sleeper.kill();
                    assert!(holder.has_it() && !waiter.has_ended());
                    holder.gives();
                } else {
                    holder.gives();
                    if round % 3 == 1 {
                        thread::yield_now();
                    }
                    sleeper.kill();
                }
                assert!(waiter.join().expect("no signal comes"));
            });
            other.gives();
            if let Owned::Lock(lock) = &other
                && lock.owner_died().expect("an answer")
            {
                assert_ne!(round % 3, 0, "who only waits owns nothing");
                lock.acquire().expect("it is free").mark_repaired().expect("it is held");
            }
        }
    }
}

/// A process that may open no descriptor cannot make sure that an owner is dead. It is told so, and has it
/// as soon as it may.
#[test]
fn no_descriptor_is_left() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let _kept = Owned::create(kind, &name);
        let mut heir = Child::start("deaths::without_a_descriptor", &[&kind.short_word(), &name]);
        heir.expect("open");
        let mut owner = owner(kind, &name);
        owner.kill();
        heir.say("dead");
        heir.finish();
    }
}

fn without_a_descriptor(arguments: &Arguments) {
    let name = arguments.text(1);
    let handle = Owned::link(arguments.kind(0), name);
    say("open");
    assert_eq!(hear(), "dead");
    limits::with_descriptors(0, || {
        for deadline in [Deadline::NOW, Deadline::NEVER] {
            let error = handle.wait(deadline).expect_err("it cannot be known");
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
            assert_words(&error, &["descriptor", "RLIMIT_NOFILE"]);
        }
        assert!(!handle.has_it() && !handle.is_taken());
    });
    handle.takes();
    handle.assert_told(true);
}

/// A process that has given up the right to open the file keeps its handle, and what it has; it cannot take
/// over from the dead, and is told why.
#[test]
fn the_right_is_given_up() {
    let _watchdog = watchdog();
    if !users::is_root("become another user") {
        return;
    }
    for kind in OWNED {
        let name = Unique::new();
        let kept = Owned::create(kind, &name);
        let mut heir = Child::start("deaths::without_rights", &[&kind.short_word(), &name]);
        heir.expect("open");
        let mut owner = owner(kind, &name);
        owner.kill();
        heir.say("dead");
        heir.expect("refused");
        kept.takes();
        kept.gives();
        heir.say("alive");
        heir.finish();
    }
}

fn without_rights(arguments: &Arguments) {
    let handle = Owned::link(arguments.kind(0), arguments.text(1));
    users::become_user(users::NOBODY);
    handle.takes();
    handle.gives();
    say("open");
    assert_eq!(hear(), "dead");
    let error = handle.wait(Deadline::NEVER).expect_err("it may not");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert_words(&error, &["both read and write"]);
    say("refused");
    assert_eq!(hear(), "alive");
    handle.takes();
    handle.gives();
    // Nothing but the object's own rights was in the way.
    File::open(files::file(arguments.kind(0), arguments.text(1))).expect_err("it is root's");
}
