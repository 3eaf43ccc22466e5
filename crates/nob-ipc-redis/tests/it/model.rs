//! Order, bound and counts: each operation against a model.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use nob_ipc::{Deadline, ErrorKind, Existence, Messages, Permits};
use nob_ipc_redis::{BoundedSemaphore, Connection, MessageQueue, Semaphore};
use nob_ipc_testing::{Random, watchdog};

use crate::server;

/// R12: every operation is atomic: order, bounds and counts are those of a model.
#[test]
fn a_queue_is_its_model() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&connection)
        .max_messages(7)
        .max_message_size(16)
        .existence(Existence::Create)
        .open("/model")
        .unwrap();
    // Priority, the highest first; then the number of sending.
    let mut model: BTreeMap<(Reverse<u32>, u64), Vec<u8>> = BTreeMap::new();
    let mut random = Random(42);
    let mut number = 0_u64;
    for _ in 0..3000 {
        let priority = random.below(3) * 10_000;
        match random.below(6) {
            0 | 1 => {
                let message = number.to_string().into_bytes();
                let sent = queue.try_send(&message, priority).unwrap();
                assert_eq!(sent, model.len() < 7);
                if sent {
                    model.insert((Reverse(priority), number), message);
                }
                number += 1;
            }
            2 => {
                let batch: Vec<Vec<u8>> = (0..random.below(5))
                    .map(|index| (number + u64::from(index)).to_string().into_bytes())
                    .collect();
                let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
                let sent = queue.send_many(&slices, priority).unwrap();
                assert_eq!(sent, batch.len().min(7 - model.len()));
                for message in batch.into_iter().take(sent) {
                    model.insert((Reverse(priority), number), message);
                    number += 1;
                }
            }
            3 => {
                let most = random.below(4);
                let expected: Vec<(Vec<u8>, u32)> = (0..most)
                    .filter_map(|_| model.pop_first())
                    .map(|((priority, _), message)| (message, priority.0))
                    .collect();
                assert_eq!(queue.receive_many(most as usize).unwrap(), expected);
            }
            4 => assert_eq!(queue.current_messages().unwrap(), model.len() as u64),
            _ => {
                let expected =
                    model.pop_first().map(|((priority, _), message)| (message, priority.0));
                assert_eq!(queue.try_receive_message().unwrap(), expected);
            }
        }
    }
}

/// R12: every operation is atomic: order, bounds and counts are those of a model.
#[test]
fn a_semaphore_is_a_number() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let semaphore = Semaphore::options(&connection)
        .initial_value(2)
        .existence(Existence::Create)
        .open("/sem")
        .unwrap();
    let permits: &dyn Permits = &semaphore;
    assert!(permits.try_acquire().unwrap() && permits.try_acquire().unwrap());
    assert!(!permits.try_acquire().unwrap());
    assert!(!permits.wait_acquire(Deadline::after(Duration::from_millis(20))).unwrap());
    permits.release_many(3).unwrap();
    assert_eq!(permits.value().unwrap(), 3);
    let error = permits.release_many(Semaphore::MAX_VALUE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overflow);
    assert_eq!(permits.value().unwrap(), 3);
    assert_eq!(permits.release_many(0).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

/// R12: every operation is atomic: order, bounds and counts are those of a model.
#[test]
fn a_queue_is_never_over_full_nor_served_twice() {
    const EACH: u32 = 400;
    let _watchdog = watchdog();
    let server = server!();
    let url = server.url();
    let connection = Connection::open(&url).unwrap();
    let options = || {
        let connection = Connection::open(&url).unwrap();
        MessageQueue::options(&connection).open("/full").unwrap()
    };
    let queue = MessageQueue::options(&connection)
        .max_messages(5)
        .existence(Existence::Create)
        .open("/full")
        .unwrap();
    let senders: Vec<_> = (0..3_u32)
        .map(|sender| {
            let queue = options();
            thread::spawn(move || {
                for number in 0..EACH {
                    queue.send(format!("{sender} {number}").as_bytes(), 0).unwrap();
                }
            })
        })
        .collect();
    let receivers: Vec<_> = (0..3)
        .map(|_| {
            let queue = options();
            thread::spawn(move || {
                (0..EACH)
                    .map(|_| {
                        assert!(queue.current_messages().unwrap() <= 5);
                        String::from_utf8(queue.receive().unwrap().0).unwrap()
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    let mut seen = Vec::new();
    for receiver in receivers {
        let messages = receiver.join().unwrap();
        // What one sender sent, one receiver sees in its order.
        for sender in 0..3 {
            let numbers: Vec<u32> = messages
                .iter()
                .filter_map(|message| message.strip_prefix(&format!("{sender} ")))
                .map(|number| number.parse().unwrap())
                .collect();
            assert!(numbers.is_sorted(), "{numbers:?}");
        }
        seen.extend(messages);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3 * EACH as usize);
    assert_eq!(queue.current_messages().unwrap(), 0);
}

/// R12: every operation is atomic: order, bounds and counts are those of a model.
#[test]
fn bounded_permits_are_never_more_than_their_bound() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let open = |existence| {
        BoundedSemaphore::options(&connection)
            .bound(2)
            .existence(existence)
            .open("/permits")
            .unwrap()
    };
    let (one, other) = (open(Existence::Create), open(Existence::Link));
    assert_eq!((one.bound(), other.value().unwrap()), (2, 2));
    assert!(one.try_acquire().unwrap() && other.try_acquire().unwrap());
    assert!(!one.try_acquire().unwrap());
    assert_eq!((one.held(), other.held(), one.value().unwrap()), (1, 1, 0));
    assert_eq!(one.holders().unwrap(), [std::process::id(); 2]);
    assert_eq!(one.release_many(2).unwrap_err().kind(), ErrorKind::NotHeld);
    one.release().unwrap();
    assert_eq!(one.release().unwrap_err().kind(), ErrorKind::NotHeld);
    assert_eq!(other.value().unwrap(), 1);
    // Closing a handle gives its permits back.
    other.handle().close().unwrap();
    assert_eq!(one.value().unwrap(), 2);
}

#[test]
fn arguments_are_checked_before_anything_is_sent() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&connection)
        .max_message_size(4)
        .existence(Existence::Create)
        .open("/arguments")
        .unwrap();
    assert_eq!(queue.send(b"12345", 0).unwrap_err().kind(), ErrorKind::TooLong);
    assert_eq!(queue.send(b"1", 32768).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let messages: &dyn Messages = &queue;
    assert!(messages.try_receive(&mut [0; 3]).is_err());
    // What is wrong ends the batch before it.
    assert_eq!(queue.send_many(&[b"1", b"12345", b"2"], 0).unwrap(), 1);
    assert_eq!(queue.send_many(&[b"12345", b"2"], 0).unwrap_err().kind(), ErrorKind::TooLong);
    assert_eq!(queue.receive_many(9).unwrap(), [(b"1".to_vec(), 0)]);
    assert_eq!(queue.send_many(&[], 0).unwrap(), 0);
    queue.send(b"\0\r\n\xff", 32767).unwrap();
    let mut buffer = [0; 4];
    let received = messages.try_receive(&mut buffer).unwrap().unwrap();
    assert_eq!((&buffer, received.length, received.priority), (b"\0\r\n\xff", 4, 32767));
    queue.set_blocking(false);
    assert_eq!(queue.receive().unwrap_err().raw_os_error(), Some(libc::EAGAIN));
    assert_eq!(queue.receive_until(Deadline::NEVER).unwrap(), None);
}
