//! `/dev/shm` as a directory, and what `<sys/stat.h>` tells of its files beyond `stat`.

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, SystemTime};

use super::SHM_DIRECTORY;
use super::conv::check;
use crate::name::Kind;
use crate::sys::{Details, Errno, FileType, Identity, Result};

/// The names of all files that can be semaphores or segments; none where the directory is missing.
pub(crate) fn list() -> Result<Vec<(Kind, OsString)>> {
    let entries = match fs::read_dir(OsStr::from_bytes(SHM_DIRECTORY.to_bytes())) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| errno_of(&error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| errno_of(&error))?.file_name().into_vec();
        names.push(match file.strip_prefix(b"sem.") {
            Some(bare) => (Kind::Semaphore, OsString::from_vec(bare.to_vec())),
            None => (Kind::SharedMemory, OsString::from_vec(file)),
        });
    }
    Ok(names)
}

pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::INVAL, Errno)
}

/// Describes what `path` names, without following a symlink
/// ([statx(2)](https://man7.org/linux/man-pages/man2/statx.2.html)).
pub(crate) fn look(path: &CStr) -> Result<Details> {
    statx(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW).map(|stat| convert(&stat))
}

/// Describes an open file.
pub(crate) fn look_at(fd: BorrowedFd<'_>) -> Result<Details> {
    statx(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH).map(|stat| convert(&stat))
}

/// Describes what `name` names in a directory.
pub(super) fn look_in(directory: BorrowedFd<'_>, name: &CStr) -> Result<Details> {
    statx(directory.as_raw_fd(), name, libc::AT_SYMLINK_NOFOLLOW).map(|stat| convert(&stat))
}

/// What the link `path` leads to. It never waits for the server of a remote file system.
pub(super) fn identity_behind(path: &CStr) -> Result<Identity> {
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    statx(libc::AT_FDCWD, path, flags).map(|stat| identity(&stat))
}

fn statx(directory: i32, path: &CStr, flags: i32) -> Result<libc::statx> {
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    let mut stat = MaybeUninit::uninit();
    // SAFETY: `path` is NUL-terminated and `stat` is writable memory of the right size.
    check(|| unsafe { libc::statx(directory, path.as_ptr(), flags, mask, stat.as_mut_ptr()) })?;
    // SAFETY: `statx` has succeeded and so filled the structure.
    Ok(unsafe { stat.assume_init() })
}

fn identity(stat: &libc::statx) -> Identity {
    let device = libc::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    Identity { device, inode: stat.stx_ino }
}

fn convert(stat: &libc::statx) -> Details {
    let mode = u32::from(stat.stx_mode);
    let file_type =
        if mode & libc::S_IFMT == libc::S_IFREG { FileType::Regular } else { FileType::Other };
    let created = (stat.stx_mask & libc::STATX_BTIME != 0).then(|| time(stat.stx_btime));
    Details {
        identity: identity(stat),
        file_type,
        size: stat.stx_size,
        // The unit of `st_blocks` is 512 bytes whatever the file system.
        allocated: stat.stx_blocks.saturating_mul(512),
        permissions: mode & 0o7777,
        owner: stat.stx_uid,
        group: stat.stx_gid,
        created,
        changed: time(stat.stx_mtime).max(time(stat.stx_ctime)),
    }
}

fn time(time: libc::statx_timestamp) -> SystemTime {
    // A clock that was set to before 1970 counts as 1970.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let since = Duration::new(seconds, time.tv_nsec.min(999_999_999));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The value in a semaphore's file, read without mapping it: a file that shrinks meanwhile is an
/// error, and no signal. The right to read is enough.
pub(crate) fn semaphore_value(fd: BorrowedFd<'_>) -> Result<u32> {
    const SIZE: usize = size_of::<libc::sem_t>();
    let mut semaphore = MaybeUninit::<libc::sem_t>::zeroed();
    // SAFETY: `semaphore` is writable for its size.
    let length =
        check(|| unsafe { libc::pread(fd.as_raw_fd(), semaphore.as_mut_ptr().cast(), SIZE, 0) })?;
    if usize::try_from(length) != Ok(SIZE) {
        return Err(Errno::INVAL);
    }
    let mut value = 0;
    // SAFETY: the copy is aligned, all of its bytes are initialised, nobody waits on it, and the call
    // only reads it; `value` is writable.
    check(|| unsafe { libc::sem_getvalue(semaphore.as_mut_ptr(), &raw mut value) })?;
    u32::try_from(value).map_err(|_| Errno::INVAL)
}
