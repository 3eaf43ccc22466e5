//! `<sys/stat.h>` and `<sys/statvfs.h>`: what a file is, and how much room there is.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use super::conv::check;
use crate::sys::{FileId, FileType, Identity, Result, Stat};

/// Describes an open file ([statx(2)](https://man7.org/linux/man-pages/man2/statx.2.html)).
pub(crate) fn of(fd: BorrowedFd<'_>) -> Result<Stat> {
    statx(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH).map(|stat| convert(&stat))
}

/// Describes what `path` names, without following a symlink.
pub(crate) fn of_path(path: &CStr) -> Result<Stat> {
    statx(libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW).map(|stat| convert(&stat))
}

/// Describes what `name` names in a directory, without following a symlink.
pub(crate) fn of_name(directory: BorrowedFd<'_>, name: &CStr) -> Result<Stat> {
    statx(directory.as_raw_fd(), name, libc::AT_SYMLINK_NOFOLLOW).map(|stat| convert(&stat))
}

/// What the link `path` leads to, and its size. It never waits for the server of a remote file system.
pub(super) fn file_behind(path: &CStr) -> Result<(FileId, u64)> {
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    statx(libc::AT_FDCWD, path, flags).map(|stat| (file(&stat), stat.stx_size))
}

fn statx(directory: i32, path: &CStr, flags: i32) -> Result<libc::statx> {
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    let mut stat = MaybeUninit::uninit();
    // SAFETY: `path` is NUL-terminated and `stat` is writable memory of the right size.
    check(|| unsafe { libc::statx(directory, path.as_ptr(), flags, mask, stat.as_mut_ptr()) })?;
    // SAFETY: `statx` has succeeded and so filled the structure.
    Ok(unsafe { stat.assume_init() })
}

fn file(stat: &libc::statx) -> FileId {
    let device = libc::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    FileId { device, inode: stat.stx_ino }
}

fn convert(stat: &libc::statx) -> Stat {
    let mode = u32::from(stat.stx_mode);
    let created = (stat.stx_mask & libc::STATX_BTIME != 0).then(|| time(stat.stx_btime));
    Stat {
        identity: Identity { file: file(stat), created },
        file_type: match mode & libc::S_IFMT {
            libc::S_IFREG => FileType::Regular,
            libc::S_IFDIR => FileType::Directory,
            libc::S_IFLNK => FileType::Symlink,
            libc::S_IFIFO => FileType::Fifo,
            libc::S_IFCHR | libc::S_IFBLK => FileType::Device,
            _ => FileType::Other,
        },
        size: stat.stx_size,
        // The unit of `st_blocks` is 512 bytes whatever the file system.
        allocated: stat.stx_blocks.saturating_mul(512),
        names: stat.stx_nlink,
        permissions: mode & 0o7777,
        owner: stat.stx_uid,
        group: stat.stx_gid,
        modified: time(stat.stx_mtime),
        changed: time(stat.stx_mtime).max(time(stat.stx_ctime)),
        accessed: time(stat.stx_atime),
    }
}

fn time(time: libc::statx_timestamp) -> SystemTime {
    // A clock that was set to before 1970 counts as 1970.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let since = Duration::new(seconds, time.tv_nsec.min(999_999_999));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Sets the permission bits, whatever the umask is
/// ([fchmod(2)](https://man7.org/linux/man-pages/man2/fchmod.2.html)).
pub(crate) fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    // SAFETY: takes a descriptor, which `fd` keeps open, and a number.
    check(|| unsafe { libc::fchmod(fd.as_raw_fd(), mode) })?;
    Ok(())
}

/// How much room a file system has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes in all; 0 where nothing bounds it.
    pub total: u64,
    /// Bytes that this user may still take.
    pub available: u64,
    /// Files that this user may still make.
    pub files: u64,
}

/// The room of the file system that holds `path`
/// ([statvfs(3)](https://man7.org/linux/man-pages/man3/statvfs.3.html)).
pub(crate) fn room(path: &CStr) -> Result<Room> {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` is NUL-terminated and `stat` is writable memory of the right size.
    check(|| unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: `statvfs` has succeeded and so filled the structure.
    let stat = unsafe { stat.assume_init() };
    Ok(Room {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        available: stat.f_bavail.saturating_mul(stat.f_frsize),
        files: stat.f_favail,
    })
}
