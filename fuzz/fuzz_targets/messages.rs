//! Operations on a queue against a sorted list.

#![no_main]

use std::cmp::Reverse;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nob_ipc::{Existence, Kind, MessageQueue, Name};

const MAX_MESSAGES: usize = 4;
const MAX_MESSAGE_SIZE: usize = 16;

static QUEUE: LazyLock<MessageQueue> = LazyLock::new(|| {
    let name = Name::random(Kind::MessageQueue).expect("random bits");
    let queue = MessageQueue::options()
        .max_messages(MAX_MESSAGES as u64)
        .max_message_size(MAX_MESSAGE_SIZE as u64)
        .existence(Existence::Create)
        .open_named(&name)
        .expect("a new queue");
    // The fuzzer ends without dropping anything.
    queue.ownership().unlink().expect("it is ours");
    queue
});

fuzz_target!(|steps: Vec<Option<(u32, Vec<u8>)>>| {
    let mut model: Vec<(u32, Vec<u8>)> = Vec::new();
    for step in steps {
        match step {
            Some((priority, message)) => {
                let legal =
                    message.len() <= MAX_MESSAGE_SIZE && priority <= MessageQueue::MAX_PRIORITY;
                match QUEUE.try_send(&message, priority) {
                    Ok(sent) => {
                        assert!(legal);
                        assert_eq!(sent, model.len() < MAX_MESSAGES);
                        if sent {
                            model.push((priority, message));
                            model.sort_by_key(|&(priority, _)| Reverse(priority));
                        }
                    }
                    Err(_) => assert!(!legal),
                }
            }
            None => receive(&mut model),
        }
    }
    while !model.is_empty() {
        receive(&mut model);
    }
    assert_eq!(QUEUE.current_messages().expect("a number"), 0);
});

fn receive(model: &mut Vec<(u32, Vec<u8>)>) {
    let mut buffer = [0; MAX_MESSAGE_SIZE];
    let received = QUEUE.try_receive(&mut buffer).expect("an answer");
    let received = received.map(|got| (got.priority, buffer[..got.length].to_vec()));
    let expected = (!model.is_empty()).then(|| model.remove(0));
    assert_eq!(received, expected);
}
