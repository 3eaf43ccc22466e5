//! How long a wait on a word of a file sleeps, and what each of its sleeps comes to.

use std::time::Duration;

use super::Deadline;
use crate::error::{Error, Operation, Result};
use crate::name::Name;
use crate::sys::time::monotonic;
use crate::sys::{self, Errno};

/// The sleeps of one wait. After each it looks again at what it waits for.
#[derive(Debug)]
pub(crate) struct Sleeps<'a> {
    operation: Operation,
    name: &'a Name,
    deadline: Deadline,
    end: Duration,
}

impl<'a> Sleeps<'a> {
    pub(crate) fn new(operation: Operation, name: &'a Name, deadline: Deadline) -> Sleeps<'a> {
        Sleeps { operation, name, deadline, end: deadline.sleep_until() }
    }

    /// Whether there is no time to sleep any more.
    pub(crate) fn are_over(&self) -> bool {
        monotonic() >= self.end
    }

    /// The longest that the next one may be; `None`: the deadline has passed. An error when the caller is to
    /// check first.
    pub(crate) fn rest(&self) -> Result<Option<Duration>> {
        match self.end.checked_sub(monotonic()).filter(|rest| !rest.is_zero()) {
            None if !self.deadline.has_passed() => {
                Err(Error::periodic_check(self.operation, self.name))
            }
            rest => Ok(rest),
        }
    }

    /// Whether the wait goes on after one that ended so; not when the deadline has passed. An error after a
    /// signal.
    pub(crate) fn go_on(&self, slept: sys::Result<()>) -> Result<bool> {
        match slept {
            Ok(()) | Err(Errno::AGAIN | Errno::TIMEDOUT) => Ok(true),
            Err(Errno::INTR) if self.deadline.has_passed() => Ok(false),
            Err(errno) => Err(Error::from_errno(self.operation, self.name, errno)),
        }
    }
}
