//! Processes: users, limits, forks, and what a thread is waiting in.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

#[track_caller]
fn check(returned: i32) -> i32 {
    assert_ne!(returned, -1, "{}", io::Error::last_os_error());
    returned
}

pub fn effective_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this is root, who may do what others may not; a test that needs it says that it is
/// skipped.
pub fn is_root(what: &str) -> bool {
    let root = effective_user() == 0;
    if !root {
        eprintln!("skipped: only root can {what}");
    }
    root
}

/// Somebody who owns nothing.
pub const NOBODY: u32 = 65_534;

/// Gives up root for good.
pub fn become_user(user: u32) {
    // SAFETY: an empty list needs no memory to read.
    check(unsafe { libc::setgroups(0, std::ptr::null()) });
    // SAFETY: takes numbers only.
    check(unsafe { libc::setresgid(user, user, user) });
    // SAFETY: takes numbers only.
    check(unsafe { libc::setresuid(user, user, user) });
    // Another user is another parent to the kernel.
    die_with_parent();
}

/// Ends this process as a signal would: no destructor runs.
pub fn exit_now() -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(0) }
}

/// Runs `body` in a forked child of a process with one thread, which then leaves as others do.
pub fn fork_and(body: impl FnOnce()) {
    // SAFETY: there is no other thread that could have held a lock.
    if check(unsafe { libc::fork() }) == 0 {
        die_with_parent();
        body();
        exit_now();
    }
}

/// Waits for the children that have ended.
pub fn reap_children() {
    // SAFETY: takes numbers and a null pointer, for which no status is written.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// Does something as another user, and becomes root again.
pub fn as_user<T>(user: u32, body: impl FnOnce() -> T) -> T {
    // SAFETY: takes numbers only.
    let change = |user| check(unsafe { libc::setresuid(u32::MAX, user, u32::MAX) });
    change(user);
    let done = body();
    change(0);
    done
}

/// Nobody is left behind when a test is killed.
pub fn die_with_parent() {
    // SAFETY: takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) });
}

/// Sets the soft limit of a resource of this process; returns what it was.
pub fn set_limit(resource: libc::__rlimit_resource_t, soft: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) });
    let before = std::mem::replace(&mut limit.rlim_cur, soft);
    // SAFETY: `limit` is readable.
    check(unsafe { libc::setrlimit(resource, &raw const limit) });
    before
}

pub fn set_umask(mask: u32) {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::umask(mask) };
}

/// Gives this process a mount namespace of its own, with an empty `/dev/shm`; `false` where that is
/// not permitted.
pub fn own_shm(options: &CStr) -> bool {
    let own = own_mounts();
    if own {
        mount(c"none", c"/dev/shm", Some(c"tmpfs"), 0, Some(options));
    }
    own
}

/// The same with another file system, whose memory cannot be reserved and whose files have no marks.
pub fn own_shm_on_ramfs() -> bool {
    let own = own_mounts();
    if own {
        mount(c"none", c"/dev/shm", Some(c"ramfs"), 0, None);
    }
    own
}

/// The same with a directory of another file system in its place.
pub fn own_shm_in(directory: &CStr) -> bool {
    let own = own_mounts();
    if own {
        mount(directory, c"/dev/shm", None, libc::MS_BIND, None);
    }
    own
}

fn own_mounts() -> bool {
    // SAFETY: takes a number only.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } == -1 {
        eprintln!("skipped: no mount namespace ({})", io::Error::last_os_error());
        return false;
    }
    mount(c"none", c"/", None, libc::MS_REC | libc::MS_PRIVATE, None);
    true
}

/// Gives this process a mount namespace of its own, with an empty `/tmp`; `false` where that is not
/// permitted.
pub fn own_tmp() -> bool {
    let own = own_mounts();
    if own {
        mount(c"none", c"/tmp", Some(c"tmpfs"), 0, Some(c"mode=1777"));
    }
    own
}

pub fn remount_shm(flags: u64) {
    mount(c"none", c"/dev/shm", None, libc::MS_REMOUNT | flags, None);
}

fn mount(source: &CStr, target: &CStr, kind: Option<&CStr>, flags: u64, options: Option<&CStr>) {
    let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: null or NUL-terminated strings that outlive the call.
    check(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), pointer(kind), flags, pointer(options).cast())
    });
}

/// Gives this process an IPC namespace of its own, without queues and with the default limits;
/// `false` where that is not permitted.
pub fn own_queues() -> bool {
    // SAFETY: takes a number only.
    let done = unsafe { libc::unshare(libc::CLONE_NEWIPC) } == 0;
    if !done {
        eprintln!("skipped: no IPC namespace ({})", io::Error::last_os_error());
    }
    done
}

/// Forks. Only a role does that: it has no threads but the one that forks and the harness's, which
/// waits. The child does what `body` says and ends without any clean-up.
pub fn fork(body: impl FnOnce()) -> i32 {
    // SAFETY: no other thread holds a lock that the child could need.
    let pid = check(unsafe { libc::fork() });
    if pid == 0 {
        die_with_parent();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    pid
}

pub fn wait_for(pid: i32) -> ExitStatus {
    let mut status = 0;
    // SAFETY: `status` is writable.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) });
    ExitStatus::from_raw(status)
}

/// Kills a child, and waits until it is gone.
pub fn kill(pid: i32) {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, libc::SIGKILL) });
    assert_eq!(wait_for(pid).signal(), Some(libc::SIGKILL));
}

pub fn thread_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Returns when the thread sleeps in one of these system calls.
pub fn wait_until_in(pid: i32, thread: i32, calls: &[libc::c_long]) {
    let path = format!("/proc/{pid}/task/{thread}/syscall");
    loop {
        let syscall = fs::read_to_string(&path).expect("the thread lives, and may be looked at");
        let number = syscall.split_whitespace().next().and_then(|number| number.parse().ok());
        if number.is_some_and(|number: libc::c_long| calls.contains(&number)) {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Frees descriptor 0; closing it twice is fine.
pub fn close_standard_input() {
    // SAFETY: nothing in a role owns this descriptor, or reads from it afterwards.
    unsafe { libc::close(0) };
}

/// Hides all that is in `/dev`, in a mount namespace of its own.
pub fn hide_shm() {
    mount(c"none", c"/dev", Some(c"tmpfs"), 0, None);
}
