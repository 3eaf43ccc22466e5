//! Named channels: messages of any size, without the kernel's limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::layout::{Cursor, Distance, Page};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Direction;
use crate::object::ownership::Ownership;
use crate::object::{Messages, Received};
use crate::robust::{Event, OwnedWord, RobustFile};
use crate::sys::ring::Ring;
use crate::sys::{Errno, kill_point};
use crate::wait::sleep::Sleeps;
use crate::wait::spin::Waiters;
use crate::wait::{Deadline, retry_on_interrupt};

mod layout;
mod options;
mod readiness;
mod receiving;
mod sending;
mod sink;
pub(crate) mod state;
pub use options::ChannelOptions;
pub use readiness::Readiness;
pub use sink::Sink;
pub use state::ChannelState;

/// How long a wait for a message or for room spins before it sleeps.
const SPIN: Duration = Duration::from_micros(25);
const SPIN_STRIDE: u32 = 10;

/// How long a wait for a message sleeps until it looks by itself: a sender may have been killed between
/// sending and waking those who wait.
const LOOK_FOR_MESSAGES: Duration = Duration::from_millis(50);

/// A channel of messages that processes share by name.
///
/// Messages are opaque bytes, 0 to [`max_message_size`](Channel::max_message_size) of them. Any number of
/// handles send and receive; each message is received by one of them, whole. The highest priority is
/// received first; within a priority, the first that was sent.
///
/// A message is sent, and taken, by one store. So a process that is killed at whatever moment loses nothing
/// but its own unfinished message, and delays the others by 50 ms at the most.
///
/// ```
/// use nob_ipc::{Channel, Existence};
///
/// let channel = Channel::options()
///     .priorities(2)
///     .existence(Existence::UnlinkAndCreate)
///     .open("/nob-ipc-doc-channel")?;
/// channel.send(&[7; 100_000], 0)?;
/// channel.send(b"now", 1)?;
/// assert_eq!(channel.receive()?, (b"now".to_vec(), 1));
/// assert_eq!(channel.receive()?.0.len(), 100_000);
/// # Ok::<(), nob_ipc::Error>(())
/// ```
///
/// # What it does not
///
/// It promises no fairness, no delivery to several receivers, and no acknowledgement of what was done with a
/// message. C programs do not share it. Whoever may write to its file can make it give wrong messages, and
/// no more. A process that is stopped amid a copy stops the others of its side.
#[derive(Debug)]
pub struct Channel {
    file: RobustFile<Page>,
    direction: Direction,
    blocking: AtomicBool,
    senders: Waiters,
    receivers: Waiters,
    /// Those of this process who wait for their turn to copy.
    copiers: Waiters,
}

impl Channel {
    /// The largest number of priorities.
    pub const MAX_PRIORITIES: u32 = layout::MAX_LANES;

    /// How long a call that does not wait for messages or room bears a copy that another handle makes.
    pub const COPY: Duration = Duration::from_millis(20);

    fn new(file: RobustFile<Page>, direction: Direction) -> Channel {
        Channel {
            file,
            direction,
            blocking: AtomicBool::new(true),
            senders: Waiters::new(),
            receivers: Waiters::new(),
            copiers: Waiters::new(),
        }
    }

    /// The ring of each priority, the lowest first.
    #[inline]
    fn rings(&self) -> &[Ring] {
        &self.file.rest().lanes
    }

    /// The name, and who unlinks it.
    #[must_use]
    pub fn ownership(&self) -> &Arc<Ownership> {
        self.file.ownership()
    }

    /// What this handle may do.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// How many bytes each priority has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.file.rest().capacity
    }

    /// How many messages the channel holds, at the most.
    #[must_use]
    pub fn max_messages(&self) -> usize {
        usize::try_from(self.file.rest().max_messages).unwrap_or(usize::MAX)
    }

    /// How many bytes a message may have.
    #[must_use]
    pub fn max_message_size(&self) -> usize {
        self.file.rest().max_message_size
    }

    /// How many priorities there are: 0 to one less may be sent.
    #[must_use]
    pub fn priorities(&self) -> u32 {
        u32::try_from(self.rings().len()).unwrap_or(u32::MAX)
    }

    /// Whether calls of this handle wait at all.
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    /// Says whether calls of this handle wait at all. Those that would wait otherwise return at once,
    /// whatever their deadline.
    pub fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    fn page(&self) -> &Page {
        self.file.content()
    }

    /// What is in a lane; the ends of the ring.
    #[inline]
    fn lane(&self, lane: usize, operation: Operation) -> Result<(Cursor, Cursor, Distance)> {
        let Some(shared) = self.page().lane.get(lane) else { return Err(self.corrupt(operation)) };
        let sent = Cursor(shared.sent.load(Ordering::Acquire));
        let taken = Cursor(shared.taken.load(Ordering::Acquire));
        match taken.until(sent, self.capacity()) {
            Some(distance) => Ok((taken, sent, distance)),
            None => self.lane_again(lane, operation),
        }
    }

    /// The two ends are read one after the other, and what is between is too much if the other side was
    /// quick: the order of the reads makes sure that it is never too little.
    #[cold]
    fn lane_again(&self, lane: usize, operation: Operation) -> Result<(Cursor, Cursor, Distance)> {
        const LOOKS: u32 = 1000;
        for _ in 0..LOOKS {
            let Some(shared) = self.page().lane.get(lane) else { break };
            let taken = Cursor(shared.taken.load(Ordering::SeqCst));
            let sent = Cursor(shared.sent.load(Ordering::SeqCst));
            if taken.0 == shared.taken.load(Ordering::SeqCst)
                && let Some(distance) = taken.until(sent, self.capacity())
            {
                return Ok((taken, sent, distance));
            }
            std::hint::spin_loop();
        }
        Err(self.corrupt(operation))
    }

    /// How many messages are in the channel at this moment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if somebody has written rubbish.
    pub fn current_messages(&self) -> Result<usize> {
        let mut messages = 0;
        for lane in 0..self.rings().len() {
            messages += self.lane(lane, Operation::Inspect)?.2.messages;
        }
        Ok(usize::try_from(messages).unwrap_or(usize::MAX))
    }

    /// Whether there is a message, as far as a look can tell.
    #[inline]
    fn has_message(&self) -> bool {
        let lanes = self.page().lane.iter().take(self.rings().len());
        lanes
            .rev()
            .any(|lane| lane.sent.load(Ordering::SeqCst) != lane.taken.load(Ordering::SeqCst))
    }

    /// The length of the next message, as far as a look can tell: another may receive it first.
    #[must_use]
    pub fn peek(&self) -> Option<usize> {
        for lane in (0..self.rings().len()).rev() {
            let (taken, _, distance) = self.lane(lane, Operation::Receive).ok()?;
            if distance.messages > 0 {
                let place = self.page().lane.get(lane)?.place(taken, self.capacity());
                let length = self.rings().get(lane)?.read_word(place);
                return Some(
                    usize::try_from(length).map_or(0, |it| it.min(self.max_message_size())),
                );
            }
        }
        None
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
            return Err(Error::wrong_direction(Operation::Send, self.file.name()));
        }
        if message.len() > self.max_message_size() {
            return Err(self.too_long(message.len()));
        }
        if priority as usize >= self.rings().len() {
            return Err(self.bad_priority(priority));
        }
        Ok(())
    }

    /// Works while nobody else of this side copies; `None`: another one's copy did not end in time.
    #[inline]
    fn in_turn<R>(
        &self,
        word: &OwnedWord,
        operation: Operation,
        copy: impl FnOnce() -> R,
    ) -> Result<Option<R>> {
        self.in_turn_within(Channel::COPY, word, operation, copy)
    }

    /// The same, with so much time.
    #[inline]
    fn in_turn_within<R>(
        &self,
        patience: Duration,
        word: &OwnedWord,
        operation: Operation,
        copy: impl FnOnce() -> R,
    ) -> Result<Option<R>> {
        let slot = self.file.slot(operation)?;
        if !word.try_take_free(slot) && !self.wait_for_turn(patience, word, slot)? {
            return Ok(None);
        }
        let turn = Turn { word, slot };
        kill_point(1);
        let result = copy();
        drop(turn);
        kill_point(7);
        Ok(Some(result))
    }

    /// Whether a handle copies messages into the channel at this moment, or has died amid it. A call that
    /// sends bears that for 20 ms.
    #[must_use]
    #[inline]
    pub fn is_being_sent_to(&self) -> bool {
        self.page().senders.owner().is_some()
    }

    /// The same of a handle that copies messages out of it, for a call that receives.
    #[must_use]
    #[inline]
    pub fn is_being_received_from(&self) -> bool {
        self.page().receivers.owner().is_some()
    }

    /// Waits until no other handle copies messages into the channel; `false` if one still does after so
    /// much time. For those who send where they must not wait.
    ///
    /// # Errors
    ///
    /// If it cannot be told whether that handle lives.
    pub fn wait_for_sender(&self, patience: Duration) -> Result<bool> {
        let senders = &self.page().senders;
        Ok(self.in_turn_within(patience, senders, Operation::Send, || ())?.is_some())
    }

    /// The same of a handle that copies messages out of it, for those who receive.
    ///
    /// # Errors
    ///
    /// As [`wait_for_sender`](Channel::wait_for_sender).
    pub fn wait_for_receiver(&self, patience: Duration) -> Result<bool> {
        let receivers = &self.page().receivers;
        Ok(self.in_turn_within(patience, receivers, Operation::Receive, || ())?.is_some())
    }

    #[cold]
    fn wait_for_turn(&self, patience: Duration, word: &OwnedWord, slot: u32) -> Result<bool> {
        let deadline = Deadline::after(patience);
        Ok(word.try_take(&self.file, slot)?
            || retry_on_interrupt(|| word.wait(&self.file, &self.copiers, deadline))?)
    }

    /// The one way in which a call waits: it tries when a look says that it may succeed.
    fn wait<R>(
        &self,
        wait: &Wait<'_>,
        deadline: Deadline,
        ready: impl Fn() -> bool,
        mut attempt: impl FnMut() -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let &Wait { operation, event, waiters, looks: (mut pause, last_pause) } = wait;
        if deadline.is_now() || !self.is_blocking() {
            return Ok(None);
        }
        let sleeps = Sleeps::new(operation, self.file.name(), deadline);
        let waiting = waiters.enter();
        // An attempt in vain may have borne another one's copy.
        let mut in_vain = false;
        let spun = waiting.spin(SPIN, SPIN_STRIDE, deadline, || {
            if !ready() || (in_vain && sleeps.are_over()) {
                return None;
            }
            let done = attempt().transpose();
            in_vain |= done.is_none();
            done
        });
        if let Some(end) = spun {
            return end.map(Some);
        }
        let _asleep = self.file.note_sleeper(self.file.slot(operation)?);
        loop {
            let seen = event.announce();
            kill_point(8);
            if ready()
                && let Some(done) = attempt()?
            {
                return Ok(Some(done));
            }
            let Some(rest) = sleeps.rest()? else { return Ok(None) };
            if !self.is_blocking() {
                return Ok(None);
            }
            if !sleeps.go_on(event.sleep(seen, rest.min(pause)))? {
                return Ok(None);
            }
            kill_point(9);
            pause = (2 * pause).min(last_pause);
        }
    }

    #[cold]
    fn would_wait(&self, operation: Operation) -> Error {
        let why = "the handle is non-blocking, and the call would have to wait; try again later, or let \
                   it block";
        Error::new(operation, self.file.name(), ErrorKind::Other, Some(Errno::AGAIN), why)
    }

    #[cold]
    fn corrupt(&self, operation: Operation) -> Error {
        let why = "somebody has written rubbish into its file; unlink it and create it anew";
        Error::new(operation, self.file.name(), ErrorKind::Corrupt, Some(Errno::UCLEAN), why)
    }

    #[cold]
    fn too_long(&self, length: usize) -> Error {
        let most = self.max_message_size();
        let remedy = if most as u64 + layout::OVERHEAD == self.capacity() as u64 {
            "more capacity"
        } else {
            "a larger max_message_size"
        };
        let why = format!(
            "the message has {length} bytes, and the channel takes {most} at the most; split it, or \
             create the channel with {remedy}"
        );
        let errno = Some(Errno::MSGSIZE);
        Error::new(Operation::Send, self.file.name(), ErrorKind::TooLong, errno, why)
    }

    #[cold]
    fn short_buffer(&self, length: usize, room: usize) -> Error {
        let why = format!(
            "the next message has {length} bytes, and the buffer {room}; it stays: give a larger buffer"
        );
        let errno = Some(Errno::MSGSIZE);
        Error::new(Operation::Receive, self.file.name(), ErrorKind::TooLong, errno, why)
    }

    #[cold]
    fn bad_priority(&self, priority: u32) -> Error {
        let range = match self.rings().len() {
            1 => String::from("it has only 0"),
            priorities => format!("give 0 to {}", priorities - 1),
        };
        let why = format!(
            "the priority {priority} is out of range; {range}, or create the channel with more priorities"
        );
        Error::new(Operation::Send, self.file.name(), ErrorKind::InvalidArgument, None, why)
    }
}

/// A turn to copy, which ends also when what a caller gives panics.
struct Turn<'a> {
    word: &'a OwnedWord,
    slot: u32,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.word.release(self.slot);
    }
}

/// What a call waits for.
struct Wait<'a> {
    operation: Operation,
    event: &'a Event,
    waiters: &'a Waiters,
    /// How long to sleep until the first look, and until the later ones.
    looks: (Duration, Duration),
}

impl Messages for Channel {
    fn try_send(&self, message: &[u8], priority: u32) -> Result<bool> {
        self.try_send(message, priority)
    }

    fn wait_send(&self, message: &[u8], priority: u32, deadline: Deadline) -> Result<bool> {
        self.wait_send(message, priority, deadline)
    }

    fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<Received>> {
        self.try_receive(buffer)
    }

    fn wait_receive(&self, buffer: &mut [u8], deadline: Deadline) -> Result<Option<Received>> {
        self.wait_to_receive(deadline, || self.try_receive(buffer))
    }

    fn try_send_many(
        &self,
        messages: &mut dyn Iterator<Item = &[u8]>,
        priority: u32,
    ) -> Result<usize> {
        self.try_send_many(messages, priority)
    }

    fn max_message_size(&self) -> usize {
        self.max_message_size()
    }

    fn is_blocking(&self) -> Result<bool> {
        Ok(self.is_blocking())
    }
}
