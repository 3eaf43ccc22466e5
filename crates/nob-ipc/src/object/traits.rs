//! What an object does, wherever it lives: the traits that code over several kinds or places is
//! generic over.
//!
//! The methods of the kinds themselves come without a trait to import, and some of them cannot fail
//! on this machine; the traits forward to them.

use std::ops::ControlFlow;

use crate::error::Result;
use crate::wait::Deadline;

/// Gives out permits: a [`Semaphore`](crate::Semaphore), a
/// [`BoundedSemaphore`](crate::BoundedSemaphore) or a [`Lock`](crate::Lock).
///
/// ```
/// use nob_ipc::{Deadline, Existence, Permits, Result, Semaphore};
///
/// fn drain(permits: &dyn Permits) -> Result<u32> {
///     let mut taken = 0;
///     while permits.try_acquire()? {
///         taken += 1;
///     }
///     Ok(taken)
/// }
///
/// let semaphore = Semaphore::options()
///     .initial_value(3)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-permits")?;
/// assert_eq!(drain(&semaphore)?, 3);
/// assert!(!semaphore.wait_acquire(Deadline::NOW)?);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
pub trait Permits: Send + Sync {
    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// What the place of the object says when it cannot tell.
    fn try_acquire(&self) -> Result<bool>;

    /// Waits for a permit, after a try that found none; `false` when the deadline passed first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) after a signal or for a
    /// [periodic check](Deadline::checked_every): nothing was taken.
    fn wait_acquire(&self, deadline: Deadline) -> Result<bool>;

    /// Takes a permit, and waits for one if there is none; `false` when the deadline passed first. On a server,
    /// a try alone ends soon when there is no answer; this goes on trying.
    ///
    /// # Errors
    ///
    /// As [`wait_acquire`](Permits::wait_acquire).
    fn acquire_until(&self, deadline: Deadline) -> Result<bool> {
        Ok(self.try_acquire()? || self.wait_acquire(deadline)?)
    }

    /// Gives one permit.
    ///
    /// # Errors
    ///
    /// As [`release_many`](Permits::release_many).
    fn release(&self) -> Result<()> {
        self.release_many(1)
    }

    /// Gives `count` permits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Overflow`](crate::ErrorKind::Overflow) if the value would pass its maximum,
    /// [`ErrorKind::NotHeld`](crate::ErrorKind::NotHeld) where permits have holders and this handle has
    /// fewer, [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for 0.
    fn release_many(&self, count: u32) -> Result<()>;

    /// The number of permits at this moment.
    ///
    /// # Errors
    ///
    /// What the place of the object says when it cannot tell.
    fn value(&self) -> Result<u32>;
}

/// What receiving put into the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes the message has.
    pub length: usize,
    /// Its priority.
    pub priority: u32,
}

/// Sends and receives messages: a [`MessageQueue`](crate::MessageQueue) or a [`Channel`](crate::Channel).
///
/// ```
/// use nob_ipc::{Existence, MessageQueue, Messages, Result};
///
/// fn first(messages: &dyn Messages) -> Result<Option<Vec<u8>>> {
///     let mut buffer = vec![0; messages.max_message_size()];
///     let received = messages.try_receive(&mut buffer)?;
///     Ok(received.map(|received| buffer[..received.length].to_vec()))
/// }
///
/// let queue = MessageQueue::options()
///     .max_messages(2)
///     .max_message_size(16)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-messages")?;
/// queue.send(b"hello", 0)?;
/// assert_eq!(first(&queue)?, Some(b"hello".to_vec()));
/// assert_eq!(first(&queue)?, None);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
pub trait Messages: Send + Sync {
    /// Sends a message if there is room for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLong`](crate::ErrorKind::TooLong),
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a priority out of range,
    /// [`ErrorKind::WrongDirection`](crate::ErrorKind::WrongDirection).
    fn try_send(&self, message: &[u8], priority: u32) -> Result<bool>;

    /// Waits until the message could be sent, after a try that found no room; `false` when the
    /// deadline passed first, or where the handle does not wait.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Messages::try_send), and
    /// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) after a signal or for a
    /// [periodic check](Deadline::checked_every): nothing was sent.
    fn wait_send(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool>;

    /// Sends a message, and waits for room if there is none; `false` when the deadline passed first. On a
    /// server, a try alone ends soon when there is no answer; this goes on trying.
    ///
    /// # Errors
    ///
    /// As [`wait_send`](Messages::wait_send).
    fn send_until(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        Ok(self.try_send(message, priority)? || self.wait_send(message, priority, deadline)?)
    }

    /// Receives a message into `buffer` if there is one.
    ///
    /// # Errors
    ///
    /// For a buffer of less than [`max_message_size`](Messages::max_message_size) bytes
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument); from a channel only if the message does
    /// not fit, and then [`ErrorKind::TooLong`](crate::ErrorKind::TooLong), and the message stays.
    /// [`ErrorKind::WrongDirection`](crate::ErrorKind::WrongDirection).
    fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<Received>>;

    /// Waits for a message, after a try that found none; `None` when the deadline passed first, or
    /// where the handle does not wait.
    ///
    /// # Errors
    ///
    /// As [`try_receive`](Messages::try_receive), and
    /// [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) after a signal or for a
    /// [periodic check](Deadline::checked_every): nothing was taken.
    fn wait_receive(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>>;

    /// Receives a message, and waits for one if there is none; `None` when the deadline passed first. On a
    /// server, a try alone ends soon when there is no answer; this goes on trying.
    ///
    /// # Errors
    ///
    /// As [`wait_receive`](Messages::wait_receive).
    fn receive_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        match self.try_receive(buffer)? {
            None => self.wait_receive(buffer, deadline),
            received => Ok(received),
        }
    }

    /// Sends messages as long as there is room for the next; how many that were.
    ///
    /// # Errors
    ///
    /// Those of [`try_send`](Messages::try_send) for the first message. What is wrong with a later one
    /// ends the batch before it, so that nothing that was sent goes uncounted.
    fn try_send_many(
        &self,
        messages: &mut dyn Iterator<Item = &[u8]>,
        priority: u32,
    ) -> Result<usize> {
        let mut sent = 0;
        for message in messages {
            match self.try_send(message, priority) {
                Ok(true) => sent += 1,
                Err(error) if sent == 0 => return Err(error),
                Ok(false) | Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Receives up to `most` messages that are there, each into `buffer`, and shows them with their
    /// priorities to `each`, until it breaks off; how many that were.
    ///
    /// # Errors
    ///
    /// Those of [`try_receive`](Messages::try_receive) for the first message; what is wrong later ends
    /// the batch.
    fn try_receive_many(
        &self,
        buffer: &mut [u8],
        most: usize,
        each: &mut dyn FnMut(&[u8], u32) -> ControlFlow<()>,
    ) -> Result<usize> {
        for taken in 0..most {
            match self.try_receive(buffer) {
                Ok(Some(Received { length, priority })) => {
                    if each(&buffer[..length], priority).is_break() {
                        return Ok(taken + 1);
                    }
                }
                Err(error) if taken == 0 => return Err(error),
                Ok(None) | Err(_) => return Ok(taken),
            }
        }
        Ok(most)
    }

    /// How many bytes a message may have.
    fn max_message_size(&self) -> usize;

    /// Whether calls wait at all.
    ///
    /// # Errors
    ///
    /// What the place of the object says when it cannot tell.
    fn is_blocking(&self) -> Result<bool>;
}
