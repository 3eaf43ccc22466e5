//! Message queues with priorities.

use std::time::Duration;

use nob_ipc::{Deadline, Messages, Result};

use super::{End, Event, Model, Part};
use crate::random::Random;

/// A call of a queue. Messages are numbers, each of which is sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageCall {
    /// Sends one, and waits for room for so long; `None`: it tries.
    Send(u32, u32, Option<Duration>),
    /// Sends as many of these, of one priority, as there is room for now.
    SendMany(Vec<u32>, u32),
    /// Receives one, and waits for it for so long; `None`: it tries.
    Receive(Option<Duration>),
    /// Receives so many of those that are there now.
    ReceiveMany(usize),
    /// How many are there.
    Count,
    /// What calls had taken that were given up is back, and they take nothing any more.
    Rest,
}

/// What it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageAnswer {
    /// So many were sent: all for which there was room.
    Sent(usize),
    /// These, with their priorities: all that were there, if fewer than were asked for.
    Received(Vec<(u32, u32)>),
    /// So many are there.
    Count(usize),
    /// It is done.
    Done,
}

/// A message in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Message {
    number: u32,
    priority: u32,
    /// It was taken by this event, which was given up; it is to come back to its place.
    missing: Option<usize>,
}

/// A queue: the highest priority first, within it the first that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageModel {
    capacity: usize,
    messages: Vec<Message>,
    at_rest: bool,
}

impl MessageModel {
    /// An empty one, of so many messages.
    #[must_use]
    pub fn new(capacity: usize) -> MessageModel {
        MessageModel { capacity, messages: Vec::new(), at_rest: false }
    }

    fn count(&self) -> usize {
        self.messages.iter().filter(|message| message.missing.is_none()).count()
    }

    fn send(&mut self, numbers: &[u32], priority: u32) -> usize {
        // What came back may be beyond the capacity.
        let room = self.capacity.saturating_sub(self.count()).min(numbers.len());
        for &number in &numbers[..room] {
            let place = self.messages.iter().position(|message| message.priority < priority);
            let place = place.unwrap_or(self.messages.len());
            self.messages.insert(place, Message { number, priority, missing: None });
        }
        room
    }

    pub(super) fn receive(&mut self, most: usize) -> Vec<(u32, u32)> {
        let mut taken = Vec::new();
        self.messages.retain(|message| {
            let take = message.missing.is_none() && taken.len() < most;
            if take {
                taken.push((message.number, message.priority));
            }
            !take
        });
        taken
    }
}

impl Model for MessageModel {
    type Call = MessageCall;
    type Answer = MessageAnswer;

    fn step(
        &self,
        index: usize,
        event: &Event<MessageCall, MessageAnswer>,
        part: Part,
    ) -> Option<MessageModel> {
        let mut next = self.clone();
        let most = match &event.call {
            MessageCall::Receive(_) => 1,
            MessageCall::ReceiveMany(most) => *most,
            _ => 0,
        };
        match part {
            Part::Take if self.at_rest || self.count() == 0 => return None,
            Part::Take => {
                let there = next.messages.iter_mut().filter(|message| message.missing.is_none());
                there.take(most).for_each(|message| message.missing = Some(index));
                return Some(next);
            }
            Part::Back => {
                let taken = next.messages.iter_mut();
                let taken = taken.filter(|message| message.missing == Some(index));
                taken.for_each(|message| message.missing = None);
                return Some(next);
            }
            Part::Whole => {}
        }
        let answer = match &event.call {
            MessageCall::Send(number, priority, _) => {
                MessageAnswer::Sent(next.send(&[*number], *priority))
            }
            MessageCall::SendMany(numbers, priority) => {
                MessageAnswer::Sent(next.send(numbers, *priority))
            }
            MessageCall::Receive(_) | MessageCall::ReceiveMany(_) => {
                MessageAnswer::Received(next.receive(most))
            }
            MessageCall::Count => MessageAnswer::Count(self.count()),
            MessageCall::Rest if self.count() < self.messages.len() => return None,
            MessageCall::Rest => {
                next.at_rest = true;
                MessageAnswer::Done
            }
        };
        match &event.end {
            End::Answered(answered) if *answered != answer => None,
            _ => Some(next),
        }
    }
}

/// Calls for one client. Its messages are numbers from `first` on, of fewer than `priorities`
/// priorities; `batches`: they may go many at once.
pub fn message_calls(
    random: &mut Random,
    count: u32,
    first: u32,
    priorities: u32,
    batches: bool,
) -> Vec<MessageCall> {
    let mut numbers = first..;
    let mut number = || numbers.next().expect("there are many");
    let wait = |random: &mut Random| {
        let time = Duration::from_millis(random.below(12).into());
        (random.below(2) == 0).then_some(time)
    };
    (0..count)
        .map(|_| match random.below(if batches { 12 } else { 9 }) {
            0..4 => MessageCall::Send(number(), random.below(priorities), wait(random)),
            4..8 => MessageCall::Receive(wait(random)),
            8 => MessageCall::Count,
            9 => MessageCall::ReceiveMany(1 + random.below(3) as usize),
            _ => {
                let numbers = (0..=random.below(3)).map(|_| number()).collect();
                MessageCall::SendMany(numbers, random.below(priorities))
            }
        })
        .collect()
}

/// The message that is this number.
#[must_use]
pub fn message(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// The number of a message, and its priority.
pub fn number(message: &[u8], priority: u32) -> (u32, u32) {
    (u32::from_be_bytes(message.try_into().expect("a message that was sent")), priority)
}

/// Makes a call that is no batch; `count`: how many messages the object has.
///
/// # Errors
///
/// Those of the object.
pub fn call_messages(
    messages: &dyn Messages,
    call: &MessageCall,
    count: impl Fn() -> Result<usize>,
) -> Result<MessageAnswer> {
    Ok(match call {
        MessageCall::Send(number, priority, wait) => {
            let message = message(*number);
            let sent = messages.try_send(&message, *priority)?
                || match wait {
                    Some(time) => {
                        messages.wait_send(&message, *priority, Deadline::after(*time))?
                    }
                    None => false,
                };
            MessageAnswer::Sent(usize::from(sent))
        }
        MessageCall::Receive(wait) => {
            let mut buffer = vec![0; messages.max_message_size()];
            let received = match (messages.try_receive(&mut buffer)?, wait) {
                (None, Some(time)) => messages.wait_receive(&mut buffer, Deadline::after(*time))?,
                (received, _) => received,
            };
            let received =
                received.map(|received| number(&buffer[..received.length], received.priority));
            MessageAnswer::Received(Vec::from_iter(received))
        }
        MessageCall::SendMany(..) | MessageCall::ReceiveMany(_) => {
            panic!("by this trait a batch need not be one step")
        }
        MessageCall::Count => MessageAnswer::Count(count()?),
        MessageCall::Rest => MessageAnswer::Done,
    })
}
