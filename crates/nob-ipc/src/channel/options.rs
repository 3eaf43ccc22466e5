//! How a channel is opened.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use super::Channel;
use super::layout::{
    Limits, MAX_CAPACITY, MAX_LANES, MAX_MESSAGES, OVERHEAD, Page, UNIT, min_capacity, room_for,
};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::kind::Kind;
use crate::name::Name;
use crate::object::options::{Common, common_setters};
use crate::object::{Direction, Reservation};
use crate::robust::{self, New};
use crate::sys;

/// The room of a channel whose maker does not say how much.
const DEFAULT_CAPACITY: u64 = 1 << 20;

/// How a [`Channel`] is opened; made by [`Channel::options`].
#[derive(Clone, Debug)]
pub struct ChannelOptions {
    capacity: Option<u64>,
    max_messages: Option<u64>,
    max_message_size: Option<u64>,
    priorities: u32,
    direction: Direction,
    reservation: Reservation,
    common: Common,
}

impl Channel {
    /// Options to open a channel with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options() -> ChannelOptions {
        ChannelOptions::new()
    }
}

impl ChannelOptions {
    fn new() -> Self {
        ChannelOptions {
            capacity: None,
            max_messages: None,
            max_message_size: None,
            priorities: 1,
            direction: Direction::default(),
            reservation: Reservation::default(),
            common: Common::new(),
        }
    }

    /// How many bytes of messages each priority of a channel that is created has room for, rounded up to a
    /// power of two, 4 KiB to 1 TiB. A message takes 8 bytes more than it has, rounded up to a multiple of 8.
    /// Default: room for [`max_messages`](Self::max_messages) of
    /// [`max_message_size`](Self::max_message_size) if both are given, else 1 MiB. Ignored when linking.
    pub fn capacity(&mut self, bytes: u64) -> &mut Self {
        self.capacity = Some(bytes);
        self
    }

    /// How many messages a channel that is created holds, 1 to 16,777,215; default: as many as fit. Ignored
    /// when linking.
    pub fn max_messages(&mut self, count: u64) -> &mut Self {
        self.max_messages = Some(count);
        self
    }

    /// How many bytes a message may have in a channel that is created; default, and the most: 16 less than
    /// the [`capacity`](Self::capacity). Ignored when linking.
    pub fn max_message_size(&mut self, bytes: u64) -> &mut Self {
        self.max_message_size = Some(bytes);
        self
    }

    /// How many priorities a channel that is created has, 1 to 8; default 1. Each has room of its own.
    /// Ignored when linking.
    pub fn priorities(&mut self, count: u32) -> &mut Self {
        self.priorities = count;
        self
    }

    /// What the handle may do; default [`Direction::Both`].
    pub fn direction(&mut self, direction: Direction) -> &mut Self {
        self.direction = direction;
        self
    }

    /// Whether the memory of a channel that is created is allocated at once; default
    /// [`Reservation::Reserved`].
    pub fn reservation(&mut self, reservation: Reservation) -> &mut Self {
        self.reservation = reservation;
        self
    }

    common_setters!();

    /// Opens the channel called `name`; one leading slash is optional. Each handle needs the right to read
    /// and to write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`], [`ErrorKind::InvalidArgument`] for limits or a mode out of range,
    /// [`ErrorKind::AlreadyExists`] or [`ErrorKind::NotFound`] as the [`Existence`](crate::Existence) says,
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::WrongType`] when something else has its place, or a
    /// channel of another version, [`ErrorKind::TooManyHandles`], [`ErrorKind::OutOfSpace`],
    /// [`ErrorKind::LimitExceeded`].
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Channel> {
        self.open_named(&Name::new(Kind::Channel, name)?)
    }

    /// Opens the channel that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](ChannelOptions::open); a name of another kind is
    /// [`ErrorKind::InvalidArgument`].
    pub fn open_named(&self, name: &Name) -> Result<Channel> {
        self.open_with(name, &mut || ControlFlow::Continue(()))
    }

    /// Opens a channel whose memory may take long to reserve: `on_step` is called between the steps and
    /// after each signal, and ends it with [`Break`](ControlFlow::Break).
    ///
    /// # Errors
    ///
    /// As [`open_named`](ChannelOptions::open_named); [`ErrorKind::Interrupted`] when `on_step` ended it:
    /// all is as it was before.
    pub fn open_with(
        &self,
        name: &Name,
        on_step: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Channel> {
        self.common.check(name, Kind::Channel)?;
        let limits = self.limits(name)?;
        let size = limits.file_size().unwrap_or(u64::MAX);
        let write_limits = |page: &Page| page.fill(limits);
        let new = New {
            size,
            permits: 0,
            reservation: self.reservation,
            inheritable: false,
            fill: &write_limits,
            on_step,
        };
        let file = robust::open(Kind::Channel, name, self.common, new)?;
        Ok(Channel::new(file, self.direction))
    }

    /// The limits of a channel that is created.
    fn limits(&self, name: &Name) -> Result<Limits> {
        let lanes = u64::from(self.priorities);
        in_range(name, "the number of priorities", lanes, (1, MAX_LANES.into()))?;
        let most = MAX_CAPACITY - OVERHEAD;
        let max_message_size = self.max_message_size.unwrap_or(most);
        in_range(name, "max_message_size", max_message_size, (1, most))?;
        let max_messages = self.max_messages.unwrap_or(MAX_MESSAGES);
        in_range(name, "max_messages", max_messages, (1, MAX_MESSAGES))?;
        let capacity = match (self.capacity, self.max_messages, self.max_message_size) {
            (Some(capacity), ..) => {
                in_range(name, "the capacity", capacity, (1, MAX_CAPACITY))?;
                capacity
            }
            (None, Some(count), Some(size)) => {
                let each = room_for(usize::try_from(size).unwrap_or(usize::MAX));
                let room = count.saturating_mul(each.max(UNIT));
                in_range(name, "the room for all messages", room, (1, MAX_CAPACITY))?;
                room.max(size + OVERHEAD)
            }
            (None, _, Some(size)) => DEFAULT_CAPACITY.max(size + OVERHEAD),
            (None, ..) => DEFAULT_CAPACITY,
        };
        let least = min_capacity(sys::mman::page_size());
        let capacity = capacity.next_power_of_two().max(least);
        let max_message_size = self.max_message_size.unwrap_or(capacity - OVERHEAD);
        if max_message_size > capacity - OVERHEAD {
            let why = format!(
                "a message of {max_message_size} bytes does not fit into the capacity of {capacity}, \
                 which takes {} at the most; ask for more capacity",
                capacity - OVERHEAD
            );
            return Err(invalid(name, why));
        }
        // The smallest messages take as much of each ring.
        let max_messages = max_messages.min(capacity / UNIT * lanes);
        Ok(Limits { capacity, max_message_size, max_messages, lanes })
    }
}

fn in_range(name: &Name, what: &str, value: u64, (least, most): (u64, u64)) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(name, format!("{what} is {value}; give {least} to {most}")))
}

fn invalid(name: &Name, why: String) -> Error {
    Error::new(Operation::Create, name, ErrorKind::InvalidArgument, None, why)
}
