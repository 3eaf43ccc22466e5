//! `<pthread.h>`: how a forked child knows that it is one, and a thread that another one forks.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use super::conv::check_number;

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Forks that have begun in this process, and that have ended in it.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_begin() {
    BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn count_end() {
    ENDED.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn count_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    // Whoever else was forking does not exist here.
    ENDED.store(BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
}

/// Tells whether another thread has forked, so that a child has what was open for a moment.
pub(crate) struct NoFork(u64);

impl NoFork {
    /// From here on; waits until no fork is under way. (`vfork`, and so `posix_spawn`, is not counted: its
    /// child closes its descriptors by `exec`.)
    pub(crate) fn begin() -> NoFork {
        // Registers the handlers that count, if nothing has yet.
        generation();
        loop {
            let begun = BEGUN.load(Ordering::SeqCst);
            if ENDED.load(Ordering::SeqCst) >= begun {
                return NoFork(begun);
            }
            std::thread::yield_now();
        }
    }

    /// Whether no fork has begun since.
    pub(crate) fn holds(&self) -> bool {
        BEGUN.load(Ordering::SeqCst) == self.0
    }
}

/// A number that differs between a process and each child it forks. Unlike a pid it does not come
/// back, nor does a pid namespace repeat it.
#[inline]
pub(crate) fn generation() -> u64 {
    // No `Once`: a child forked while a thread is inside would wait for that thread for ever.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Ordering::Relaxed) && !REGISTERED.swap(true, Ordering::Relaxed) {
        // SAFETY: the handlers only change atomics, which is allowed between fork and exec.
        let registered = check_number(|| unsafe {
            libc::pthread_atfork(Some(count_begin), Some(count_end), Some(count_child))
        });
        // Out of memory in the first call of the process: going on would break the promise that a
        // child never unlinks what is its parent's.
        assert!(registered.is_ok(), "pthread_atfork has no memory for a handler");
    }
    GENERATION.load(Ordering::Relaxed)
}

/// A value that each process makes for itself: a forked child gets a new one, so that it inherits
/// neither facts about its parent nor a lock that one of the parent's threads held.
pub(crate) struct PerProcess<T: Send + Sync + 'static>(AtomicPtr<(u64, T)>);

impl<T: Send + Sync + 'static> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        PerProcess(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The value of this process, made by `make` at the first use, out of that of the process that
    /// forked it. It is never freed.
    pub(crate) fn get(&self, make: impl FnOnce(Option<&'static T>) -> T) -> &'static T {
        let generation = generation();
        let current = self.0.load(Ordering::Acquire);
        // SAFETY: non-null pointers in the cell come from `Box::into_raw` below and are never freed.
        let parent = match unsafe { current.as_ref() } {
            Some((made_in, value)) if *made_in == generation => return value,
            other => other.map(|(_, value)| value),
        };
        let new = Box::into_raw(Box::new((generation, make(parent))));
        match self.0.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => unsafe { &(*new).1 },
            Err(winner) => {
                // SAFETY: `new` was not published, so this is its only owner.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: another thread of this process published `winner` in this generation.
                unsafe { &(*winner).1 }
            }
        }
    }
}
