//! Names of shared objects that a deletion had to leave, because somebody used the object: tried again
//! when there are many, and when the process ends.
//!
//! That somebody may be a child that another thread is just starting: until its exec it has our
//! descriptors, and with them our locks.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::home::usage::Fresh;
use crate::home::{self, Removal};
use crate::name::Name;
use crate::sys::fork::PerProcess;
use crate::sys::{self, Identity};

/// From this many on, the names are tried again before the list grows.
const MANY: usize = 64;

struct Left {
    name: Name,
    identity: Identity,
    owner: u32,
}

struct List {
    left: Vec<Left>,
    clear_at: usize,
}

fn lock() -> MutexGuard<'static, List> {
    static LIST: PerProcess<Mutex<List>> = PerProcess::new();
    let make = |_: Option<&_>| Mutex::new(List { left: Vec::new(), clear_at: MANY });
    // Nothing that can panic leaves it half changed.
    LIST.get(make).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the name of a shared object unless somebody uses it, or has said that it is to be kept.
pub(super) fn remove_if_unused(
    name: &Name,
    identity: Identity,
    owner: u32,
) -> sys::Result<Removal> {
    let is_shared = |fresh: &Fresh| fresh.stat().is_ok_and(|stat| stat.is_shared());
    home::of(name).unlink_if_unused(name, identity, owner, &is_shared)
}

/// Remembers a name for the end.
pub(super) fn remember(name: &Name, identity: Identity, owner: u32) {
    let mut list = lock();
    if list.left.iter().any(|left| left.identity == identity && left.name == *name) {
        return;
    }
    if list.left.len() >= list.clear_at {
        list.left.retain(|left| {
            let removal = remove_if_unused(&left.name, left.identity, left.owner);
            !matches!(removal, Ok(Removal::Removed | Removal::Gone | Removal::Replaced))
        });
        list.clear_at = MANY.max(2 * list.left.len());
    }
    list.left.push(Left { name: name.clone(), identity, owner });
}

/// Tries again to remove the names that had to be left, if nobody uses the objects any more.
pub(super) fn try_again() {
    let left = std::mem::take(&mut lock().left);
    for Left { name, identity, owner } in left {
        // What fails is left for the next who links, or for `registry::Reap`.
        if let Ok(Removal::InUse | Removal::Locked) = remove_if_unused(&name, identity, owner) {
            remember(&name, identity, owner);
        }
    }
}
