//! Named message queues on a server.

use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nob_ipc::{
    Deadline, Direction, Error, ErrorKind, Kind, Messages, Name, Operation, Received, Result,
};

use crate::connection::Connection;
use crate::events::{self, Events, Pending};
use crate::handle::Handle;
use crate::opening::{self, Common, check_kind, common_setters, invalid};
use crate::plan::{Outcome, Plan};
use crate::semaphore::count;

/// How many messages, and how many bytes of them, one request carries.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 1 << 20;

/// How many bytes of messages may come on the connection that listens, by one request of an event
/// loop. A server closes it when it has 32 MB to send there; thousands of requests may be under way.
const LARGE: usize = 8192;

/// How a [`MessageQueue`] is opened; made by [`MessageQueue::options`].
#[derive(Clone, Debug)]
pub struct MessageQueueOptions {
    max_messages: u64,
    max_message_size: u64,
    direction: Direction,
    common: Common,
}

impl MessageQueueOptions {
    /// How many messages a queue that is created holds: 1 to [`MessageQueue::MAX_MESSAGES`];
    /// default 10.
    pub fn max_messages(&mut self, count: u64) -> &mut Self {
        self.max_messages = count;
        self
    }

    /// How many bytes a message may have in a queue that is created: 1 to
    /// [`MessageQueue::MAX_MESSAGE_SIZE`]; default 8192.
    pub fn max_message_size(&mut self, bytes: u64) -> &mut Self {
        self.max_message_size = bytes;
        self
    }

    /// What the handle may do; default [`Direction::Both`].
    pub fn direction(&mut self, direction: Direction) -> &mut Self {
        self.direction = direction;
        self
    }

    common_setters!();

    /// Opens the queue called `name`; one leading slash is optional.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](ErrorKind::InvalidName), [`InvalidArgument`](ErrorKind::InvalidArgument) for
    /// a capacity out of range, [`AlreadyExists`](ErrorKind::AlreadyExists) or
    /// [`NotFound`](ErrorKind::NotFound) as the [`Existence`](nob_ipc::Existence) says, and those
    /// of a [server](crate#errors).
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<MessageQueue> {
        self.open_named(&Name::new(Kind::MessageQueue, name)?)
    }

    /// Opens the queue that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](MessageQueueOptions::open).
    pub fn open_named(&self, name: &Name) -> Result<MessageQueue> {
        check_kind(name, Kind::MessageQueue)?;
        let check = |what: &str, value: u64, limit: u64| {
            if (1..=limit).contains(&value) {
                return Ok(());
            }
            let why = format!("{what} is {value}; give 1 to {limit}");
            Err(invalid(name, Operation::Create, why))
        };
        check("max_messages", self.max_messages, MessageQueue::MAX_MESSAGES)?;
        check("max_message_size", self.max_message_size, MessageQueue::MAX_MESSAGE_SIZE)?;
        let (max, size) = (self.max_messages.to_string(), self.max_message_size.to_string());
        let public = [("max", max.clone()), ("size", size)];
        let (handle, attributes) = opening::open(&self.common, name, &public, &[("max", max)])?;
        let attribute = |key, limit| opening::attribute(name, &attributes, key, limit);
        let max_messages = attribute("max", MessageQueue::MAX_MESSAGES)?;
        let size = attribute("size", MessageQueue::MAX_MESSAGE_SIZE)?;
        Ok(MessageQueue {
            max_messages,
            max_message_size: usize::try_from(size).unwrap_or(usize::MAX),
            direction: self.direction,
            blocking: AtomicBool::new(true),
            handle,
        })
    }
}

/// A queue of messages that processes on many machines share by name.
///
/// Messages are opaque bytes, 0 to [`max_message_size`](MessageQueue::max_message_size) of them.
/// The one with the highest priority is received first; within a priority, the first that was sent.
/// Who waits is served in the order of asking.
///
/// ```no_run
/// use nob_ipc::Existence;
/// use nob_ipc_redis::{Connection, MessageQueue};
///
/// let server = Connection::open("redis://localhost")?;
/// let queue = MessageQueue::options(&server)
///     .max_messages(1000)
///     .existence(Existence::LinkOrCreate)
///     .open("/jobs")?;
/// queue.send(b"later", 0)?;
/// queue.send(b"now", 7)?;
/// assert_eq!(queue.receive()?, (b"now".to_vec(), 7));
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct MessageQueue {
    handle: Arc<Handle>,
    direction: Direction,
    max_messages: u64,
    max_message_size: usize,
    blocking: AtomicBool,
}

impl MessageQueue {
    /// The highest priority, as of the queues of one machine.
    pub const MAX_PRIORITY: u32 = nob_ipc::MessageQueue::MAX_PRIORITY;

    /// How many messages a queue may hold.
    pub const MAX_MESSAGES: u64 = i32::MAX as u64;

    /// How many bytes a message may have.
    pub const MAX_MESSAGE_SIZE: u64 = 64 << 20;

    /// Options to open a queue with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options(connection: &Connection) -> MessageQueueOptions {
        MessageQueueOptions {
            max_messages: 10,
            max_message_size: 8192,
            direction: Direction::default(),
            common: Common::new(connection),
        }
    }

    /// The name, the state and the end of this handle.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How many messages the queue holds. Messages that were put back may exceed it for a while.
    #[must_use]
    pub fn max_messages(&self) -> u64 {
        self.max_messages
    }

    /// How many bytes a message may have.
    #[must_use]
    pub fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    /// What the handle may do.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether calls of this handle wait.
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    /// Says whether calls of this handle wait.
    pub fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    /// How many messages are there at this moment.
    ///
    /// # Errors
    ///
    /// Those of a [server](crate#errors).
    pub fn current_messages(&self) -> Result<u64> {
        count(&self.handle).map(u64::from)
    }

    fn deadline(&self, deadline: Deadline) -> Deadline {
        if self.is_blocking() { deadline } else { Deadline::NOW }
    }

    fn check_direction(&self, operation: Operation, other: Direction) -> Result<()> {
        if self.direction != other {
            return Ok(());
        }
        let why = match operation {
            Operation::Send => "it was opened for receiving only; open it for sending",
            _ => "it was opened for sending only; open it for receiving",
        };
        let subject = self.handle.subject(operation);
        Err(Error::elsewhere(subject, ErrorKind::WrongDirection, None, why))
    }

    /// Whether the message may be sent at all.
    fn check_message(&self, message: &[u8], priority: u32) -> Result<()> {
        self.check_direction(Operation::Send, Direction::Receive)?;
        if priority > Self::MAX_PRIORITY {
            let max = Self::MAX_PRIORITY;
            let why = format!("the priority {priority} is out of range; give 0 to {max}");
            return Err(invalid(self.handle.name(), Operation::Send, why));
        }
        if message.len() > self.max_message_size {
            let why = format!(
                "the message has {} bytes, and the queue takes {} at the most; split it, or \
                 create the queue with a larger max_message_size",
                message.len(),
                self.max_message_size
            );
            let (kind, errno) = (ErrorKind::TooLong, Some(libc::EMSGSIZE));
            return Err(Error::elsewhere(self.handle.subject(Operation::Send), kind, errno, why));
        }
        Ok(())
    }

    fn send_or_wait(
        &self,
        message: &[u8],
        priority: u32,
        deadline: Deadline,
        tried: bool,
    ) -> Result<bool> {
        self.check_message(message, priority)?;
        let plan = Plan::send(&[message], priority);
        let sent = self.handle.wait(&plan, self.deadline(deadline), tried)?;
        Ok(sent.is_some())
    }

    /// Sends a message if there is room for it.
    ///
    /// # Errors
    ///
    /// [`TooLong`](ErrorKind::TooLong), [`InvalidArgument`](ErrorKind::InvalidArgument) for a
    /// priority out of range, [`WrongDirection`](ErrorKind::WrongDirection),
    /// [`OutOfSpace`](ErrorKind::OutOfSpace) when the server has no memory left, those of a
    /// [server](crate#errors).
    pub fn try_send(&self, message: &[u8], priority: u32) -> Result<bool> {
        self.send_or_wait(message, priority, Deadline::NOW, false)
    }

    /// Sends a message; `false` when the deadline passed first. If there is room at once, it is
    /// sent even then.
    ///
    /// # Errors
    ///
    /// As [`wait_send`](MessageQueue::wait_send).
    pub fn send_until(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.send_or_wait(message, priority, deadline, false)
    }

    /// Waits until the message could be sent, after [`try_send`](MessageQueue::try_send) has found
    /// no room.
    ///
    /// # Errors
    ///
    /// As [`try_send`](MessageQueue::try_send), and [`Interrupted`](ErrorKind::Interrupted) when
    /// the [check](crate::ConnectionOptions::check), or the deadline's, says so. A request that is
    /// under way at that moment may send it still.
    pub fn wait_send(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.send_or_wait(message, priority, deadline, true)
    }

    /// Sends a message, waiting for room as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait_send`](MessageQueue::wait_send); [`Other`](ErrorKind::Other) with `EAGAIN` if the
    /// queue is full and the handle [does not wait](MessageQueue::set_blocking).
    pub fn send(&self, message: &[u8], priority: u32) -> Result<()> {
        if self.send_until(message, priority, Deadline::NEVER)? {
            Ok(())
        } else {
            Err(self.would_block(Operation::Send))
        }
    }

    /// Sends a message; `false` when `timeout` was over first.
    ///
    /// # Errors
    ///
    /// As [`wait_send`](MessageQueue::wait_send).
    pub fn send_timeout(&self, message: &[u8], priority: u32, timeout: Duration) -> Result<bool> {
        self.send_until(message, priority, Deadline::after(timeout))
    }

    fn would_block(&self, operation: Operation) -> Error {
        let why = "the queue is non-blocking, and the call would have to wait; try again later, \
                   or let it block";
        let subject = self.handle.subject(operation);
        Error::elsewhere(subject, ErrorKind::Other, Some(libc::EAGAIN), why)
    }

    /// Sends as many of the messages, in their order, as there is room for now and one request carries: up
    /// to 500, and 1 MiB; how many that were. For everybody else it is one step.
    ///
    /// # Errors
    ///
    /// As [`try_send`](MessageQueue::try_send) of the first. What is wrong with a later one ends the batch
    /// before it.
    pub fn send_many(&self, messages: &[&[u8]], priority: u32) -> Result<usize> {
        let mut bytes = 0;
        let mut batch = 0;
        for message in messages.iter().take(BATCH) {
            bytes += message.len();
            match self.check_message(message, priority) {
                Ok(()) if batch == 0 || bytes <= BATCH_BYTES => batch += 1,
                Err(error) if batch == 0 => return Err(error),
                _ => break,
            }
        }
        if batch == 0 {
            return Ok(0);
        }
        let plan = Plan::send(&messages[..batch], priority);
        match self.handle.wait(&plan, Deadline::NOW, false)? {
            Some(Outcome::Sent(count)) => Ok(count),
            _ => Ok(0),
        }
    }

    fn receive_or_wait(
        &self,
        most: usize,
        deadline: Deadline,
        tried: bool,
    ) -> Result<Vec<(Vec<u8>, u32)>> {
        self.check_direction(Operation::Receive, Direction::Send)?;
        let plan = Plan::receive(self.batch(most));
        match self.handle.wait(&plan, self.deadline(deadline), tried)? {
            Some(Outcome::Messages(messages)) => Ok(messages),
            _ => Ok(Vec::new()),
        }
    }

    /// How many messages one request asks for: the server keeps a copy of its last answer.
    fn batch(&self, most: usize) -> usize {
        most.min(BATCH).min((16 * BATCH_BYTES) / self.max_message_size).max(1)
    }

    /// Receives a message and its priority, if there is one.
    ///
    /// # Errors
    ///
    /// [`WrongDirection`](ErrorKind::WrongDirection), those of a [server](crate#errors).
    pub fn try_receive_message(&self) -> Result<Option<(Vec<u8>, u32)>> {
        self.receive_until(Deadline::NOW)
    }

    /// Receives a message and its priority; `None` when the deadline passed first. What is there at
    /// once is received even then.
    ///
    /// # Errors
    ///
    /// As [`wait_receive_message`](MessageQueue::wait_receive_message).
    pub fn receive_until(&self, deadline: Deadline) -> Result<Option<(Vec<u8>, u32)>> {
        self.receive_or_wait(1, deadline, false).map(|mut messages| messages.pop())
    }

    /// Waits for a message, after [`try_receive_message`](MessageQueue::try_receive_message) has
    /// found none.
    ///
    /// # Errors
    ///
    /// [`WrongDirection`](ErrorKind::WrongDirection); [`Interrupted`](ErrorKind::Interrupted) when
    /// the [check](crate::ConnectionOptions::check), or the deadline's, says so: nothing was taken;
    /// those of a [server](crate#errors).
    pub fn wait_receive_message(&self, deadline: Deadline) -> Result<Option<(Vec<u8>, u32)>> {
        self.receive_or_wait(1, deadline, true).map(|mut messages| messages.pop())
    }

    /// Receives a message and its priority, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// As [`wait_receive_message`](MessageQueue::wait_receive_message); [`Other`](ErrorKind::Other)
    /// with `EAGAIN` if the queue is empty and the handle [does not
    /// wait](MessageQueue::set_blocking).
    pub fn receive(&self) -> Result<(Vec<u8>, u32)> {
        let message = self.receive_until(Deadline::NEVER)?;
        message.ok_or_else(|| self.would_block(Operation::Receive))
    }

    /// Receives a message and its priority; `None` when `timeout` was over first.
    ///
    /// # Errors
    ///
    /// As [`wait_receive_message`](MessageQueue::wait_receive_message).
    pub fn receive_timeout(&self, timeout: Duration) -> Result<Option<(Vec<u8>, u32)>> {
        self.receive_until(Deadline::after(timeout))
    }

    /// Receives up to `most` messages that are there now. Each request brings up to 500 of them and
    /// 16 MiB.
    ///
    /// # Errors
    ///
    /// As [`try_receive_message`](MessageQueue::try_receive_message) for the first request; what is
    /// wrong later ends the batch. [`Unconfirmed`](ErrorKind::Unconfirmed) has all messages with it.
    pub fn receive_many(&self, most: usize) -> Result<Vec<(Vec<u8>, u32)>> {
        let mut messages = Vec::new();
        while messages.len() < most {
            let asked = self.batch(most - messages.len());
            match self.receive_or_wait(asked, Deadline::NOW, false) {
                Ok(more) => {
                    let all = more.len() < asked;
                    messages.extend(more);
                    if all {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Unconfirmed => {
                    return Err(after(messages, error));
                }
                Err(error) if messages.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(messages)
    }

    /// Begins to send a message; `events` tells of the end.
    ///
    /// # Errors
    ///
    /// What is wrong with the message; [`Closed`](ErrorKind::Closed).
    pub fn start_send(
        &self,
        events: &Events,
        token: u64,
        message: &[u8],
        priority: u32,
        deadline: Deadline,
    ) -> Result<Pending> {
        self.check_message(message, priority)?;
        let plan = Plan::send(&[message], priority);
        events::start(&self.handle, events, token, plan, false, self.deadline(deadline))
    }

    /// Begins to receive up to `most` messages, waiting for the first; `events` tells of the end.
    ///
    /// # Errors
    ///
    /// [`WrongDirection`](ErrorKind::WrongDirection), [`Closed`](ErrorKind::Closed).
    pub fn start_receive(
        &self,
        events: &Events,
        token: u64,
        most: usize,
        deadline: Deadline,
    ) -> Result<Pending> {
        self.check_direction(Operation::Receive, Direction::Send)?;
        let most = self.batch(most);
        let bulk = self.max_message_size.saturating_mul(most) > LARGE;
        let plan = Plan::receive(most);
        events::start(&self.handle, events, token, plan, bulk, self.deadline(deadline))
    }

    /// Whether a message of any length fits the buffer.
    fn check_buffer(&self, buffer: &[u8]) -> Result<()> {
        if buffer.len() >= self.max_message_size {
            return Ok(());
        }
        let (length, max) = (buffer.len(), self.max_message_size);
        let why = format!("the buffer has {length} bytes, and a message may have {max}");
        Err(invalid(self.handle.name(), Operation::Receive, why))
    }
}

/// The error that messages are not confirmed, with those that were received before it.
fn after(mut messages: Vec<(Vec<u8>, u32)>, error: Error) -> Error {
    if let Some(outcome) = error.detail::<Outcome>()
        && let Outcome::Messages(last) = &*outcome
    {
        messages.extend_from_slice(last);
    }
    error.with_detail(Arc::new(Outcome::Messages(messages)))
}

/// Puts a message into a buffer that has room for it.
fn fill(buffer: &mut [u8], message: Option<(Vec<u8>, u32)>) -> Option<Received> {
    let (message, priority) = message?;
    let length = message.len().min(buffer.len());
    buffer[..length].copy_from_slice(&message[..length]);
    Some(Received { length, priority })
}

impl Messages for MessageQueue {
    fn try_send(&self, message: &[u8], priority: u32) -> Result<bool> {
        self.try_send(message, priority)
    }

    fn wait_send(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.wait_send(message, priority, deadline)
    }

    fn send_until(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.send_until(message, priority, deadline)
    }

    fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        self.check_buffer(buffer)?;
        Ok(fill(buffer, self.try_receive_message()?))
    }

    fn wait_receive(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        self.check_buffer(buffer)?;
        Ok(fill(buffer, self.wait_receive_message(deadline)?))
    }

    fn receive_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        self.check_buffer(buffer)?;
        Ok(fill(buffer, self.receive_until(deadline)?))
    }

    /// No more than one request carries: were the outcome of a later one unknown, so would be how many were
    /// sent.
    fn try_send_many(
        &self,
        messages: &mut dyn Iterator<Item = &[u8]>,
        priority: u32,
    ) -> Result<usize> {
        let messages: Vec<&[u8]> = messages.take(BATCH).collect();
        self.send_many(&messages, priority)
    }

    /// Messages that `each` has not seen because it broke off are lost to it, so they are asked for
    /// one by one. An error that one is not confirmed has that one with it.
    fn try_receive_many(
        &self,
        buffer: &mut [u8],
        most: usize,
        each: &mut dyn FnMut(&[u8], u32) -> ControlFlow<()>,
    ) -> Result<usize> {
        self.check_buffer(buffer)?;
        for taken in 0..most {
            match self.try_receive_message() {
                Ok(Some((message, priority))) => {
                    if each(&message, priority).is_break() {
                        return Ok(taken + 1);
                    }
                }
                Err(error) if taken == 0 || error.kind() == ErrorKind::Unconfirmed => {
                    return Err(error);
                }
                Ok(None) | Err(_) => return Ok(taken),
            }
        }
        Ok(most)
    }

    fn max_message_size(&self) -> usize {
        self.max_message_size
    }

    fn is_blocking(&self) -> Result<bool> {
        Ok(self.is_blocking())
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        // Nobody is there to be told; `Handle::delete` tells.
        let _ = self.handle.delete();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unconfirmed_batch_has_all_messages_with_it() {
        let message = |word: &str| (word.as_bytes().to_vec(), 3);
        let error = || Error::elsewhere(None, ErrorKind::Unconfirmed, None, "of two, one says so");
        let last = error().with_detail(Arc::new(Outcome::Messages(vec![message("c")])));
        for (error, expected) in [(last, &["a", "b", "c"][..]), (error(), &["a", "b"])] {
            let error = after(vec![message("a"), message("b")], error);
            assert_eq!(error.kind(), ErrorKind::Unconfirmed);
            let outcome = error.detail::<Outcome>().expect("it goes with the error");
            let expected = expected.iter().map(|word| message(word)).collect();
            assert_eq!(*outcome, Outcome::Messages(expected));
        }
    }
}
