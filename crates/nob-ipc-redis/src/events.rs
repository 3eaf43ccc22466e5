//! Waiting without a thread: operations that go on by themselves, and an event loop that hears of
//! their ends.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Result};

use crate::client::Client;
use crate::fault::{self, Stop};
use crate::handle::Handle;
use crate::plan::{Outcome, Plan};
use crate::request::{Failure, nothing};
use crate::scripts::Script;
use crate::slots::Slot;
use crate::sync::{lock, number};
use crate::sys;
use crate::task::{State, Task, Work};
use crate::wire::Value;

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
struct Claim {
    client: Arc<Client>,
    handle: Arc<Handle>,
    plan: Plan<'static>,
    /// The slot of its last request; nobody else uses it as long as the operation may be undone.
    slot: Option<Slot>,
}

impl Claim {
    /// The result is its caller's.
    fn keep(self) {
        if let Some(slot) = self.slot {
            self.client.slots.give(slot);
        }
    }

    /// Nobody wants the result.
    fn undo(self) {
        let Claim { client, handle, mut plan, slot } = self;
        let hold = lock(&client.holds).get(&handle.id).cloned();
        if let Some(hold) = hold
            && !hold.remove(&plan.token)
            && plan.script == Script::Take
            && let Some(other) = hold.take_newest()
        {
            // Somebody who had a permit before has released this one, and nobody has his.
            plan.token = other.token;
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
    /// [`LimitExceeded`](nob_ipc::ErrorKind::LimitExceeded) where the process has no descriptor left.
    pub fn new() -> Result<Events> {
        let fd = sys::eventfd().map_err(|error| fault::no_eventfd(&error))?;
        Ok(Events(Arc::new(Shared { fd, ended: Mutex::default() })))
    }

    /// The tokens of those that have ended since the last call. Their results are to be
    /// [claimed](Pending::claim).
    #[must_use]
    pub fn ready(&self) -> Vec<u64> {
        let mut ended = lock(&self.0.ended);
        sys::clear_eventfd(self.0.fd.as_fd());
        std::mem::take(&mut ended.news)
    }

    /// The results of all that have ended, in that order, with the tokens that the callers gave: they are
    /// claimed. An operation that has not got what it waited for in time has ended in
    /// [`Done(false)`](Outcome::Done), [`Sent(0)`](Outcome::Sent) or no [`Messages`](Outcome::Messages).
    #[must_use]
    pub fn take(&self) -> Vec<(u64, Result<Outcome>)> {
        let mut ended = lock(&self.0.ended);
        sys::clear_eventfd(self.0.fd.as_fd());
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
    fn end(&self, task: &Ticket, result: Result<Outcome>, claim: Claim) {
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
            sys::set_eventfd(self.0.fd.as_fd());
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
struct Ticket {
    id: u64,
    token: u64,
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

/// An operation that the native thread carries out.
struct Running {
    client: Arc<Client>,
    handle: Arc<Handle>,
    plan: Plan<'static>,
    ticket: Arc<Ticket>,
    events: Events,
}

impl Running {
    fn end(self, result: Result<Outcome>, slot: Option<Slot>) {
        let Running { client, handle, plan, ticket, events } = self;
        events.end(&ticket, result, Claim { client, handle, plan, slot });
    }
}

impl Work for Running {
    fn request(&self, member: &[u8], mode: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let arguments = self.plan.arguments(member, mode);
        let arguments = arguments.into_iter().map(<[u8]>::to_vec).collect();
        (self.plan.token.clone().into_bytes(), arguments)
    }

    fn renew(&mut self) {
        if let Some(plan) = self.plan.renewed() {
            self.plan = plan;
        }
    }

    fn finish(self: Box<Self>, answer: &Value, sent: Duration, slot: Option<Slot>) {
        let Running { client, handle, plan, .. } = &*self;
        let result = if nothing(answer).is_some() {
            Ok(match plan.script {
                Script::Send => Outcome::Sent(0),
                Script::Receive => Outcome::Messages(Vec::new()),
                _ => Outcome::Done(false),
            })
        } else {
            plan.check(handle, answer.clone())
                .and_then(|answer| plan.take(handle, client, &answer, sent))
        };
        let nothing = [Outcome::Done(false), Outcome::Sent(0), Outcome::Messages(Vec::new())];
        let taken = result.as_ref().is_ok_and(|outcome| !nothing.contains(outcome));
        if !(taken && handle.is_closed()) {
            return self.end(result, slot);
        }
        // It has come too late: nobody holds anything through a closed handle.
        let error = fault::stopped(handle.subject(plan.operation), Stop::Closed);
        let (client, handle, plan) = (client.clone(), handle.clone(), plan.clone());
        Claim { client, handle, plan, slot }.undo();
        self.end(Err(error), None);
    }

    fn fail(self: Box<Self>, failure: &Failure, slot: Option<Slot>) {
        let error = self.plan.failed(&self.handle, &self.client, failure);
        self.end(Err(error), slot);
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
    let plan = plan.into_owned();
    let waits = plan.waits() && !deadline.has_passed();
    let waiter = waits.then(|| client.enlist(&handle.object, handle.id, Some(ticket.id)));
    let again = plan.again.as_ref().map(|(_, slot)| *slot);
    let slot = again.or_else(|| plan.script.text().numbered.then(|| client.slots.take()));
    client.start(Box::new(Task {
        id: ticket.id,
        handle: handle.id,
        object: handle.object.clone(),
        script: plan.script,
        again: plan.again.clone(),
        bulk,
        deadline,
        waiter,
        slot,
        state: State::Asleep,
        attempt: 0,
        end: Instant::now(),
        sent: None,
        lost: false,
        server: None,
        work: Box::new(Running {
            client: client.clone(),
            handle: handle.clone(),
            plan,
            ticket,
            events: events.clone(),
        }),
    }));
    Ok(pending)
}
