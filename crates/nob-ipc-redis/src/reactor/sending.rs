//! A job on its way.

use std::time::{Duration, Instant};

use crate::client::{Client, confirmation};
use crate::fault::Fault;
use crate::job::{Job, Purpose};
use crate::url::Address;
use crate::wire::Value;

/// A job on its way, and where it stands.
pub(super) struct Sending {
    pub job: Job,
    /// With the script's text.
    pub whole: bool,
    /// A copy of it may be under way, on a connection that was lost.
    pub again: bool,
    /// To a node that does not have the object yet.
    pub ask: Option<Address>,
    /// When a renewal was sent.
    pub sent: Duration,
    pub until: Instant,
}

impl Sending {
    /// The command that makes sure of what the job has changed. What is settled is not waited for.
    pub(super) fn confirmation(&self, client: &Client) -> Option<&'static [&'static [u8]]> {
        let is_task = matches!(self.job.purpose, Purpose::Task(..));
        confirmation(client.settings.durability, self.job.script).filter(|_| is_task)
    }
}

/// How a job ends.
pub(super) enum End {
    Answer(Value),
    /// The answer is not one to rely on: too few replicas or disks have said so.
    Unconfirmed(Value),
    Failure(Fault),
}
