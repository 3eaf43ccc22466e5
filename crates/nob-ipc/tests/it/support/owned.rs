//! What survives its owner, of either kind: a lock, or a bounded semaphore.

use std::ffi::c_short;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use nob_ipc::{
    BoundedSemaphore, Deadline, ErrorKind, Existence, Kind, Lock, Ownership, Permits, Result,
};

/// The kinds whose objects survive their owners.
pub const OWNED: [Kind; 2] = [Kind::Lock, Kind::BoundedSemaphore];

/// A lock of this type on the bytes that show which handles live.
pub fn life_bytes(code: i32) -> libc::flock {
    libc::flock {
        l_type: c_short::try_from(code).expect("a small constant"),
        l_whence: c_short::try_from(libc::SEEK_SET).expect("a small constant"),
        l_start: 1 << 40,
        l_len: 2048,
        l_pid: 0,
    }
}

/// A handle of such a kind, of which one at a time can be had.
#[derive(Debug)]
pub enum Owned {
    Lock(Lock),
    Permits(BoundedSemaphore),
}

impl Owned {
    pub fn open(kind: Kind, name: &str, existence: Existence) -> Result<Owned> {
        match kind {
            Kind::Lock => Lock::options().existence(existence).open(name).map(Owned::Lock),
            Kind::BoundedSemaphore => {
                BoundedSemaphore::options().existence(existence).open(name).map(Owned::Permits)
            }
            other => panic!("a {other} does not survive its owner"),
        }
    }

    #[track_caller]
    pub fn create(kind: Kind, name: &str) -> Owned {
        Owned::open(kind, name, Existence::Create).expect("a new object")
    }

    #[track_caller]
    pub fn link(kind: Kind, name: &str) -> Owned {
        Owned::open(kind, name, Existence::Link).expect("it is there")
    }

    /// A handle whose life can be handed on, to what is there.
    #[track_caller]
    pub fn inheritable(kind: Kind, name: &str) -> Owned {
        let opened = match kind {
            Kind::Lock => Lock::options().inheritable(true).open(name).map(Owned::Lock),
            _ => BoundedSemaphore::options().inheritable(true).open(name).map(Owned::Permits),
        };
        opened.expect("it is there")
    }

    pub fn life(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Owned::Lock(lock) => lock.life(),
            Owned::Permits(permits) => permits.life(),
        }
    }

    fn permits(&self) -> &dyn Permits {
        match self {
            Owned::Lock(lock) => lock,
            Owned::Permits(permits) => permits,
        }
    }

    pub fn ownership(&self) -> &Arc<Ownership> {
        match self {
            Owned::Lock(lock) => lock.ownership(),
            Owned::Permits(permits) => permits.ownership(),
        }
    }

    /// Whether it could be taken at once.
    #[track_caller]
    pub fn tries(&self) -> bool {
        self.permits().try_acquire().expect("an answer")
    }

    #[track_caller]
    pub fn takes(&self) {
        assert!(self.tries(), "{self:?} is not free");
    }

    /// Takes it, waiting until the deadline.
    pub fn wait(&self, deadline: Deadline) -> Result<bool> {
        Ok(self.permits().try_acquire()? || self.permits().wait_acquire(deadline)?)
    }

    pub fn release(&self) -> Result<()> {
        self.permits().release_many(1)
    }

    #[track_caller]
    pub fn gives(&self) {
        self.release().expect("it is held");
    }

    #[track_caller]
    pub fn has_nothing_to_give(&self) {
        let error = self.release().expect_err("nothing is held");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::NotHeld, None), "{error}");
    }

    /// Whether this handle has it.
    pub fn has_it(&self) -> bool {
        match self {
            Owned::Lock(lock) => lock.is_held(),
            Owned::Permits(permits) => permits.held() == 1,
        }
    }

    /// Whether any living handle has it.
    #[track_caller]
    pub fn is_taken(&self) -> bool {
        self.permits().value().expect("an answer") == 0
    }

    /// The process of the living handle that has it.
    #[track_caller]
    pub fn holder(&self) -> Option<u32> {
        match self {
            Owned::Lock(lock) => lock.owner().expect("an answer"),
            Owned::Permits(permits) => permits.holders().expect("an answer").first().copied(),
        }
    }

    /// Fails unless it says whether an owner has died; a bounded semaphore says nothing.
    #[track_caller]
    pub fn assert_told(&self, died: bool) {
        if let Owned::Lock(lock) = self {
            assert_eq!(lock.owner_died().expect("an answer"), died);
        }
    }
}
