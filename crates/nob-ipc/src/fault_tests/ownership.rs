//! Unlinking, deleting, and the duty to.

use super::subject::{OLD, reserves};
use super::traces::{clean, left_under, records_of, unique};
use super::{Case, ERRNOS, Subject, alone, sweep};
use crate::sys::Errno;
use crate::sys::fault::inject;
use crate::{
    BoundedSemaphore, Channel, ErrorKind, Kind, Lock, MessageQueue, Name, Result, Semaphore,
    SharedMemory,
};

/// An object, made anew where an operation has removed its name.
struct Ground<T> {
    name: String,
    object: T,
}

impl<T: Subject> Ground<T> {
    fn new(name: &str) -> Ground<T> {
        Ground { name: name.to_string(), object: T::create(name, OLD) }
    }

    fn is_there(&self) -> bool {
        T::measure_of(&self.name) == Some(OLD)
    }
}

/// Removes the name of an object that is made for it, and says which one it removed.
fn remove<T: Subject>(remove: &dyn Fn(&T) -> Result<()>, may_leave: bool) {
    sweep(&Case {
        ground: &str::to_string,
        run: &|name: &String| {
            let object = T::open(name, crate::Existence::LinkOrCreate, OLD)?;
            // It is shared first, and then this handle's own.
            object.ownership().set_unlink_on_drop(false)?;
            object.ownership().set_unlink_on_drop(true)?;
            let removed = remove(&object);
            // What failed is for the test to see.
            object.ownership().set_unlink_on_drop(false)?;
            removed
        },
        done: &|name, ()| {
            assert!(may_leave || left_under(name).is_empty(), "{:?}", left_under(name));
        },
        undone: &|_, _| {},
        goes_on_after_signals: reserves(T::KIND),
    });
}

fn each<T: Subject>() {
    remove::<T>(&|object| object.ownership().unlink(), false);
    // Without the right to look, deletion leaves the name alone.
    remove::<T>(&|object| object.ownership().delete().map(drop), true);
    remove::<T>(&|object| crate::unlink(object.ownership().name()), false);
    duty::<T>();
}

/// Marks are made and removed where they can be; that they cannot is no error.
fn duty<T: Subject>() {
    sweep(&Case {
        ground: &Ground::<T>::new,
        run: &|ground: &Ground<T>| {
            ground.object.ownership().set_unlink_on_drop(false)?;
            ground.object.ownership().set_unlink_on_drop(true)?;
            Ok(())
        },
        done: &|ground, ()| {
            assert!(ground.object.ownership().is_due());
            assert!(ground.is_there());
        },
        undone: &|_, failure| panic!("{}", failure.error),
        goes_on_after_signals: false,
    });
}

#[test]
fn semaphores() {
    alone(each::<Semaphore>);
}

#[test]
fn segments() {
    alone(each::<SharedMemory>);
}

#[test]
fn queues() {
    alone(each::<MessageQueue>);
}

#[test]
fn locks() {
    alone(each::<Lock>);
}

#[test]
fn bounded_semaphores() {
    alone(each::<BoundedSemaphore>);
}

/// A deletion that failed is still due, and dropping makes up for it.
fn delete_again<T: Subject>() {
    for drops in [false, true] {
        let name = unique();
        let object = T::create(&name, OLD);
        let (deleted, failed) = inject(1, true, Errno(libc::EIO), || object.ownership().delete());
        assert_eq!(deleted.expect_err("all calls failed").raw_os_error(), Some(libc::EIO));
        assert!(failed > 0 && object.ownership().is_due());
        if !drops {
            object.ownership().delete().expect("it is ours");
            assert!(!object.ownership().is_due());
        }
        drop(object);
        assert_eq!(left_under(&name), [""; 0]);
    }
}

#[test]
fn a_deletion_that_failed() {
    alone(|| {
        delete_again::<Semaphore>();
        delete_again::<SharedMemory>();
        delete_again::<MessageQueue>();
        delete_again::<Lock>();
        delete_again::<BoundedSemaphore>();
    });
}

/// What may not be looked at is left alone, and so is what tells whose it is.
#[test]
fn a_deletion_without_the_right_to_look() {
    alone(|| {
        let name = unique();
        let queue = MessageQueue::create(&name, OLD);
        let (deleted, failed) = inject(1, true, Errno::ACCES, || queue.ownership().delete());
        deleted.expect("it is left alone");
        assert!(failed > 0);
        assert_eq!(left_under(&name).len(), 1, "the queue");
        assert_eq!(records_of(&name).len(), 1, "its record");
        drop(queue);
        clean(&name);
    });
}

#[test]
fn random_names() {
    for errno in ERRNOS {
        let (name, failed) = inject(1, false, errno, || Name::random(Kind::Semaphore));
        let error = name.expect_err("there are no random bits");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Other, Some(errno.0)));
        assert_eq!(failed, 1);
    }
}

#[test]
fn channels() {
    alone(each::<Channel>);
}
