//! What the native thread has of an operation of an event loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nob_ipc::Deadline;

use crate::object::Object;
use crate::request::Failure;
use crate::scripts::Script;
use crate::slots::Slot;
use crate::unanswered::Unanswered;
use crate::url::Address;
use crate::waiter::Waiter;
use crate::wire::Value;

/// What an operation asks for, and what it makes of the answer.
pub(crate) trait Work: Send {
    /// The token and the arguments of an attempt.
    fn request(&self, member: &[u8], mode: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>);

    /// Another attempt follows.
    fn renew(&mut self);

    /// It ends with this answer to what was sent then. The slot is that of the last request.
    fn finish(self: Box<Self>, answer: &Value, sent: Duration, slot: Option<Slot>);

    /// It has got nothing, or nobody is sure of it. The slot is one whose request is settled.
    fn fail(self: Box<Self>, failure: &Failure, slot: Option<Slot>);
}

/// An operation of an event loop, and where it stands.
pub(crate) struct Task {
    pub id: u64,
    /// The number of the handle.
    pub handle: u64,
    pub object: Arc<Object>,
    pub script: Script,
    pub work: Box<dyn Work>,
    /// An earlier call has sent this very request, with this slot, and has had no answer.
    pub again: Option<(Arc<Unanswered>, Slot)>,
    /// What it brings may be large.
    pub bulk: bool,
    pub deadline: Deadline,
    pub waiter: Option<Arc<Waiter>>,
    pub slot: Option<Slot>,
    pub state: State,
    /// Counts the attempts, so that an answer to an old one is not taken for one to the last.
    pub attempt: u64,
    /// When the attempt, or the sleep, is over.
    pub end: Instant,
    /// The request of the last attempt may have reached the server.
    pub sent: Option<Duration>,
    /// A copy of it was on its way when a connection was lost.
    pub lost: bool,
    pub server: Option<Address>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// `last`: it does not stand in line after that.
    Asking {
        last: bool,
    },
    Asleep,
}
