//! The calls whose instructions are counted (`bench/instructions.py`), each many times:
//! `hot_calls CALL COUNT`. Without arguments, each of them a few times.

use std::hint::black_box;
use std::process::id;
use std::time::Duration;

use nob_ipc::{BoundedSemaphore, Deadline, Existence, Lock, MessageQueue, Semaphore, SharedMemory};

const MESSAGE: [u8; 64] = [7; 64];
const PRIORITY: u32 = 1;

type Call = Box<dyn FnMut()>;
type Make = fn() -> Call;

fn semaphore(value: u32) -> Semaphore {
    Semaphore::options()
        .initial_value(value)
        .existence(Existence::Create)
        .open(name())
        .expect("a semaphore of this process")
}

fn lock() -> Lock {
    Lock::options().existence(Existence::Create).open(name()).expect("a lock of this process")
}

/// All but one of whose four permits are held.
fn bounded() -> BoundedSemaphore {
    let bounded = BoundedSemaphore::options()
        .bound(4)
        .existence(Existence::Create)
        .open(name())
        .expect("a bounded semaphore of this process");
    (0..3).for_each(|_| bounded.acquire().expect("there are four"));
    bounded
}

fn queue() -> MessageQueue {
    MessageQueue::options()
        .max_messages(2)
        .max_message_size(64)
        .existence(Existence::Create)
        .open(name())
        .expect("a queue of this process")
}

fn name() -> String {
    format!("/nob-ipc-hot-{}", id())
}

fn semaphore_try() -> Call {
    let semaphore = semaphore(1);
    Box::new(move || {
        assert!(semaphore.try_acquire());
        semaphore.release().expect("the value was 1");
    })
}

fn semaphore_wait() -> Call {
    let semaphore = semaphore(1);
    Box::new(move || {
        assert!(
            semaphore
                .acquire_until(Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL))
                .expect("a permit")
        );
        semaphore.release().expect("the value was 1");
    })
}

fn semaphore_timeout() -> Call {
    let semaphore = semaphore(1);
    Box::new(move || {
        assert!(semaphore.acquire_timeout(black_box(Duration::from_secs(1))).expect("a permit"));
        semaphore.release().expect("the value was 1");
    })
}

fn semaphore_empty() -> Call {
    let semaphore = semaphore(0);
    Box::new(move || assert!(!semaphore.try_acquire()))
}

fn lock_acquire() -> Call {
    let lock = lock();
    Box::new(move || drop(lock.acquire().expect("nobody holds it")))
}

fn lock_wait() -> Call {
    let lock = lock();
    let deadline = Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL);
    Box::new(move || {
        assert!(lock.acquire_until(deadline).expect("nobody holds it").is_some());
    })
}

fn bounded_try() -> Call {
    let bounded = bounded();
    Box::new(move || {
        assert!(bounded.try_acquire().expect("a permit"));
        bounded.release().expect("it is held");
    })
}

fn bounded_wait() -> Call {
    let bounded = bounded();
    let deadline = Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL);
    Box::new(move || {
        assert!(bounded.acquire_until(deadline).expect("a permit"));
        bounded.release().expect("it is held");
    })
}

fn queue_try() -> Call {
    let queue = queue();
    Box::new(move || {
        assert!(queue.try_send(black_box(&MESSAGE), PRIORITY).expect("room"));
        let received = queue.try_receive(&mut [0; MESSAGE.len()]).expect("a message");
        assert_eq!(received.map(|it| it.length), Some(MESSAGE.len()));
    })
}

fn queue_wait() -> Call {
    let queue = queue();
    let deadline = Deadline::NEVER.checked_every(Deadline::CHECK_INTERVAL);
    Box::new(move || {
        assert!(queue.send_until(black_box(&MESSAGE), PRIORITY, deadline).expect("room"));
        let received = queue.receive_until(&mut [0; MESSAGE.len()], deadline).expect("a message");
        assert_eq!(received.map(|it| it.length), Some(MESSAGE.len()));
    })
}

fn queue_empty() -> Call {
    let queue = queue();
    Box::new(move || {
        assert!(queue.try_receive(&mut [0; MESSAGE.len()]).expect("an answer").is_none());
    })
}

fn segment_create() -> Call {
    Box::new(|| {
        let segment = SharedMemory::options()
            .size(4096)
            .existence(Existence::Create)
            .open("/nob-ipc-hot-segment")
            .expect("a segment of this process");
        segment.map().expect("a mapping").write(0, &[1]).expect("the first byte");
    })
}

fn deadline_after() -> Call {
    Box::new(|| {
        black_box(Deadline::after(black_box(Duration::from_secs(2))));
    })
}

fn deadline_has_passed() -> Call {
    let deadline = Deadline::after(Duration::from_secs(3600));
    Box::new(move || assert!(!black_box(deadline).has_passed()))
}

const CALLS: [(&str, Make); 14] = [
    ("semaphore_try", semaphore_try),
    ("semaphore_wait", semaphore_wait),
    ("semaphore_timeout", semaphore_timeout),
    ("semaphore_empty", semaphore_empty),
    ("lock_acquire", lock_acquire),
    ("lock_wait", lock_wait),
    ("bounded_try", bounded_try),
    ("bounded_wait", bounded_wait),
    ("queue_try", queue_try),
    ("queue_wait", queue_wait),
    ("queue_empty", queue_empty),
    ("segment_create", segment_create),
    ("deadline_after", deadline_after),
    ("deadline_has_passed", deadline_has_passed),
];

fn repeat(make: Make, count: u64) {
    let mut call = make();
    for _ in 0..count {
        call();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.as_slice() {
        [] => CALLS.iter().for_each(|(_, make)| repeat(*make, 10)),
        [call, count] => {
            let (_, make) = CALLS.iter().find(|(name, _)| name == call).expect("a call's name");
            repeat(*make, count.parse().expect("a count"));
        }
        _ => panic!("usage: hot_calls [CALL COUNT]"),
    }
}
