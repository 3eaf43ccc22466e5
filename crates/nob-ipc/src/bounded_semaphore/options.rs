//! How a bounded semaphore is opened.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use super::BoundedSemaphore;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::kind::Kind;
use crate::name::Name;
use crate::object::Reservation;
use crate::object::options::{Common, common_setters};
use crate::robust::header::{FILE_SIZE, Header};
use crate::robust::{self, New};

/// How a [`BoundedSemaphore`] is opened; made by [`BoundedSemaphore::options`].
#[derive(Clone, Debug)]
pub struct BoundedSemaphoreOptions {
    bound: u32,
    inheritable: bool,
    common: Common,
}

impl BoundedSemaphore {
    /// Options to open one with: link to one that exists, unless told otherwise.
    #[must_use]
    pub fn options() -> BoundedSemaphoreOptions {
        BoundedSemaphoreOptions::new()
    }
}

impl BoundedSemaphoreOptions {
    fn new() -> Self {
        BoundedSemaphoreOptions { bound: 1, inheritable: false, common: Common::new() }
    }

    /// How many permits one that is created has, 1 to [`BoundedSemaphore::MAX_BOUND`]; default 1. Ignored
    /// when linking.
    pub fn bound(&mut self, bound: u32) -> &mut Self {
        self.bound = bound;
        self
    }

    /// Keeps a descriptor, [`BoundedSemaphore::life`], by which a program that is started can go on holding
    /// what this handle held when its process died; default `false`.
    pub fn inheritable(&mut self, inheritable: bool) -> &mut Self {
        self.inheritable = inheritable;
        self
    }

    common_setters!();

    /// Opens the bounded semaphore called `name`; one leading slash is optional. Each handle needs the right
    /// to read and to write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`], [`ErrorKind::InvalidArgument`] for a bound or mode out of range,
    /// [`ErrorKind::AlreadyExists`] or [`ErrorKind::NotFound`] as the [`Existence`](crate::Existence) says,
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::WrongType`] when something else has its place, or one of
    /// another version, [`ErrorKind::TooManyHandles`], [`ErrorKind::OutOfSpace`],
    /// [`ErrorKind::LimitExceeded`].
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<BoundedSemaphore> {
        self.open_named(&Name::new(Kind::BoundedSemaphore, name)?)
    }

    /// Opens the bounded semaphore that a checked name names.
    ///
    /// # Errors
    ///
    /// As [`open`](BoundedSemaphoreOptions::open); a name of another kind is
    /// [`ErrorKind::InvalidArgument`].
    pub fn open_named(&self, name: &Name) -> Result<BoundedSemaphore> {
        self.common.check(name, Kind::BoundedSemaphore)?;
        if !(1..=BoundedSemaphore::MAX_BOUND).contains(&self.bound) {
            let why = format!(
                "the bound {} is out of range; give 1 to {}",
                self.bound,
                BoundedSemaphore::MAX_BOUND
            );
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(Operation::Create, name, kind, None, why));
        }
        let new = New {
            size: FILE_SIZE,
            permits: self.bound,
            reservation: Reservation::Reserved,
            inheritable: self.inheritable,
            fill: &|_: &Header| (),
            on_step: &mut || ControlFlow::Continue(()),
        };
        robust::open(Kind::BoundedSemaphore, name, self.common, new).map(BoundedSemaphore::new)
    }
}
