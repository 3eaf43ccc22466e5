//! What a role changes on its [`Machine`](crate::Machine).

use std::env;
use std::ffi::{CStr, CString, OsString};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::ptr;

use crate::calls::check;

/// The mount namespace of the test that has made a machine, for what runs on it.
const OUTSIDE: &str = "NOB_IPC_TEST_OUTSIDE";

fn mount_namespace() -> OsString {
    fs::read_link("/proc/self/ns/mnt").expect("/proc is mounted").into_os_string()
}

/// Tells a command that is to run on a machine of its own what the mount namespace outside is.
pub(crate) fn tell_outside(command: &mut Command) {
    command.env(OUTSIDE, mount_namespace());
}

/// Whether this process runs on a machine of its own.
pub(crate) fn are_own() -> bool {
    env::var_os(OUTSIDE).is_some_and(|outside| outside != mount_namespace())
}

/// Hides what is at a place behind an empty directory.
pub fn hide(place: &CStr) {
    mount(c"none", place, Some(c"tmpfs"), 0, None);
}

/// Gives the machine a `/tmp` of its own, and so no records of queues. Programs that were built in `/tmp`
/// stay where they are.
pub(crate) fn own_tmp() {
    // Of target/debug/deps/it: the command under test is in `debug`, and what tests write in `tmp`.
    let binary = env::current_exe().expect("this binary has a path");
    let build = binary.ancestors().nth(3).expect("it is in a directory of its profile");
    assert_ne!(build, Path::new("/tmp"), "the whole of /tmp cannot be kept");
    let kept = build.starts_with("/tmp").then(|| File::open(build).expect("it is there"));
    mount(c"none", c"/tmp", Some(c"tmpfs"), 0, Some(c"mode=1777"));
    if let Some(kept) = kept {
        fs::create_dir_all(build).expect("it is empty");
        bind(Path::new(&format!("/proc/self/fd/{}", kept.as_raw_fd())), build);
    }
}

/// Puts a file system without extended attributes, whose memory cannot be reserved, at `/dev/shm`.
pub fn ramfs_at_shm() {
    mount(c"none", c"/dev/shm", Some(c"ramfs"), 0, None);
}

/// Shows a directory at another place as well.
pub fn bind(directory: &Path, place: &Path) {
    let [directory, place] =
        [directory, place].map(|path| CString::new(path.as_os_str().as_bytes()).expect("no NUL"));
    mount(&directory, &place, None, libc::MS_BIND, None);
}

/// Changes how `/dev/shm` is mounted, such as with `MS_RDONLY`.
pub fn remount_shm(flags: u64) {
    mount(c"none", c"/dev/shm", None, libc::MS_REMOUNT | flags, None);
}

fn mount(source: &CStr, target: &CStr, kind: Option<&CStr>, flags: u64, options: Option<&CStr>) {
    assert!(are_own(), "mounts are changed on a Machine alone");
    let pointer = |text: Option<&CStr>| text.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: null or NUL-terminated strings that outlive the call.
    check(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), pointer(kind), flags, pointer(options).cast())
    });
}

#[cfg(test)]
mod tests {
    /// A test that mounted something here would take `/dev/shm` away from every other process.
    #[test]
    #[should_panic(expected = "on a Machine alone")]
    fn nothing_is_mounted_on_the_machine_of_the_tests() {
        super::remount_shm(0);
    }
}
