//! Waiting without a thread: operations that go on by themselves, and an event loop that hears of
//! their ends.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nob_ipc::{Deadline, Error, ErrorKind, Result};

use crate::client::Client;
use crate::fault::{self, Stop};
use crate::handle::Handle;
use crate::plan::{Outcome, Plan};
use crate::reactor::Task;
use crate::slots::Slot;
use crate::sync::{lock, number};
use crate::sys;

/// Where an event loop hears that operations have ended: its descriptor is readable when there is
/// something to [take](Events::take). Clones are the same one.
///
/// ```no_run
/// use nob_ipc::Deadline;
/// use nob_ipc_redis::{Connection, Events, MessageQueue};
///
/// let server = Connection::open("redis://localhost")?;
/// let queue = MessageQueue::options(&server).open("/jobs")?;
/// let events = Events::new()?;
/// queue.start_receive(&events, 1, 1, Deadline::NEVER)?;
/// // When the descriptor of `events` is readable:
/// for (token, outcome) in events.take() {
///     println!("{token}: {:?}", outcome?);
/// }
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    fd: OwnedFd,
    ended: Mutex<EndedOnes>,
}

#[derive(Default)]
struct EndedOnes {
    /// By the number of the task; until they are claimed.
    unclaimed: HashMap<u64, Ended>,
    /// The tokens of those of which nobody has heard.
    news: Vec<u64>,
    /// How many have ended so far.
    count: u64,
}

/// An operation that has ended, and whose result is not its caller's yet.
struct Ended {
    /// How many had ended before.
    order: u64,
    token: u64,
    result: Result<Outcome>,
    claim: Claim,
}

/// What undoes an operation that has ended.
pub(crate) struct Claim {
    pub client: Arc<Client>,
    pub handle: Arc<Handle>,
    pub plan: Plan<'static>,
    /// The slot of its last request; nobody else uses it as long as the operation may be undone.
    pub slot: Option<Slot>,
}

impl Claim {
    /// The result is its caller's.
    fn keep(self) {
        if let Some(slot) = self.slot {
            self.client.slots.give(slot);
        }
    }

    /// Nobody wants the result.
    pub(crate) fn undo(self) {
        let Claim { client, handle, plan, slot } = self;
        if let Some(hold) = lock(&client.holds).get(&handle.id) {
            hold.remove(&plan.token);
        }
        match plan.settlement(&client, &handle.object, slot.unwrap_or(Slot::NONE)) {
            Some(job) => client.settle(job),
            None => {
                if let Some(slot) = slot {
                    client.slots.give(slot);
                }
            }
        }
    }
}

impl Events {
    /// A new place to hear from.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LimitExceeded`] where the process has no descriptor left.
    pub fn new() -> Result<Events> {
        let fd = sys::eventfd().map_err(|error| {
            let why = format!("cannot make an eventfd: {error}; close some descriptors");
            Error::elsewhere(None, ErrorKind::LimitExceeded, error.raw_os_error(), why)
        })?;
        Ok(Events(Arc::new(Shared { fd, ended: Mutex::default() })))
    }

    /// The tokens of those that have ended since the last call. Their results are to be
    /// [claimed](Pending::claim).
    #[must_use]
    pub fn ready(&self) -> Vec<u64> {
        let mut ended = lock(&self.0.ended);
        sys::hush(self.0.fd.as_fd());
        std::mem::take(&mut ended.news)
    }

    /// The results of all that have ended, in that order, with the tokens that the callers gave: they are claimed. An
    /// operation that has not got what it waited for in time has ended in
    /// [`Done(false)`](Outcome::Done), [`Sent(0)`](Outcome::Sent) or no
    /// [`Messages`](Outcome::Messages).
    #[must_use]
    pub fn take(&self) -> Vec<(u64, Result<Outcome>)> {
        let mut ended = lock(&self.0.ended);
        sys::hush(self.0.fd.as_fd());
        ended.news.clear();
        let unclaimed = std::mem::take(&mut ended.unclaimed);
        drop(ended);
        let mut unclaimed: Vec<Ended> = unclaimed.into_values().collect();
        unclaimed.sort_unstable_by_key(|ended| ended.order);
        let tell = |Ended { token, result, claim, .. }: Ended| {
            claim.keep();
            (token, result)
        };
        unclaimed.into_iter().map(tell).collect()
    }

    /// An operation has ended. It is undone if its caller has gone.
    pub(crate) fn end(&self, task: &Ticket, result: Result<Outcome>, claim: Claim) {
        let mut ended = lock(&self.0.ended);
        if task.cancelled.load(Ordering::SeqCst) {
            drop(ended);
            if result.is_ok() {
                claim.undo();
            } else {
                claim.keep();
            }
            return;
        }
        let order = ended.count;
        ended.count += 1;
        ended.unclaimed.insert(task.id, Ended { order, token: task.token, result, claim });
        ended.news.push(task.token);
        if ended.news.len() == 1 {
            sys::ring(self.0.fd.as_fd());
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("fd", &self.0.fd).finish_non_exhaustive()
    }
}

/// What a caller and the native thread both have of an operation.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub id: u64,
    pub token: u64,
    cancelled: AtomicBool,
}

/// An operation that goes on. Dropping this leaves it alone.
#[derive(Debug)]
#[must_use = "without it the operation cannot be cancelled"]
pub struct Pending {
    ticket: Arc<Ticket>,
    events: Events,
    handle: Arc<Handle>,
}

impl Pending {
    /// The result, if the operation has ended; it is its caller's from here on, who can cancel no
    /// more.
    #[must_use]
    pub fn claim(&self) -> Option<Result<Outcome>> {
        let ended = lock(&self.events.0.ended).unclaimed.remove(&self.ticket.id);
        let Ended { result, claim, .. } = ended?;
        claim.keep();
        Some(result)
    }

    /// Ends the operation, and undoes it if it has taken something that nobody has heard of. Its
    /// token is not told any more. What it has sent is sent.
    pub fn cancel(self) {
        self.ticket.cancelled.store(true, Ordering::SeqCst);
        let mut ended = lock(&self.events.0.ended);
        let found = ended.unclaimed.remove(&self.ticket.id);
        drop(ended);
        match found {
            Some(Ended { result: Ok(_), claim, .. }) => claim.undo(),
            Some(Ended { claim, .. }) => claim.keep(),
            None => {
                if let Ok(client) = self.handle.connection().client() {
                    client.cancel(self.ticket.id);
                }
            }
        }
    }
}

/// Begins an operation that ends in `events`. `bulk`: what it brings may be large.
pub(crate) fn start(
    handle: &Arc<Handle>,
    events: &Events,
    token: u64,
    plan: Plan<'_>,
    bulk: bool,
    deadline: Deadline,
) -> Result<Pending> {
    if handle.is_closed() {
        return Err(fault::stopped(handle.subject(plan.operation), Stop::Closed));
    }
    let client = handle.connection().client()?;
    let ticket = Arc::new(Ticket { id: number(), token, cancelled: AtomicBool::new(false) });
    let pending =
        Pending { ticket: ticket.clone(), events: events.clone(), handle: handle.clone() };
    client.start(Task::new(&client, handle, events, ticket, plan.into_owned(), bulk, deadline));
    Ok(pending)
}
