//! A time limit that a signal handler can spoil: how a call that waits in the kernel learns of a signal
//! that came just before it.
//!
//! The limit lies in a file in memory, and the kernel reads it there as the call begins. A byte that
//! was written to the file makes it an invalid time, which ends the call with EINVAL; a signal that
//! comes later ends it with EINTR.

use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::conv::check;
use super::mman::Map;
use super::unistd;
use crate::sys::Result;

/// Where the first byte goes: whatever it is, but for 0, the nanoseconds are out of range then.
const FIRST: usize =
    offset_of!(libc::timespec, tv_nsec) + if cfg!(target_endian = "little") { 4 } else { 0 };

/// Invariant: `map` holds one `timespec`, aligned, as long as it lives.
#[derive(Debug)]
pub(crate) struct SpoilableTime {
    file: OwnedFd,
    map: Map,
}

impl SpoilableTime {
    /// A limit that is never reached
    /// ([memfd_create(2)](https://man7.org/linux/man-pages/man2/memfd_create.2.html)).
    pub(crate) fn new() -> Result<SpoilableTime> {
        let name = c"nob-ipc-bell";
        // SAFETY: the name is NUL-terminated and lives for ever.
        let fd = check(|| unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) })?;
        // SAFETY: `memfd_create` has just made this descriptor, and nobody else knows it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        // A file in memory never blocks; those who ring may insist on a descriptor that says so.
        // SAFETY: takes a descriptor, which `file` keeps open, and numbers.
        check(|| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })?;
        unistd::truncate(file.as_fd(), size_of::<libc::timespec>() as u64)?;
        let map = Map::new(file.as_fd(), size_of::<libc::timespec>(), true)?;
        let time = SpoilableTime { file, map };
        time.mend()?;
        Ok(time)
    }

    /// Makes it valid again. What is written meanwhile may be lost.
    pub(crate) fn mend(&self) -> Result<()> {
        let never = libc::timespec { tv_sec: i64::MAX, tv_nsec: 0 };
        // SAFETY: the invariant; a mapping is aligned to pages.
        unsafe { self.pointer().cast_mut().write_volatile(never) };
        // SAFETY: takes a descriptor, which `file` keeps open, and numbers.
        check(|| unsafe {
            libc::lseek(self.file.as_raw_fd(), FIRST.cast_signed() as i64, libc::SEEK_SET)
        })?;
        Ok(())
    }

    /// Whether a byte was written since it was last mended.
    pub(crate) fn is_spoilt(&self) -> bool {
        // SAFETY: the invariant; integers are valid whatever has been written to them.
        unsafe { self.pointer().read_volatile() }.tv_nsec != 0
    }

    /// For the kernel, which copies it.
    pub(super) fn pointer(&self) -> *const libc::timespec {
        self.map.as_ptr().cast_const().cast()
    }
}

impl AsFd for SpoilableTime {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
