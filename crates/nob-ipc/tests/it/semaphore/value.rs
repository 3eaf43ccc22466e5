//! Values of semaphores.

use nob_ipc::{Deadline, ErrorKind, Existence, Kind, Semaphore};
use nob_ipc_testing::{Unique, files, files::Trace, watchdog};

use crate::support::{assert_refused, new_semaphore};

fn link(name: &str) -> Semaphore {
    Semaphore::options().open(name).expect("the semaphore is there")
}

/// S1, S2.
#[test]
fn initial_values() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let default = Semaphore::options().existence(Existence::Create).open(&*name);
    assert_eq!(default.expect("a new semaphore").value(), 1);
    for value in [0, 1, 42, Semaphore::MAX_VALUE] {
        let semaphore = new_semaphore(&name, value);
        assert_eq!((semaphore.value(), link(&name).value()), (value, value));
    }
}

/// S4, S5, S7: what was released can be taken, and no more.
#[test]
fn as_many_as_there_are() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    assert!(!semaphore.try_acquire());
    assert_eq!(semaphore.value(), 0);
    semaphore.release_many(3).expect("far from the maximum");
    semaphore.release().expect("far from the maximum");
    for left in (0..4).rev() {
        assert!(semaphore.acquire_until(Deadline::NOW).expect("no wait"));
        assert_eq!(semaphore.value(), left);
    }
    assert!(!semaphore.try_acquire());
    assert!(!semaphore.acquire_until(Deadline::NOW).expect("no wait"));
    assert_eq!(semaphore.value(), 0);
}

/// S3, S8: at the maximum nothing is given, also not in part.
#[test]
fn the_maximum() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, Semaphore::MAX_VALUE - 2);
    for count in [3, 4, u32::MAX] {
        let error = assert_refused(
            semaphore.release_many(count),
            &name,
            ErrorKind::Overflow,
            Some(libc::EOVERFLOW),
        );
        assert!(error.message().contains(&format!("{count} more would pass")), "{error}");
        assert_eq!(semaphore.value(), Semaphore::MAX_VALUE - 2);
    }
    assert_refused(semaphore.release_many(0), &name, ErrorKind::InvalidArgument, None);
    semaphore.release_many(2).expect("just to the maximum");
    assert_eq!(semaphore.value(), Semaphore::MAX_VALUE);
    assert_refused(semaphore.release(), &name, ErrorKind::Overflow, Some(libc::EOVERFLOW));
    assert_eq!(semaphore.value(), Semaphore::MAX_VALUE);
    assert!(semaphore.try_acquire());
    semaphore.release().expect("there is room for one");
}

/// Contract 6: `release_many` is one step for everybody who looks.
#[test]
fn many_in_one_step() {
    const STEP: u32 = 1_000_000;
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    let other = link(&name);
    std::thread::scope(|scope| {
        let observer = scope.spawn(|| {
            let mut seen = 0;
            while seen < 100 * STEP {
                let value = other.value();
                assert!(value >= seen && value.is_multiple_of(STEP), "{value} after {seen}");
                seen = value;
            }
        });
        for _ in 0..100 {
            semaphore.release_many(STEP).expect("far from the maximum");
        }
        observer.join().expect("it saw whole steps only");
    });
    semaphore.release_many(Semaphore::MAX_VALUE - 100 * STEP).expect("just to the maximum");
    assert_eq!(semaphore.value(), Semaphore::MAX_VALUE);
}

/// S9, S23: handles are independent, the value is one.
#[test]
fn handles_share_the_value() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let first = new_semaphore(&name, 1);
    let second = link(&name);
    assert!(second.try_acquire());
    assert!(!first.try_acquire());
    std::thread::scope(|scope| {
        scope.spawn(|| first.release().expect("anybody may"));
    });
    drop(first);
    assert!(second.try_acquire(), "the value outlives a handle");
}

/// S22: the value stays when all handles are gone.
#[test]
fn the_value_stays() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let mut options = Semaphore::options();
    options.initial_value(2).existence(Existence::Create).unlink_on_drop(false);
    let semaphore = options.open(&*name).expect("a new semaphore");
    assert!(semaphore.try_acquire());
    drop(semaphore);
    options.initial_value(3).existence(Existence::LinkOrCreate);
    assert_eq!(options.open(&*name).expect("it is there").value(), 1);
}

/// S25: no descriptor stays open, handles of a process share one mapping, and the last one unmaps.
#[test]
fn no_descriptor_stays_open() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 1);
    let linked = link(&name);
    let trace = Trace::of(Kind::Semaphore, &name);
    assert_eq!((trace.descriptors(), trace.mappings()), (0, 1));
    semaphore.ownership().unlink().expect("it is ours");
    let other = new_semaphore(&name, 7);
    assert_eq!((other.value(), linked.value()), (7, 1), "another semaphore has another mapping");
    drop(semaphore);
    assert!(linked.try_acquire());
    assert_eq!(trace.mappings(), 1);
    drop(linked);
    assert_eq!(trace.mappings(), 0);
    let linked = link(&name);
    drop(other);
    assert!(linked.try_acquire());
}

#[test]
fn a_guard_gives_the_permit_back() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 1);
    {
        let _permit = semaphore.guard().expect("a permit");
        assert_eq!(semaphore.value(), 0);
    }
    assert_eq!(semaphore.value(), 1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _permit = semaphore.guard().expect("a permit");
        std::panic::resume_unwind(Box::new("while holding it"));
    }));
    assert!(panicked.is_err());
    assert_eq!(semaphore.value(), 1, "also when unwinding");
}

/// The file is the one that glibc makes: its size, and where it is.
#[test]
fn the_file_is_glibcs() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let _semaphore = new_semaphore(&name, 9);
    let bytes = std::fs::read(files::file(Kind::Semaphore, &name)).expect("it is there");
    assert_eq!(bytes.len(), size_of::<libc::sem_t>());
    assert_eq!(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), 9);
}
