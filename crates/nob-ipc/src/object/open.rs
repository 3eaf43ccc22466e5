//! The one bounded create-or-link loop of all kinds, and the checks of what it opens.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::name::{Kind, Name};
use crate::object::existence::{Existence, Next, Outcome, Step};
use crate::object::ownership;
use crate::shared_memory::reserve;
use crate::sys::time::monotonic;
use crate::sys::{self, BorrowedFd, Errno, FileType, Stat};

/// Contention ends in [`ErrorKind::Busy`] only after this long and this many attempts.
const PATIENCE: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 1_000;

/// An object in the making; each kind says how its steps are done.
pub(crate) trait Opening {
    type Handle;

    /// Opens what has the name; `None` if nothing has.
    fn link(&mut self, name: &Name) -> Result<Option<Self::Handle>>;

    /// Builds the object and its handle without a name, so that nothing that can fail follows the
    /// moment the name is visible; or checks as far as possible that it can be built.
    fn prepare(&mut self, name: &Name, existence: Existence) -> Result<()>;

    /// Whether building it takes so much that it is worth a look first whether the name is free.
    fn is_costly(&self) -> bool {
        false
    }

    /// Gives what [`prepare`](Opening::prepare) built the name; `None` if it is taken.
    fn publish(&mut self, name: &Name) -> Result<Option<Self::Handle>>;
}

/// Opens an object as `existence` says. Another process that creates or unlinks meanwhile is never
/// an error by itself.
pub(crate) fn open<O: Opening>(
    object: &mut O,
    name: &Name,
    existence: Existence,
) -> Result<O::Handle> {
    let mut contention = Contention::default();
    let mut step = existence.first();
    let mut prepared = false;
    let mut unlinked = false;
    loop {
        let mut handle = None;
        let outcome = match step {
            Step::Look if object.is_costly() => look(name),
            Step::Look => Outcome::Missing,
            Step::Link => {
                handle = object.link(name)?;
                if handle.is_some() { Outcome::Done } else { Outcome::Missing }
            }
            Step::Prepare => {
                if let Err(error) = object.prepare(name, existence) {
                    // That the name is taken is the better answer to who wanted a free one.
                    let taken = existence == Existence::Create && look(name) == Outcome::Taken;
                    return Err(if taken { already_exists(name) } else { error });
                }
                prepared = true;
                Outcome::Done
            }
            Step::Unlink => match ownership::remove(name) {
                Ok(()) => {
                    unlinked = true;
                    Outcome::Done
                }
                Err(Errno::NOENT) => Outcome::Missing,
                Err(errno) => return Err(Error::from_errno(Operation::Unlink, name, errno)),
            },
            Step::Publish => {
                handle = object.publish(name).map_err(|error| error.after_unlink(unlinked))?;
                if handle.is_some() { Outcome::Done } else { Outcome::Taken }
            }
        };
        if let Some(handle) = handle {
            return Ok(handle);
        }
        step = match existence.next(step, outcome, prepared) {
            Next::Go(step) => step,
            Next::Again(step) => {
                contention.again(name)?;
                step
            }
            Next::AlreadyExists => return Err(already_exists(name)),
            Next::NotFound | Next::Finish => {
                return Err(Error::from_errno(Operation::Link, name, Errno::NOENT));
            }
        };
    }
}

fn already_exists(name: &Name) -> Error {
    Error::from_errno(Operation::Create, name, Errno::EXIST)
}

/// Counts how often others were in between.
#[derive(Default)]
struct Contention {
    attempts: u32,
    since: Option<Duration>,
}

impl Contention {
    fn again(&mut self, name: &Name) -> Result<()> {
        let now = monotonic();
        let since = *self.since.get_or_insert(now);
        self.attempts += 1;
        if self.attempts < ATTEMPTS || now.saturating_sub(since) < PATIENCE {
            return Ok(());
        }
        let why = format!(
            "others created and unlinked it {} times while this call tried to; stop them, or choose \
             another name",
            self.attempts
        );
        Err(Error::new(Operation::Create, name, ErrorKind::Busy, Some(Errno::BUSY), why))
    }
}

/// Whether a file has the name. (A queue's creation answers that by itself.) What cannot be looked
/// at is left to the steps that follow.
fn look(name: &Name) -> Outcome {
    match name.kind() {
        Kind::MessageQueue => Outcome::Missing,
        Kind::Semaphore | Kind::SharedMemory => match sys::stat::lstat(&name.path()) {
            Ok(_) => Outcome::Taken,
            Err(_) => Outcome::Missing,
        },
    }
}

/// Refuses a name of another kind.
pub(crate) fn check_kind(name: &Name, kind: Kind) -> Result<()> {
    if name.kind() == kind {
        return Ok(());
    }
    let why = format!("{name:?} does not name a {kind}");
    Err(Error::of_name(ErrorKind::InvalidArgument, None, why))
}

/// Refuses permission bits that are none.
pub(crate) fn check_mode(name: &Name, mode: u32) -> Result<()> {
    if mode <= 0o777 {
        return Ok(());
    }
    let why = format!("the mode {mode:#o} is out of range; give permission bits, 0 to 0o777");
    Err(Error::new(Operation::Create, name, ErrorKind::InvalidArgument, None, why))
}

/// Gives an unnamed file its name; `false` if it is taken.
pub(crate) fn publish(file: BorrowedFd<'_>, name: &Name) -> Result<bool> {
    match sys::unistd::link(file, &name.path()) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(build_error(name, errno, 0)),
    }
}

/// The failure to build a file of `size` bytes in `/dev/shm`, in words.
pub(crate) fn build_error(name: &Name, errno: Errno, size: u64) -> Error {
    match errno {
        Errno::NOSPC => reserve::out_of_space(Operation::Create, name, size),
        Errno::OPNOTSUPP | Errno::ISDIR => {
            let why = "the file system at /dev/shm has no files without a name (O_TMPFILE); mount a \
                       tmpfs there";
            Error::new(Operation::Create, name, ErrorKind::Unsupported, Some(errno), why)
        }
        Errno::NOENT => {
            let why = "there is no directory /dev/shm; mount a tmpfs there";
            Error::new(Operation::Create, name, ErrorKind::NotFound, Some(errno), why)
        }
        _ => Error::from_errno(Operation::Create, name, errno),
    }
}

/// Checks what was opened under an object's name in `/dev/shm`.
pub(crate) fn check_file(name: &Name, stat: &Stat) -> Result<()> {
    match stat.file_type {
        FileType::Regular => Ok(()),
        other => Err(wrong_type(name, Errno::INVAL, other)),
    }
}

/// The failure to open a file in `/dev/shm`, in words.
pub(crate) fn open_error(name: &Name, errno: Errno) -> Error {
    match errno {
        Errno::LOOP => wrong_type(name, errno, FileType::Symlink),
        Errno::ISDIR => wrong_type(name, errno, FileType::Directory),
        Errno::NXIO => wrong_type(name, errno, FileType::Other),
        _ => Error::from_errno(Operation::Link, name, errno),
    }
}

fn wrong_type(name: &Name, errno: Errno, found: FileType) -> Error {
    let found = match found {
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link, which is never followed,",
        FileType::Fifo => "a FIFO",
        FileType::Device => "a device",
        FileType::Regular | FileType::Other => "no regular file",
    };
    let path = name.path();
    let path = path.to_string_lossy().escape_debug().to_string();
    let why = format!("{found} has its place at {path}; remove that, or choose another name");
    Error::new(Operation::Link, name, ErrorKind::WrongType, Some(errno), why)
}
