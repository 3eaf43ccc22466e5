//! Processes that share a counter, a queue, and turns.

use std::time::Duration;

use nob_ipc::{Deadline, Direction, Existence, Kind, MessageQueue, Semaphore, SharedMemory};
use nob_ipc_testing::{Arguments, Child, Role, Unique, say, watchdog};

use crate::support::{Object, new_queue, new_segment, new_semaphore, on_your_marks, race};

pub const ROLES: &[Role] = &[
    ("traffic::count", count),
    ("traffic::send", send),
    ("traffic::receive", receive),
    ("traffic::answer", answer),
];

/// A semaphore keeps processes out of each other's way.
#[test]
fn a_counter_behind_a_semaphore() {
    const ROUNDS: u32 = 3000;
    let _watchdog = watchdog();
    let name = Unique::new();
    let [Object::Semaphore(semaphore), Object::Segment(segment), ..] = Kind::ALL.map(|kind| {
        Object::options(kind)
            .existence(Existence::Create)
            .measure(8)
            .open(&name)
            .expect("a new object")
    }) else {
        panic!("they come in this order")
    };
    while semaphore.value() > 1 {
        assert!(semaphore.try_acquire());
    }
    race((0..4).map(|_| Child::start("traffic::count", &[&name, &ROUNDS])).collect());
    let mut total = [0; 4];
    segment.map().expect("it is not empty").read(0, &mut total).expect("four bytes");
    assert_eq!(u32::from_ne_bytes(total), 4 * ROUNDS);
    assert_eq!(semaphore.value(), 1);
}

fn count(arguments: &Arguments) {
    let name = arguments.text(0);
    let semaphore = Semaphore::options().open(name).expect("it is there");
    let mapping = SharedMemory::options().open(name).and_then(|segment| segment.map());
    let mapping = mapping.expect("it is there");
    on_your_marks();
    for round in 0..arguments.number(1) {
        if round % 2 == 0 {
            semaphore.acquire().expect("a permit");
        } else {
            assert!(semaphore.acquire_timeout(Duration::from_secs(50)).expect("a permit"));
        }
        let mut bytes = [0; 4];
        mapping.read(0, &mut bytes).expect("four bytes");
        mapping.write(0, &(u32::from_ne_bytes(bytes) + 1).to_ne_bytes()).expect("four bytes");
        semaphore.release().expect("far from the maximum");
    }
}

const MESSAGES: u32 = 1500;
const SENDERS: u32 = 3;

/// M23, M52: every message arrives once, and those of one sender in their order.
#[test]
fn many_senders_and_receivers() {
    let _watchdog = watchdog();
    for max_messages in [1, 8] {
        let name = Unique::new();
        let queue = new_queue(&name, max_messages, 8);
        let total = u64::from(SENDERS * MESSAGES);
        let segment = new_segment(&name, total);

        let mut receivers: Vec<_> =
            (0..3).map(|_| Child::start("traffic::receive", &[&name])).collect();
        race((0..SENDERS).map(|own| Child::start("traffic::send", &[&name, &own])).collect());
        for _ in &receivers {
            queue.send(b"", 0).expect("somebody takes it");
        }
        let received: u64 = receivers
            .iter_mut()
            .map(|receiver| receiver.hear().parse::<u64>().expect("a number"))
            .sum();
        assert_eq!(received, total);
        receivers.into_iter().for_each(Child::finish);
        let mut seen = vec![0; segment.size().expect("a size").try_into().expect("small")];
        segment.map().expect("it is not empty").read(0, &mut seen).expect("all of it");
        assert!(seen.iter().all(|&times| times == 1), "each once");
        assert_eq!(queue.current_messages().expect("a number"), 0);
    }
}

fn send(arguments: &Arguments) {
    let mut options = MessageQueue::options();
    let queue = options.direction(Direction::Send).open(arguments.text(0)).expect("it is there");
    let own = arguments.number(1);
    on_your_marks();
    for number in 0..MESSAGES {
        let message = [own.to_ne_bytes(), number.to_ne_bytes()].concat();
        if number % 3 == 0 {
            assert!(queue.send_timeout(&message, 0, Duration::from_secs(50)).expect("a wait"));
        } else {
            queue.send(&message, 0).expect("somebody takes one");
        }
    }
}

fn receive(arguments: &Arguments) {
    let name = arguments.text(0);
    let mut options = MessageQueue::options();
    let queue = options.direction(Direction::Receive).open(name).expect("it is there");
    let mapping = SharedMemory::options().open(name).and_then(|segment| segment.map());
    let mapping = mapping.expect("it is there");
    let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().expect("four bytes"));
    let mut last = [None; 3];
    let mut received = 0;
    loop {
        let message = if received % 2 == 0 {
            queue.receive().expect("a message").0
        } else {
            queue.receive_timeout(Duration::from_secs(50)).expect("a wait").expect("in time").0
        };
        if message.is_empty() {
            break;
        }
        let (sender, sent) = (number(&message[..4]), number(&message[4..]));
        let last = &mut last[usize::try_from(sender).expect("an index")];
        assert!(last.is_none_or(|last| last < sent), "{sent} after {last:?}");
        *last = Some(sent);
        let index = usize::try_from(sender * MESSAGES + sent).expect("an index");
        let mut times = [0];
        mapping.read(index, &mut times).expect("within the segment");
        mapping.write(index, &[times[0] + 1]).expect("within the segment");
        received += 1;
    }
    say(received);
}

/// Two processes take turns, thousands of times, without losing a wake-up.
#[test]
fn taking_turns() {
    const ROUNDS: u32 = 4000;
    let _watchdog = watchdog();
    let (ours, theirs) = (Unique::new(), Unique::new());
    let (our_turn, their_turn) = (new_semaphore(&ours, 0), new_semaphore(&theirs, 0));
    let other = Child::start("traffic::answer", &[&ours, &theirs, &ROUNDS]);
    for round in 0..ROUNDS {
        their_turn.release().expect("far from the maximum");
        let deadline = if round % 2 == 0 {
            Deadline::NEVER
        } else {
            Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL)
        };
        let done = nob_ipc::retry_on_interrupt(|| our_turn.acquire_until(deadline));
        assert!(done.expect("a permit"));
    }
    other.finish();
    assert_eq!((our_turn.value(), their_turn.value()), (0, 0));
}

fn answer(arguments: &Arguments) {
    let link = |index| Semaphore::options().open(arguments.text(index)).expect("it is there");
    let (our_turn, their_turn) = (link(1), link(0));
    for _ in 0..arguments.number(2) {
        our_turn.acquire().expect("a permit");
        their_turn.release().expect("far from the maximum");
    }
}
