//! What only Linux tells, in `/proc`: the limits of queues, and what tells one process from another.

use std::ffi::CString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

/// The path by which the kernel knows an open file, in this thread: `/proc/self` is empty once the
/// first thread of the process has ended.
pub(crate) fn descriptor_path(fd: BorrowedFd<'_>) -> CString {
    // A number has no NUL byte, so the string is always made.
    CString::new(format!("/proc/thread-self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}

/// One of the numbers in `/proc/sys/fs/mqueue`
/// ([mq_overview(7)](https://man7.org/linux/man-pages/man7/mq_overview.7.html)).
pub(crate) fn queue_limit(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}")).ok()?.trim().parse().ok()
}

/// Whether this process may exceed the system's limits for queues (`CAP_SYS_RESOURCE`). The kernel
/// asks for it in the initial user namespace, which cannot be seen from here: a `true` may be
/// refused.
pub(crate) fn may_exceed_queue_limits() -> bool {
    const SYS_RESOURCE: u32 = 24;
    fs::read_to_string("/proc/thread-self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask >> SYS_RESOURCE & 1 == 1)
    })
}

/// Names this boot of the machine.
pub(crate) fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_string())
}

/// Where the kernel has no namespaces of a kind, there is one.
pub(super) const NO_NAMESPACE: u64 = 0;

/// Names the pid namespace of this process.
pub(crate) fn pid_namespace() -> Option<u64> {
    namespace("thread-self", "pid").ok()
}

/// Names the IPC namespace of this process, which its queues belong to.
pub(crate) fn ipc_namespace() -> Option<u64> {
    namespace("thread-self", "ipc").ok()
}

/// Names the time namespace of this process, which shifts the times since boot
/// ([time_namespaces(7)](https://man7.org/linux/man-pages/man7/time_namespaces.7.html)).
pub(crate) fn time_namespace() -> Option<u64> {
    match namespace("thread-self", "time") {
        Err(error) if error.kind() == ErrorKind::NotFound => pid_namespace().map(|_| NO_NAMESPACE),
        namespace => namespace.ok(),
    }
}

/// Names a namespace of a process, by its folder in `/proc`.
pub(super) fn namespace(process: &str, kind: &str) -> io::Result<u64> {
    fs::metadata(format!("/proc/{process}/ns/{kind}")).map(|metadata| metadata.ino())
}
