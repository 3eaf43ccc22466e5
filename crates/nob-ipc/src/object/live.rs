//! The ownerships that live in this process, for its end.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::{Error, Operation, Result};
use crate::object::left;
use crate::object::ownership::{Deletion, Ownership};
use crate::sys::Errno;
use crate::sys::fork::PerProcess;

/// Those that are gone are left out when there is no room.
type Live = Vec<Weak<Ownership>>;

fn live() -> &'static Mutex<Live> {
    static LIVE: PerProcess<Mutex<Live>> = PerProcess::new();
    LIVE.get(|parent| {
        // A forked child has the handles that its parent had. A list that another thread was changing
        // when the process forked cannot be read.
        let inherited = parent.and_then(|live| live.try_lock().ok());
        Mutex::new(inherited.map(|live| live.clone()).unwrap_or_default())
    })
}

/// Lists the ownership of an object that has its name, for [`delete_all`].
pub(crate) fn add(ownership: &Arc<Ownership>) -> Result<()> {
    // Nothing that can panic leaves it half changed.
    let mut live = live().lock().unwrap_or_else(PoisonError::into_inner);
    if live.len() == live.capacity() {
        live.retain(|listed| listed.strong_count() > 0);
        let room = live.len().max(16);
        live.try_reserve(room)
            .map_err(|_| Error::from_errno(Operation::Create, ownership.name(), Errno::NOMEM))?;
    }
    live.push(Arc::downgrade(ownership));
    Ok(())
}

/// Removes the name of every object that a handle of this process is due to remove, as dropping the
/// handle would, and leaves the handles usable. What could not be removed comes back as errors.
///
/// For a program that ends without dropping its handles, by [`std::process::exit`] for example. A shared
/// object is in use as long as a handle to it is open, so its name stays unless that is dropped before;
/// names that earlier drops had to leave are tried again. The latest is removed first.
///
/// ```
/// use nob_ipc::{Existence, Kind, Name, Semaphore};
///
/// let name = Name::random(Kind::Semaphore)?;
/// let semaphore = Semaphore::options().existence(Existence::Create).open_named(&name)?;
/// assert!(nob_ipc::delete_all().is_empty());
/// assert!(nob_ipc::unlink(&name).is_err(), "it has no name any more");
/// semaphore.release()?;
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[must_use = "what could not be removed stays behind"]
pub fn delete_all() -> Vec<Error> {
    let mut errors = Vec::new();
    delete_all_with(&mut |_, deleted| errors.extend(deleted.err()));
    errors
}

/// As [`delete_all`], and says of each object what became of its name.
///
/// ```
/// use nob_ipc::{Deletion, Existence, Kind, Name, Semaphore};
///
/// let name = Name::random(Kind::Semaphore)?;
/// let semaphore = Semaphore::options().existence(Existence::Create).open_named(&name)?;
/// nob_ipc::delete_all_with(&mut |ownership, deleted| {
///     assert_eq!(ownership.name(), semaphore.ownership().name());
///     assert_eq!(deleted.expect("it is ours"), Deletion::Unlinked);
/// });
/// # Ok::<(), nob_ipc::Error>(())
/// ```
pub fn delete_all_with(tell: &mut dyn FnMut(&Ownership, Result<Deletion>)) {
    let lock = || live().lock().unwrap_or_else(PoisonError::into_inner);
    // Without a copy of the list, for which there may be no memory; and not under its lock, since deleting
    // takes its time. Whoever clears the list meanwhile moves what is left of it to the front.
    let mut rest = lock().len();
    while rest > 0 {
        rest -= 1;
        let listed = lock().get(rest).and_then(Weak::upgrade);
        if let Some(ownership) = listed {
            tell(&ownership, ownership.delete_early());
        }
    }
    left::try_again();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Existence, Kind, Name, Semaphore};

    #[test]
    fn the_list_does_not_grow_with_what_is_gone() {
        let name = Name::random(Kind::Semaphore).expect("random bytes");
        let mut options = Semaphore::options();
        options.existence(Existence::LinkOrCreate);
        let kept = options.open_named(&name).expect("a semaphore");
        for _ in 0..1000 {
            drop(options.open_named(&name).expect("a semaphore"));
        }
        let live = live().lock().unwrap_or_else(PoisonError::into_inner);
        assert!(live.capacity() < 1000, "{}", live.capacity());
        let listed = live.iter().filter_map(Weak::upgrade);
        assert_eq!(listed.filter(|it| Arc::ptr_eq(it, kept.ownership())).count(), 1);
    }
}
