//! `<poll.h>`: waiting for readiness.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::conv::check;
use super::time::timespec;
use crate::sys::{Readiness, Result};

/// Waits until `fd` is ready, `timeout` is over (on the monotonic clock) or a signal comes; a
/// spurious return is possible
/// ([ppoll(2)](https://man7.org/linux/man-pages/man2/poll.2.html)).
pub(crate) fn wait(fd: BorrowedFd<'_>, readiness: Readiness, timeout: Duration) -> Result<()> {
    let events = match readiness {
        Readiness::Readable => libc::POLLIN,
        Readiness::Writable => libc::POLLOUT,
    };
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let timeout = timespec(timeout);
    // SAFETY: one valid entry and a valid time, both of which outlive the call; a null signal mask
    // leaves the mask of the thread.
    check(|| unsafe { libc::ppoll(&raw mut entry, 1, &raw const timeout, std::ptr::null()) })?;
    Ok(())
}
