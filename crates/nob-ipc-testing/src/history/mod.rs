//! Histories of concurrent calls, and whether the object's promise allows them.
//!
//! A history is linearizable if each call takes effect at one moment between its beginning and its end,
//! so that all calls, in the order of these moments, are what a [`Model`] does, one after the other.
//! [`explain`] looks for such an order: the search of Wing and Gong, with the memory of Lowe, which does
//! not come twice to the same state after the same calls. It takes time that grows fast with the number
//! of calls, so histories are to be short, and many.

mod messages;
mod permits;

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

pub use messages::{
    MessageAnswer, MessageCall, MessageModel, call_messages, message, message_calls, number,
};
pub use permits::{PermitAnswer, PermitCall, PermitModel, call_permits, permit_calls};

/// What is known of how a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<A> {
    /// It returned this.
    Answered(A),
    /// Nobody knows: it takes effect at a moment after its beginning, also after its end, or never.
    Unknown,
    /// It failed and has taken nothing in the end. It may take something at a moment after its
    /// beginning; then that is missing until it goes back, at a later moment.
    GivenUp,
    /// It failed and has changed nothing, at no moment.
    Unchanged,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Event<C, A> {
    /// Who made it.
    pub client: usize,
    /// What was called.
    pub call: C,
    /// How it ended.
    pub end: End<A>,
    /// Its beginning and its end, on a clock that counts such moments of all clients.
    pub time: (u64, u64),
}

/// What takes effect at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All that the call does.
    Whole,
    /// What a call takes that was given up.
    Take,
    /// It goes back.
    Back,
}

/// What an object does when nothing is concurrent.
pub trait Model: Clone + Eq + Hash {
    /// What can be called.
    type Call: Clone + Debug + Send;
    /// What it returns.
    type Answer: Clone + Debug + Send;

    /// The state after a part of the event with this index; `None`: that cannot be now, or not with
    /// this answer.
    fn step(
        &self,
        index: usize,
        event: &Event<Self::Call, Self::Answer>,
        part: Part,
    ) -> Option<Self>;
}

type EventOf<M> = Event<<M as Model>::Call, <M as Model>::Answer>;

/// A part of an event, in the search.
struct Node {
    event: usize,
    part: Part,
    begin: u64,
    /// `None`: it need not take effect.
    end: Option<u64>,
    /// The node that must come before it.
    after: Option<usize>,
}

/// An order of the events that the model allows, by their indices; `None` if there is none.
pub fn explain<M: Model>(start: &M, events: &[EventOf<M>]) -> Option<Vec<(usize, Part)>> {
    explain_within(start, events, usize::MAX).unwrap_or_default()
}

/// It has come to so many states before it knew.
struct Undecided;

/// The same, within a bound.
fn explain_within<M: Model>(
    start: &M,
    events: &[EventOf<M>],
    most: usize,
) -> Result<Option<Vec<(usize, Part)>>, Undecided> {
    let mut nodes: Vec<Node> = Vec::new();
    for (event, Event { end, time, .. }) in events.iter().enumerate() {
        let begin = time.0;
        let mut add = |part, end, after| nodes.push(Node { event, part, begin, end, after });
        match end {
            End::Answered(_) => add(Part::Whole, Some(time.1), None),
            End::Unknown => add(Part::Whole, None, None),
            End::GivenUp => {
                add(Part::Take, None, None);
                let take = nodes.len() - 1;
                nodes.push(Node { event, part: Part::Back, begin, end: None, after: Some(take) });
            }
            End::Unchanged => {}
        }
    }
    assert!(nodes.len() <= 128, "a history of {} calls is too long", events.len());
    // What must take effect is tried first: the rest is seldom needed.
    let rank = |place: &usize| (nodes[*place].end.is_none(), nodes[*place].end);
    let mut ranking: Vec<usize> = (0..nodes.len()).collect();
    ranking.sort_by_key(rank);
    let (seen, order) = (HashSet::new(), Vec::new());
    let mut search = Search { events, nodes, ranking, most, seen, order };
    let found = search.go_on(0, start);
    if !found && search.seen.len() >= most {
        return Err(Undecided);
    }
    let nodes = &search.nodes;
    let order = search.order.iter().map(|&node| (nodes[node].event, nodes[node].part)).collect();
    Ok(found.then_some(order))
}

struct Search<'a, M: Model> {
    events: &'a [EventOf<M>],
    nodes: Vec<Node>,
    /// In which order they are tried.
    ranking: Vec<usize>,
    /// How many states are enough.
    most: usize,
    /// From where there is no way on: which nodes were done, and the state after them.
    seen: HashSet<(u128, M)>,
    order: Vec<usize>,
}

impl<M: Model> Search<'_, M> {
    fn go_on(&mut self, done: u128, state: &M) -> bool {
        let is_done = |node: usize| done & (1 << node) != 0;
        let ends = self.nodes.iter().enumerate().filter(|(node, _)| !is_done(*node));
        // What has ended before another began comes before it.
        let Some(first_end) = ends.filter_map(|(_, node)| node.end).min() else { return true };
        for rank in 0..self.nodes.len() {
            if self.seen.len() >= self.most {
                return false;
            }
            let place = self.ranking[rank];
            let node = &self.nodes[place];
            let is_next = node.begin < first_end && node.after.is_none_or(is_done);
            if is_done(place) || !is_next {
                continue;
            }
            let Some(next) = state.step(node.event, &self.events[node.event], node.part) else {
                continue;
            };
            let done = done | 1 << place;
            if !self.seen.insert((done, next.clone())) {
                continue;
            }
            self.order.push(place);
            if self.go_on(done, &next) {
                return true;
            }
            self.order.pop();
        }
        false
    }
}

/// Fails, and shows the history, if the model does not allow it; `false`: it has so many calls of unknown
/// outcome that this was not found out.
#[track_caller]
pub fn check<M: Model + Debug>(what: &str, start: &M, events: &[EventOf<M>]) -> bool {
    const STATES: usize = 200_000;
    match explain_within(start, events, STATES) {
        Err(Undecided) => return false,
        Ok(Some(_)) => return true,
        Ok(None) => {}
    }
    let mut lines: Vec<_> = events.iter().map(|event| (event.time, event)).collect();
    lines.sort_by_key(|(time, _)| *time);
    let lines: Vec<String> = lines
        .iter()
        .map(|((begin, end), event)| {
            let Event { client, call, end: answer, .. } = event;
            format!("{begin:4} to {end:4}, client {client}: {call:?} -> {answer:?}")
        })
        .collect();
    panic!("{what}: no order of these calls is that of {start:?}:\n{}", lines.join("\n"));
}

/// Writes down what clients do.
pub struct Recorder<M: Model> {
    clock: AtomicU64,
    events: Mutex<Vec<EventOf<M>>>,
}

impl<M: Model> Default for Recorder<M> {
    fn default() -> Recorder<M> {
        Recorder { clock: AtomicU64::new(0), events: Mutex::default() }
    }
}

impl<M: Model> Recorder<M> {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Makes a call of a client, and writes it down.
    pub fn call(
        &self,
        client: usize,
        call: M::Call,
        make: impl FnOnce(&M::Call) -> End<M::Answer>,
    ) -> End<M::Answer> {
        let begin = self.now();
        let end = make(&call);
        let event = Event { client, call, end: end.clone(), time: (begin, self.now()) };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        end
    }

    /// Lets each client make its calls, all at the same time. A client stops after a call of which
    /// `make` says so.
    pub fn run<P: Send>(
        &self,
        clients: &mut [(P, Vec<M::Call>)],
        make: impl Fn(&mut P, &M::Call) -> (End<M::Answer>, bool) + Sync,
    ) where
        M: Sync + Send,
    {
        let start = Barrier::new(clients.len());
        let (start, make) = (&start, &make);
        thread::scope(|scope| {
            for (number, (client, calls)) in clients.iter_mut().enumerate() {
                scope.spawn(move || {
                    start.wait();
                    for call in calls.drain(..) {
                        let mut goes_on = true;
                        self.call(number, call, |call| {
                            let (end, go_on) = make(client, call);
                            goes_on = go_on;
                            end
                        });
                        if !goes_on {
                            break;
                        }
                    }
                });
            }
        });
    }

    /// What was written down.
    pub fn into_events(self) -> Vec<EventOf<M>> {
        self.events.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
