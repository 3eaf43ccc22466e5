//! The `mqueue` file system, through which alone the kernel lists its queues.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::conv::check;
use super::{dirent, stat};
use crate::sys::{Errno, Result, Stat};

/// Where the file system is mounted by custom
/// ([mq_overview(7)](https://man7.org/linux/man-pages/man7/mq_overview.7.html)).
const MOUNT_POINT: &CStr = c"/dev/mqueue";

/// The file system, open as a directory.
pub(crate) struct QueueDirectory(OwnedFd);

impl QueueDirectory {
    /// Where it is not mounted at its customary place, it is mounted where nobody sees it, which takes
    /// `CAP_SYS_ADMIN`: [`Errno::PERM`] without.
    pub(crate) fn open() -> Result<QueueDirectory> {
        match mounted()? {
            Some(directory) => Ok(QueueDirectory(directory)),
            // A filter of system calls may deny that there are such.
            None => match mount() {
                Err(Errno::NOSYS) => Err(Errno::PERM),
                mount => dirent::open_again(mount?.as_fd()).map(QueueDirectory),
            },
        }
    }

    /// The names of all queues of this IPC namespace, without their slashes.
    pub(crate) fn names(&self) -> Result<Vec<Vec<u8>>> {
        dirent::names(dirent::open_again(self.0.as_fd())?, usize::MAX)
    }

    /// The device of all queues of this IPC namespace, which no other has.
    pub(crate) fn device(&self) -> Result<u64> {
        stat::of(self.0.as_fd()).map(|stat| stat.identity.file.device)
    }

    /// Describes a queue, which takes no right to open it. Its name begins with its slash.
    pub(crate) fn look(&self, name: &CStr) -> Result<Stat> {
        let bare = CStr::from_bytes_with_nul(name.to_bytes_with_nul().get(1..).unwrap_or_default());
        stat::of_name(self.0.as_fd(), bare.map_err(|_| Errno::INVAL)?)
    }
}

/// Whether the file system is mounted at its customary place.
pub(crate) fn is_mounted() -> bool {
    matches!(mounted(), Ok(Some(_)))
}

fn mounted() -> Result<Option<OwnedFd>> {
    let directory = match dirent::open(MOUNT_POINT, 0) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::ACCES) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: `stat` is writable memory of the right size.
    check(|| unsafe { libc::fstatfs(directory.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: `fstatfs` has succeeded and so filled the structure.
    let stat = unsafe { stat.assume_init() };
    // `MQUEUE_MAGIC` of Linux; a plain directory has the place where nothing is mounted.
    Ok((stat.f_type == 0x1980_0202).then_some(directory))
}

/// Mounts the file system at no place at all: it is gone with the descriptor, and no other thread or
/// process sees it ([fsmount(2)](https://man7.org/linux/man-pages/man2/fsmount.2.html)).
fn mount() -> Result<OwnedFd> {
    const CLOEXEC: libc::c_uint = 1;
    const CMD_CREATE: libc::c_uint = 6;
    let kind = CString::from(c"mqueue");
    // SAFETY: `kind` is a NUL-terminated string that outlives the call.
    let context =
        descriptor(|| unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) })?;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: the command takes neither a key nor a value.
    check(|| unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CMD_CREATE, none, none, 0)
    })?;
    // SAFETY: takes a descriptor, which `context` keeps open, and numbers.
    descriptor(|| unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, 0) })
}

fn descriptor(call: impl FnOnce() -> libc::c_long) -> Result<OwnedFd> {
    let fd = i32::try_from(check(call)?).map_err(|_| Errno::INVAL)?;
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
