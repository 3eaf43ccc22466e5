//! The registrations of this process for notifications of a first message.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::sys::fork::PerProcess;
use crate::sys::mqueue::{self, Fate, Notify};
use crate::sys::{self, AsFd, BorrowedFd, Errno, Identity, OwnedFd};

/// The registrations of this process, as far as they are known: one that has fired may still be
/// listed.
pub(crate) type Registrations = HashMap<Identity, Registration>;

pub(crate) struct Registration {
    /// The descriptor through which it was made.
    queue: Weak<OwnedFd>,
    target: Target,
}

pub(crate) enum Target {
    Signal(i32),
    Socket(Arc<NotifySocket>),
}

/// How many registrations are listed: while it is 0, closing asks nobody. A forked child inherits the
/// number but no registration, and finds an empty list.
static LISTED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn lock() -> MutexGuard<'static, Registrations> {
    static REGISTRATIONS: PerProcess<Mutex<Registrations>> = PerProcess::new();
    // Nothing that can panic leaves it half changed.
    REGISTRATIONS.get(|_| Mutex::default()).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registration {
    /// The descriptor through which it was made, if that is still open.
    pub(crate) fn queue(&self) -> Option<Arc<OwnedFd>> {
        self.queue.upgrade()
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Registers again through `queue`, after the kernel has dropped the registration; `false` if it
    /// is over. `was_empty`: the queue was empty just before.
    pub(super) fn renew(&self, queue: BorrowedFd<'_>, was_empty: bool) -> bool {
        // What is not read fills the socket, and then the kernel waits for a reader.
        let fired = self.target.drain();
        // If another process was quicker, the registration is lost as if it had been replaced.
        if register(queue, &self.target).is_err() {
            return false;
        }
        if fired || (was_empty && !is_empty(queue)) {
            // The first message came while there was no registration.
            self.target.notify();
            // What was just registered is withdrawn, which wakes those who wait.
            let _ = mqueue::notify(queue, None);
            return false;
        }
        true
    }
}

pub(super) fn is_empty(queue: BorrowedFd<'_>) -> bool {
    mqueue::state(queue).is_ok_and(|state| state.current_messages == 0)
}

impl NotifySocket {
    pub(super) fn new() -> sys::Result<NotifySocket> {
        Ok(NotifySocket { fd: mqueue::notification_socket()?, fired: AtomicBool::new(false) })
    }
}

impl Target {
    /// Reads what the kernel has said; `true` if the notification came.
    fn drain(&self) -> bool {
        let mut fired = false;
        if let Target::Socket(socket) = self {
            while let Ok(fate) = mqueue::known_fate(socket.fd.as_fd()) {
                fired |= fate == Fate::Fired;
            }
        }
        fired
    }

    /// Does what the kernel would have done.
    fn notify(&self) {
        match self {
            Target::Signal(signal) => {
                // The number was checked when it was registered, and one may signal oneself.
                let _ = sys::signal::raise(*signal);
            }
            Target::Socket(socket) => socket.fired.store(true, Ordering::Release),
        }
    }
}

/// What connects a registration with those that wait for it.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    /// Where the kernel says what became of the registration.
    pub fd: OwnedFd,
    /// The notification came while the kernel had no registration to tell of it.
    pub fired: AtomicBool,
}

/// Whether this process is registered still. Without the right to ask it counts as registered.
pub(super) fn is_registered(closing: BorrowedFd<'_>, registered: BorrowedFd<'_>) -> bool {
    mqueue::registered_process(closing)
        .or_else(|_| mqueue::registered_process(registered))
        .map_or(true, |pid| pid == std::process::id())
}

pub(crate) fn forget(registrations: &mut Registrations, identity: Identity) {
    if registrations.remove(&identity).is_some() {
        LISTED.fetch_sub(1, Ordering::Relaxed);
    }
}

fn register(queue: BorrowedFd<'_>, target: &Target) -> sys::Result<()> {
    let how = match target {
        Target::Signal(signal) => Notify::Signal(*signal),
        Target::Socket(socket) => Notify::Socket(socket.fd.as_fd()),
    };
    mqueue::notify(queue, Some(how))
}

/// Registers this process in place of an earlier request of its own; `false`: another process is
/// registered.
pub(super) fn request(
    queue: &Arc<OwnedFd>,
    identity: Identity,
    target: Target,
) -> sys::Result<bool> {
    let mut registrations = lock();
    let mut done = register(queue.as_fd(), &target);
    if done == Err(Errno::BUSY) {
        // Withdraws a registration of this process alone; another's stays.
        mqueue::notify(queue.as_fd(), None)?;
        forget(&mut registrations, identity);
        done = register(queue.as_fd(), &target);
    }
    match done {
        Ok(()) => {
            let registration = Registration { queue: Arc::downgrade(queue), target };
            if registrations.insert(identity, registration).is_none() {
                LISTED.fetch_add(1, Ordering::Relaxed);
            }
            Ok(true)
        }
        Err(Errno::BUSY) => Ok(false),
        Err(errno) => Err(errno),
    }
}

pub(super) fn cancel(queue: &OwnedFd, identity: Identity) -> sys::Result<()> {
    let mut registrations = lock();
    mqueue::notify(queue.as_fd(), None)?;
    forget(&mut registrations, identity);
    Ok(())
}

/// Whether none is listed.
pub(crate) fn are_none() -> bool {
    LISTED.load(Ordering::Relaxed) == 0
}
