//! Operations on a channel against lists, until somebody writes into its file; then no answer is right, and
//! all that is left is that each call comes back with one.

#![no_main]

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nob_ipc::{Channel, Deadline, ErrorKind, Existence, Kind, Name, Received, Result};

const CAPACITY: usize = 4096;
const MAX_MESSAGE_SIZE: usize = CAPACITY - 16;
const MAX_MESSAGES: usize = 40;
const PRIORITIES: usize = 2;

/// Where the rings begin in the file, and how long it is.
const RINGS: usize = 4 * 4096;
const SIZE: usize = RINGS + PRIORITIES * CAPACITY;

struct Target {
    channel: Channel,
    file: File,
    /// The file as it was when all was well.
    whole: Vec<u8>,
}

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = Name::random(Kind::Channel).expect("random bits");
    let channel = Channel::options()
        .capacity(CAPACITY as u64)
        .max_messages(MAX_MESSAGES as u64)
        .priorities(PRIORITIES as u32)
        .existence(Existence::Create)
        .open_named(&name)
        .expect("a new channel");
    let path = format!("/dev/shm/nob.channel.{}", name.to_string().trim_start_matches('/'));
    let file = File::options().read(true).write(true).open(path).expect("it is ours");
    // The fuzzer ends without dropping anything.
    channel.ownership().unlink().expect("it is ours");
    let mut whole = vec![0; SIZE];
    file.read_exact_at(&mut whole, 0).expect("it has that size");
    Target { channel, file, whole }
});

/// What is in the channel, the lowest priority first.
#[derive(Default)]
struct Model {
    lanes: [VecDeque<Vec<u8>>; PRIORITIES],
    /// Somebody has written into the file: nothing is known any more.
    is_lost: bool,
}

impl Model {
    fn count(&self) -> usize {
        self.lanes.iter().map(VecDeque::len).sum()
    }

    /// How many of these there is room for.
    fn fitting(&self, messages: &[&[u8]], priority: usize) -> usize {
        let room = |message: &[u8]| 8 + message.len().next_multiple_of(8);
        let mut used: usize = self.lanes[priority].iter().map(|message| room(message)).sum();
        let free = MAX_MESSAGES - self.count();
        let fits = |message: &&&[u8]| {
            used += room(message);
            used <= CAPACITY
        };
        messages.iter().take(free).take_while(fits).count()
    }

    fn pop(&mut self) -> Option<(Vec<u8>, u32)> {
        let lane = self.lanes.iter().rposition(|lane| !lane.is_empty())?;
        Some((self.lanes[lane].pop_front()?, lane as u32))
    }

    fn check<T: PartialEq + std::fmt::Debug>(
        &self,
        answer: Result<T>,
        expected: impl FnOnce() -> T,
    ) {
        match answer {
            Ok(answer) => assert!(self.is_lost || answer == expected(), "{answer:?}"),
            Err(error) => {
                assert!(self.is_lost, "{error}");
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::TooLong), "{error}");
            }
        }
    }
}

/// A step: what is done, and two numbers that say with what.
type Step = (u8, u16, u64);

fuzz_target!(|steps: Vec<Step>| {
    let Target { channel, file, whole } = &*TARGET;
    let mut model = Model::default();
    let mut buffer = vec![0; MAX_MESSAGE_SIZE];
    for (index, (what, size, value)) in steps.into_iter().enumerate() {
        let length = usize::from(size) % (MAX_MESSAGE_SIZE + 2);
        let priority = usize::from(what >> 7);
        let message = vec![index as u8; length];
        match what % 8 {
            0 | 1 => send(&mut model, channel, &message, priority),
            2 => {
                let batch = [&message[..length / 3], b"", &message[..length / 2]];
                let fitting = model.fitting(&batch, priority);
                let sent = channel.try_send_many(batch.iter().copied(), priority as u32);
                model.check(sent, || fitting);
                model.lanes[priority].extend(batch[..fitting].iter().map(|it| it.to_vec()));
            }
            3 | 4 => {
                let expected = model.pop();
                let received = channel.try_receive(&mut buffer);
                if let Ok(Some(Received { length, priority })) = received {
                    assert!(length <= buffer.len() && (priority as usize) < PRIORITIES);
                }
                let received = received.map(|received| {
                    received.map(|got| (buffer[..got.length].to_vec(), got.priority))
                });
                model.check(received, || expected);
            }
            5 => {
                let most = value as usize % 7;
                let expected: Vec<_> = std::iter::from_fn(|| model.pop()).take(most).collect();
                let received = channel.receive_many(most, Deadline::NOW);
                for (message, priority) in received.as_ref().into_iter().flatten() {
                    assert!(message.len() <= MAX_MESSAGE_SIZE && (*priority as usize) < PRIORITIES);
                }
                model.check(received, || expected);
            }
            6 => {
                model.check(channel.current_messages(), || model.count());
                let peeked = channel.peek();
                assert!(peeked.is_none_or(|length| length <= MAX_MESSAGE_SIZE));
                if !model.is_lost {
                    let next = model.lanes.iter().rev().find_map(VecDeque::front);
                    assert_eq!(peeked, next.map(Vec::len));
                }
            }
            _ => {
                // Every other one into the rings, where the lengths are.
                let place = usize::from(size >> 1);
                let place =
                    if size % 2 == 0 { RINGS + place % (SIZE - RINGS) / 8 * 8 } else { place };
                let place = place % (SIZE - 8);
                file.write_all_at(&value.to_ne_bytes(), place as u64).expect("it is ours");
                model.is_lost = true;
            }
        }
    }
    // Nobody else has it: all of it is as in the beginning.
    file.write_all_at(whole, 0).expect("it is ours");
    assert_eq!(channel.current_messages().expect("a number"), 0);
});

fn send(model: &mut Model, channel: &Channel, message: &[u8], priority: usize) {
    let sent = channel.try_send(message, priority as u32);
    if message.len() > MAX_MESSAGE_SIZE {
        let error = sent.expect_err("it is too long");
        assert!(model.is_lost || error.kind() == ErrorKind::TooLong, "{error}");
        return;
    }
    let fits = model.fitting(&[message], priority) == 1;
    model.check(sent, || fits);
    if fits {
        model.lanes[priority].push_back(message.to_vec());
    }
}
