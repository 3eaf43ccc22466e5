//! How a call on a queue waits: it tries, spins where that can pay, and sleeps.

use super::{MessageQueue, SPIN, SPIN_STRIDE};
use crate::error::{Error, Operation, Result};
use crate::sys::mqueue::Until;
use crate::sys::{self, AsFd, BorrowedFd, Errno, Readiness};
use crate::wait::Deadline;
use crate::wait::spin::Waiters;

/// The direction of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Send,
    Receive,
}

impl Side {
    pub(super) fn operation(self) -> Operation {
        match self {
            Side::Send => Operation::Send,
            Side::Receive => Operation::Receive,
        }
    }

    fn readiness(self) -> Readiness {
        match self {
            Side::Send => Readiness::Writable,
            Side::Receive => Readiness::Readable,
        }
    }

    fn waiters(self, queue: &MessageQueue) -> &Waiters {
        match self {
            Side::Send => &queue.senders,
            Side::Receive => &queue.receivers,
        }
    }
}

/// How one call of the kernel ended, unless it failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attempt<T> {
    Done(T),
    /// It would have to wait, or has waited as long as it was to.
    WouldWait,
    /// It would have to wait, and the user's descriptor is non-blocking.
    NonBlocking,
    Interrupted,
}

impl<T> Attempt<T> {
    #[inline]
    pub(super) fn done(self) -> Option<T> {
        match self {
            Attempt::Done(done) => Some(done),
            Attempt::WouldWait | Attempt::NonBlocking | Attempt::Interrupted => None,
        }
    }
}

impl MessageQueue {
    /// One call of the kernel, on the descriptor that suits it.
    #[inline]
    pub(super) fn attempt<T>(
        &self,
        side: Side,
        until: Until,
        call: impl FnOnce(BorrowedFd<'_>, Until) -> sys::Result<T>,
    ) -> Result<Attempt<T>> {
        let (fd, until, never_waits) = match (until, self.queue.non_blocking()) {
            (Until::Now, Some(non_blocking)) => (non_blocking, Until::Forever, true),
            _ => (self.queue.as_fd(), until, false),
        };
        match call(fd, until) {
            Ok(done) => Ok(Attempt::Done(done)),
            Err(errno) => self.not_done(side, errno, never_waits),
        }
    }

    /// The one place that says what the kernel's answers mean. `never_waits`: the call was made on the
    /// descriptor on which nothing waits.
    #[cold]
    fn not_done<T>(&self, side: Side, errno: Errno, never_waits: bool) -> Result<Attempt<T>> {
        match errno {
            Errno::AGAIN if never_waits => Ok(Attempt::WouldWait),
            Errno::AGAIN => Ok(Attempt::NonBlocking),
            Errno::TIMEDOUT => Ok(Attempt::WouldWait),
            Errno::INTR => Ok(Attempt::Interrupted),
            errno => Err(self.fail(side.operation(), errno)),
        }
    }

    /// Tries, and waits if that brought nothing; `None` when the deadline passed first.
    #[inline]
    pub(super) fn try_or_wait<T>(
        &self,
        side: Side,
        deadline: Deadline,
        mut call: impl FnMut(BorrowedFd<'_>, Until) -> sys::Result<T>,
    ) -> Result<Option<T>> {
        match self.attempt(side, Until::Now, &mut call)? {
            Attempt::Done(done) => Ok(Some(done)),
            Attempt::NonBlocking => Ok(None),
            Attempt::Interrupted => self.ended(side, deadline, Attempt::Interrupted),
            Attempt::WouldWait => self.wait(side, deadline, call),
        }
    }

    /// Waits, after a try that brought nothing; `None` when the deadline passed first.
    #[cold]
    pub(super) fn wait<T>(
        &self,
        side: Side,
        deadline: Deadline,
        mut call: impl FnMut(BorrowedFd<'_>, Until) -> sys::Result<T>,
    ) -> Result<Option<T>> {
        if deadline.is_now() {
            return Ok(None);
        }
        // Where there is no second descriptor, the first try has told it.
        if self.queue.non_blocking().is_some() && !self.is_blocking()? {
            return Ok(None);
        }
        let waiting = side.waiters(self).enter();
        let spun = waiting.spin(SPIN, SPIN_STRIDE, deadline, || {
            match self.attempt(side, Until::Now, &mut call) {
                Ok(Attempt::WouldWait) => None,
                end => Some(end),
            }
        });
        let end = match spun {
            Some(end) => end?,
            None => self.sleep(side, deadline, call)?,
        };
        self.ended(side, deadline, end)
    }

    /// What the end of a wait means to its caller.
    fn ended<T>(&self, side: Side, deadline: Deadline, end: Attempt<T>) -> Result<Option<T>> {
        match end {
            Attempt::Done(done) => Ok(Some(done)),
            Attempt::NonBlocking => Ok(None),
            Attempt::WouldWait | Attempt::Interrupted if deadline.has_passed() => Ok(None),
            Attempt::WouldWait => {
                Err(Error::periodic_check(side.operation(), self.ownership.name()))
            }
            Attempt::Interrupted => Err(self.fail(side.operation(), Errno::INTR)),
        }
    }

    /// Without a deadline in the kernel's wait queue, where a message is handed over directly; with
    /// one on the monotonic clock, which the kernel's call does not know.
    fn sleep<T>(
        &self,
        side: Side,
        deadline: Deadline,
        call: impl FnMut(BorrowedFd<'_>, Until) -> sys::Result<T>,
    ) -> Result<Attempt<T>> {
        if !deadline.is_never() {
            return self.sleep_until_ready(side, deadline, call);
        }
        let until = match deadline.check_interval() {
            None => Until::Forever,
            Some(interval) => Until::WallClock(sys::time::realtime().saturating_add(interval)),
        };
        self.attempt(side, until, call)
    }

    /// Until the queue is ready for this call, and nobody was quicker.
    fn sleep_until_ready<T>(
        &self,
        side: Side,
        deadline: Deadline,
        mut call: impl FnMut(BorrowedFd<'_>, Until) -> sys::Result<T>,
    ) -> Result<Attempt<T>> {
        let end = deadline.sleep_until();
        loop {
            let left = end.saturating_sub(sys::time::monotonic());
            if let Err(errno) = sys::poll::wait(self.queue.as_fd(), side.readiness(), left) {
                return self.not_done(side, errno, false);
            }
            match self.attempt(side, Until::Now, &mut call)? {
                Attempt::WouldWait if sys::time::monotonic() < end => {}
                end => return Ok(end),
            }
        }
    }
}
