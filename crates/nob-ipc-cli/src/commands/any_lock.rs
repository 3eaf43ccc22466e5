//! What the commands do with a lock, wherever it is.

use nob_ipc::{Lock, Permits};
use nob_ipc_redis as redis;

/// A lock of this machine or of a server.
pub trait AnyLock: Permits {
    /// Notes since when it is held, where that is noted.
    fn note_time(&self) -> nob_ipc::Result<()>;

    fn owner_died(&self) -> nob_ipc::Result<bool>;

    fn mark_repaired(&self) -> nob_ipc::Result<()>;

    /// Ends as a holder that dies does, so that who follows is told.
    fn abandon(self: Box<Self>);
}

impl AnyLock for Lock {
    fn note_time(&self) -> nob_ipc::Result<()> {
        self.note_time()
    }

    fn owner_died(&self) -> nob_ipc::Result<bool> {
        self.owner_died()
    }

    fn mark_repaired(&self) -> nob_ipc::Result<()> {
        self.mark_repaired()
    }

    /// It goes with this process, or with the last that has inherited its descriptor.
    fn abandon(self: Box<Self>) {
        std::mem::forget(self);
    }
}

impl AnyLock for redis::Lock {
    fn note_time(&self) -> nob_ipc::Result<()> {
        Ok(())
    }

    fn owner_died(&self) -> nob_ipc::Result<bool> {
        self.owner_died()
    }

    fn mark_repaired(&self) -> nob_ipc::Result<()> {
        self.mark_repaired()
    }

    /// Closing the handle of a holder lets go of the lock at once. Without the server its lease does.
    fn abandon(self: Box<Self>) {
        drop(self);
    }
}
