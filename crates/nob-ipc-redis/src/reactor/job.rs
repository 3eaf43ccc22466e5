//! A request of the native thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::client::{Client, confirmation};
use crate::fault::Fault;
use crate::hold::Hold;
use crate::object::Object;
use crate::scripts::Script;
use crate::slots::Slot;
use crate::url::Address;
use crate::waiter::Waiter;
use crate::wire::Value;

/// A request that the native thread makes.
pub(crate) struct Job {
    pub script: Script,
    pub object: Arc<Object>,
    pub slot: Option<Slot>,
    pub token: Vec<u8>,
    pub arguments: Vec<Vec<u8>>,
    /// The answer may be large.
    pub bulk: bool,
    pub purpose: Purpose,
}

pub(crate) enum Purpose {
    /// What was given up is undone; nobody waits for it.
    Settle,
    /// Attempt of a task, with its number.
    Task(u64, u64),
    /// A renewal of these tokens.
    Renew(Arc<Hold>, Vec<String>),
}

impl Job {
    /// Leaves the line of an object.
    pub(crate) fn leave(object: &Arc<Object>, script: Script, waiter: &Waiter) -> Job {
        let arguments = vec![waiter.member.clone().into_bytes()];
        let object = object.clone();
        let purpose = Purpose::Settle;
        Job { script, object, slot: None, token: Vec::new(), arguments, bulk: false, purpose }
    }
}

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
