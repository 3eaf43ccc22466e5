//! Each existence of each kind, with and without something that has the name.

use super::subject::{NEW, OLD, reserves};
use super::traces::{clean, unique};
use super::{Case, Subject, alone, sweep};
use crate::sys::Errno;
use crate::sys::fault::inject;
use crate::{
    BoundedSemaphore, Channel, Existence, Kind, Lock, MessageQueue, Semaphore, SharedMemory,
};

/// What has the name when the constructor runs.
struct Ground<T> {
    name: String,
    old: Option<T>,
}

fn construct<T: Subject>() {
    for existence in [Existence::Link, Existence::LinkOrCreate, Existence::UnlinkAndCreate] {
        construct_over::<T>(existence, true);
    }
    for existence in [Existence::Create, Existence::LinkOrCreate, Existence::UnlinkAndCreate] {
        construct_over::<T>(existence, false);
    }
}

fn construct_over<T: Subject>(existence: Existence, old: bool) {
    let linked = old && existence != Existence::UnlinkAndCreate;
    let failures = sweep(&Case {
        ground: &|name| Ground { name: name.to_string(), old: old.then(|| T::create(name, OLD)) },
        run: &|ground: &Ground<T>| T::open(&ground.name, existence, NEW),
        done: &|ground, handle| {
            let expected = if linked { OLD } else { NEW };
            assert_eq!(handle.measure(), expected);
            assert_eq!(handle.ownership().created(), !linked);
            assert_eq!(T::measure_of(&ground.name), Some(expected));
        },
        undone: &|ground, failure| {
            assert!(failure.error.to_string().contains(&ground.name), "{}", failure.error);
            let left = T::measure_of(&ground.name);
            if failure.error.message().contains("has been unlinked and is gone") {
                assert_eq!(existence, Existence::UnlinkAndCreate);
                assert!(old);
                assert_ne!(left, Some(OLD));
            } else {
                assert!(ground.old.as_ref().is_none_or(|old| left == Some(old.measure())));
            }
            // A queue that cannot be unlinked again, since that fails too, has to stay.
            let stays = failure.persistent && T::KIND == Kind::MessageQueue;
            assert!(left != Some(NEW) || stays, "{}", failure.error);
            if left == Some(NEW) {
                clean(&ground.name);
            }
        },
        goes_on_after_signals: reserves(T::KIND),
    });
    assert!(failures > 0);
}

/// Where files must have names, each kind says what is missing.
#[test]
fn without_files_without_a_name() {
    fn create<T: Subject>() {
        let told = (1..20).filter(|&nth| {
            let open = || T::open(&unique(), Existence::Create, NEW);
            let (opened, _) = inject(nth, false, Errno::OPNOTSUPP, open);
            opened.is_err_and(|error| error.to_string().contains("mount a tmpfs"))
        });
        // The call that makes the file, and the one that gives it its name.
        assert!(told.count() >= 2, "{}", T::KIND);
    }
    alone(|| {
        create::<Semaphore>();
        create::<SharedMemory>();
        create::<Lock>();
        create::<BoundedSemaphore>();
        create::<Channel>();
    });
}

/// C18.
#[test]
fn semaphores() {
    alone(construct::<Semaphore>);
}

/// C18.
#[test]
fn segments() {
    alone(construct::<SharedMemory>);
}

/// C18.
#[test]
fn queues() {
    alone(construct::<MessageQueue>);
}

/// C18.
#[test]
fn bounded_semaphores() {
    alone(construct::<BoundedSemaphore>);
}

/// C18.
#[test]
fn channels() {
    alone(construct::<Channel>);
}
