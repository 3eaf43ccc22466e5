//! Which user this process is.

use crate::calls::check;

/// A user who owns nothing.
pub const NOBODY: u32 = 65_534;

/// The effective user.
pub fn effective() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this is root, who may do what others may not. If not, says that the test is skipped.
pub fn is_root(what: &str) -> bool {
    let root = effective() == 0;
    if !root {
        eprintln!("skipped: only root can {what}");
    }
    root
}

/// Gives up root for good.
pub fn become_user(user: u32) {
    // SAFETY: an empty list needs no memory to read.
    check(unsafe { libc::setgroups(0, std::ptr::null()) });
    // SAFETY: takes numbers only.
    check(unsafe { libc::setresgid(user, user, user) });
    // SAFETY: takes numbers only.
    check(unsafe { libc::setresuid(user, user, user) });
    // With the user, the kernel forgets what it was told.
    die_with_parent();
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

/// Lets the kernel kill this process when its parent ends.
pub fn die_with_parent() {
    // SAFETY: takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) });
}

/// Sets the umask.
pub fn set_umask(mask: u32) {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::umask(mask) };
}
