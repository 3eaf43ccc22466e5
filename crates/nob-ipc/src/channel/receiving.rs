//! Receiving: copying out of the rings, and giving their room back by one store.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::layout::{Distance, PREFIX, room_for};
use super::sink::{Buffer, Sink, Vectors};
use super::{Channel, LOOK_FOR_MESSAGES, Wait};
use crate::error::{Error, Operation, Result};
use crate::object::Direction;
use crate::object::Received;
use crate::sys::{Errno, kill_point};
use crate::wait::{Deadline, retry_on_interrupt};

/// What was taken, and whether there is room for those who wait.
struct Took {
    count: usize,
    is_roomy: bool,
    /// The sink had no place for the next.
    is_refused: bool,
}

impl Channel {
    /// Takes up to `most` messages that are there, each to where the sink says; how many that were.
    ///
    /// # Errors
    ///
    /// [`WrongDirection`](crate::ErrorKind::WrongDirection), [`Corrupt`](crate::ErrorKind::Corrupt) if
    /// somebody has written rubbish. Nothing was taken then.
    pub fn try_receive_with(&self, most: usize, sink: &mut dyn Sink) -> Result<usize> {
        Ok(self.try_take(most, sink)?.unwrap_or(0))
    }

    /// The same; `None`: there is nothing to take, `Some(0)`: the sink has refused what there is.
    #[inline]
    fn try_take(&self, most: usize, sink: &mut dyn Sink) -> Result<Option<usize>> {
        if self.direction == Direction::Send {
            return Err(Error::wrong_direction(Operation::Receive, self.file.name()));
        }
        if !self.has_message() {
            return Ok(None);
        }
        let took =
            self.in_turn(&self.page().receivers, Operation::Receive, || self.take(most, sink))?;
        let Some(took) = took.transpose()? else { return Ok(None) };
        if took.is_roomy {
            self.page().taken.notify(u32::MAX);
        }
        Ok((took.count > 0 || took.is_refused).then_some(took.count))
    }

    /// Copies messages out of the rings, in the receivers' turn, and gives their room back.
    #[inline]
    fn take(&self, most: usize, sink: &mut dyn Sink) -> Result<Took> {
        const OPERATION: Operation = Operation::Receive;
        let mut took = Took { count: 0, is_roomy: false, is_refused: false };
        let mut index = self.rings().len();
        let mut again = index;
        while index > 0 {
            index -= 1;
            let (Some(ring), Some(lane)) = (self.rings().get(index), self.page().lane.get(index))
            else {
                break;
            };
            let (start, _, mut distance) = match self.lane(index, OPERATION) {
                Err(error) if took.count == 0 => return Err(error),
                // The next call tells.
                Err(_) => break,
                Ok(lane) => lane,
            };
            if distance.messages > 0 && self.has_message_above(index) {
                if took.count > 0 {
                    break;
                }
                // Each time it is of a higher priority, unless somebody writes rubbish.
                if again > 0 {
                    again -= 1;
                    index = self.rings().len();
                    continue;
                }
            }
            let mut cursor = start;
            let mut goes_on = true;
            while took.count < most && distance.messages > 0 {
                let place = lane.place(cursor, ring.len());
                let length = usize::try_from(ring.read_word(place)).unwrap_or(usize::MAX);
                if length > self.max_message_size() || room_for(length) > distance.bytes {
                    if took.count == 0 {
                        return Err(self.corrupt(OPERATION));
                    }
                    goes_on = false;
                    break;
                }
                let priority = u32::try_from(index).unwrap_or(u32::MAX);
                let target = sink.place(length, priority).and_then(|it| it.get_mut(..length));
                let Some(target) = target else {
                    took.is_refused = true;
                    goes_on = false;
                    break;
                };
                kill_point(2);
                ring.read(place + PREFIX, target);
                kill_point(3);
                let room = room_for(length);
                cursor = cursor.after(room, 1);
                distance.bytes -= room;
                distance.messages -= 1;
                took.count += 1;
            }
            if cursor != start {
                kill_point(4);
                lane.taken.store(cursor.0, Ordering::Release);
                kill_point(5);
                took.is_roomy |= self.is_roomy(distance);
            }
            if !goes_on || took.count == most {
                break;
            }
        }
        Ok(took)
    }

    /// Whether a message of a higher priority has come after the look for it: it may have been sent
    /// before what has this one.
    #[inline]
    fn has_message_above(&self, index: usize) -> bool {
        let lanes = self.page().lane.iter().take(self.rings().len()).skip(index + 1);
        let mut lanes = lanes.map(|lane| (&lane.sent, &lane.taken));
        lanes.any(|(sent, taken)| sent.load(Ordering::Acquire) != taken.load(Ordering::Relaxed))
    }

    /// Whether it is worth waking those who wait for room: not for each message.
    fn is_roomy(&self, left: Distance) -> bool {
        let quarter_free = |left: u64, most: u64| left <= most / 4 * 3;
        left.messages == 0
            || (quarter_free(left.bytes, self.capacity() as u64)
                && quarter_free(left.messages, self.file.rest().max_messages))
    }

    /// Takes up to `most` messages, waiting for the first; how many: 0 when there was none until the
    /// deadline, or when the sink has refused the first.
    ///
    /// # Errors
    ///
    /// As [`try_receive_with`](Channel::try_receive_with), and [`Interrupted`](crate::ErrorKind::Interrupted)
    /// after a signal or for a [periodic check](Deadline::checked_every): nothing was taken.
    pub fn receive_with(
        &self,
        most: usize,
        sink: &mut dyn Sink,
        deadline: Deadline,
    ) -> Result<usize> {
        if most == 0 {
            return Ok(0);
        }
        let mut taken = self.try_take(most, sink)?;
        if taken.is_none() {
            taken = self.wait_to_receive(deadline, || self.try_take(most, sink))?;
        }
        Ok(taken.unwrap_or(0))
    }

    /// Waits until there is a message, after a look that found none; `false` when there was none until the
    /// deadline. Another may receive it first.
    ///
    /// # Errors
    ///
    /// As [`receive_with`](Channel::receive_with).
    pub fn wait_for_message(&self, deadline: Deadline) -> Result<bool> {
        Ok(self.wait_to_receive(deadline, || Ok(Some(())))?.is_some())
    }

    pub(super) fn wait_to_receive<R>(
        &self,
        deadline: Deadline,
        attempt: impl FnMut() -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        if self.direction == Direction::Send {
            return Err(Error::wrong_direction(Operation::Receive, self.file.name()));
        }
        let wait = Wait {
            operation: Operation::Receive,
            event: &self.page().sent,
            waiters: &self.receivers,
            looks: (LOOK_FOR_MESSAGES, LOOK_FOR_MESSAGES),
        };
        self.wait(&wait, deadline, || self.has_message(), attempt)
    }

    /// Receives a message into `buffer` if there is one.
    ///
    /// # Errors
    ///
    /// As [`receive_until`](Channel::receive_until), but for signals.
    pub fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        let mut sink = Buffer::new(buffer);
        self.try_receive_with(1, &mut sink)?;
        self.in_buffer(&sink)
    }

    /// Receives a message into `buffer`; `None` when there was none until the deadline. What is there at
    /// once is taken even when the time is over.
    ///
    /// # Errors
    ///
    /// [`TooLong`](crate::ErrorKind::TooLong) if the message is longer than the buffer; it stays, and the
    /// error says both lengths. Else as [`receive_with`](Channel::receive_with).
    pub fn receive_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        match self.try_receive(buffer)? {
            None => self.wait_to_receive(deadline, || self.try_receive(buffer)),
            received => Ok(received),
        }
    }

    fn in_buffer(&self, sink: &Buffer<'_>) -> Result<Option<Received>> {
        match (sink.received, sink.refused) {
            (Some((length, priority)), _) => Ok(Some(Received { length, priority })),
            (None, Some(length)) => Err(self.short_buffer(length, sink.length())),
            (None, None) => Ok(None),
        }
    }

    /// Receives a message and its priority, waiting as long as it takes, signals or not.
    ///
    /// # Errors
    ///
    /// As [`receive_with`](Channel::receive_with), but for signals; [`Other`](crate::ErrorKind::Other) with
    /// `EAGAIN` if there is no message and the handle is [non-blocking](Channel::set_blocking), or with
    /// `ENOMEM` if there is no memory for it: then it stays.
    pub fn receive(&self) -> Result<(Vec<u8>, u32)> {
        let message = self.receive_many(1, Deadline::NEVER)?.pop();
        message.ok_or_else(|| self.would_wait(Operation::Receive))
    }

    /// Receives a message and its priority; `None` when `timeout` was over first. Signals do not end the
    /// wait.
    ///
    /// # Errors
    ///
    /// As [`receive`](Channel::receive).
    pub fn receive_timeout(&self, timeout: Duration) -> Result<Option<(Vec<u8>, u32)>> {
        Ok(self.receive_many(1, Deadline::after(timeout))?.pop())
    }

    /// Receives up to `most` messages with their priorities, waiting for the first; none when there was none
    /// until the deadline. Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// As [`receive`](Channel::receive).
    pub fn receive_many(&self, most: usize, deadline: Deadline) -> Result<Vec<(Vec<u8>, u32)>> {
        let mut sink = Vectors::default();
        let taken = retry_on_interrupt(|| self.receive_with(most, &mut sink, deadline))?;
        if taken == 0 && sink.out_of_memory {
            return Err(Error::from_errno(Operation::Receive, self.file.name(), Errno::NOMEM));
        }
        Ok(sink.messages)
    }
}
