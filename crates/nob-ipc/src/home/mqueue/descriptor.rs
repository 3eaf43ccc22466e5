//! The descriptors of a queue, and what closing one does to a registration for a notification.
//!
//! The kernel keeps one registration for a queue, and drops it when the registered process closes
//! *any* descriptor of that queue. So every descriptor of a queue is closed here, and the
//! registration of another handle is renewed.

use std::sync::Arc;

use super::registrations::{self, NotifySocket, Target};
use crate::name::Name;
use crate::sys::{self, AsFd, BorrowedFd, Errno, Identity, OpenMode, OwnedFd, Stat};
use crate::sys::{flock, mqueue};

/// Opens a queue for any direction, to look at it: a queue has no path that is always there.
pub(crate) fn open_to_look(name: &Name) -> sys::Result<QueueFd> {
    let open = |mode| mqueue::open(name.as_c_str(), mode);
    let queue = match open(OpenMode::ReadOnly) {
        Err(Errno::ACCES) => open(OpenMode::WriteOnly)?,
        other => other?,
    };
    QueueFd::new(queue)
}

/// The descriptor of a queue.
#[derive(Debug)]
pub(crate) struct QueueFd {
    /// Taken by `drop` alone.
    fd: Option<Arc<OwnedFd>>,
    /// Another of the same queue, on which no call waits; taken with the first.
    non_blocking: Option<OwnedFd>,
    stat: Stat,
}

impl QueueFd {
    pub(crate) fn new(fd: OwnedFd) -> sys::Result<QueueFd> {
        let stat = sys::stat::of(fd.as_fd())?;
        Ok(QueueFd { fd: Some(Arc::new(fd)), non_blocking: None, stat })
    }

    /// Opens the second one, too. Where it cannot be had, calls on the first tell the kernel each
    /// time not to wait.
    pub(crate) fn with_non_blocking(fd: OwnedFd, mode: OpenMode) -> sys::Result<QueueFd> {
        let mut queue = QueueFd::new(fd)?;
        queue.non_blocking = sys::fcntl::reopen_non_blocking(queue.as_fd(), mode).ok();
        if let Some(other) = &queue.non_blocking {
            // It is a description of its own. Whoever could refuse it was refused by the first.
            let _ = flock::try_shared(other.as_fd());
        }
        Ok(queue)
    }

    /// A descriptor on which nothing waits: one time less for the kernel to read.
    #[inline]
    pub(crate) fn non_blocking(&self) -> Option<BorrowedFd<'_>> {
        self.non_blocking.as_ref().map(AsFd::as_fd)
    }

    fn close(&mut self) {
        self.non_blocking = None;
        self.fd = None;
    }

    /// Leaves the descriptor open for good. The second one is closed, unless this process may be
    /// registered: that would end the registration.
    pub(crate) fn leak(mut self) {
        let registrations = registrations::lock();
        if !registrations.contains_key(&self.identity()) {
            self.non_blocking = None;
        }
        std::mem::forget(self);
    }

    pub(crate) fn identity(&self) -> Identity {
        self.stat.identity
    }

    /// What the queue was when it was opened.
    pub(crate) fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Registers this process for a signal; `false`: another process is registered.
    pub(crate) fn request_signal(&self, signal: i32) -> sys::Result<bool> {
        registrations::request(self.shared(), self.identity(), Target::Signal(signal))
    }

    /// Registers this process for a notification that can be waited on; `None`: another is registered.
    pub(crate) fn request_socket(&self) -> sys::Result<Option<Arc<NotifySocket>>> {
        let socket = Arc::new(NotifySocket::new()?);
        let target = Target::Socket(Arc::clone(&socket));
        let registered = registrations::request(self.shared(), self.identity(), target)?;
        Ok(registered.then_some(socket))
    }

    /// Withdraws a registration of this process.
    pub(crate) fn cancel_request(&self) -> sys::Result<()> {
        registrations::cancel(self.shared(), self.identity())
    }

    #[inline]
    fn shared(&self) -> &Arc<OwnedFd> {
        self.fd.as_ref().expect("the descriptor is there until it is dropped")
    }
}

impl AsFd for QueueFd {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared().as_fd()
    }
}

impl Drop for QueueFd {
    fn drop(&mut self) {
        // The descriptor is closed under the lock, so that no request comes between.
        let mut registrations = registrations::lock();
        let Some(registration) = registrations.get(&self.identity()) else {
            self.close();
            return;
        };
        match registration.queue().filter(|other| !Arc::ptr_eq(other, self.shared())) {
            None => {
                registrations::forget(&mut registrations, self.identity());
                self.close();
            }
            Some(other) => {
                let live = registrations::is_registered(self.as_fd(), other.as_fd());
                let empty = registrations::is_empty(other.as_fd());
                self.close();
                if live && !registration.renew(other.as_fd(), empty) {
                    registrations::forget(&mut registrations, self.identity());
                }
            }
        }
    }
}
