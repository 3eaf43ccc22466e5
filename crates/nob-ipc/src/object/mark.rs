//! The creator's mark: which process is due to unlink an object, so that what a dead one left can be
//! told from what is meant to stay.
//!
//! A file in `/dev/shm` carries it in the extended attribute `user.nob-ipc` (tmpfs has them since
//! Linux 6.6). A queue cannot, so a record in a private directory of the user stands for it. Where
//! neither can be made there is no mark, and no error.

use std::fmt;
use std::str::FromStr;

use crate::home::record;
use crate::name::{Kind, Name};
use crate::sys::fork::PerProcess;
use crate::sys::{self, AsFd, BorrowedFd, Identity, OpenMode};

/// Names one process of one boot: a pid that is used again does not deceive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub pid: u32,
    /// In clock ticks since boot.
    pub start_time: u64,
    /// The inode of the pid namespace in which `pid` counts.
    pub pid_namespace: u64,
    pub boot_id: String,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { pid, start_time, pid_namespace, boot_id } = self;
        write!(f, "1 {pid} {start_time} {pid_namespace} {boot_id}")
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Mark, ()> {
        let mut fields = text.split_ascii_whitespace();
        let mut field = || fields.next().ok_or(());
        if field()? != "1" {
            return Err(());
        }
        Ok(Mark {
            pid: field()?.parse().map_err(|_| ())?,
            start_time: field()?.parse().map_err(|_| ())?,
            pid_namespace: field()?.parse().map_err(|_| ())?,
            boot_id: field()?.to_string(),
        })
    }
}

/// The mark of this process; `None` where `/proc` does not tell who it is.
pub(crate) fn own() -> Option<&'static str> {
    static OWN: PerProcess<Option<String>> = PerProcess::new();
    OWN.get(|| {
        let pid = std::process::id();
        let mark = Mark {
            pid,
            start_time: sys::proc::start_time(pid)?,
            pid_namespace: sys::proc::pid_namespace()?,
            boot_id: sys::proc::boot_id()?,
        };
        Some(mark.to_string())
    })
    .as_deref()
}

/// Marks a file that has no name yet.
pub(crate) fn put_on_file(fd: BorrowedFd<'_>) {
    if let Some(mark) = own() {
        // No mark where none can be made (module docs).
        let _ = sys::xattr::set_mark(fd, mark.as_bytes());
    }
}

/// Marks an object that is visible already, if nobody else did.
pub(crate) fn put(name: &Name, identity: Identity) {
    match name.kind() {
        Kind::Semaphore | Kind::SharedMemory => with_file(name, identity, put_on_file),
        Kind::MessageQueue => record::put(name, identity),
    }
}

/// Removes the mark if it is this process's own.
pub(crate) fn take_back(name: &Name, identity: Identity) {
    match name.kind() {
        Kind::Semaphore | Kind::SharedMemory => with_file(name, identity, |fd| {
            let marked = sys::xattr::mark(fd);
            if marked.ok().as_deref() == own().map(str::as_bytes) {
                // No mark where none can be changed (module docs).
                let _ = sys::xattr::remove_mark(fd);
            }
        }),
        Kind::MessageQueue => record::take_back(identity),
    }
}

/// The object is gone. A file took its mark along; a queue's record is left to remove.
pub(crate) fn forget(kind: Kind, identity: Identity) {
    if kind == Kind::MessageQueue {
        record::forget(identity);
    }
}

/// Opens the file of an object, if it still has its name, to work on its mark.
fn with_file(name: &Name, identity: Identity, work: impl FnOnce(BorrowedFd<'_>)) {
    if let Ok(file) = sys::fcntl::open(&name.path(), OpenMode::ReadWrite)
        && sys::stat::fstat(file.as_fd()).is_ok_and(|stat| stat.identity == identity)
    {
        work(file.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mark_reads_back() {
        let own = own().unwrap();
        let mark: Mark = own.parse().unwrap();
        assert_eq!(mark.to_string(), own);
        assert_eq!(mark.pid, std::process::id());
        assert_eq!(Some(mark.start_time), sys::proc::start_time(mark.pid));
    }

    #[test]
    fn what_is_no_mark_is_refused() {
        for text in ["", "1", "2 1 1 1 x", "1 a 1 1 x", "1 1 1 1", "1 -1 1 1 x"] {
            assert_eq!(text.parse::<Mark>(), Err(()), "{text:?}");
        }
    }

    prop_compose! {
        fn marks()(
            pid: u32,
            start_time: u64,
            pid_namespace: u64,
            boot_id in "[!-~]{1,40}",
        ) -> Mark {
            Mark { pid, start_time, pid_namespace, boot_id }
        }
    }

    proptest! {
        #[test]
        fn every_mark_reads_back(mark in marks()) {
            let text = mark.to_string();
            // An attribute is read into a buffer of 256 bytes, and a record has it on one line.
            prop_assert!(text.len() < 256 && !text.contains('\n'));
            prop_assert_eq!(text.parse(), Ok(mark));
        }

        /// Whatever somebody has written where a mark belongs: it is refused, or it is a mark.
        #[test]
        fn anything_can_be_read(text in "\\PC{0,60}|1( [0-9]{1,25}){0,4}( \\PC{0,10})?") {
            if let Ok(mark) = text.parse::<Mark>() {
                prop_assert_eq!(mark.to_string().parse(), Ok(mark));
            }
        }
    }
}
