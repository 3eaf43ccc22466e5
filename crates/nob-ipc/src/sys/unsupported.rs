//! Every other platform: the same functions, each of which reports `ENOSYS`.
//!
//! No object can be opened, so what works on an open object is uninhabited and never called.

use std::convert::Infallible;
use std::ffi::CStr;

pub(crate) const SHM_DIRECTORY: &CStr = c"";
pub(crate) const SEM_VALUE_MAX: u32 = i32::MAX as u32;
pub(crate) const PRIORITY_LIMIT: u32 = 32_768;
pub(crate) const MAX_SIGNAL: i32 = 64;

/// A descriptor, of which there is none.
#[derive(Debug)]
pub(crate) struct OwnedFd(Infallible);

/// A borrowed descriptor, of which there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BorrowedFd<'a>(&'a Infallible);

pub(crate) trait AsFd {
    fn as_fd(&self) -> BorrowedFd<'_>;
}

impl AsFd for OwnedFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        BorrowedFd(&self.0)
    }
}

pub(crate) mod fcntl {
    use super::{BorrowedFd, CStr, OwnedFd};
    use crate::sys::{Errno, OpenMode, Result};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum AllocatedSize {
        Keep,
        Grow,
    }

    pub(crate) fn open(_: &CStr, _: OpenMode) -> Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn open_unnamed(_: &CStr, _: u32) -> Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn spare() -> Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn reopen(fd: BorrowedFd<'_>, _: OpenMode) -> Result<OwnedFd> {
        match *fd.0 {}
    }

    pub(crate) fn reopen_eager(fd: BorrowedFd<'_>, _: OpenMode) -> Result<OwnedFd> {
        match *fd.0 {}
    }

    pub(crate) fn allocate(fd: BorrowedFd<'_>, _: u64, _: u64, _: AllocatedSize) -> Result<()> {
        match *fd.0 {}
    }

    pub(crate) fn deallocate(fd: BorrowedFd<'_>, _: u64, _: u64) -> Result<()> {
        match *fd.0 {}
    }

    pub(crate) fn lock_growth(fd: BorrowedFd<'_>) -> Result<()> {
        match *fd.0 {}
    }

    pub(crate) fn unlock_growth(fd: BorrowedFd<'_>) -> Result<()> {
        match *fd.0 {}
    }
}

pub(crate) mod unistd {
    use super::{BorrowedFd, CStr};
    use crate::sys::{Errno, Result};

    pub(crate) fn link(fd: BorrowedFd<'_>, _: &CStr) -> Result<()> {
        match *fd.0 {}
    }

    pub(crate) fn unlink(_: &CStr) -> Result<()> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn truncate(fd: BorrowedFd<'_>, _: u64) -> Result<()> {
        match *fd.0 {}
    }

    pub(crate) fn write(fd: BorrowedFd<'_>, _: &[u8]) -> Result<usize> {
        match *fd.0 {}
    }

    pub(crate) fn effective_user() -> u32 {
        0
    }
}

pub(crate) mod stat {
    use super::{BorrowedFd, CStr};
    use crate::sys::{Errno, Result, Stat};

    pub(crate) fn fstat(fd: BorrowedFd<'_>) -> Result<Stat> {
        match *fd.0 {}
    }

    pub(crate) fn lstat(_: &CStr) -> Result<Stat> {
        Err(Errno::NOSYS)
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Room {
        pub total: u64,
        pub available: u64,
        pub files: u64,
    }

    pub(crate) fn room(_: &CStr) -> Result<Room> {
        Err(Errno::NOSYS)
    }
}

pub(crate) mod mman {
    use super::{BorrowedFd, Infallible};
    use crate::sys::Result;

    #[derive(Debug)]
    pub(crate) struct Map(Infallible);

    impl Map {
        pub(crate) fn new(fd: BorrowedFd<'_>, _: usize, _: bool) -> Result<Map> {
            match *fd.0 {}
        }

        pub(crate) fn as_ptr(&self) -> *mut u8 {
            match self.0 {}
        }

        pub(crate) fn len(&self) -> usize {
            match self.0 {}
        }
    }
}

pub(crate) mod semaphore {
    use std::time::Duration;

    use super::{BorrowedFd, Infallible};
    use crate::sys::{Errno, Result};

    pub(crate) const FILE_SIZE: usize = 32;

    pub(crate) fn image(_: u32) -> Result<[u8; FILE_SIZE]> {
        Err(Errno::NOSYS)
    }

    #[derive(Debug)]
    pub(crate) struct MappedSemaphore(Infallible);

    impl MappedSemaphore {
        pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<MappedSemaphore> {
            match *fd.0 {}
        }

        pub(crate) fn try_wait(&self) -> bool {
            match self.0 {}
        }

        pub(crate) fn wait_until(&self, _: Duration) -> Result<()> {
            match self.0 {}
        }

        pub(crate) fn post(&self) -> Result<()> {
            match self.0 {}
        }

        pub(crate) fn value(&self) -> u32 {
            match self.0 {}
        }
    }
}

pub(crate) mod bell {
    use super::{AsFd, BorrowedFd, Infallible};
    use crate::sys::{Errno, Result};

    #[derive(Debug)]
    pub(crate) struct SpoilableTime(Infallible);

    impl SpoilableTime {
        pub(crate) fn new() -> Result<SpoilableTime> {
            Err(Errno::NOSYS)
        }

        pub(crate) fn mend(&self) -> Result<()> {
            match self.0 {}
        }

        pub(crate) fn is_spoilt(&self) -> bool {
            match self.0 {}
        }
    }

    impl AsFd for SpoilableTime {
        fn as_fd(&self) -> BorrowedFd<'_> {
            match self.0 {}
        }
    }
}

pub(crate) mod mqueue {
    use std::time::Duration;

    use super::bell::SpoilableTime;
    use super::{BorrowedFd, CStr, OwnedFd};
    use crate::sys::{Capacity, Errno, OpenMode, QueueState, Result};

    pub(crate) fn open(_: &CStr, _: OpenMode) -> Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn create(_: &CStr, _: OpenMode, _: u32, _: Option<Capacity>) -> Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn unlink(_: &CStr) -> Result<()> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn state(queue: BorrowedFd<'_>) -> Result<QueueState> {
        match *queue.0 {}
    }

    pub(crate) fn set_blocking(queue: BorrowedFd<'_>, _: bool) -> Result<()> {
        match *queue.0 {}
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Until<'a> {
        Now,
        WallClock(#[expect(dead_code, reason = "no call reads it here")] Duration),
        Forever,
        Unless(#[expect(dead_code, reason = "no call reads it here")] &'a SpoilableTime),
    }

    pub(crate) fn send(queue: BorrowedFd<'_>, _: &[u8], _: u32, _: Until<'_>) -> Result<()> {
        match *queue.0 {}
    }

    pub(crate) fn receive(
        queue: BorrowedFd<'_>,
        _: &mut [u8],
        _: Until<'_>,
    ) -> Result<(usize, u32)> {
        match *queue.0 {}
    }

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Notify<'a> {
        Signal(#[expect(dead_code, reason = "no call reads it here")] i32),
        Socket(#[expect(dead_code, reason = "no call reads it here")] BorrowedFd<'a>),
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[expect(dead_code, reason = "no call makes one here")]
    pub(crate) enum Fate {
        Fired,
        Removed,
    }

    pub(crate) fn notify(queue: BorrowedFd<'_>, _: Option<Notify<'_>>) -> Result<()> {
        match *queue.0 {}
    }

    pub(crate) fn notification_socket() -> Result<OwnedFd> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn receive_fate(socket: BorrowedFd<'_>) -> Result<Fate> {
        match *socket.0 {}
    }

    pub(crate) fn known_fate(socket: BorrowedFd<'_>) -> Result<Fate> {
        match *socket.0 {}
    }

    pub(crate) fn registered_process(queue: BorrowedFd<'_>) -> Result<u32> {
        match *queue.0 {}
    }
}

pub(crate) mod signal {
    use crate::sys::{Errno, Result};

    pub(crate) fn is_valid(_: i32) -> bool {
        false
    }

    pub(crate) fn raise(_: i32) -> Result<()> {
        Err(Errno::NOSYS)
    }
}

pub(crate) mod poll {
    use std::time::Duration;

    use super::BorrowedFd;
    use crate::sys::{Readiness, Result};

    pub(crate) fn wait(fd: BorrowedFd<'_>, _: Readiness, _: Duration) -> Result<()> {
        match *fd.0 {}
    }
}

pub(crate) mod time {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    pub(crate) fn monotonic() -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    pub(crate) fn realtime() -> Duration {
        Duration::ZERO
    }
}

pub(crate) mod random {
    use crate::sys::{Errno, Result};

    pub(crate) fn bits() -> Result<u128> {
        Err(Errno::NOSYS)
    }
}

pub(crate) mod sched {
    pub(crate) fn processors() -> usize {
        1
    }
}

pub(crate) mod xattr {
    use super::BorrowedFd;
    use crate::sys::Result;

    pub(crate) fn set_mark(fd: BorrowedFd<'_>, _: &[u8]) -> Result<()> {
        match *fd.0 {}
    }

    pub(crate) fn mark(fd: BorrowedFd<'_>) -> Result<Vec<u8>> {
        match *fd.0 {}
    }

    pub(crate) fn remove_mark(fd: BorrowedFd<'_>) -> Result<()> {
        match *fd.0 {}
    }
}

pub(crate) mod private {
    use std::path::{Path, PathBuf};

    pub(crate) fn directory() -> Option<PathBuf> {
        None
    }

    pub(crate) fn write_new(_: &Path, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

pub(crate) mod proc {
    pub(crate) fn queue_limit(_: &str) -> Option<u64> {
        None
    }

    pub(crate) fn queue_memory_limit() -> Option<u64> {
        None
    }

    pub(crate) fn may_exceed_queue_limits() -> bool {
        false
    }

    pub(crate) fn start_time(_: u32) -> Option<u64> {
        None
    }

    pub(crate) fn boot_id() -> Option<String> {
        None
    }

    pub(crate) fn pid_namespace() -> Option<u64> {
        None
    }
}

pub(crate) mod fork {
    use std::sync::OnceLock;

    pub(crate) fn generation() -> u64 {
        1
    }

    pub(crate) struct PerProcess<T: Send + Sync + 'static>(OnceLock<T>);

    impl<T: Send + Sync + 'static> PerProcess<T> {
        pub(crate) const fn new() -> Self {
            PerProcess(OnceLock::new())
        }

        pub(crate) fn get(&'static self, make: impl FnOnce() -> T) -> &'static T {
            self.0.get_or_init(make)
        }
    }
}

pub(crate) mod files {
    use std::ffi::OsString;

    use super::{BorrowedFd, CStr};
    use crate::name::Kind;
    use crate::sys::{Details, Errno, Result};

    pub(crate) fn list() -> Result<Vec<(Kind, OsString)>> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn look(_: &CStr) -> Result<Details> {
        Err(Errno::NOSYS)
    }

    pub(crate) fn look_at(fd: BorrowedFd<'_>) -> Result<Details> {
        match *fd.0 {}
    }

    pub(crate) fn semaphore_value(fd: BorrowedFd<'_>) -> Result<u32> {
        match *fd.0 {}
    }
}

pub(crate) mod mqueue_fs {
    use std::ffi::OsString;

    use super::{CStr, Infallible};
    use crate::sys::{Details, Errno, Result};

    pub(crate) struct QueueDirectory(Infallible);

    impl QueueDirectory {
        pub(crate) fn open() -> Result<QueueDirectory> {
            Err(Errno::NOSYS)
        }

        pub(crate) fn names(&self) -> Result<Vec<OsString>> {
            match self.0 {}
        }

        pub(crate) fn device(&self) -> Result<u64> {
            match self.0 {}
        }

        pub(crate) fn look(&self, _: &CStr) -> Result<Details> {
            match self.0 {}
        }
    }

    pub(crate) fn is_mounted() -> bool {
        false
    }
}

pub(crate) mod process {
    use std::collections::HashSet;

    use crate::sys::{Identity, Processes};

    pub(crate) fn is_only_thread() -> bool {
        false
    }

    pub(crate) fn is_alive(_: u32, _: u64) -> Option<bool> {
        None
    }

    pub(crate) fn has_mapped(_: Identity) -> bool {
        true
    }

    pub(crate) fn scan(_: &HashSet<Identity>) -> Processes {
        Processes { incomplete: true, ..Processes::default() }
    }
}

pub(crate) mod records {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    pub(crate) fn os_str(_: &[u8]) -> &OsStr {
        OsStr::new("")
    }

    pub(crate) fn directories() -> Vec<(PathBuf, u32)> {
        Vec::new()
    }
}
