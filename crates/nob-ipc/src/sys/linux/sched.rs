//! `<sched.h>`: how many processors may run us.

use std::mem::MaybeUninit;

use super::conv::check;

/// How many processors this thread may run on; 1 where that cannot be told.
pub(crate) fn processors() -> usize {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: `set` is writable memory of the size that is passed. On a machine with more processors
    // than the set has room for the call fails.
    let done = check(|| unsafe {
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr())
    });
    // SAFETY: the structure is made of integers, for which zero is a value.
    let set = unsafe { set.assume_init() };
    match done {
        // SAFETY: only reads the set.
        Ok(_) => usize::try_from(unsafe { libc::CPU_COUNT(&set) }).unwrap_or(1),
        Err(_) => std::thread::available_parallelism().map_or(1, Into::into),
    }
}
