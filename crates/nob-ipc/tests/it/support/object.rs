//! An object of any kind, so that what holds for all of them is tested once.

use std::sync::Arc;

use nob_ipc::{
    BoundedSemaphore, BoundedSemaphoreOptions, Channel, ChannelOptions, Existence, Kind, Lock,
    LockOptions, MessageQueue, MessageQueueOptions, Ownership, Result, Semaphore, SemaphoreOptions,
    SharedMemory, SharedMemoryOptions,
};
use nob_ipc_testing::{Unique, marks};

pub const EXISTENCES: [Existence; 4] =
    [Existence::Create, Existence::Link, Existence::LinkOrCreate, Existence::UnlinkAndCreate];

/// A handle of any kind.
#[derive(Debug)]
pub enum Object {
    Semaphore(Semaphore),
    Segment(SharedMemory),
    Queue(MessageQueue),
    Lock(Lock),
    Permits(BoundedSemaphore),
    Channel(Channel),
}

/// The kinds whose objects have a [measure](Object::measure): a lock has nothing by which one could be told
/// from another. It is made and opened by the same code as a bounded semaphore.
pub const MEASURED: [Kind; 5] = [
    Kind::Semaphore,
    Kind::SharedMemory,
    Kind::MessageQueue,
    Kind::BoundedSemaphore,
    Kind::Channel,
];

/// What a new object of [`Object::options`] has as its [measure](Object::measure).
pub const MEASURE: u32 = 2;

/// Options of any kind.
pub enum Options {
    Semaphore(SemaphoreOptions),
    Segment(SharedMemoryOptions),
    Queue(MessageQueueOptions),
    Lock(LockOptions),
    Permits(BoundedSemaphoreOptions),
    Channel(ChannelOptions),
}

/// Calls the same method of the options of whatever kind.
macro_rules! each {
    ($self:ident, $options:ident => $call:expr) => {
        match &mut $self {
            Options::Semaphore($options) => {
                $call;
            }
            Options::Segment($options) => {
                $call;
            }
            Options::Queue($options) => {
                $call;
            }
            Options::Lock($options) => {
                $call;
            }
            Options::Permits($options) => {
                $call;
            }
            Options::Channel($options) => {
                $call;
            }
        }
    };
}

impl Options {
    pub fn existence(mut self, existence: Existence) -> Options {
        each!(self, options => options.existence(existence));
        self
    }

    pub fn mode(mut self, mode: u32) -> Options {
        each!(self, options => options.mode(mode));
        self
    }

    pub fn unlink_on_drop(mut self, unlink: bool) -> Options {
        each!(self, options => options.unlink_on_drop(unlink));
        self
    }

    /// The measure of an object that is created.
    pub fn measure(mut self, measure: u32) -> Options {
        match &mut self {
            Options::Semaphore(options) => {
                options.initial_value(measure);
            }
            Options::Segment(options) => {
                options.size(measure.into());
            }
            Options::Queue(options) => {
                options.max_messages(measure.into());
            }
            Options::Lock(_) => {}
            Options::Permits(options) => {
                options.bound(measure);
            }
            Options::Channel(options) => {
                options.max_messages(measure.into());
            }
        }
        self
    }

    pub fn open(&self, name: &str) -> Result<Object> {
        match self {
            Options::Semaphore(options) => options.open(name).map(Object::Semaphore),
            Options::Segment(options) => options.open(name).map(Object::Segment),
            Options::Queue(options) => options.open(name).map(Object::Queue),
            Options::Lock(options) => options.open(name).map(Object::Lock),
            Options::Permits(options) => options.open(name).map(Object::Permits),
            Options::Channel(options) => options.open(name).map(Object::Channel),
        }
    }
}

impl Object {
    /// Options for a small object of this kind.
    pub fn options(kind: Kind) -> Options {
        match kind {
            Kind::Semaphore => Options::Semaphore(Semaphore::options()),
            Kind::SharedMemory => Options::Segment(SharedMemory::options()),
            Kind::MessageQueue => {
                let mut options = MessageQueue::options();
                options.max_message_size(16);
                Options::Queue(options)
            }
            Kind::Lock => Options::Lock(Lock::options()),
            Kind::BoundedSemaphore => Options::Permits(BoundedSemaphore::options()),
            Kind::Channel => {
                let mut options = Channel::options();
                options.capacity(4096);
                Options::Channel(options)
            }
        }
        .measure(MEASURE)
    }

    pub fn open(kind: Kind, name: &str, existence: Existence) -> Result<Object> {
        Object::options(kind).existence(existence).open(name)
    }

    #[track_caller]
    pub fn create(kind: Kind, name: &str) -> Object {
        Object::open(kind, name, Existence::Create).expect("a new object")
    }

    pub fn ownership(&self) -> &Arc<Ownership> {
        match self {
            Object::Semaphore(semaphore) => semaphore.ownership(),
            Object::Segment(segment) => segment.ownership(),
            Object::Queue(queue) => queue.ownership(),
            Object::Lock(lock) => lock.ownership(),
            Object::Permits(permits) => permits.ownership(),
            Object::Channel(channel) => channel.ownership(),
        }
    }

    /// A number by which one object is told from another: value, size or capacity.
    pub fn measure(&self) -> u32 {
        match self {
            Object::Semaphore(semaphore) => semaphore.value(),
            Object::Segment(segment) => {
                segment.size().expect("a size").try_into().expect("small segments")
            }
            Object::Queue(queue) => queue.max_messages().try_into().expect("small queues"),
            Object::Lock(_) => panic!("a lock has no measure"),
            Object::Permits(permits) => permits.bound(),
            Object::Channel(channel) => channel.max_messages().try_into().expect("small channels"),
        }
    }

    /// Does with the object what it is for, and leaves it as it was.
    #[track_caller]
    pub fn use_it(&self) {
        match self {
            Object::Semaphore(semaphore) => {
                semaphore.release().expect("far from the maximum");
                assert!(semaphore.try_acquire());
            }
            Object::Segment(segment) => {
                let mapping = segment.map().expect("it is not empty");
                mapping.write(0, b"x").expect("it is writable");
                let mut byte = [0];
                mapping.read(0, &mut byte).expect("it has a byte");
                assert_eq!(&byte, b"x");
            }
            Object::Queue(queue) => {
                assert!(queue.try_send(b"x", 0).expect("it is open for sending"));
                let mut buffer = vec![0; queue.max_message_size()];
                let received = queue.try_receive(&mut buffer).expect("it is open for receiving");
                assert_eq!(received.map(|received| received.length), Some(1));
            }
            Object::Lock(lock) => drop(lock.acquire().expect("nobody holds it")),
            Object::Permits(permits) => drop(permits.guard().expect("one is free")),
            Object::Channel(channel) => {
                assert!(channel.try_send(b"x", 0).expect("it is open for sending"));
                let received = channel.try_receive(&mut [0; 1]);
                let received = received.expect("it is open for receiving");
                assert_eq!(received.map(|received| received.length), Some(1));
            }
        }
    }
}

/// Whether the files of `/dev/shm` can be marked: tmpfs has the attributes since Linux 6.6.
pub fn can_be_marked(kind: Kind) -> bool {
    if kind == Kind::MessageQueue {
        return true;
    }
    let name = Unique::new();
    let object = Object::create(kind, &name);
    let marked = marks::mark(kind, &name).is_some();
    drop(object);
    if !marked {
        eprintln!("skipped for {kind}: the file system has no extended attributes");
    }
    marked
}
