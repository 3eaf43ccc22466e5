//! `<sys/file.h>`: locks of an open file description, which all its descriptors, mappings and forked
//! children share, and which fall with the last of them, however it ends
//! ([flock(2)](https://man7.org/linux/man-pages/man2/flock.2.html)).
//!
//! None of these calls waits.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::conv::check;
use crate::sys::{Errno, FileId, Result};

/// Takes a shared lock, in place of another that the description has; `false`: somebody has an
/// exclusive one.
pub(crate) fn try_shared(fd: BorrowedFd<'_>) -> Result<bool> {
    lock(fd, libc::LOCK_SH | libc::LOCK_NB)
}

/// Takes an exclusive lock, in place of another that the description has; `false`: somebody else has
/// one. What the description had is lost then.
pub(crate) fn try_exclusive(fd: BorrowedFd<'_>) -> Result<bool> {
    lock(fd, libc::LOCK_EX | libc::LOCK_NB)
}

/// Gives up what the description has.
pub(crate) fn unlock(fd: BorrowedFd<'_>) {
    // Fails for no descriptor that is open.
    let _ = lock(fd, libc::LOCK_UN);
}

fn lock(fd: BorrowedFd<'_>, operation: i32) -> Result<bool> {
    // SAFETY: takes a descriptor, which `fd` keeps open, and a number.
    match check(|| unsafe { libc::flock(fd.as_raw_fd(), operation) }) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A lock as `/proc` lists it ([proc_locks(5)](https://man7.org/linux/man-pages/man5/proc_locks.5.html)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub file: FileId,
    pub exclusive: bool,
    /// A process that took it, in the pid namespace of `/proc`; 0 for one of another namespace.
    pub pid: u32,
}

/// The locks of this sort that this process may see.
pub(crate) fn listed() -> Vec<Listed> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().filter_map(parse).collect()
}

/// `1: FLOCK  ADVISORY  READ 1234 00:1a:5678 0 EOF`.
fn parse(line: &str) -> Option<Listed> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if fields.next()? != "FLOCK" {
        return None;
    }
    let exclusive = fields.nth(1)? == "WRITE";
    // A process of a namespace that cannot be seen has the number 0 or -1.
    let pid = fields.next()?.parse().unwrap_or(0);
    let mut file = fields.next()?.split(':');
    let number = |text| u32::from_str_radix(text, 16).ok();
    let device = libc::makedev(number(file.next()?)?, number(file.next()?)?);
    Some(Listed { file: FileId { device, inode: file.next()?.parse().ok()? }, exclusive, pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_is_understood() {
        let listed = parse("7: FLOCK  ADVISORY  WRITE 1234 00:1a:5678 0 EOF").unwrap();
        let file = FileId { device: libc::makedev(0, 0x1a), inode: 5678 };
        assert_eq!(listed, Listed { file, exclusive: true, pid: 1234 });
        assert!(!parse("7: FLOCK  ADVISORY  READ -1 00:1a:5678 0 EOF").unwrap().exclusive);
        for other in ["", "7: POSIX  ADVISORY  READ 1 00:1a:5 0 EOF", "7: -> FLOCK", "7: FLOCK x"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
