//! `<sys/stat.h>` and `<sys/statvfs.h>`: what a file is, and how much room there is.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::conv::check;
use crate::sys::{FileType, Identity, Result, Stat};

/// Describes the open file ([fstat(2)](https://man7.org/linux/man-pages/man2/fstat.2.html)).
pub(crate) fn fstat(fd: BorrowedFd<'_>) -> Result<Stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: `stat` is writable memory of the right size for the call.
    check(|| unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: `fstat` has succeeded and so filled the structure.
    Ok(convert(&unsafe { stat.assume_init() }))
}

/// Describes what `path` names, without following a symlink.
pub(crate) fn lstat(path: &CStr) -> Result<Stat> {
    let mut stat = MaybeUninit::uninit();
    // SAFETY: `path` is NUL-terminated and `stat` is writable memory of the right size.
    check(|| unsafe { libc::lstat(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: `lstat` has succeeded and so filled the structure.
    Ok(convert(&unsafe { stat.assume_init() }))
}

fn convert(stat: &libc::stat) -> Stat {
    let file_type = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileType::Regular,
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::Fifo,
        libc::S_IFCHR | libc::S_IFBLK => FileType::Device,
        _ => FileType::Other,
    };
    Stat {
        identity: Identity { device: stat.st_dev, inode: stat.st_ino },
        // A negative size does not exist on any file system that the kernel mounts.
        size: u64::try_from(stat.st_size).unwrap_or(0),
        file_type,
    }
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
