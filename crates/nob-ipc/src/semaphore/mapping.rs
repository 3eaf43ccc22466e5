//! The mappings of semaphores in this process. Handles of one semaphore share one: the kernel gives a
//! process only so many (`vm.max_map_count`, 65530 unless told otherwise).

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::sys::fork::PerProcess;
use crate::sys::semaphore::MappedSemaphore;
use crate::sys::{BorrowedFd, Identity, Result};

/// A mapping that the handles of one semaphore share. It keeps the file's open description, and with it
/// this process's part in the use of the object.
#[derive(Debug)]
pub(super) struct Mapping {
    semaphore: MappedSemaphore,
    identity: Identity,
}

type Mappings = HashMap<Identity, Weak<Mapping>>;

fn mappings() -> MutexGuard<'static, Mappings> {
    static MAPPINGS: PerProcess<Mutex<Mappings>> = PerProcess::new();
    let make = |parent: Option<&Mutex<Mappings>>| {
        // A forked child has its parent's mappings. A table that another thread was changing when the
        // process forked cannot be read; the child maps anew what it opens.
        let inherited = parent.and_then(|table| table.try_lock().ok());
        Mutex::new(inherited.map(|table| table.clone()).unwrap_or_default())
    };
    // Nothing that can panic leaves it half changed.
    MAPPINGS.get(make).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The mapping of a semaphore that was opened as `file`, which takes part in its use already.
pub(super) fn map(file: BorrowedFd<'_>, identity: Identity) -> Result<Arc<Mapping>> {
    let mut mappings = mappings();
    if let Some(shared) = mappings.get(&identity).and_then(Weak::upgrade) {
        return Ok(shared);
    }
    let mapping = Arc::new(Mapping { semaphore: MappedSemaphore::new(file)?, identity });
    // Without memory for the table, the next handle has a mapping of its own.
    if mappings.try_reserve(1).is_ok() {
        mappings.insert(identity, Arc::downgrade(&mapping));
    }
    Ok(mapping)
}

impl Deref for Mapping {
    type Target = MappedSemaphore;

    #[inline]
    fn deref(&self) -> &MappedSemaphore {
        &self.semaphore
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let mut mappings = mappings();
        // Another thread may have mapped it anew.
        if mappings.get(&self.identity).is_some_and(|listed| listed.strong_count() == 0) {
            mappings.remove(&self.identity);
        }
    }
}
