//! The directories in which users keep the records of their queues: `/run/user/UID/nob-ipc`, or
//! `/tmp/nob-ipc-UID` where the system makes no directory for the user.
//!
//! Anybody may put anything into `/tmp` and into directories of his own. So a directory is opened once,
//! checked on its descriptor, and used through it alone; and a record is a small regular file that
//! belongs to the directory's owner, opened without following a link or waiting for a FIFO.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use super::conv::check;
use super::files::errno_of;
use super::{dirent, stat, unistd};
use crate::sys::{Errno, FileType, Result, Stat};

/// More bytes than a record has. What is longer is none.
const LARGEST: u64 = 1024;

/// More records than a user can have queues. What a directory has beyond is not looked at.
const MOST: usize = 65_536;

/// A directory that nobody but one user can write to or read.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    /// Whom it belongs to: nobody else can have written what is in it.
    pub user: u32,
}

/// The bytes of a name as a name.
pub(crate) fn os_str(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

fn runtime_path(user: u32) -> CString {
    path(&format!("/run/user/{user}"))
}

fn path_in_runtime(user: u32) -> CString {
    path(&format!("/run/user/{user}/nob-ipc"))
}

fn temporary_path(user: u32) -> CString {
    path(&format!("/tmp/nob-ipc-{user}"))
}

fn path(text: &str) -> CString {
    // The text is made of words and a number, without a NUL byte.
    CString::new(text).unwrap_or_default()
}

/// Where a user's directory is, or is to be: where the system has made one for the user, within it.
fn place_of(user: u32) -> CString {
    if stat::of_path(&runtime_path(user)).is_ok_and(|stat| is_private(&stat, user)) {
        path_in_runtime(user)
    } else {
        temporary_path(user)
    }
}

/// The permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// The one opinion of what is a user's own.
fn is_private(stat: &Stat, user: u32) -> bool {
    stat.file_type == FileType::Directory && stat.owner == user && stat.permissions & OTHERS == 0
}

/// Where this user's directory is.
#[cfg(test)]
pub(crate) fn own_directory() -> CString {
    place_of(unistd::effective_user())
}

/// What has the place of a user's directory in `/tmp` and is not that user's alone: no records of that
/// user can be kept.
#[derive(Debug)]
pub(crate) struct Squatted {
    pub path: CString,
    pub user: u32,
    pub owner: u32,
}

fn squatted_place_of(user: u32) -> Option<Squatted> {
    let path = temporary_path(user);
    let stat = stat::of_path(&path).ok()?;
    let hurts = !is_private(&stat, user) && place_of(user) == path;
    hurts.then_some(Squatted { path, user, owner: stat.owner })
}

/// Whether something has the place of a user's directory.
pub(crate) fn is_squatted(user: u32) -> bool {
    squatted_place_of(user).is_some()
}

/// All that is squatted, of whatever user.
pub(crate) fn squatted() -> Vec<Squatted> {
    let names = dirent::open(c"/tmp", 0).and_then(|tmp| dirent::names(tmp, MOST));
    let user =
        |name: &Vec<u8>| str::from_utf8(name).ok()?.strip_prefix("nob-ipc-")?.parse::<u32>().ok();
    names.unwrap_or_default().iter().filter_map(user).filter_map(squatted_place_of).collect()
}

impl Directory {
    /// This user's directory, made if it is missing.
    pub(crate) fn own() -> Result<Directory> {
        let user = unistd::effective_user();
        let path = place_of(user);
        match Directory::open(&path, user) {
            Err(Errno::NOENT | Errno::ACCES) => {
                make(&path, user)?;
                Directory::open(&path, user)
            }
            opened => opened,
        }
    }

    /// The directories of a user that exist and that this user may read.
    pub(crate) fn of(user: u32) -> impl Iterator<Item = Directory> {
        let paths = [path_in_runtime(user), temporary_path(user)];
        paths.into_iter().filter_map(move |path| Directory::open(&path, user).ok())
    }

    fn open(path: &CStr, user: u32) -> Result<Directory> {
        let fd = dirent::open(path, libc::O_NOFOLLOW)?;
        if is_private(&stat::of(fd.as_fd())?, user) {
            Ok(Directory { fd, user })
        } else {
            Err(Errno::ACCES)
        }
    }

    /// The names of its files that are text.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = dirent::open_again(self.fd.as_fd()).and_then(|fd| dirent::names(fd, MOST));
        names.unwrap_or_default().into_iter().filter_map(|it| String::from_utf8(it).ok()).collect()
    }

    /// Reads a record; `INVAL` for what cannot be one.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = self.open_file(name, flags)?;
        let stat = stat::of(file.as_fd())?;
        if stat.file_type != FileType::Regular || stat.owner != self.user || stat.size > LARGEST {
            return Err(Errno::INVAL);
        }
        let mut text = Vec::new();
        // It may have grown since.
        let read = File::from(file).take(LARGEST).read_to_end(&mut text);
        read.map_err(|error| errno_of(&error))?;
        Ok(text)
    }

    /// When a file was last written to.
    pub(crate) fn modified(&self, name: &str) -> Result<std::time::SystemTime> {
        stat::of_name(self.fd.as_fd(), &path(name)).map(|stat| stat.modified)
    }

    /// Writes a file that must not exist yet; what cannot be written does not stay behind.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.open_file(name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL)?;
        // Whatever the umask is.
        let done = stat::change_mode(file.as_fd(), 0o600)
            .and_then(|()| File::from(file).write_all(bytes).map_err(|error| errno_of(&error)));
        done.inspect_err(|_| {
            // There is nothing better to do about it than to say that the record was not written.
            let _ = self.remove(name);
        })
    }

    fn open_file(&self, name: &str, flags: i32) -> Result<OwnedFd> {
        let name = path(name);
        // SAFETY: `name` is NUL-terminated; the mode that O_CREAT makes the call read is there.
        let fd = check(|| unsafe {
            libc::openat(self.fd.as_raw_fd(), name.as_ptr(), flags | libc::O_CLOEXEC, 0o600)
        })?;
        // SAFETY: `openat` has just made this descriptor, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Gives a file another name, in place of what has that name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to, fd) = (path(from), path(to), self.fd.as_raw_fd());
        // SAFETY: both names are NUL-terminated strings that outlive the call.
        check(|| unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) })?;
        Ok(())
    }

    /// Removes a file.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let name = path(name);
        // SAFETY: `name` is a NUL-terminated string that outlives the call.
        check(|| unsafe { libc::unlinkat(self.fd.as_raw_fd(), name.as_ptr(), 0) })?;
        Ok(())
    }
}

/// Makes a directory that is this user's alone, whatever the umask is, or opens to the user what an umask
/// has closed.
fn make(path: &CStr, user: u32) -> Result<()> {
    // SAFETY: `path` is a NUL-terminated string that outlives the call.
    match check(|| unsafe { libc::mkdir(path.as_ptr(), 0o700) }) {
        // Made by another process, or by an earlier one that was killed before the next call.
        Ok(_) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    if !is_private(&stat::of_path(path)?, user) {
        return Err(Errno::ACCES);
    }
    // SAFETY: as above. In a sticky directory nobody else can have put another in its place.
    check(|| unsafe { libc::chmod(path.as_ptr(), 0o700) })?;
    Ok(())
}
