//! `<sys/resource.h>`: limits of this process
//! ([getrlimit(2)](https://man7.org/linux/man-pages/man2/getrlimit.2.html)).

use super::conv::check;

/// How many bytes this user may hold in queues; `None`: without bound or unknown.
pub(crate) fn queue_memory() -> Option<u64> {
    limit(libc::RLIMIT_MSGQUEUE)
}

/// How large this process may make a file; `None`: without bound or unknown.
pub(crate) fn file_size() -> Option<u64> {
    limit(libc::RLIMIT_FSIZE)
}

fn limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable memory of the right size.
    check(|| unsafe { libc::getrlimit(resource, &raw mut limit) }).ok()?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}
