//! Acquiring and releasing, for every class that gives out permits.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::time::Duration;

use nob_ipc::{Deadline, Permits};
use pyo3::prelude::*;

use crate::convert::error::{invalid_argument, raise};
use crate::convert::{self, Arg};
use crate::interpreter::slot::Closable;
use crate::interpreter::wait::{self, AfterSignal, Ended};
use crate::server;

/// A class that gives out permits.
pub(crate) trait GivesPermits: Sync {
    type Object: Permits + 'static;

    /// Whether a permit goes with the handle that has it.
    const OWNED: bool;

    fn slot(&self) -> &Closable<Self::Object>;

    /// The object, if it is on a server.
    fn there(&self) -> Option<&dyn server::Permits>;
}

/// `acquire(blocking, timeout)`.
pub(crate) fn acquire_with<C: GivesPermits>(
    py: Python<'_>,
    handle: &C,
    blocking: Arg<'_, '_>,
    timeout: Arg<'_, '_>,
) -> PyResult<bool> {
    let mut end = None;
    let mut waits = true;
    if blocking.0.is_some() || timeout.0.is_some() {
        waits = convert::switch("blocking", blocking, true)?;
        end = convert::timeout(timeout)?;
        if !waits && !timeout.is_none() {
            let message = "blocking=False does not wait, so there is no place for a timeout";
            return Err(invalid_argument(message.into()));
        }
    }
    if let Some(there) = handle.there() {
        let deadline = if waits { wait::deadline(end) } else { Deadline::NOW };
        return server::acquire(py, there, deadline);
    }
    if try_acquire(py, handle)? {
        return Ok(true);
    }
    if !waits {
        return Ok(false);
    }
    Ok(wait_acquire(py, handle, wait::deadline(end))?)
}

/// Waits for a permit of a semaphore for so long; `false` when there was none in time.
#[inline]
pub(crate) fn acquire<P: Permits>(
    py: Python<'_>,
    slot: &Closable<P>,
    timeout: Option<Duration>,
    after_signal: AfterSignal,
) -> Result<bool, Ended> {
    if slot.with(py, P::try_acquire).map_err(Ended::Closed)?.map_err(Ended::Failed)? {
        return Ok(true);
    }
    wait::wait(py, slot, wait::deadline(timeout), after_signal, P::wait_acquire)
}

/// Takes a permit if there is one.
#[inline(always)]
pub(crate) fn try_acquire<C: GivesPermits>(py: Python<'_>, handle: &C) -> Result<bool, Ended> {
    let taken = handle.slot().with(py, C::Object::try_acquire);
    taken.map_err(Ended::Closed)?.map_err(Ended::Failed)
}

/// Waits for a permit, after a try that found none.
pub(crate) fn wait_acquire<C: GivesPermits>(
    py: Python<'_>,
    handle: &C,
    deadline: Deadline,
) -> Result<bool, Ended> {
    let slot = handle.slot();
    let acquire = |object: &C::Object, deadline| {
        let taken = object.wait_acquire(deadline)?;
        if taken && C::OWNED && slot.is_closed() {
            // Nobody has worked with it: it is released, and not left as by a death.
            object.release()?;
            return Ok(false);
        }
        Ok(taken)
    };
    let taken = wait::wait(py, slot, deadline, AfterSignal::GoOn, acquire)?;
    if C::OWNED {
        // What a handle has goes when it is closed.
        slot.check_open(py).map_err(Ended::Closed)?;
    }
    Ok(taken)
}

/// Gives one permit back.
pub(crate) fn release<C: GivesPermits>(py: Python<'_>, handle: &C) -> PyResult<()> {
    if let Some(there) = handle.there() {
        return server::release(py, there);
    }
    let released = handle.slot().with(py, C::Object::release)?;
    released.map_err(|error| raise(py, &error))
}

/// Gives one permit back at the end of a block, which an exception may have ended.
pub(crate) fn leave<C: GivesPermits>(
    py: Python<'_>,
    handle: &C,
    exception: Arg<'_, '_>,
) -> PyResult<()> {
    let Some(there) = handle.there() else { return release(py, handle) };
    let exception = exception.0.filter(|exception| !exception.is_none());
    server::leave(py, there, exception.as_deref())
}
