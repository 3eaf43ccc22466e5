//! Concurrent calls of a few clients, written down and held against the model of their object: there
//! is an order in which it would have answered so.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use nob_ipc::{
    BoundedSemaphore, Channel, Existence, Lock, MessageQueue, Messages, Permits, Result, Semaphore,
};
use nob_ipc_testing::history::{
    End, MessageAnswer, MessageCall, MessageModel, PermitCall, PermitModel, Recorder,
    call_messages, call_permits, check, message_calls, permit_calls,
};
use nob_ipc_testing::{Random, Unique, stress, watchdog};

/// Makes rounds for a while, each from another seed.
fn rounds(round: impl Fn(u64)) {
    let end = Instant::now() + Duration::from_millis(400).mul_f64(stress());
    for seed in 1.. {
        round(seed);
        if Instant::now() > end {
            break;
        }
    }
}

/// Rounds with an object that gives out permits, up to `most` at once. A handle is opened for each
/// client.
fn permits<P: Permits>(
    most: u32,
    model: fn(usize) -> PermitModel,
    open: fn(&OsStr, Existence) -> P,
    fence: fn(&P) -> Option<u64>,
) {
    let _watchdog = watchdog();
    rounds(|seed| {
        let name = Unique::new();
        let control = open(name.as_ref(), Existence::Create);
        let mut random = Random(seed);
        let count = 3 + random.below(2) as usize;
        let mut clients: Vec<(P, Vec<PermitCall>)> = (0..count)
            .map(|_| {
                let calls = 5 + random.below(5);
                let calls = permit_calls(&mut random, calls, most);
                (open(name.as_ref(), Existence::Link), calls)
            })
            .collect();
        let recorder = Recorder::<PermitModel>::default();
        let call = |permits: &mut P, call: &PermitCall| {
            End::Answered(call_permits(permits, call, || fence(permits)).unwrap())
        };
        recorder.run(&mut clients, |permits, made| (call(permits, made), true));
        recorder.call(count, PermitCall::Value, |made| call(&mut { control }, made));
        assert!(check(&format!("seed {seed}"), &model(count + 1), &recorder.into_events()));
    });
}

#[test]
fn of_a_semaphore() {
    let open = |name: &OsStr, existence| {
        Semaphore::options().initial_value(2).existence(existence).open(name).unwrap()
    };
    permits(2, |_| PermitModel::semaphore(2), open, |_| None);
}

#[test]
fn of_a_bounded_semaphore() {
    let open = |name: &OsStr, existence| {
        BoundedSemaphore::options().bound(2).existence(existence).open(name).unwrap()
    };
    permits(1, |clients| PermitModel::bounded(2, clients), open, |_| None);
}

#[test]
fn of_a_lock() {
    let open = |name: &OsStr, existence| Lock::options().existence(existence).open(name).unwrap();
    let fence = |lock: &Lock| Some(lock.fence().unwrap());
    permits(1, |clients| PermitModel::bounded(1, clients), open, fence);
}

/// Rounds with an object that has messages. `capacity`: how many; `current`: how many there are.
fn messages<M: Messages>(
    capacity: usize,
    priorities: u32,
    open: impl Fn(&OsStr, Existence) -> M,
    current: Option<fn(&M) -> Result<usize>>,
) {
    let _watchdog = watchdog();
    rounds(|seed| {
        let name = Unique::new();
        let control = open(name.as_ref(), Existence::Create);
        let mut random = Random(seed);
        let count = 3 + random.below(2);
        let mut clients: Vec<(M, Vec<MessageCall>)> = (1..=count)
            .map(|client| {
                let calls = 5 + random.below(5);
                let mut calls = message_calls(&mut random, calls, 1000 * client, priorities, false);
                calls.retain(|call| current.is_some() || *call != MessageCall::Count);
                (open(name.as_ref(), Existence::Link), calls)
            })
            .collect();
        let recorder = Recorder::<MessageModel>::default();
        let call = |queue: &M, made: &MessageCall| {
            let count = || current.expect("these calls are left out")(queue);
            End::Answered(call_messages(queue, made, count).unwrap())
        };
        recorder.run(&mut clients, |queue, made| (call(queue, made), true));
        let mut is_empty = false;
        while !is_empty {
            let nothing = End::Answered(MessageAnswer::Received(Vec::new()));
            let receive = MessageCall::Receive(None);
            is_empty =
                recorder.call(count as usize, receive, |made| call(&control, made)) == nothing;
        }
        let (what, start) = (format!("seed {seed}"), MessageModel::new(capacity));
        assert!(check(&what, &start, &recorder.into_events()));
    });
}

#[test]
fn of_a_queue() {
    let open = |name: &OsStr, existence| {
        MessageQueue::options()
            .max_messages(3)
            .max_message_size(4)
            .existence(existence)
            .open(name)
            .unwrap()
    };
    messages(3, 3, open, Some(MessageQueue::current_messages));
}

fn channels(capacity: u32, priorities: u32, current: Option<fn(&Channel) -> Result<usize>>) {
    let open = |name: &OsStr, existence| {
        Channel::options()
            .max_messages(capacity.into())
            .max_message_size(4)
            .priorities(priorities)
            .existence(existence)
            .open(name)
            .unwrap()
    };
    messages(capacity as usize, priorities, open, current);
}

/// N7: many senders and receivers: each message once, those of a sender in order.
#[test]
fn of_a_channel() {
    channels(3, 1, Some(Channel::current_messages));
}

/// N11: priorities: the highest first, in order within one. What is being received counts as there
/// until it is copied, so nobody counts here.
#[test]
fn of_a_channel_with_priorities() {
    channels(100, 3, None);
}
