//! The checker itself: what it lets pass, and what it does not.

use std::time::Duration;

use super::*;
use crate::random::Random;
use MessageAnswer::{Count, Received, Sent};
use MessageCall::{Receive, ReceiveMany, Send, SendMany};
use PermitAnswer::{Done, NotHeld, Nothing, Taken, Value};
use PermitCall::{Acquire, Close, Release, Rest};

/// Calls one after the other, each with its client.
fn in_turn<C: Clone, A: Clone>(calls: &[(usize, C, End<A>)]) -> Vec<Event<C, A>> {
    let calls = calls.iter().cloned().zip((0..).step_by(2));
    calls
        .map(|((client, call, end), begin)| Event { client, call, end, time: (begin, begin + 1) })
        .collect()
}

/// The same, all at the same time.
fn at_once<C: Clone, A: Clone>(calls: &[(usize, C, End<A>)]) -> Vec<Event<C, A>> {
    let mut events = in_turn(calls);
    for (event, begin) in events.iter_mut().zip(0..) {
        event.time = (begin, 1000 + begin);
    }
    events
}

fn answered<A>(answer: A) -> End<A> {
    End::Answered(answer)
}

fn send(number: u32, priority: u32) -> (usize, MessageCall, End<MessageAnswer>) {
    (0, Send(number, priority, None), answered(Sent(1)))
}

fn received(number: u32, priority: u32) -> (usize, MessageCall, End<MessageAnswer>) {
    (1, Receive(None), answered(Received(vec![(number, priority)])))
}

fn nothing() -> (usize, MessageCall, End<MessageAnswer>) {
    (1, Receive(None), answered(Received(Vec::new())))
}

fn queue(events: &[Event<MessageCall, MessageAnswer>]) -> bool {
    explain(&MessageModel::new(3), events).is_some()
}

#[test]
fn a_queue_loses_nothing_and_doubles_nothing() {
    let sent = send(1, 0);
    assert!(queue(&in_turn(&[sent.clone(), received(1, 0), nothing()])));
    // Lost.
    assert!(!queue(&in_turn(&[sent.clone(), nothing()])));
    let none = (1, MessageCall::Count, answered(Count(0)));
    assert!(!queue(&in_turn(&[sent.clone(), none])));
    // Doubled.
    assert!(!queue(&in_turn(&[sent.clone(), received(1, 0), received(1, 0)])));
    assert!(!queue(&at_once(&[sent.clone(), received(1, 0), received(1, 0)])));
    // Never sent, sent later, or with another priority.
    assert!(!queue(&at_once(&[sent.clone(), received(2, 0)])));
    assert!(!queue(&in_turn(&[received(1, 0), sent.clone()])));
    assert!(queue(&at_once(&[received(1, 0), sent.clone()])));
    assert!(!queue(&at_once(&[sent, received(1, 1)])));
}

#[test]
fn a_queue_keeps_its_order_and_its_bound() {
    let (low, high) = (send(1, 0), send(2, 7));
    assert!(queue(&in_turn(&[low.clone(), high.clone(), received(2, 7), received(1, 0)])));
    assert!(!queue(&in_turn(&[low.clone(), high.clone(), received(1, 0), received(2, 7)])));
    assert!(queue(&at_once(&[low.clone(), high.clone(), received(1, 0), received(2, 7)])));
    let (first, second) = (send(1, 0), send(2, 0));
    assert!(queue(&in_turn(&[first.clone(), second.clone(), received(1, 0)])));
    assert!(!queue(&in_turn(&[first, second, received(2, 0)])));
    let full = (0, Send(4, 0, None), answered(Sent(0)));
    let three = (0, SendMany(vec![1, 2, 3, 4], 0), answered(Sent(3)));
    assert!(queue(&in_turn(&[three.clone(), full.clone()])));
    assert!(!queue(&in_turn(&[three.clone(), send(4, 0)])));
    assert!(!queue(&in_turn(&[low, full.clone()])));
    assert!(!queue(&in_turn(&[(0, SendMany(vec![1, 2, 3, 4], 0), answered(Sent(2))), full])));
    // A batch is one step: nothing comes in between.
    let many = Received(vec![(1, 0), (2, 0), (3, 0)]);
    let many = (1, ReceiveMany(3), answered(many));
    assert!(queue(&at_once(&[three.clone(), many.clone()])));
    assert!(!queue(&at_once(&[three.clone(), many, received(2, 0)])));
    let two = (1, ReceiveMany(3), answered(Received(vec![(1, 0), (2, 0)])));
    assert!(!queue(&in_turn(&[three, two])));
}

#[test]
fn what_is_not_known_of_a_queue() {
    let unknown = (0, Send(1, 0, None), End::Unknown);
    // It may have happened, also later, or not at all.
    assert!(queue(&in_turn(&[unknown.clone(), nothing()])));
    assert!(queue(&in_turn(&[unknown.clone(), received(1, 0)])));
    assert!(queue(&in_turn(&[unknown.clone(), nothing(), received(1, 0)])));
    // But once, and not before.
    assert!(!queue(&in_turn(&[unknown.clone(), received(1, 0), received(1, 0)])));
    assert!(!queue(&in_turn(&[received(1, 0), unknown])));
    let unchanged = (0, Send(1, 0, None), End::Unchanged);
    assert!(!queue(&in_turn(&[unchanged, received(1, 0)])));
    // What a call has taken that was given up is missing until it is back, at its old place.
    let given_up = (1, Receive(None), End::GivenUp);
    let rest = (1, MessageCall::Rest, answered(MessageAnswer::Done));
    let two = [send(1, 0), send(2, 0), given_up];
    let all = |more: &[_]| in_turn(&[&two[..], more].concat());
    assert!(queue(&all(&[received(2, 0), received(1, 0), rest.clone()])));
    assert!(queue(&all(&[received(1, 0), rest.clone(), received(2, 0)])));
    assert!(queue(&all(&[received(2, 0), nothing(), received(1, 0), rest.clone()])));
    let lost = [received(2, 0), nothing(), rest.clone(), nothing()];
    assert!(!queue(&all(&lost)));
    assert!(!queue(&all(&[rest.clone(), received(2, 0)])));
    assert!(!queue(&all(&[nothing()])));
    // What came back goes beyond the bound.
    let filled = [send(3, 0), send(4, 0), (1, MessageCall::Count, answered(Count(4)))];
    assert!(queue(&all(&filled)));
    assert!(!queue(&in_turn(&[&two[..2], &filled[..]].concat())));
}

fn permits(start: &PermitModel, events: &[(usize, PermitCall, End<PermitAnswer>)]) -> [bool; 2] {
    [in_turn(events), at_once(events)].map(|events| explain(start, &events).is_some())
}

#[test]
fn a_semaphore_gives_a_permit_once() {
    let one = PermitModel::semaphore(1);
    let taken = (0, Acquire(None), answered(Taken(None)));
    let none = (1, Acquire(Some(Duration::ZERO)), answered(Nothing));
    let given = (1, Release(2), answered(Done));
    let value = |value| (2, PermitCall::Value, answered(Value(value)));
    assert_eq!(permits(&one, &[taken.clone(), none.clone()]), [true; 2]);
    assert_eq!(permits(&one, &[none.clone(), taken.clone()]), [false, true]);
    assert_eq!(permits(&one, &[taken.clone(), taken.clone()]), [false; 2]);
    assert_eq!(permits(&one, &[none]), [false; 2]);
    assert_eq!(permits(&one, &[taken.clone(), given.clone(), taken.clone()]), [true; 2]);
    assert_eq!(permits(&one, &[taken.clone(), taken.clone(), given.clone()]), [false, true]);
    assert_eq!(permits(&one, &[taken.clone(), given, value(2)]), [true; 2]);
    assert_eq!(permits(&one, &[taken.clone(), value(1)]), [false, true]);
    let rest = (0, Rest, answered(Done));
    let given_up = (0, Acquire(None), End::GivenUp);
    let settled = [given_up.clone(), value(0), rest.clone(), value(1)];
    assert_eq!(permits(&one, &settled), [true; 2]);
    assert_eq!(permits(&one, &[given_up, value(0), rest, value(0)]), [false, true]);
    let unknown = (0, Release(1), End::Unknown);
    assert_eq!(permits(&one, &[unknown.clone(), value(1), value(2)]), [true; 2]);
    assert_eq!(permits(&one, &[unknown, value(2), value(3)]), [false; 2]);
}

#[test]
fn a_lock_has_one_holder() {
    let lock = PermitModel::bounded(1, 2);
    let taken = |client, fence| (client, Acquire(None), answered(Taken(Some(fence))));
    let given = |client| (client, Release(1), answered(Done));
    let refused = |client| (client, Release(1), answered(NotHeld));
    assert_eq!(permits(&lock, &[taken(0, 1), given(0), taken(1, 5), given(1)]), [true; 2]);
    // Two holders.
    assert_eq!(permits(&lock, &[taken(0, 1), taken(1, 5)]), [false; 2]);
    assert_eq!(permits(&lock, &[taken(0, 1), taken(1, 5), given(0)]), [false, true]);
    // The number of the hold does not grow.
    assert_eq!(permits(&lock, &[taken(0, 5), given(0), taken(1, 4), given(1)]), [false, true]);
    assert_eq!(permits(&lock, &[taken(0, 5), given(0), taken(1, 5), given(1)]), [false; 2]);
    // Only the holder gives it up.
    assert_eq!(permits(&lock, &[taken(0, 1), refused(1), given(0), refused(0)]), [true; 2]);
    assert_eq!(permits(&lock, &[taken(0, 1), given(1)]), [false; 2]);
    assert_eq!(permits(&lock, &[taken(0, 1), refused(0)]), [false, true]);
    let closed = (0, Close, answered(Done));
    assert_eq!(permits(&lock, &[taken(0, 1), closed, taken(1, 2)]), [true; 2]);
}

#[test]
fn bounded_permits_are_no_more_than_their_bound() {
    let two = PermitModel::bounded(2, 3);
    let taken = |client| (client, Acquire(None), answered(Taken(None)));
    let given = |client, count| (client, Release(count), answered(Done));
    assert_eq!(permits(&two, &[taken(0), taken(1), given(0, 1), taken(2)]), [true; 2]);
    assert_eq!(permits(&two, &[taken(0), taken(1), taken(2)]), [false; 2]);
    assert_eq!(permits(&two, &[taken(0), taken(0), given(0, 2)]), [true; 2]);
    assert_eq!(permits(&two, &[taken(0), taken(1), given(0, 2)]), [false; 2]);
}

/// Calls that a model makes one after the other, and that seem to take much longer; at the end all is
/// received.
fn simulated(random: &mut Random, count: u32) -> Vec<Event<MessageCall, MessageAnswer>> {
    let mut model = MessageModel::new(3);
    let mut calls = message_calls(random, count, 0, 3, true);
    calls.push(ReceiveMany(9));
    let mut events: Vec<Event<MessageCall, MessageAnswer>> = Vec::new();
    for (call, moment) in calls.into_iter().zip((1000..).step_by(10)) {
        let mut some = || u64::from(random.below(50));
        let time = (moment - some(), moment + 1 + some());
        let received = (0..4).map(|most| Received(model.clone().receive(most)));
        let mut possible = (0..5).map(Sent).chain((0..5).map(Count)).chain(received);
        let made = possible.find_map(|answer| {
            let event = Event { client: 0, call: call.clone(), end: answered(answer), time };
            model.step(0, &event, Part::Whole).map(|next| (event, next))
        });
        let (event, next) = made.expect("a queue always has an answer");
        drop(possible);
        model = next;
        events.push(event);
    }
    events
}

#[test]
fn what_a_model_has_done_is_explained() {
    let start = MessageModel::new(3);
    for seed in 1..200 {
        let mut events = simulated(&mut Random(seed), 40);
        assert!(check("simulated", &start, &events));
        // A message is lost: who received it has received nothing.
        let mut ends = events.iter_mut().map(|event| &mut event.end);
        let received = ends.find_map(|end| match end {
            End::Answered(Received(messages)) if !messages.is_empty() => Some(messages),
            _ => None,
        });
        received.expect("something is received at last").pop();
        assert_eq!(explain(&start, &events), None, "{seed}");
    }
}
