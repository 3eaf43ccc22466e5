//! Named message queues of the kernel.

use std::sync::Arc;
use std::time::Duration;

use self::wait::Side;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::mqueue::descriptor::QueueFd;
use crate::object::ownership::Ownership;
use crate::object::{Direction, Messages, Received};
use crate::sys::mqueue::Until;
use crate::sys::{self, AsFd, BorrowedFd, Errno, OpenMode, QueueState};
use crate::wait::spin::Waiters;
use crate::wait::{Deadline, retry_on_interrupt};

mod limits;
mod options;
mod wait;
mod watch;
pub use options::MessageQueueOptions;
pub use watch::Watch;

/// How long a wait spins before it sleeps; an attempt is a system call.
const SPIN: Duration = Duration::from_micros(25);
const SPIN_STRIDE: u32 = 2;

/// A queue of messages that processes share by name.
///
/// Messages are opaque bytes, 0 to [`max_message_size`](MessageQueue::max_message_size) of them. The
/// one with the highest priority is received first; within a priority, the first that was sent.
///
/// The queue is the kernel's, so a C program that calls
/// [`mq_open`](https://man7.org/linux/man-pages/man3/mq_open.3.html) with the same name shares it,
/// and its descriptor can be polled.
///
/// ```
/// use nob_ipc::{Existence, MessageQueue};
///
/// let queue = MessageQueue::options()
///     .max_messages(4)
///     .max_message_size(100)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-queue")?;
/// queue.send(b"later", 0)?;
/// queue.send(b"now", 7)?;
/// assert_eq!(queue.receive()?, (b"now".to_vec(), 7));
/// assert_eq!(queue.receive()?, (b"later".to_vec(), 0));
/// # Ok::<(), nob_ipc::Error>(())
/// ```
///
/// # Waiting
///
/// Without a timeout, a call waits in the kernel's wait queue: a message is handed over directly. With
/// a timeout it waits for readiness on the monotonic clock, since the kernel's own timeouts follow the
/// wall clock. Such a waiter is not in the kernel's wait queue: it can be overtaken, and it does not
/// hold back a notification.
///
/// A handle has two descriptors: [`as_fd`](std::os::fd::AsFd::as_fd), and one on which nothing waits, for
/// what can be had at once; where the second is not to be had, it does without.
#[derive(Debug)]
pub struct MessageQueue {
    queue: QueueFd,
    direction: Direction,
    max_messages: usize,
    max_message_size: usize,
    senders: Waiters,
    receivers: Waiters,
    ownership: Arc<Ownership>,
}

impl From<Direction> for OpenMode {
    fn from(direction: Direction) -> OpenMode {
        match direction {
            Direction::Both => OpenMode::ReadWrite,
            Direction::Receive => OpenMode::ReadOnly,
            Direction::Send => OpenMode::WriteOnly,
        }
    }
}

impl MessageQueue {
    /// The highest priority (`MQ_PRIO_MAX` - 1).
    pub const MAX_PRIORITY: u32 = sys::PRIORITY_LIMIT - 1;

    /// The highest number of a signal.
    pub const MAX_SIGNAL: i32 = sys::MAX_SIGNAL;

    /// How many messages a queue holds that is created without saying so: the system's default.
    #[must_use]
    pub fn default_max_messages() -> u64 {
        limits::with_defaults(None, None).max_messages
    }

    /// How many bytes a message may have in a queue that is created without saying so.
    #[must_use]
    pub fn default_max_message_size() -> u64 {
        limits::with_defaults(None, None).max_message_size
    }

    /// The name, and who unlinks it.
    #[must_use]
    pub fn ownership(&self) -> &Arc<Ownership> {
        &self.ownership
    }

    /// What this handle may do.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// How many messages the queue holds when it is full.
    #[must_use]
    pub fn max_messages(&self) -> usize {
        self.max_messages
    }

    /// How many bytes a message may have.
    #[must_use]
    pub fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    /// How many messages are in the queue at this moment.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell.
    #[doc(alias = "mq_getattr")]
    pub fn current_messages(&self) -> Result<usize> {
        let current = self.state()?.current_messages;
        usize::try_from(current).map_err(|_| self.fail(Operation::Inspect, Errno::OVERFLOW))
    }

    /// Whether calls wait at all: `O_NONBLOCK` of the open description, which forked children
    /// share, is not set.
    ///
    /// # Errors
    ///
    /// What the system says when it cannot tell.
    pub fn is_blocking(&self) -> Result<bool> {
        Ok(self.state()?.blocking)
    }

    /// Says whether calls wait at all. Those that would wait otherwise return at once, whatever
    /// their deadline.
    ///
    /// # Errors
    ///
    /// What the system says when it refuses.
    #[doc(alias = "mq_setattr")]
    pub fn set_blocking(&self, blocking: bool) -> Result<()> {
        sys::mqueue::set_blocking(self.queue.as_fd(), blocking)
            .map_err(|errno| self.fail(Operation::Configure, errno))
    }

    fn state(&self) -> Result<QueueState> {
        sys::mqueue::state(self.queue.as_fd()).map_err(|errno| self.fail(Operation::Inspect, errno))
    }

    /// Whether a message could be sent through this handle at all, if there was room.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLong`], [`ErrorKind::InvalidArgument`] for a priority out of range,
    /// [`ErrorKind::WrongDirection`].
    #[inline]
    pub fn check(&self, message: &[u8], priority: u32) -> Result<()> {
        if self.direction == Direction::Receive {
            return Err(Error::wrong_direction(Operation::Send, self.ownership.name()));
        }
        if message.len() > self.max_message_size {
            return Err(self.too_long(message.len()));
        }
        if priority > MessageQueue::MAX_PRIORITY {
            return Err(self.bad_priority(priority));
        }
        Ok(())
    }

    /// Sends a message if there is room for it; `false` if not.
    ///
    /// # Errors
    ///
    /// As [`send_until`](MessageQueue::send_until), but for signals.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]
    pub fn try_send(&self, message: &[u8], priority: u32) -> Result<bool> {
        self.check(message, priority)?;
        let sent = self.attempt(Side::Send, Until::Now, sending(message, priority))?;
        Ok(sent.done().is_some())
    }

    /// Sends a message; `false` when the queue stayed full until the deadline. What there is room for
    /// at once is sent even when the time is over.
    ///
    /// # Errors
    ///
    /// As [`check`](MessageQueue::check), and [`ErrorKind::Interrupted`] after a signal or for a
    /// [periodic check](Deadline::checked_every). Nothing was sent then.
    #[doc(alias = "mq_timedsend")]
    #[inline]
    pub fn send_until(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.check(message, priority)?;
        let sent = self.try_or_wait(Side::Send, deadline, sending(message, priority))?;
        Ok(sent.is_some())
    }

    /// Waits until a message could be sent, after [`try_send`](MessageQueue::try_send) has found no
    /// room: as [`send_until`](MessageQueue::send_until), without its first try.
    ///
    /// # Errors
    ///
    /// As [`send_until`](MessageQueue::send_until).
    pub fn wait_send(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.check(message, priority)?;
        let sent = self.wait(Side::Send, deadline, sending(message, priority))?;
        Ok(sent.is_some())
    }

    /// Receives a message if there is one.
    ///
    /// # Errors
    ///
    /// As [`receive_until`](MessageQueue::receive_until), but for signals.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        self.check_buffer(buffer)?;
        Ok(self.attempt(Side::Receive, Until::Now, receiving(buffer))?.done())
    }

    /// Receives a message into `buffer`; `None` when the queue stayed empty until the deadline. What is
    /// there at once is taken even when the time is over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a buffer of less than
    /// [`max_message_size`](MessageQueue::max_message_size) bytes, [`ErrorKind::WrongDirection`],
    /// [`ErrorKind::Interrupted`] after a signal or for a
    /// [periodic check](Deadline::checked_every). Nothing was taken then.
    #[doc(alias = "mq_timedreceive")]
    #[inline]
    pub fn receive_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        self.check_buffer(buffer)?;
        self.try_or_wait(Side::Receive, deadline, receiving(buffer))
    }

    /// Waits for a message, after [`try_receive`](MessageQueue::try_receive) has found none: as
    /// [`receive_until`](MessageQueue::receive_until), without its first try.
    ///
    /// # Errors
    ///
    /// As [`receive_until`](MessageQueue::receive_until).
    pub fn wait_receive(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        self.check_buffer(buffer)?;
        self.wait(Side::Receive, deadline, receiving(buffer))
    }

    /// Whether a message could be received through this handle into `buffer`, if there was one.
    #[inline]
    fn check_buffer(&self, buffer: &[u8]) -> Result<()> {
        if self.direction == Direction::Send {
            return Err(Error::wrong_direction(Operation::Receive, self.ownership.name()));
        }
        if buffer.len() < self.max_message_size {
            return Err(self.short_buffer(buffer.len()));
        }
        Ok(())
    }

    /// Sends a message, waiting for room as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// As [`send_until`](MessageQueue::send_until), but for signals;
    /// [`ErrorKind::Other`] with `EAGAIN` if the queue is full and
    /// [non-blocking](MessageQueue::set_blocking).
    #[doc(alias = "mq_send")]
    pub fn send(&self, message: &[u8], priority: u32) -> Result<()> {
        if retry_on_interrupt(|| self.send_until(message, priority, Deadline::NEVER))? {
            Ok(())
        } else {
            Err(self.fail(Operation::Send, Errno::AGAIN))
        }
    }

    /// Sends a message; `false` when `timeout` was over first. Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// As [`send_until`](MessageQueue::send_until), but for signals.
    pub fn send_timeout(&self, message: &[u8], priority: u32, timeout: Duration) -> Result<bool> {
        let deadline = Deadline::after(timeout);
        retry_on_interrupt(|| self.send_until(message, priority, deadline))
    }

    /// Receives a message and its priority, waiting as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// As [`receive_until`](MessageQueue::receive_until), but for signals;
    /// [`ErrorKind::Other`] with `EAGAIN` if the queue is empty and
    /// [non-blocking](MessageQueue::set_blocking).
    #[doc(alias = "mq_receive")]
    pub fn receive(&self) -> Result<(Vec<u8>, u32)> {
        match self.receive_vec(Deadline::NEVER)? {
            Some(message) => Ok(message),
            None => Err(self.fail(Operation::Receive, Errno::AGAIN)),
        }
    }

    /// Receives a message and its priority; `None` when `timeout` was over first. Signals do not end
    /// the wait.
    ///
    /// # Errors
    ///
    /// As [`receive_until`](MessageQueue::receive_until), but for signals.
    pub fn receive_timeout(&self, timeout: Duration) -> Result<Option<(Vec<u8>, u32)>> {
        self.receive_vec(Deadline::after(timeout))
    }

    fn receive_vec(&self, deadline: Deadline) -> Result<Option<(Vec<u8>, u32)>> {
        let mut buffer = vec![0; self.max_message_size];
        let received = retry_on_interrupt(|| self.receive_until(&mut buffer, deadline))?;
        Ok(received.map(|Received { length, priority }| {
            buffer.truncate(length);
            (buffer, priority)
        }))
    }

    /// Asks for `signal` when the queue goes from empty to non-empty, once. `false`: another process
    /// is registered. An earlier request of this process is replaced, though not in one instant:
    /// drain the queue after registering.
    ///
    /// Closing any handle of the queue in this process ends the kernel's registration; that of
    /// another handle is renewed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for a number that is no signal.
    #[doc(alias = "mq_notify")]
    pub fn notify_by_signal(&self, signal: i32) -> Result<bool> {
        if !sys::signal::is_valid(signal) {
            let why = format!("{signal} is no signal that a program may use; see signal(7)");
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(Operation::Notify, self.ownership.name(), kind, None, why));
        }
        self.queue.request_signal(signal).map_err(|errno| self.fail(Operation::Notify, errno))
    }

    /// Asks for a [`Watch`] that can be waited on, in any thread, for the moment the queue goes from
    /// empty to non-empty, once. `None`: another process is registered. Otherwise as
    /// [`notify_by_signal`](MessageQueue::notify_by_signal).
    ///
    /// # Errors
    ///
    /// What the system says when it refuses.
    pub fn watch(&self) -> Result<Option<Watch>> {
        let socket =
            self.queue.request_socket().map_err(|errno| self.fail(Operation::Notify, errno))?;
        let (identity, name) = (self.queue.identity(), self.ownership.name());
        Ok(socket.map(|socket| Watch::new(socket, identity, name.clone())))
    }

    /// Withdraws this process's request; that there is none is no error.
    ///
    /// # Errors
    ///
    /// What the system says when it refuses.
    pub fn cancel_notification(&self) -> Result<()> {
        self.queue.cancel_request().map_err(|errno| self.fail(Operation::Notify, errno))
    }

    /// Gives the handle up, and leaves its descriptor, with a request for a notification, to the process
    /// until it ends. The name is removed if that is due.
    pub fn leak(self) {
        self.queue.leak();
    }

    #[cold]
    fn fail(&self, operation: Operation, errno: Errno) -> Error {
        if errno == Errno::AGAIN {
            let why = "the queue is non-blocking, and the call would have to wait; try again later, \
                       or let it block";
            let kind = ErrorKind::Other;
            return Error::new(operation, self.ownership.name(), kind, Some(errno), why);
        }
        Error::from_errno(operation, self.ownership.name(), errno)
    }

    #[cold]
    fn too_long(&self, length: usize) -> Error {
        let why = format!(
            "the message has {length} bytes, and the queue takes {} at the most; split it, or create \
             the queue with a larger max_message_size",
            self.max_message_size
        );
        let errno = Some(Errno::MSGSIZE);
        Error::new(Operation::Send, self.ownership.name(), ErrorKind::TooLong, errno, why)
    }

    #[cold]
    fn bad_priority(&self, priority: u32) -> Error {
        let max = MessageQueue::MAX_PRIORITY;
        let why = format!("the priority {priority} is out of range; give 0 to {max}");
        let kind = ErrorKind::InvalidArgument;
        Error::new(Operation::Send, self.ownership.name(), kind, None, why)
    }

    #[cold]
    fn short_buffer(&self, length: usize) -> Error {
        let why = format!(
            "the buffer has {length} bytes, and a message may have {}",
            self.max_message_size
        );
        let kind = ErrorKind::InvalidArgument;
        Error::new(Operation::Receive, self.ownership.name(), kind, None, why)
    }
}

/// The kernel's call that sends.
#[inline]
fn sending(message: &[u8], priority: u32) -> impl FnMut(BorrowedFd<'_>, Until) -> sys::Result<()> {
    move |fd, until| sys::mqueue::send(fd, message, priority, until)
}

/// The kernel's call that receives.
#[inline]
fn receiving(buffer: &mut [u8]) -> impl FnMut(BorrowedFd<'_>, Until) -> sys::Result<Received> {
    |fd, until| {
        sys::mqueue::receive(fd, buffer, until)
            .map(|(length, priority)| Received { length, priority })
    }
}

impl AsFd for MessageQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Messages for MessageQueue {
    #[inline]
    fn try_send(&self, message: &[u8], priority: u32) -> Result<bool> {
        self.try_send(message, priority)
    }

    fn wait_send(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.wait_send(message, priority, deadline)
    }

    #[inline]
    fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        self.try_receive(buffer)
    }

    fn wait_receive(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        self.wait_receive(buffer, deadline)
    }

    #[inline]
    fn max_message_size(&self) -> usize {
        self.max_message_size()
    }

    fn is_blocking(&self) -> Result<bool> {
        self.is_blocking()
    }
}
