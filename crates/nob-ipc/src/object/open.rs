//! The one bounded create-or-link loop of all kinds.

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::home::usage::{self, Pauses};
use crate::home::{self, Removal};
use crate::kind::Kind;
use crate::name::Name;
use crate::object::existence::{Existence, Next, Outcome, Step};
use crate::object::ownership;
use crate::sys::{Errno, FileId};

/// Contention ends in [`ErrorKind::Busy`] only after a second and this many attempts.
const ATTEMPTS: u32 = 1_000;

/// An object in the making; each kind says how its steps are done.
pub(crate) trait Opening {
    type Handle;

    /// Opens what has the name, and takes part in its use. What killed processes left is replaced under
    /// `LinkOrCreate`, if such a death can have broken it.
    fn link(&mut self, name: &Name, existence: Existence) -> Result<Linked<Self::Handle>>;

    /// Builds the object and its handle without a name, so that nothing that can fail follows the
    /// moment the name is visible; or checks as far as possible that it can be built.
    fn prepare(&mut self, name: &Name, existence: Existence) -> Result<()>;

    /// Whether building it takes so much that it is worth a look first whether the name is free.
    fn is_costly(&self) -> bool {
        false
    }

    /// Gives what [`prepare`](Opening::prepare) built the name; `None` if it is taken.
    fn publish(&mut self, name: &Name, existence: Existence) -> Result<Option<Self::Handle>>;
}

/// How linking ended, when it did not fail.
pub(crate) enum Linked<H> {
    Handle(H),
    Missing,
    /// Somebody removes what has the name, or has just removed it. The file whose lock was refused.
    Contended(Option<FileId>),
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
            Step::Link => match object.link(name, existence)? {
                Linked::Handle(linked) => {
                    handle = Some(linked);
                    Outcome::Done
                }
                Linked::Missing => Outcome::Missing,
                Linked::Contended(refused) => {
                    contention.refused = refused;
                    Outcome::Contended
                }
            },
            Step::Prepare => {
                if let Err(error) = object.prepare(name, existence) {
                    // That the name is taken is the better answer to who wanted a free one.
                    let taken = existence == Existence::Create && look(name) == Outcome::Taken;
                    return Err(if taken { already_exists(name) } else { error });
                }
                prepared = true;
                Outcome::Done
            }
            Step::Unlink => match home::of(name).remove(name) {
                Ok(Removal::Gone) => Outcome::Missing,
                Ok(Removal::Locked) => return Err(ownership::locked(name)),
                Ok(_) => {
                    unlinked = true;
                    Outcome::Done
                }
                Err(errno) => return Err(Error::from_errno(Operation::Unlink, name, errno)),
            },
            Step::Publish => {
                handle = object
                    .publish(name, existence)
                    .map_err(|error| error.after_unlink(unlinked))?;
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
    if !home::of(name).is_left_behind(name) {
        return Error::from_errno(Operation::Create, name, Errno::EXIST);
    }
    let why = "the name is taken by what killed processes left behind; ask for link-or-create or \
               unlink-and-create, or remove it (nob-ipc reap)";
    Error::new(Operation::Create, name, ErrorKind::AlreadyExists, Some(Errno::EXIST), why)
}

/// Counts how often others were in between.
#[derive(Default)]
struct Contention {
    attempts: u32,
    pauses: Pauses,
    /// The file whose lock was refused the last time.
    refused: Option<FileId>,
}

impl Contention {
    fn again(&mut self, name: &Name) -> Result<()> {
        self.attempts = self.attempts.saturating_add(1);
        let pausing = self.pauses.pause(usage::BORNE);
        let refused = self.refused.take();
        if pausing || (self.attempts < ATTEMPTS && refused.is_none()) {
            return Ok(());
        }
        if let Some(file) = refused {
            return Err(usage::locked(Operation::Link, name, file));
        }
        let why = format!(
            "others created and unlinked it {} times while this call tried to; stop them, or choose \
             another name",
            self.attempts
        );
        Err(Error::new(Operation::Create, name, ErrorKind::Busy, Some(Errno::BUSY), why))
    }
}

/// Whether the name is taken, where that can be told cheaply. What cannot be looked at is left to the
/// steps that follow.
fn look(name: &Name) -> Outcome {
    if home::of(name).is_taken(name) { Outcome::Taken } else { Outcome::Missing }
}

/// Refuses a name of another kind.
pub(crate) fn check_kind(name: &Name, kind: Kind) -> Result<()> {
    if name.kind() == kind {
        return Ok(());
    }
    let why = format!("{name:?} does not name a {kind}");
    Err(Error::unnamed(ErrorKind::InvalidArgument, None, why))
}

/// Refuses permission bits that are none.
pub(crate) fn check_mode(name: &Name, mode: u32) -> Result<()> {
    if mode <= 0o777 {
        return Ok(());
    }
    let why = format!("the mode {mode:#o} is out of range; give permission bits, 0 to 0o777");
    Err(Error::new(Operation::Create, name, ErrorKind::InvalidArgument, None, why))
}
