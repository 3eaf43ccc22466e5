//! Sending: copying into a ring, and committing by one store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::layout::{PREFIX, room_for};
use super::{Channel, Wait};
use crate::error::{Operation, Result};
use crate::sys::{KILLS, kill_point};
use crate::wait::{Deadline, retry_on_interrupt};

/// How long a wait for room sleeps until it looks by itself, and how long later on: a receiver may have been
/// killed between taking a message and waking those who wait.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(16));

impl Channel {
    /// Sends messages as long as there is room for the next; how many that were. They become visible all
    /// at once.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Channel::check) for the first message; what is wrong with a later one ends the
    /// batch before it. [`Corrupt`](crate::ErrorKind::Corrupt) if somebody has written rubbish. Nothing was
    /// sent then.
    pub fn try_send_many<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a [u8]>,
        priority: u32,
    ) -> Result<usize> {
        let sent = self.in_turn(&self.page().senders, Operation::Send, || {
            self.put(messages.into_iter(), priority)
        })?;
        let sent = sent.transpose()?.unwrap_or(0);
        if sent > 0 {
            self.page().sent.notify(u32::try_from(sent).unwrap_or(u32::MAX));
        }
        Ok(sent)
    }

    /// Copies messages into a ring, in the senders' turn, and commits them.
    #[inline]
    fn put<'a>(&self, messages: impl Iterator<Item = &'a [u8]>, priority: u32) -> Result<usize> {
        const OPERATION: Operation = Operation::Send;
        let index = priority as usize;
        let (_, end, distance) = self.lane(index.min(self.rings().len() - 1), OPERATION)?;
        let mut free = self.capacity() as u64 - distance.bytes;
        let mut free_messages =
            self.file.rest().max_messages.saturating_sub(if self.rings().len() == 1 {
                distance.messages
            } else {
                self.current_messages()? as u64
            });
        let mut cursor = end;
        let mut count = 0;
        for message in messages {
            match self.check(message, priority) {
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => {}
            }
            let room = room_for(message.len());
            if room > free || free_messages == 0 {
                break;
            }
            let (Some(ring), Some(lane)) = (self.rings().get(index), self.page().lane.get(index))
            else {
                break;
            };
            let mut place = lane.place(cursor, ring.len());
            if place >= self.file.rest().walked && count == 0 && distance.bytes == 0 {
                lane.rewind(cursor);
                place = 0;
            }
            ring.write_word(place, message.len() as u64);
            kill_point(2);
            let (first, second) = message.split_at(message.len() / 2);
            let place = place + PREFIX;
            if KILLS {
                ring.write(place, first);
                kill_point(3);
                ring.write(place + first.len(), second);
            } else {
                ring.write(place, message);
            }
            kill_point(4);
            cursor = cursor.after(room, 1);
            free -= room;
            free_messages -= 1;
            count += 1;
        }
        if count > 0
            && let Some(lane) = self.page().lane.get(index)
        {
            kill_point(5);
            lane.sent.store(cursor.0, Ordering::Release);
            kill_point(6);
        }
        Ok(count)
    }

    /// Sends a message if there is room for it; `false` if not.
    ///
    /// # Errors
    ///
    /// As [`send_until`](Channel::send_until), but for signals.
    #[inline]
    pub fn try_send(&self, message: &[u8], priority: u32) -> Result<bool> {
        Ok(self.try_send_many([message], priority)? == 1)
    }

    /// Sends a message; `false` when there was no room until the deadline. What there is room for at once is
    /// sent even when the time is over.
    ///
    /// # Errors
    ///
    /// As [`check`](Channel::check), [`Interrupted`](crate::ErrorKind::Interrupted) after a signal or for a
    /// [periodic check](Deadline::checked_every), [`Corrupt`](crate::ErrorKind::Corrupt) if somebody has
    /// written rubbish. Nothing was sent then.
    pub fn send_until(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        Ok(self.try_send(message, priority)? || self.wait_send(message, priority, deadline)?)
    }

    /// Waits until a message could be sent, after [`try_send`](Channel::try_send) has found no room.
    ///
    /// # Errors
    ///
    /// As [`send_until`](Channel::send_until).
    pub fn wait_send(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.check(message, priority)?;
        let wait = Wait {
            operation: Operation::Send,
            event: &self.page().taken,
            waiters: &self.senders,
            looks: LOOKS,
        };
        let ready = || self.has_room(priority as usize, message.len());
        let sent = self
            .wait(&wait, deadline, ready, || Ok(self.try_send(message, priority)?.then_some(())))?;
        Ok(sent.is_some())
    }

    /// Sends a message, waiting for room as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// As [`send_until`](Channel::send_until), but for signals; [`Other`](crate::ErrorKind::Other) with
    /// `EAGAIN` if there is no room and the handle is [non-blocking](Channel::set_blocking).
    pub fn send(&self, message: &[u8], priority: u32) -> Result<()> {
        if retry_on_interrupt(|| self.send_until(message, priority, Deadline::NEVER))? {
            Ok(())
        } else {
            Err(self.would_wait(Operation::Send))
        }
    }

    /// Sends a message; `false` when `timeout` was over first. Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// As [`send_until`](Channel::send_until), but for signals.
    pub fn send_timeout(&self, message: &[u8], priority: u32, timeout: Duration) -> Result<bool> {
        let deadline = Deadline::after(timeout);
        retry_on_interrupt(|| self.send_until(message, priority, deadline))
    }

    /// Sends messages, waiting for room; how many were sent until the deadline. A batch for which there is
    /// room at once becomes visible at once.
    ///
    /// ```
    /// use nob_ipc::{Channel, Deadline, Existence};
    ///
    /// let channel =
    ///     Channel::options().existence(Existence::UnlinkAndCreate).open("/nob-ipc-doc-batch")?;
    /// let messages: [&[u8]; 3] = [b"one", b"two", b"three"];
    /// assert_eq!(channel.send_many(&messages, 0, Deadline::NOW)?, 3);
    /// assert_eq!(channel.receive_many(2, Deadline::NOW)?.len(), 2);
    /// assert_eq!(channel.current_messages()?, 1);
    /// # Ok::<(), nob_ipc::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send_until`](Channel::send_until), but for signals, and only as long as none was sent.
    pub fn send_many(
        &self,
        messages: &[&[u8]],
        priority: u32,
        deadline: Deadline,
    ) -> Result<usize> {
        for message in messages {
            self.check(message, priority)?;
        }
        let mut sent = 0;
        while let Some(rest) = messages.get(sent..).filter(|rest| !rest.is_empty()) {
            let more = retry_on_interrupt(|| {
                match self.try_send_many(rest.iter().copied(), priority)? {
                    0 => self.wait_send(rest[0], priority, deadline).map(usize::from),
                    more => Ok(more),
                }
            });
            match more {
                Ok(0) => break,
                Ok(more) => sent += more,
                Err(error) if sent == 0 => return Err(error),
                // The next call tells what is wrong.
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Whether there is room for a message of this length, as far as a look can tell. What cannot be told is
    /// for the call that sends to say.
    fn has_room(&self, lane: usize, length: usize) -> bool {
        let Ok((_, _, distance)) = self.lane(lane, Operation::Send) else { return true };
        let free = (self.capacity() as u64).saturating_sub(distance.bytes);
        free >= room_for(length)
            && self.current_messages().is_ok_and(|count| count < self.max_messages())
    }
}
