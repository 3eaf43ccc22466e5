//! A handle to an object on a server: what all kinds have in common.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nob_ipc::{Name, Operation, Result, fork_generation};

use crate::client::{Client, Delete};
use crate::connection::Connection;
use crate::farewell::{farewell, let_go};
use crate::fault::{self, Stop};
use crate::hold::{Held, Hold};
use crate::object::Object;
use crate::request::Request;
use crate::scripts::Script;
use crate::sync::{lock, number};
use crate::sys;
use crate::unanswered::Unanswered;

/// An open handle to an object: its name, its state and its end. Each kind has one inside.
pub struct Handle {
    connection: Connection,
    pub(crate) object: Arc<Object>,
    pub(crate) id: u64,
    created: bool,
    /// For a lock or permits.
    pub(crate) lease: Duration,
    closed: AtomicBool,
    deleted: AtomicBool,
    unlink_on_drop: AtomicBool,
    /// The process whose handle this is to unlink by: a forked child does not.
    owned_in: AtomicU64,
}

impl Handle {
    /// A handle to an object that was found or made.
    pub(crate) fn new(
        connection: &Connection,
        object: Object,
        created: bool,
        unlink_on_drop: bool,
        lease: Duration,
        client: &Client,
    ) -> Arc<Handle> {
        let handle = Arc::new(Handle {
            connection: connection.clone(),
            object: Arc::new(object),
            id: number(),
            created,
            lease,
            closed: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
            unlink_on_drop: AtomicBool::new(unlink_on_drop),
            owned_in: AtomicU64::new(fork_generation()),
        });
        let weak: Weak<dyn Delete> = Arc::<Handle>::downgrade(&handle);
        let mut handles = lock(&client.handles);
        if handles.len() == handles.capacity() {
            handles.retain(|handle| handle.strong_count() > 0);
        }
        handles.push(weak);
        handle
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.object.name
    }

    /// Whether this handle created the object.
    #[must_use]
    pub fn created(&self) -> bool {
        self.created
    }

    /// The connection that it was opened through.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What tells the object from others that have had, or will have, its name.
    #[must_use]
    pub fn generation(&self) -> &str {
        &self.object.generation
    }

    /// Whether the handle, or its connection, was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) || self.connection.is_closed()
    }

    /// Whether dropping the handle removes the name.
    #[must_use]
    pub fn unlink_on_drop(&self) -> bool {
        self.unlink_on_drop.load(Ordering::SeqCst)
    }

    /// Says whether dropping the handle removes the name. Saying yes in a forked child hands the
    /// duty to it.
    pub fn set_unlink_on_drop(&self, unlink: bool) {
        if unlink {
            self.owned_in.store(fork_generation(), Ordering::SeqCst);
        }
        self.unlink_on_drop.store(unlink, Ordering::SeqCst);
    }

    /// Gives up the handle, and lets go of what it holds: of a lock, the next owner is told. The
    /// name stays. Waits in other threads end with [`Closed`](nob_ipc::ErrorKind::Closed) within
    /// half a second. Twice is fine.
    ///
    /// # Errors
    ///
    /// [`ServerUnavailable`](nob_ipc::ErrorKind::ServerUnavailable) when the server could not be told
    /// within a second; then the leases end what was held.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let client = self.connection.client()?;
        client.close_handle(self.id);
        let hold = lock(&client.holds).remove(&self.id);
        hold.map_or(Ok(()), |hold| let_go(&client, &hold))
    }

    /// Does what dropping the handle does: closes it, and removes the name if that is due. Tries to
    /// reach the server for a second, and for the other handles of this connection no more after
    /// the first failure.
    ///
    /// # Errors
    ///
    /// As [`close`](Handle::close), and what the server says of the removal. That the name is gone,
    /// or another's, is no error.
    pub fn delete(&self) -> Result<()> {
        let closed = self.close();
        let due =
            self.unlink_on_drop() && self.owned_in.load(Ordering::SeqCst) == fork_generation();
        if self.deleted.swap(true, Ordering::SeqCst) || !due {
            return closed;
        }
        let client = self.connection.client()?;
        let token = format!("{:016x}", sys::random());
        let arguments = [self.object.generation.as_bytes(), token.as_bytes(), b"unlink"];
        let request = Request::new(Script::Unlink, &self.object, &arguments);
        let done = farewell(&client, &request);
        let subject = Some((Operation::Unlink, self.name()));
        closed.and(done.map_err(|failure| failure.unavailable(subject)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what errors are made of")]
    pub(crate) fn subject(&self, operation: Operation) -> fault::Subject<'_> {
        Some((operation, self.name()))
    }

    pub(crate) fn check_open(&self, operation: Operation) -> Result<()> {
        if self.is_closed() {
            return Err(fault::stopped(self.subject(operation), Stop::Closed));
        }
        Ok(())
    }

    /// The hold of this handle in this process.
    pub(crate) fn hold(&self, client: &Client) -> Arc<Hold> {
        let mut holds = lock(&client.holds);
        let new = || Arc::new(Hold::new(self.object.clone(), self.lease));
        holds.entry(self.id).or_insert_with(new).clone()
    }

    /// What this handle is to give up next, as [`Hold::take_to_release`].
    pub(crate) fn take_to_release(
        &self,
        count: usize,
    ) -> Result<(Vec<Held>, Option<Arc<Unanswered>>)> {
        self.check_open(Operation::Release)?;
        let hold = self.existing_hold();
        Ok(hold.map(|hold| hold.take_to_release(count)).unwrap_or_default())
    }

    /// The hold of this handle, if it has taken anything in this process.
    pub(crate) fn existing_hold(&self) -> Option<Arc<Hold>> {
        let client = self.connection.client().ok()?;
        let holds = lock(&client.holds);
        holds.get(&self.id).cloned()
    }
}

impl Delete for Handle {
    fn delete(&self) -> Result<()> {
        self.delete()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("name", self.name())
            .field("connection", &self.connection)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
