//! Waiting for the notification of a first message.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{Error, Operation, Result};
use crate::home::mqueue::registrations::{self, NotifySocket, Registrations, Target};
use crate::name::Name;
use crate::sys::mqueue::{self, Fate};
use crate::sys::{AsFd, Errno, Identity};

/// A request for a notification that can be waited on; made by
/// [`MessageQueue::watch`](crate::MessageQueue::watch). Dropping it withdraws the request.
///
/// ```
/// use nob_ipc::{Existence, MessageQueue};
///
/// let queue = MessageQueue::options()
///     .max_messages(2)
///     .max_message_size(16)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-watch")?;
/// let watch = queue.watch()?.expect("nobody else is registered");
/// let waiter = std::thread::spawn(move || watch.wait());
/// queue.send(b"first", 0)?;
/// assert!(waiter.join().unwrap()?);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Watch {
    socket: Arc<NotifySocket>,
    identity: Identity,
    name: Name,
}

impl Watch {
    pub(super) fn new(socket: Arc<NotifySocket>, identity: Identity, name: Name) -> Watch {
        Watch { socket, identity, name }
    }

    /// Waits, signals or not, until the notification comes: `true`; or until it can come no more,
    /// because it was replaced, withdrawn, or its handle was closed: `false`.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    pub fn wait(&self) -> Result<bool> {
        loop {
            match mqueue::receive_fate(self.socket.fd.as_fd()) {
                Ok(Fate::Fired) => return Ok(true),
                // The registration that was removed may have been renewed: the list, which is
                // locked meanwhile, knows.
                Ok(Fate::Removed) if self.is_listed(&registrations::lock()) => {}
                Ok(Fate::Removed) => return Ok(self.socket.fired.load(Ordering::Acquire)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::from_errno(Operation::Notify, &self.name, errno)),
            }
        }
    }

    fn is_listed(&self, registrations: &Registrations) -> bool {
        registrations.get(&self.identity).is_some_and(|registration| match registration.target() {
            Target::Socket(socket) => Arc::ptr_eq(socket, &self.socket),
            Target::Signal(_) => false,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if registrations::are_none() {
            return;
        }
        let mut registrations = registrations::lock();
        if !self.is_listed(&registrations) {
            return;
        }
        let queue = registrations.get(&self.identity).and_then(registrations::Registration::queue);
        if let Some(queue) = queue {
            // After it has fired there is nothing to withdraw, and a destructor has nobody to tell.
            let _ = mqueue::notify(queue.as_fd(), None);
        }
        registrations::forget(&mut registrations, self.identity);
    }
}
