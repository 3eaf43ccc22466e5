//! Acquiring, for every class that gives out permits.

#![expect(clippy::inline_always, reason = "returns behind a system call are mispredicted")]

use std::time::Duration;

use nob_ipc::{Deadline, Permits};
use pyo3::prelude::*;

use crate::interpreter::slot::Closable;
use crate::interpreter::wait::{self, AfterSignal, Ended};

/// Takes a permit; `false` when there was none in time.
#[inline]
pub(crate) fn acquire<P: Permits>(
    py: Python<'_>,
    slot: &Closable<P>,
    timeout: Option<Duration>,
    after_signal: AfterSignal,
) -> Result<bool, Ended> {
    if try_acquire(py, slot)? {
        return Ok(true);
    }
    wait_acquire(py, slot, wait::deadline(timeout), after_signal)
}

/// Takes a permit if there is one.
#[inline(always)]
pub(crate) fn try_acquire<P: Permits>(py: Python<'_>, slot: &Closable<P>) -> Result<bool, Ended> {
    slot.with(py, P::try_acquire).map_err(Ended::Closed)?.map_err(Ended::Failed)
}

/// Waits for a permit, after a try that found none.
pub(crate) fn wait_acquire<P: Permits>(
    py: Python<'_>,
    slot: &Closable<P>,
    deadline: Deadline,
    after_signal: AfterSignal,
) -> Result<bool, Ended> {
    wait::wait(py, slot, deadline, after_signal, P::wait_acquire)
}
