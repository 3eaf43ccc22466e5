//! The slots of a file: used again and again, and all in use.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nob_ipc::{Deadline, ErrorKind, Existence, Kind, SharedMemory};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, files, files::Trace, forks, limits, watchdog,
};

use crate::support::{
    OWNED, Owned, assert_refused, assert_words, new_segment, on_your_marks, race,
};

pub const ROLES: &[Role] = &[("slots::breed", breed), ("slots::all_in_use", all_in_use)];

/// How many handles a file has room for.
const SLOTS: usize = 1023;

/// L10: processes that open it, take it and die; each slot is used more than once, and nobody
/// ever has it together with another.
#[test]
fn short_lives() {
    const BREEDERS: u32 = 3;
    const CHILDREN: u32 = 400;
    let _watchdog = watchdog();
    for kind in OWNED {
        let (name, last) = (Unique::new(), Unique::new());
        let handle = Owned::create(kind, &name);
        let _word = new_segment(&last, 8);
        let arguments: [&dyn std::fmt::Display; 4] = [&kind.short_word(), &name, &last, &CHILDREN];
        race((0..BREEDERS).map(|_| Child::start("slots::breed", &arguments)).collect());
        assert!(BREEDERS * CHILDREN > u32::try_from(SLOTS).expect("it is small"));
        assert!(handle.tries(), "all are dead");
        handle.assert_told(true);
    }
}

fn breed(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let word = SharedMemory::options().open(arguments.text(2)).expect("it is there");
    let word = word.map().expect("it is not empty");
    on_your_marks();
    for number in 0..arguments.number(3) {
        forks::in_child(|| {
            let handle = Owned::link(kind, name);
            let deadline = Deadline::after(Duration::from_secs(20));
            assert!(handle.wait(deadline).expect("no signal comes"), "the dead have it");
            let own = u64::from(std::process::id()).to_ne_bytes();
            word.write(0, &own).expect("it is long enough");
            for _ in 0..3 {
                std::thread::yield_now();
                let mut last = [0; 8];
                word.read(0, &mut last).expect("it is long enough");
                assert_eq!(last, own, "two have it");
            }
            // Some give it back; others die with it, or are dead before they wake anybody.
            if number % 3 == 0 {
                handle.gives();
            }
            std::mem::forget(handle);
        });
    }
}

/// Whoever gets the slot of a dead owner has nothing of what is still marked with its number.
#[test]
fn the_slot_of_a_dead_owner() {
    /// Where the file keeps the slot after which to look for a free one.
    const HINT: u64 = 32;
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let observer = Owned::create(kind, &name);
        let mut owner = Child::start("deaths::own", &[&kind.short_word(), &name]);
        owner.expect("has it");
        let file = fs::File::options().read(true).write(true).open(files::file(kind, &name));
        let file = file.expect("it is ours");
        let mut marked = [0; 4];
        let place = if kind == Kind::Lock { 64 } else { 1024 };
        file.read_exact_at(&mut marked, place).expect("it is long enough");
        let slot = u32::from_ne_bytes(marked) & 0xffff;
        assert!((1..=1023).contains(&slot), "{slot}");
        owner.kill();
        file.write_all_at(&(slot - 1).to_ne_bytes(), HINT).expect("it is ours");
        let heir = Owned::link(kind, &name);
        file.read_exact_at(&mut marked, HINT).expect("it is long enough");
        assert_eq!(u32::from_ne_bytes(marked), slot, "it has that slot");
        assert!(!heir.has_it() && !heir.is_taken());
        heir.has_nothing_to_give();
        heir.assert_told(true);
        observer.takes();
        observer.assert_told(true);
        assert!(!heir.tries());
    }
}

/// L11: there are 1,023 handles, and the next is refused in words that say so.
#[test]
fn all_slots_in_use() {
    let _watchdog = watchdog();
    for kind in OWNED {
        Child::run("slots::all_in_use", &[&kind.short_word()]);
    }
}

fn all_in_use(arguments: &Arguments) {
    const NEEDED: u64 = 2200;
    let kind = arguments.kind(0);
    if !limits::may_have(libc::RLIMIT_NOFILE, NEEDED) {
        eprintln!("skipped: a process may not have {NEEDED} descriptors");
        return;
    }
    limits::set(libc::RLIMIT_NOFILE, NEEDED);
    let name = Unique::new();
    let mut handles = vec![Owned::create(kind, &name)];
    while handles.len() < SLOTS {
        handles.push(Owned::link(kind, &name));
    }
    let size = fs::metadata(files::file(kind, &name)).expect("it is there").len();
    for existence in [Existence::Link, Existence::LinkOrCreate] {
        let opened = Owned::open(kind, &name, existence);
        let error = assert_refused(opened, &name, ErrorKind::TooManyHandles, Some(libc::EMFILE));
        assert_words(&error, &["1023", "close", "share one"]);
    }
    let trace = Trace::of(kind, &name);
    assert_eq!((trace.descriptors(), trace.mappings()), (SLOTS, 2 * SLOTS));
    // A child needs a slot at its first use, and there is none.
    forks::in_child(|| {
        let error = handles[7].wait(Deadline::NOW).expect_err("there is no slot left");
        assert_eq!(error.kind(), ErrorKind::TooManyHandles, "{error}");
        handles[7].has_nothing_to_give();
        assert!(!handles[7].has_it());
    });
    // Each of them works, and dies as any other.
    for handle in &handles {
        handle.takes();
        handle.gives();
    }
    handles[SLOTS - 1].takes();
    let dropped = handles.swap_remove(SLOTS - 1);
    assert!(!handles[0].tries());
    drop(dropped);
    handles[0].takes();
    handles[0].assert_told(true);
    handles[0].gives();
    let new = Owned::link(kind, &name);
    Owned::open(kind, &name, Existence::Link).expect_err("all are in use again");
    new.takes();
    assert!(handles.iter().all(|handle| !handle.tries()));
    assert_eq!(fs::metadata(files::file(kind, &name)).expect("it is there").len(), size);
}
