//! Limits of this process.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::calls::check;

/// Sets the soft limit of a resource; returns what it was.
pub fn set(resource: libc::__rlimit_resource_t, soft: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) });
    let before = std::mem::replace(&mut limit.rlim_cur, soft);
    // SAFETY: `limit` is readable.
    check(unsafe { libc::setrlimit(resource, &raw const limit) });
    before
}

/// The lowest free descriptor.
pub fn next_descriptor() -> u64 {
    let descriptor = File::open("/dev/null").expect("a descriptor is left").as_raw_fd();
    descriptor.try_into().expect("descriptors are not negative")
}

/// Runs `body` with as few as `left` descriptors left.
pub fn with_descriptors<T>(left: u64, body: impl FnOnce() -> T) -> T {
    let before = set(libc::RLIMIT_NOFILE, next_descriptor() + left);
    let done = body();
    set(libc::RLIMIT_NOFILE, before);
    done
}

/// Frees descriptor 0; closing it twice is fine.
pub fn close_standard_input() {
    // SAFETY: nothing in a role owns this descriptor, or reads from it afterwards.
    unsafe { libc::close(0) };
}

/// Whether this process may have that much of a resource.
pub fn may_have(resource: libc::__rlimit_resource_t, amount: u64) -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) });
    limit.rlim_max >= amount
}
