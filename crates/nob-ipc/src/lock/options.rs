//! How a lock is opened.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use super::Lock;
use crate::error::Result;
use crate::kind::Kind;
use crate::name::Name;
use crate::object::Reservation;
use crate::object::options::{Common, common_setters};
use crate::robust::header::{FILE_SIZE, Header};
use crate::robust::{self, New};

/// How a [`Lock`] is opened; made by [`Lock::options`].
#[derive(Clone, Debug)]
pub struct LockOptions {
    inheritable: bool,
    common: Common,
}

impl Lock {
    /// Options to open a lock with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options() -> LockOptions {
        LockOptions::new()
    }
}

impl LockOptions {
    fn new() -> Self {
        LockOptions { inheritable: false, common: Common::new() }
    }

    /// Keeps a descriptor, [`Lock::life`], by which a program that is started can go on holding what this
    /// handle held when its process died; default `false`.
    pub fn inheritable(&mut self, inheritable: bool) -> &mut Self {
        self.inheritable = inheritable;
        self
    }

    common_setters!();

    /// Opens the lock called `name`; one leading slash is optional. Each handle needs the right to read and
    /// to write.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](crate::ErrorKind::InvalidName),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a mode out of range,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) or [`NotFound`](crate::ErrorKind::NotFound) as the
    /// [`Existence`](crate::Existence) says, [`PermissionDenied`](crate::ErrorKind::PermissionDenied),
    /// [`WrongType`](crate::ErrorKind::WrongType) when something else has its place, or a lock of another
    /// version, [`TooManyHandles`](crate::ErrorKind::TooManyHandles),
    /// [`OutOfSpace`](crate::ErrorKind::OutOfSpace), [`LimitExceeded`](crate::ErrorKind::LimitExceeded).
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Lock> {
        self.open_named(&Name::new(Kind::Lock, name)?)
    }

    /// Opens the lock that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](LockOptions::open); a name of another kind is
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument).
    pub fn open_named(&self, name: &Name) -> Result<Lock> {
        self.common.check(name, Kind::Lock)?;
        let new = New {
            size: FILE_SIZE,
            permits: 0,
            reservation: Reservation::Reserved,
            inheritable: self.inheritable,
            fill: &|_: &Header| (),
            on_step: &mut || ControlFlow::Continue(()),
        };
        robust::open(Kind::Lock, name, self.common, new).map(Lock::new)
    }
}
