//! A request to run a script, and why it has failed.

use std::time::Duration;

use crate::fault::{self, Fault, Subject, is_transient};
use crate::object::Object;
use crate::scripts::Script;
use crate::slots::Slot;
use crate::sys;
use crate::wire::Value;

/// How long who stands in line sleeps before it looks again by itself: what a waiter whose machine
/// has lost power can delay the others by.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// How long after its timeout a call goes on asking a server that does not answer. The last attempt
/// ends up to [`SLICE`](crate::transport::SLICE) later.
pub(crate) const LATE: Duration = Duration::from_millis(1500);

/// What a script is called with.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub script: Script,
    pub object: &'a Object,
    /// In place of the keys that the script's table says.
    pub keys: Option<&'a [Vec<u8>]>,
    /// The token that the script has a key for.
    pub token: &'a [u8],
    pub arguments: &'a [&'a [u8]],
    /// An earlier call has sent it already.
    pub again: bool,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        script: Script,
        object: &'a Object,
        arguments: &'a [&'a [u8]],
    ) -> Request<'a> {
        Request { script, object, keys: None, token: b"", arguments, again: false }
    }
}

/// Why a call failed, and what is to be known of it.
pub(crate) struct Failure {
    pub fault: Fault,
    /// The server that was asked last.
    pub server: String,
    /// A request was sent and not answered: it may have run, or may run still. This is its slot,
    /// which is not to be used for another before that is settled.
    pub unanswered: Option<Slot>,
    /// The answer, of which too few replicas or disks have made sure.
    pub unconfirmed: Option<Value>,
}

impl Failure {
    /// The server has no memory left for what is new.
    pub(crate) fn is_out_of_memory(&self) -> bool {
        matches!(&self.fault, Fault::Refused(refusal) if refusal.contains("OOM"))
    }

    /// As an error of a call that has done nothing that stays.
    pub(crate) fn unavailable(&self, subject: Subject<'_>) -> nob_ipc::Error {
        if self.unconfirmed.is_some() {
            return fault::unconfirmed(subject);
        }
        match &self.fault {
            Fault::Stopped(stop) => fault::stopped(subject, *stop),
            Fault::Refused(refusal) if !is_transient(refusal) => {
                fault::refused(subject, &self.server, refusal)
            }
            fault => fault::unavailable(subject, &self.server, fault),
        }
    }
}

/// Whether there was nothing to take, or no room; and when to look again without being woken.
pub(crate) fn nothing(answer: &Value) -> Option<Duration> {
    if !matches!(answer.word(), b"EMPTY" | b"FULL") {
        return None;
    }
    // Many who look at once would be a burden, so each has a moment of its own.
    let look = LOOK + Duration::from_millis(sys::random() % 500);
    let lease = answer.list().get(1).and_then(Value::integer);
    let lease = lease.and_then(|left| u64::try_from(left).ok());
    Some(lease.map_or(look, |left| look.min(Duration::from_millis(left + 1))))
}
