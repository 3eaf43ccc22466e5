//! Semaphores, bounded semaphores and locks.

use std::time::Duration;

use nob_ipc::{Deadline, ErrorKind, Permits, Result};

use super::{End, Event, Model, Part};
use crate::random::Random;

/// A call of something that gives out permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermitCall {
    /// Takes one, and waits for so long; `None`: it tries.
    Acquire(Option<Duration>),
    /// Gives so many.
    Release(u32),
    /// How many are free.
    Value,
    /// Closes the handle, which gives what it holds.
    Close,
    /// What calls had taken that were given up is back, and they take nothing any more.
    Rest,
}

/// What it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PermitAnswer {
    /// A permit; a lock also tells the number of the hold.
    Taken(Option<u64>),
    /// There was none in time.
    Nothing,
    /// It is done.
    Done,
    /// The handle has fewer; nothing was given.
    NotHeld,
    /// So many are free.
    Value(u32),
}

/// Permits, free and held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PermitModel {
    free: u32,
    /// How many each client holds; `None`: nobody asks who gives one.
    held: Option<Vec<u32>>,
    /// How many were taken by calls that were given up, and are to come back.
    missing: u32,
    at_rest: bool,
    /// The number of the last hold that is known.
    fence: u64,
}

impl PermitModel {
    /// A semaphore.
    #[must_use]
    pub fn semaphore(value: u32) -> PermitModel {
        PermitModel { free: value, held: None, missing: 0, at_rest: false, fence: 0 }
    }

    /// A bounded semaphore of so many clients, or a lock, whose bound is 1.
    #[must_use]
    pub fn bounded(bound: u32, clients: usize) -> PermitModel {
        PermitModel {
            free: bound,
            held: Some(vec![0; clients]),
            missing: 0,
            at_rest: false,
            fence: 0,
        }
    }

    fn acquire(&mut self, client: usize) -> Option<()> {
        self.free = self.free.checked_sub(1)?;
        if let Some(held) = &mut self.held {
            held[client] += 1;
        }
        Some(())
    }

    fn release(&mut self, client: usize, count: u32) -> Option<()> {
        if let Some(held) = &mut self.held {
            held[client] = held[client].checked_sub(count)?;
        }
        self.free += count;
        Some(())
    }
}

impl Model for PermitModel {
    type Call = PermitCall;
    type Answer = PermitAnswer;

    fn step(
        &self,
        _index: usize,
        event: &Event<PermitCall, PermitAnswer>,
        part: Part,
    ) -> Option<PermitModel> {
        let mut next = self.clone();
        let client = event.client;
        let answer = match &event.end {
            End::Answered(answer) => Some(answer),
            _ => None,
        };
        match (&event.call, part, answer) {
            (PermitCall::Acquire(_), Part::Take, _) if self.at_rest => return None,
            (PermitCall::Acquire(_), Part::Take, _) => {
                next.free = next.free.checked_sub(1)?;
                next.missing += 1;
            }
            (PermitCall::Acquire(_), Part::Back, _) => {
                next.free += 1;
                next.missing -= 1;
            }
            (PermitCall::Acquire(_), Part::Whole, Some(PermitAnswer::Taken(fence))) => {
                next.acquire(client)?;
                if let Some(fence) = *fence {
                    if fence <= self.fence {
                        return None;
                    }
                    next.fence = fence;
                }
            }
            (PermitCall::Acquire(_), Part::Whole, Some(PermitAnswer::Nothing)) => {
                if self.free > 0 {
                    return None;
                }
            }
            (PermitCall::Release(count), Part::Whole, Some(PermitAnswer::Done) | None) => {
                next.release(client, *count)?;
            }
            (PermitCall::Release(count), Part::Whole, Some(PermitAnswer::NotHeld)) => {
                if self.held.as_ref()?[client] >= *count {
                    return None;
                }
            }
            (PermitCall::Value, Part::Whole, Some(PermitAnswer::Value(value))) => {
                if self.free != *value {
                    return None;
                }
            }
            (PermitCall::Close, Part::Whole, Some(PermitAnswer::Done)) => {
                let count = self.held.as_ref().map_or(0, |held| held[client]);
                next.release(client, count)?;
            }
            (PermitCall::Rest, Part::Whole, Some(PermitAnswer::Done)) => {
                if self.missing > 0 {
                    return None;
                }
                next.at_rest = true;
            }
            _ => return None,
        }
        Some(next)
    }
}

/// Calls for one client. `most`: how many permits it gives at once.
pub fn permit_calls(random: &mut Random, count: u32, most: u32) -> Vec<PermitCall> {
    (0..count)
        .map(|_| match random.below(10) {
            0..2 => PermitCall::Acquire(None),
            2..5 => PermitCall::Acquire(Some(Duration::from_millis(random.below(12).into()))),
            5..9 => PermitCall::Release(1 + random.below(most)),
            _ => PermitCall::Value,
        })
        .collect()
}

/// Makes a call of an object. `fence`: the number of the hold, where there is one.
///
/// # Errors
///
/// Those of the object but [`NotHeld`](ErrorKind::NotHeld).
pub fn call_permits(
    permits: &dyn Permits,
    call: &PermitCall,
    fence: impl Fn() -> Option<u64>,
) -> Result<PermitAnswer> {
    Ok(match call {
        PermitCall::Acquire(wait) => {
            let taken = permits.try_acquire()?
                || match wait {
                    Some(time) => permits.wait_acquire(Deadline::after(*time))?,
                    None => false,
                };
            if taken { PermitAnswer::Taken(fence()) } else { PermitAnswer::Nothing }
        }
        PermitCall::Release(count) => match permits.release_many(*count) {
            Err(error) if error.kind() == ErrorKind::NotHeld => PermitAnswer::NotHeld,
            released => released.map(|()| PermitAnswer::Done)?,
        },
        PermitCall::Value => PermitAnswer::Value(permits.value()?),
        PermitCall::Close | PermitCall::Rest => PermitAnswer::Done,
    })
}
