//! The one error of this crate: what was attempted, on what, why it failed, what to do.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::kind::Kind;
use crate::name::Name;
use crate::sys::Errno;

/// The result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong with a named object.
///
/// [`kind`](Error::kind) is for programs, [`Display`](fmt::Display) for people: it reads as a
/// sentence that names the object and says what to do.
///
/// ```
/// use nob_ipc::{ErrorKind, Semaphore};
///
/// let error = Semaphore::options().open("/nob-ipc-doc-missing").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(
///     error.to_string(),
///     "cannot link to the semaphore \"/nob-ipc-doc-missing\": nothing has this name; \
///      create it first, or ask for link-or-create"
/// );
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    subject: Option<Subject>,
    kind: ErrorKind,
    errno: Option<Errno>,
    why: Cow<'static, str>,
    /// A periodic check was due, and no signal had arrived.
    periodic_check: bool,
    detail: Option<Arc<dyn Any + Send + Sync>>,
}

/// What was attempted on which object. There is none where the name itself is at fault, or where all
/// objects are concerned.
#[derive(Clone)]
struct Subject {
    operation: Operation,
    name: Name,
}

/// The sort of failure, for programs to decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument is out of its range.
    InvalidArgument,
    /// The name is not one that the system (or the portable set) takes.
    InvalidName,
    /// The name is taken.
    AlreadyExists,
    /// Nothing has the name.
    NotFound,
    /// The name belongs to another object now.
    Replaced,
    /// The system does not permit it to this user.
    PermissionDenied,
    /// A signal arrived, or the deadline's periodic check is due; nothing was taken.
    Interrupted,
    /// A limit of the system, of the user or of the process forbids it.
    LimitExceeded,
    /// There is no memory left where the object lives.
    OutOfSpace,
    /// The queue or channel was opened for the other direction.
    WrongDirection,
    /// What has the name is not such an object: a directory, a symlink, a file that is too short.
    WrongType,
    /// The segment was opened for reading.
    ReadOnly,
    /// The segment has size 0, so there is nothing to map.
    Empty,
    /// The message is longer than the queue or channel takes, or than the buffer that it is to be received into.
    TooLong,
    /// The value would pass its maximum.
    Overflow,
    /// Others created and removed the object without pause, so that neither linking nor creating
    /// succeeded; or another process keeps an exclusive lock on it.
    Busy,
    /// The object has no room for one more handle.
    TooManyHandles,
    /// This handle does not hold what it was to give back, or to speak for.
    NotHeld,
    /// Somebody has changed what no handle changes.
    Corrupt,
    /// The platform does not provide such objects.
    Unsupported,
    /// The handle, or its connection to a server, was closed, maybe by another thread.
    Closed,
    /// A server could not be reached or did not answer, and nothing was changed.
    ServerUnavailable,
    /// A server was asked and did not answer: whether it has done it is not known.
    OutcomeUnknown,
    /// A server has done it, but too few replicas or disks have said so in time.
    Unconfirmed,
    /// The object that the handle was opened on is not on the server any more.
    StaleHandle,
    /// The handle's hold was lost: its lease had run out.
    LockLost,
    /// Anything else; the errno tells.
    Other,
}

/// What was attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Making an object.
    Create,
    /// Opening an object that exists.
    Link,
    /// Removing a name.
    Unlink,
    /// Taking a permit of a semaphore, or a lock.
    Acquire,
    /// Giving permits back to a semaphore, or a lock back.
    Release,
    /// Sending a message.
    Send,
    /// Receiving a message.
    Receive,
    /// Reading an attribute.
    Inspect,
    /// Changing an attribute.
    Configure,
    /// Mapping a segment.
    Map,
    /// Changing the size of a segment.
    Resize,
    /// Reading a segment through its mapping.
    Read,
    /// Writing a segment through its mapping.
    Write,
    /// Asking to be notified of a message.
    Notify,
}

impl Operation {
    fn words(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Link => "link to",
            Operation::Unlink => "unlink",
            Operation::Acquire => "acquire",
            Operation::Release => "release",
            Operation::Send => "send to",
            Operation::Receive => "receive from",
            Operation::Inspect => "inspect",
            Operation::Configure => "configure",
            Operation::Map => "map",
            Operation::Resize => "resize",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Notify => "request a notification from",
        }
    }
}

impl Error {
    /// An error with words of its own.
    pub(crate) fn new(
        operation: Operation,
        name: &Name,
        kind: ErrorKind,
        errno: Option<Errno>,
        why: impl Into<Cow<'static, str>>,
    ) -> Error {
        let subject = Some(Subject { operation, name: name.clone() });
        Error(Box::new(Inner {
            subject,
            kind,
            errno,
            why: why.into(),
            periodic_check: false,
            detail: None,
        }))
    }

    /// An error of no object: the name itself is at fault, or all objects are concerned.
    pub(crate) fn unnamed(
        kind: ErrorKind,
        errno: Option<Errno>,
        why: impl Into<Cow<'static, str>>,
    ) -> Error {
        let why = why.into();
        Error(Box::new(Inner {
            subject: None,
            kind,
            errno,
            why,
            periodic_check: false,
            detail: None,
        }))
    }

    /// An error of an implementation of [`Permits`](crate::Permits) or [`Messages`](crate::Messages) in
    /// another crate. `why` follows a colon: why it failed; what to do.
    #[must_use]
    pub fn elsewhere(
        subject: Option<(Operation, &Name)>,
        kind: ErrorKind,
        errno: Option<i32>,
        why: impl Into<Cow<'static, str>>,
    ) -> Error {
        let errno = errno.map(Errno);
        match subject {
            Some((operation, name)) => Error::new(operation, name, kind, errno, why),
            None => Error::unnamed(kind, errno, why),
        }
    }

    /// The same error, with something for programs that goes with it.
    #[must_use]
    pub fn with_detail(mut self, detail: Arc<dyn Any + Send + Sync>) -> Error {
        self.0.detail = Some(detail);
        self
    }

    /// What goes with the error, if it is of this type.
    #[must_use]
    pub fn detail<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.detail.clone()?.downcast().ok()
    }

    /// A release of no permits.
    #[cold]
    pub(crate) fn nothing_to_release(name: &Name) -> Error {
        let why = "the number of permits to release must be at least 1, not 0";
        Error::new(Operation::Release, name, ErrorKind::InvalidArgument, None, why)
    }

    /// Sending through a handle that was opened for receiving, or the other way round.
    #[cold]
    pub(crate) fn wrong_direction(operation: Operation, name: &Name) -> Error {
        let why = match operation {
            Operation::Send => "it was opened for receiving only; open it for sending",
            _ => "it was opened for sending only; open it for receiving",
        };
        Error::new(operation, name, ErrorKind::WrongDirection, None, why)
    }

    /// The name of an object that was to be unlinked has been given to another.
    pub(crate) fn replaced(name: &Name) -> Error {
        let why = "the name belongs to another object now, which is left alone";
        let errno = Some(Errno::NOENT);
        Error::new(Operation::Unlink, name, ErrorKind::Replaced, errno, why)
    }

    /// An error that the errno alone explains.
    pub(crate) fn from_errno(operation: Operation, name: &Name, errno: Errno) -> Error {
        let (kind, why): (ErrorKind, Cow<'static, str>) = match errno {
            Errno::EXIST => (
                ErrorKind::AlreadyExists,
                "the name is taken; choose another, or ask for link-or-create or \
                 unlink-and-create"
                    .into(),
            ),
            Errno::NOENT if operation == Operation::Link => (
                ErrorKind::NotFound,
                "nothing has this name; create it first, or ask for link-or-create".into(),
            ),
            Errno::NOENT => (
                ErrorKind::NotFound,
                "nothing has this name; look at its spelling, or it is unlinked already".into(),
            ),
            Errno::ISDIR => (
                ErrorKind::WrongType,
                format!("{:?} is a directory; remove it, or choose another name", name.path())
                    .into(),
            ),
            Errno::ACCES | Errno::PERM => {
                (ErrorKind::PermissionDenied, permission_denied(operation, name.kind()).into())
            }
            Errno::INTR => (
                ErrorKind::Interrupted,
                "a signal arrived first, and nothing was taken; call again to go on".into(),
            ),
            Errno::MFILE => (
                ErrorKind::LimitExceeded,
                "this process has no descriptor left; close some, or raise RLIMIT_NOFILE \
                 (ulimit -n)"
                    .into(),
            ),
            Errno::NFILE => (
                ErrorKind::LimitExceeded,
                "the system has no descriptor left; close some, or raise the sysctl fs.file-max"
                    .into(),
            ),
            Errno::NOMEM => {
                (ErrorKind::Other, "the kernel has no memory left; free some and try again".into())
            }
            Errno::NOSYS => (
                ErrorKind::Unsupported,
                "the system does not provide such objects; nob-ipc needs Linux with glibc".into(),
            ),
            Errno::ROFS => (
                ErrorKind::Other,
                "the file system is mounted read-only; remount it for writing".into(),
            ),
            _ => (
                ErrorKind::Other,
                format!("the system refused with {:?}; see errno {}", errno.words(), errno.0)
                    .into(),
            ),
        };
        Error::new(operation, name, kind, Some(errno), why)
    }

    /// The object could not be mapped.
    pub(crate) fn map_failed(operation: Operation, name: &Name, errno: Errno) -> Error {
        if errno != Errno::NOMEM {
            return Error::from_errno(operation, name, errno);
        }
        let why = "this process has no room for one more mapping; close handles and mappings, or \
                   raise the sysctl vm.max_map_count or RLIMIT_AS (ulimit -v)";
        Error::new(operation, name, ErrorKind::LimitExceeded, Some(errno), why)
    }

    /// The deadline's periodic check is due.
    pub(crate) fn periodic_check(operation: Operation, name: &Name) -> Error {
        let mut error = Error::from_errno(operation, name, Errno::INTR);
        error.0.why = "a periodic check is due, and nothing was taken; call again to go on".into();
        error.0.periodic_check = true;
        error
    }

    /// The same error, saying that the object that had the name is gone already.
    pub(crate) fn after_unlink(mut self, unlinked: bool) -> Error {
        if unlinked {
            self.0.why =
                format!("{}; what had the name before has been unlinked and is gone", self.0.why)
                    .into();
        }
        self
    }

    /// The sort of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was attempted; `None` where no object was concerned yet.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.0.subject.as_ref().map(|subject| subject.operation)
    }

    /// The object's name; `None` when the name itself was refused.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.0.subject.as_ref().map(|subject| &subject.name)
    }

    /// The errno of the system, where the system refused.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.errno.map(|errno| errno.0)
    }

    /// The sentence without the object's name: what was attempted, why it failed, what to do.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.0.subject {
            Some(Subject { operation, name }) => {
                format!("cannot {} the {}: {}", operation.words(), name.kind(), self.0.why)
            }
            None => self.0.why.to_string(),
        }
    }

    /// Whether the call may simply be made again: a signal came first, and nothing was taken.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.0.kind == ErrorKind::Interrupted
    }

    /// Whether a signal interrupted the call, and not a
    /// [periodic check](crate::Deadline::checked_every).
    #[must_use]
    pub fn is_signal(&self) -> bool {
        self.is_interrupted() && !self.0.periodic_check
    }
}

fn permission_denied(operation: Operation, kind: Kind) -> &'static str {
    match operation {
        Operation::Link => match kind {
            Kind::SharedMemory => {
                "its owner does not permit this user to; open it for reading only if that suffices, or \
                 ask the owner for a wider mode"
            }
            Kind::MessageQueue => {
                "its owner does not permit this user to; open it for sending or receiving only if that \
                 suffices, or ask the owner for a wider mode"
            }
            _ => {
                "its owner does not permit this user to both read and write it, as each handle must; ask \
                 the owner for a wider mode"
            }
        },
        Operation::Unlink => "it belongs to another user; only its owner and root may unlink it",
        Operation::Create => {
            "this user may not create objects here; look at the permissions of \
                              the directory that holds them"
        }
        _ => "the system does not permit it to this user",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { subject, why, .. } = &*self.0;
        match subject {
            Some(Subject { operation, name }) => {
                write!(f, "cannot {} the {} \"{name}\": {why}", operation.words(), name.kind())
            }
            None => f.write_str(why),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("errno", &self.raw_os_error())
            .field("message", &self.to_string())
            .finish()
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    /// Keeps the errno's kind and the sentence.
    fn from(error: Error) -> Self {
        let kind = match error.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number).kind(),
            None => std::io::ErrorKind::InvalidInput,
        };
        std::io::Error::new(kind, error)
    }
}
