//! Notification of a first message, and what closing a descriptor does to it.
//!
//! The kernel keeps one registration for a queue, and drops it when the registered process closes
//! *any* descriptor of that queue. So every descriptor of a queue is closed here, and the
//! registration of another handle is renewed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::{Error, Operation, Result};
use crate::name::Name;
use crate::sys::fork::PerProcess;
use crate::sys::mqueue::{self, Fate, Notify};
use crate::sys::{self, AsFd, BorrowedFd, Errno, Identity, OpenMode, OwnedFd};

/// The registrations of this process, as far as they are known: one that has fired may still be
/// listed.
type Registry = HashMap<Identity, Registration>;

struct Registration {
    /// The descriptor through which it was made.
    queue: Weak<OwnedFd>,
    way: Way,
}

enum Way {
    Signal(i32),
    Watch(Arc<Channel>),
}

/// How many registrations are listed: while it is 0, closing asks nobody. A forked child inherits the
/// number but no registration, and finds an empty list.
static LISTED: AtomicUsize = AtomicUsize::new(0);

fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: PerProcess<Mutex<Registry>> = PerProcess::new();
    // Nothing that can panic leaves it half changed.
    REGISTRY.get(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The descriptor of a queue.
#[derive(Debug)]
pub(crate) struct QueueFd {
    /// Taken by `drop` alone.
    fd: Option<Arc<OwnedFd>>,
    /// Another of the same queue, which never waits; taken with the first.
    eager: Option<OwnedFd>,
    identity: Identity,
}

impl QueueFd {
    pub(crate) fn new(fd: OwnedFd) -> sys::Result<QueueFd> {
        let identity = sys::stat::fstat(fd.as_fd())?.identity;
        Ok(QueueFd { fd: Some(Arc::new(fd)), eager: None, identity })
    }

    /// Opens the second one, too. Where it cannot be had, calls on the first tell the kernel each
    /// time not to wait.
    pub(crate) fn with_eager(fd: OwnedFd, mode: OpenMode) -> sys::Result<QueueFd> {
        let mut queue = QueueFd::new(fd)?;
        queue.eager = sys::fcntl::reopen_eager(queue.as_fd(), mode).ok();
        Ok(queue)
    }

    /// A descriptor on which nothing waits: one time less for the kernel to read.
    #[inline]
    pub(crate) fn eager(&self) -> Option<BorrowedFd<'_>> {
        self.eager.as_ref().map(AsFd::as_fd)
    }

    fn close(&mut self) {
        self.eager = None;
        self.fd = None;
    }

    /// Leaves the descriptor open for good. The second one is closed, unless this process may be
    /// registered: that would end the registration.
    pub(crate) fn leak(mut self) {
        let registry = registry();
        if !registry.contains_key(&self.identity) {
            self.eager = None;
        }
        std::mem::forget(self);
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    #[inline]
    fn shared(&self) -> &Arc<OwnedFd> {
        self.fd.as_ref().expect("the descriptor is there until it is dropped")
    }

    #[inline]
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared().as_fd()
    }
}

impl Drop for QueueFd {
    fn drop(&mut self) {
        // The descriptor is closed under the lock, so that no request comes between.
        let mut registry = registry();
        let Some(registration) = registry.get(&self.identity) else {
            self.close();
            return;
        };
        let other = registration.queue.upgrade();
        match other.filter(|other| !Arc::ptr_eq(other, self.shared())) {
            None => {
                forget(&mut registry, self.identity);
                self.close();
            }
            Some(other) => {
                let live = is_registered(self.as_fd(), other.as_fd());
                let empty = is_empty(other.as_fd());
                self.close();
                if !live {
                    return;
                }
                // What is not read fills the socket, and then the kernel waits for a reader.
                let fired = registration.way.drain();
                // If another process was quicker, the registration is lost as if it had been
                // replaced.
                if register(other.as_fd(), &registration.way).is_err() {
                    forget(&mut registry, self.identity);
                } else if fired || (empty && !is_empty(other.as_fd())) {
                    // The first message came while there was no registration.
                    registration.way.tell();
                    // What was just registered is withdrawn, which wakes those who wait.
                    let _ = mqueue::notify(other.as_fd(), None);
                    forget(&mut registry, self.identity);
                }
            }
        }
    }
}

fn is_empty(queue: BorrowedFd<'_>) -> bool {
    mqueue::state(queue).is_ok_and(|state| state.current_messages == 0)
}

impl Way {
    /// Reads what the kernel has said; `true` if the notification came.
    fn drain(&self) -> bool {
        let mut fired = false;
        if let Way::Watch(channel) = self {
            while let Ok(fate) = mqueue::known_fate(channel.socket.as_fd()) {
                fired |= fate == Fate::Fired;
            }
        }
        fired
    }

    /// Does what the kernel would have done.
    fn tell(&self) {
        match self {
            Way::Signal(signal) => {
                // The number was checked when it was registered, and one may signal oneself.
                let _ = sys::signal::raise(*signal);
            }
            Way::Watch(channel) => channel.fired.store(true, Ordering::Release),
        }
    }
}

/// What connects a registration with those who wait for it.
#[derive(Debug)]
struct Channel {
    /// Where the kernel says what became of the registration.
    socket: OwnedFd,
    /// The notification came while the kernel had no registration to tell of it.
    fired: AtomicBool,
}

/// Whether this process is registered still. Without the right to ask it counts as registered.
fn is_registered(closing: BorrowedFd<'_>, registered: BorrowedFd<'_>) -> bool {
    mqueue::registered_process(closing)
        .or_else(|_| mqueue::registered_process(registered))
        .map_or(true, |pid| pid == std::process::id())
}

fn forget(registry: &mut Registry, identity: Identity) {
    if registry.remove(&identity).is_some() {
        LISTED.fetch_sub(1, Ordering::Relaxed);
    }
}

fn register(queue: BorrowedFd<'_>, way: &Way) -> sys::Result<()> {
    let how = match way {
        Way::Signal(signal) => Notify::Signal(*signal),
        Way::Watch(channel) => Notify::Socket(channel.socket.as_fd()),
    };
    mqueue::notify(queue, Some(how))
}

/// Registers this process in place of an earlier request of its own; `false`: another process is
/// registered.
fn request(queue: &QueueFd, way: Way) -> sys::Result<bool> {
    let mut registry = registry();
    let mut done = register(queue.as_fd(), &way);
    if done == Err(Errno::BUSY) {
        // Withdraws a registration of this process alone; another's stays.
        mqueue::notify(queue.as_fd(), None)?;
        forget(&mut registry, queue.identity);
        done = register(queue.as_fd(), &way);
    }
    match done {
        Ok(()) => {
            let registration = Registration { queue: Arc::downgrade(queue.shared()), way };
            if registry.insert(queue.identity, registration).is_none() {
                LISTED.fetch_add(1, Ordering::Relaxed);
            }
            Ok(true)
        }
        Err(Errno::BUSY) => Ok(false),
        Err(errno) => Err(errno),
    }
}

pub(crate) fn request_signal(queue: &QueueFd, signal: i32) -> sys::Result<bool> {
    request(queue, Way::Signal(signal))
}

pub(crate) fn request_watch(queue: &QueueFd, name: &Name) -> sys::Result<Option<Watch>> {
    let socket = mqueue::notification_socket()?;
    let channel = Arc::new(Channel { socket, fired: AtomicBool::new(false) });
    let identity = queue.identity;
    let watched = request(queue, Way::Watch(Arc::clone(&channel)))?;
    Ok(watched.then(|| Watch { channel, identity, name: name.clone() }))
}

pub(crate) fn cancel(queue: &QueueFd) -> sys::Result<()> {
    let mut registry = registry();
    mqueue::notify(queue.as_fd(), None)?;
    forget(&mut registry, queue.identity);
    Ok(())
}

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
    channel: Arc<Channel>,
    identity: Identity,
    name: Name,
}

impl Watch {
    /// Waits, signals or not, until the notification comes: `true`; or until it can come no more,
    /// because it was replaced, withdrawn, or its handle was closed: `false`.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot wait.
    pub fn wait(&self) -> Result<bool> {
        loop {
            match mqueue::receive_fate(self.channel.socket.as_fd()) {
                Ok(Fate::Fired) => return Ok(true),
                // The registration that was removed may have been renewed: the list, which is
                // locked meanwhile, knows.
                Ok(Fate::Removed) if self.is_listed(&registry()) => {}
                Ok(Fate::Removed) => return Ok(self.channel.fired.load(Ordering::Acquire)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::from_errno(Operation::Notify, &self.name, errno)),
            }
        }
    }

    fn is_listed(&self, registry: &Registry) -> bool {
        registry.get(&self.identity).is_some_and(|registration| match &registration.way {
            Way::Watch(channel) => Arc::ptr_eq(channel, &self.channel),
            Way::Signal(_) => false,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if LISTED.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut registry = registry();
        if !self.is_listed(&registry) {
            return;
        }
        let queue = registry.get(&self.identity).and_then(|listed| listed.queue.upgrade());
        if let Some(queue) = queue {
            // After it has fired there is nothing to withdraw, and a destructor has nobody to tell.
            let _ = mqueue::notify(queue.as_fd(), None);
        }
        forget(&mut registry, self.identity);
    }
}
