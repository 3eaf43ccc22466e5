//! How a queue is opened.

use std::ffi::OsStr;
use std::sync::Arc;

use super::MessageQueue;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::mqueue::descriptor::QueueFd;
use crate::home::mqueue::record;
use crate::home::usage::{self, Part, Pauses};
use crate::kind::Kind;
use crate::message_queue::limits;
use crate::name::Name;
use crate::object::Direction;
use crate::object::existence::Existence;
use crate::object::live;
use crate::object::open::{self, Linked, Opening};
use crate::object::options::{Common, common_setters};
use crate::object::ownership::Ownership;
use crate::sys::{self, AsFd, BorrowedFd, Capacity, Errno, OwnedFd};
use crate::wait::spin::Waiters;

/// How a [`MessageQueue`] is opened; made by [`MessageQueue::options`].
#[derive(Clone, Debug)]
pub struct MessageQueueOptions {
    max_messages: Option<u64>,
    max_message_size: Option<u64>,
    direction: Direction,
    common: Common,
}

impl MessageQueue {
    /// Options to open a queue with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options() -> MessageQueueOptions {
        MessageQueueOptions::new()
    }
}

impl MessageQueueOptions {
    fn new() -> Self {
        MessageQueueOptions {
            max_messages: None,
            max_message_size: None,
            direction: Direction::default(),
            common: Common::new(),
        }
    }

    /// How many messages a queue that is created holds, at least 1; default: the system's.
    pub fn max_messages(&mut self, count: u64) -> &mut Self {
        self.max_messages = Some(count);
        self
    }

    /// How many bytes a message may have in a queue that is created, at least 1; default: the
    /// system's.
    pub fn max_message_size(&mut self, bytes: u64) -> &mut Self {
        self.max_message_size = Some(bytes);
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
    /// [`ErrorKind::InvalidName`], [`ErrorKind::InvalidArgument`] for a capacity or mode out of
    /// range, [`ErrorKind::AlreadyExists`] or [`ErrorKind::NotFound`] as the
    /// [`Existence`] says, [`ErrorKind::PermissionDenied`],
    /// [`ErrorKind::LimitExceeded`] where a limit of the system, the user or the process forbids
    /// it, [`ErrorKind::OutOfSpace`] where there are too many queues, [`ErrorKind::Unsupported`].
    #[doc(alias = "mq_open")]
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<MessageQueue> {
        self.open_named(&Name::new(Kind::MessageQueue, name)?)
    }

    /// Opens the queue that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](MessageQueueOptions::open).
    pub fn open_named(&self, name: &Name) -> Result<MessageQueue> {
        self.common.check(name, Kind::MessageQueue)?;
        check_capacity(name, "max_messages", self.max_messages)?;
        check_capacity(name, "max_message_size", self.max_message_size)?;
        let mut opening = OpeningQueue { options: self, spare: None };
        let queue = open::open(&mut opening, name, self.common.existence)?;
        live::add(&queue.ownership)?;
        Ok(queue)
    }

    /// What is asked for; nothing where the system's defaults are.
    fn capacity(&self) -> Option<Capacity> {
        let asked = self.max_messages.is_some() || self.max_message_size.is_some();
        asked.then(|| limits::with_defaults(self.max_messages, self.max_message_size))
    }
}

fn check_capacity(name: &Name, what: &str, value: Option<u64>) -> Result<()> {
    match value {
        Some(value) if value == 0 || i64::try_from(value).is_err() => {
            let why = format!("{what} is {value}; give 1 to {}", i64::MAX);
            Err(Error::new(Operation::Create, name, ErrorKind::InvalidArgument, None, why))
        }
        _ => Ok(()),
    }
}

/// A queue in the making.
struct OpeningQueue<'a> {
    options: &'a MessageQueueOptions,
    /// Where an old queue goes first: what makes sure that there is a descriptor for the new one.
    spare: Option<OwnedFd>,
}

impl OpeningQueue<'_> {
    /// Makes sure of a descriptor for the new queue before the old one goes.
    fn reserve(&mut self, name: &Name) -> Result<()> {
        let spare = sys::fcntl::spare();
        self.spare =
            Some(spare.map_err(|errno| Error::from_errno(Operation::Create, name, errno))?);
        Ok(())
    }

    /// The handle to a queue in whose use this process takes part by its descriptor.
    fn handle(&self, name: &Name, queue: QueueFd, created: bool) -> Result<MessageQueue> {
        let options = self.options;
        let operation = if created { Operation::Create } else { Operation::Link };
        let fail = |errno| Error::from_errno(operation, name, errno);
        let size = |value| usize::try_from(value).map_err(|_| fail(Errno::OVERFLOW));
        let Capacity { max_messages, max_message_size } =
            sys::mqueue::state(queue.as_fd()).map_err(fail)?.capacity;
        let (max_messages, max_message_size) = (size(max_messages)?, size(max_message_size)?);
        let lifetime = options.common.lifetime(queue.stat(), created);
        Ok(MessageQueue {
            direction: options.direction,
            max_messages,
            max_message_size,
            senders: Waiters::new(),
            receivers: Waiters::new(),
            ownership: Arc::new(Ownership::new(name, queue.stat(), created, lifetime)),
            queue,
        })
    }

    /// Takes part in the use of a queue that was just created, and is visible already.
    fn take_part_in_new(name: &Name, queue: BorrowedFd<'_>) -> Result<Part> {
        let fail = |errno| Error::from_errno(Operation::Create, name, errno);
        let mut pauses = Pauses::default();
        loop {
            match usage::take_part(queue).map_err(fail)? {
                Part::Again(Some(file)) if !pauses.pause(usage::BORNE) => {
                    return Err(usage::locked(Operation::Create, name, file));
                }
                Part::Again(Some(_)) => {}
                part => return Ok(part),
            }
        }
    }
}

impl Opening for OpeningQueue<'_> {
    type Handle = MessageQueue;

    /// What killed processes left is linked to, with its messages: a death cannot have broken it.
    fn link(&mut self, name: &Name, _: Existence) -> Result<Linked<MessageQueue>> {
        let fail = |errno| Error::from_errno(Operation::Link, name, errno);
        let mode = self.options.direction.into();
        let opened = match sys::mqueue::open(name.as_c_str(), mode) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => return Ok(Linked::Missing),
            Err(errno) => return Err(fail(errno)),
        };
        let stat = match usage::take_part(opened.as_fd()).map_err(fail)? {
            Part::Taken(stat) => stat,
            Part::Again(refused) => return Ok(Linked::Contended(refused)),
        };
        let handle = QueueFd::with_non_blocking(opened, mode)
            .map_err(fail)
            .and_then(|queue| self.handle(name, queue, false));
        handle.map(Linked::Handle).inspect_err(|_| self.options.common.give_up(name, &stat))
    }

    /// A queue cannot be built without a name; where an old one is to go first, at least what is
    /// known to forbid the new one is looked at before.
    fn prepare(&mut self, name: &Name, existence: Existence) -> Result<()> {
        let MessageQueueOptions { max_messages, max_message_size, .. } = *self.options;
        match existence {
            Existence::UnlinkAndCreate => {
                limits::check(name, limits::with_defaults(max_messages, max_message_size))?;
                self.reserve(name)
            }
            _ => Ok(()),
        }
    }

    fn publish(&mut self, name: &Name, existence: Existence) -> Result<Option<MessageQueue>> {
        let MessageQueueOptions { direction, max_messages, max_message_size, ref common, .. } =
            *self.options;
        let replaces = self.spare.take().is_some();
        let record = record::Pending::write(name, common.is_marked());
        let capacity = self.options.capacity();
        let access = direction.into();
        let mode = common.mode_of_new();
        let created = match sys::mqueue::create(name.as_c_str(), access, mode, capacity) {
            Ok(created) => created,
            Err(Errno::EXIST) if replaces => return self.reserve(name).map(|()| None),
            Err(Errno::EXIST) => return Ok(None),
            Err(errno) => {
                let capacity = limits::with_defaults(max_messages, max_message_size);
                return Err(limits::explain(name, errno, capacity));
            }
        };
        let handle = match Self::take_part_in_new(name, created.as_fd()) {
            // Somebody has removed the name again. Who wants to share it with others begins anew.
            Ok(Part::Again(_)) if existence == Existence::LinkOrCreate => return Ok(None),
            Ok(_) => QueueFd::with_non_blocking(created, access)
                .map_err(|errno| Error::from_errno(Operation::Create, name, errno))
                .and_then(|queue| self.handle(name, queue, true)),
            Err(error) => Err(error),
        };
        match handle {
            Ok(handle) => {
                if let Some(record) = record {
                    record.keep(handle.ownership.identity());
                }
                Ok(Some(handle))
            }
            Err(error) => {
                // The queue is this call's own and has no handle: it goes as it came.
                let _ = sys::mqueue::unlink(name.as_c_str());
                Err(error)
            }
        }
    }
}
