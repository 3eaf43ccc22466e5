//! What the native thread is asked to request.

use std::sync::Arc;

use crate::hold::Hold;
use crate::object::Object;
use crate::scripts::Script;
use crate::slots::Slot;

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
    /// Leaves the line of an object; `how` as the script says.
    pub(crate) fn leave(object: &Arc<Object>, script: Script, waiter: &str, how: &str) -> Job {
        let arguments = vec![waiter.into(), how.into()];
        let object = object.clone();
        let purpose = Purpose::Settle;
        Job { script, object, slot: None, token: Vec::new(), arguments, bulk: false, purpose }
    }
}
