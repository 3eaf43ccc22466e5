//! Waiting without a thread.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence, Result};
use nob_ipc_redis::{
    BoundedSemaphore, Connection, Events, Lock, MessageQueue, Outcome, Pending, Semaphore,
};
use nob_ipc_testing::{wait_until, watchdog};

use crate::server;

/// Waits until so many operations have ended.
pub(crate) fn ended(events: &Events, count: usize) -> Vec<(u64, Result<Outcome>)> {
    let end = Instant::now() + Duration::from_secs(20);
    let mut all = Vec::new();
    while all.len() < count {
        let mut poll =
            libc::pollfd { fd: events.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor is given, which outlives the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 20_000) };
        assert!(ready == 1 && Instant::now() < end, "{} of {count} have ended", all.len());
        all.extend(events.take());
    }
    all
}

fn queue(connection: &Connection, name: &str) -> MessageQueue {
    MessageQueue::options(connection)
        .max_messages(1000)
        .existence(Existence::Create)
        .open(name)
        .unwrap()
}

/// Waits until something has ended; the tokens.
fn ready(events: &Events) -> Vec<u64> {
    let mut poll =
        libc::pollfd { fd: events.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor is given, which outlives the call.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "nothing has ended");
    events.ready()
}

#[test]
fn a_result_is_claimed_or_goes_back() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let events = Events::new().unwrap();
    let queue = queue(&connection, "/x");
    let waiting = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    assert!(waiting.claim().is_none(), "it has not ended");
    queue.send(b"x", 5).unwrap();
    assert_eq!(ready(&events), [1]);
    assert_eq!(events.ready(), [], "it was told");
    // Its caller has heard of it, and does not want it any more.
    waiting.cancel();
    let message = vec![(b"x".to_vec(), 5)];
    let again = queue.start_receive(&events, 2, 1, Deadline::NEVER).unwrap();
    assert_eq!(ready(&events), [2]);
    assert_eq!(again.claim().unwrap().unwrap(), Outcome::Messages(message));
    assert!(again.claim().is_none(), "it was claimed");
    // Now it is its caller's.
    again.cancel();
    assert_eq!(queue.receive_timeout(Duration::from_millis(300)).unwrap(), None);
    assert!(events.take().is_empty());
}

#[test]
fn operations_end_by_themselves() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let events = Events::new().unwrap();
    let queue = MessageQueue::options(&connection)
        .max_messages(2)
        .existence(Existence::Create)
        .open("/x")
        .unwrap();
    let never = Deadline::NEVER;
    let soon = Deadline::after(Duration::from_millis(30));
    let result = |token, pending: Result<Pending>| {
        let _going_on = pending.unwrap();
        let mut all = ended(&events, 1);
        let (told, outcome) = all.pop().unwrap();
        assert_eq!(told, token);
        outcome
    };
    assert_eq!(result(1, queue.start_send(&events, 1, b"a", 1, never)).unwrap(), Outcome::Sent(1));
    assert_eq!(result(2, queue.start_send(&events, 2, b"b", 2, never)).unwrap(), Outcome::Sent(1));
    assert_eq!(result(3, queue.start_send(&events, 3, b"c", 3, soon)).unwrap(), Outcome::Sent(0));
    let both = vec![(b"b".to_vec(), 2), (b"a".to_vec(), 1)];
    let received = result(4, queue.start_receive(&events, 4, 5, never));
    assert_eq!(received.unwrap(), Outcome::Messages(both));
    let nothing = result(5, queue.start_receive(&events, 5, 1, Deadline::NOW));
    assert_eq!(nothing.unwrap(), Outcome::Messages(Vec::new()));

    let semaphore = Semaphore::options(&connection)
        .initial_value(0)
        .existence(Existence::Create)
        .open("/x")
        .unwrap();
    let _waiting = semaphore.start_acquire(&events, 6, never).unwrap();
    let _giving = semaphore.start_release(&events, 7, 2).unwrap();
    let mut both: Vec<u64> = ended(&events, 2).into_iter().map(|(token, _)| token).collect();
    both.sort_unstable();
    assert_eq!((both, semaphore.value().unwrap()), (vec![6, 7], 1));

    let lock = Lock::options(&connection).existence(Existence::Create).open("/x").unwrap();
    let other = Lock::options(&connection).open("/x").unwrap();
    assert_eq!(result(8, lock.start_acquire(&events, 8, never)).unwrap(), Outcome::Done(true));
    assert!(lock.is_held());
    assert_eq!(result(9, other.start_acquire(&events, 9, soon)).unwrap(), Outcome::Done(false));
    let _waiting = other.start_acquire(&events, 10, never).unwrap();
    assert_eq!(other.start_release(&events, 0).unwrap_err().kind(), ErrorKind::NotHeld);
    let _giving = lock.start_release(&events, 11).unwrap();
    assert_eq!(ended(&events, 2).len(), 2);
    assert!(!lock.is_held() && other.is_held());

    let permits =
        BoundedSemaphore::options(&connection).existence(Existence::Create).open("/x").unwrap();
    result(12, permits.start_acquire(&events, 12, never)).unwrap();
    assert_eq!(permits.held(), 1);
    result(13, permits.start_release(&events, 13)).unwrap();
    assert_eq!(permits.value().unwrap(), 1);
}

/// R16: 1,000 waits of an event loop need one connection beside the pool.
#[test]
fn a_thousand_wait_on_one_connection() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queues: Vec<MessageQueue> =
        (0..1000).map(|index| queue(&connection, &format!("/q{index}"))).collect();
    let events = Events::new().unwrap();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let clients = || server.command(&["CLIENT", "LIST"]).matches(" cmd=").count();
    let (clients_before, tokens) = (clients(), 0..1000_u64);
    for (queue, token) in queues.iter().zip(tokens) {
        let _going_on = queue.start_receive(&events, token, 1, Deadline::NEVER).unwrap();
    }
    // All stand in line.
    let end = Instant::now() + Duration::from_secs(10);
    while server.command(&["PUBSUB", "SHARDCHANNELS"]).matches(":c:").count() < 1000 {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(clients() <= clients_before + 1, "{} connections", clients());
    // Other tests start threads as well; these waits would have been a thousand.
    assert!(threads() < before + 500);
    let other = Connection::open(&server.url()).unwrap();
    for index in 0..1000 {
        let queue = MessageQueue::options(&other).open(format!("/q{index}")).unwrap();
        queue.send(index.to_string().as_bytes(), 0).unwrap();
    }
    for (token, outcome) in ended(&events, 1000) {
        let expected = Outcome::Messages(vec![(token.to_string().into_bytes(), 0)]);
        assert_eq!(outcome.unwrap(), expected);
    }
}

/// R14: a wait that was cancelled, closed, interrupted or not answered has taken nothing in the
/// end.
#[test]
fn cancelled_waits_lose_nothing() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue = queue(&connection, "/cancel");
    let events = Events::new().unwrap();
    let sender = thread::spawn({
        let url = server.url();
        move || {
            let connection = Connection::open(&url).unwrap();
            let queue = MessageQueue::options(&connection).open("/cancel").unwrap();
            for number in 0..300_u32 {
                queue.send(&number.to_be_bytes(), 0).unwrap();
                thread::sleep(Duration::from_micros(u64::from(number % 7) * 100));
            }
        }
    });
    let mut seen = Vec::new();
    let mut take = |outcome: Result<Outcome>| {
        let Outcome::Messages(messages) = outcome.unwrap() else { panic!("no messages") };
        for (message, _) in messages {
            seen.push(u32::from_be_bytes(message.try_into().unwrap()));
        }
    };
    let mut token = 0;
    while !sender.is_finished() {
        token += 1;
        let pending = queue.start_receive(&events, token, 1, Deadline::NEVER).unwrap();
        thread::sleep(Duration::from_micros(token % 5 * 150));
        pending.cancel();
        // What has ended before it was cancelled was put back as well.
        assert!(events.take().is_empty());
        if token % 3 == 0 {
            let soon = Deadline::after(Duration::from_millis(1));
            let _going_on = queue.start_receive(&events, token, 1, soon).unwrap();
            for (_, outcome) in ended(&events, 1) {
                take(outcome);
            }
        }
    }
    sender.join().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let soon = Deadline::after(Duration::from_millis(300));
        let _going_on = queue.start_receive(&events, 0, 100, soon).unwrap();
        let mut outcomes = ended(&events, 1);
        let (_, outcome) = outcomes.pop().unwrap();
        let finished = matches!(&outcome, Ok(Outcome::Messages(messages)) if messages.is_empty());
        take(outcome);
        if finished {
            break;
        }
        assert!(Instant::now() < end);
    }
    assert!(seen.len() == 300, "{} of 300", seen.len());
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..300));
}

#[test]
fn cancelled_holds_are_given_up() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/x").unwrap();
    let permits =
        BoundedSemaphore::options(&connection).existence(Existence::Create).open("/x").unwrap();
    let semaphore =
        Semaphore::options(&connection).existence(Existence::Create).open("/x").unwrap();
    let events = Events::new().unwrap();
    for round in 0..60_u64 {
        let never = Deadline::NEVER;
        let all = [
            lock.start_acquire(&events, 1, never).unwrap(),
            permits.start_acquire(&events, 2, never).unwrap(),
            semaphore.start_acquire(&events, 3, never).unwrap(),
        ];
        thread::sleep(Duration::from_micros(round * 20));
        all.into_iter().for_each(Pending::cancel);
        assert!(events.take().is_empty());
    }
    let end = Instant::now() + Duration::from_secs(10);
    while lock.is_locked().unwrap()
        || permits.value().unwrap() != 1
        || semaphore.value().unwrap() != 1
    {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!lock.owner_died().unwrap() && !lock.is_held() && permits.held() == 0);
    assert!(lock.try_acquire().unwrap() && permits.try_acquire().unwrap());
}

/// R14, for a permit that has come and is not its caller's yet, when another caller of the same handle releases
/// his: one of the two is given back, whichever that is, and the other is given up.
#[test]
fn a_cancelled_permit_may_have_been_released() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let mut options = BoundedSemaphore::options(&connection);
    let permits = options.bound(2).existence(Existence::Create).open("/b").unwrap();
    let events = Events::new().unwrap();
    for _ in 0..20 {
        permits.acquire().unwrap();
        let pending = permits.start_acquire(&events, 1, Deadline::NEVER).unwrap();
        assert_eq!(ready(&events), [1]);
        permits.release().unwrap();
        pending.cancel();
        let error = permits.release().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotHeld, "{error}");
        wait_until(|| permits.value().unwrap() == 2);
    }
}

#[test]
fn what_cannot_be_ends_in_errors() {
    let _watchdog = watchdog();
    let mut server = server!();
    let connection = Connection::open(&format!("{}?patience=1", server.url())).unwrap();
    let events = Events::new().unwrap();
    let (one, other) = (queue(&connection, "/one"), queue(&connection, "/other"));
    let _waiting = one.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    one.handle().close().unwrap();
    let kinds = |count| -> HashMap<u64, ErrorKind> {
        let all = ended(&events, count).into_iter();
        all.map(|(token, outcome)| (token, outcome.unwrap_err().kind())).collect()
    };
    assert_eq!(kinds(1)[&1], ErrorKind::Closed);
    let closed = one.start_receive(&events, 1, 1, Deadline::NEVER).unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Closed);
    // There is a connection that the request can be sent on.
    let _warm = other.start_receive(&events, 0, 1, Deadline::NOW).unwrap();
    ended(&events, 1).pop().unwrap().1.unwrap();
    server.signal(libc::SIGSTOP);
    let _sending = other.start_send(&events, 2, b"x", 0, Deadline::NEVER).unwrap();
    let _receiving = other.start_receive(&events, 3, 1, Deadline::NOW).unwrap();
    let frozen = kinds(2);
    assert_eq!(frozen[&2], ErrorKind::OutcomeUnknown);
    assert_eq!(frozen[&3], ErrorKind::ServerUnavailable);
    server.signal(libc::SIGCONT);
    server.kill();
    server.restart();
    let _gone = other.start_receive(&events, 4, 1, Deadline::NEVER).unwrap();
    assert_eq!(kinds(1)[&4], ErrorKind::StaleHandle);
    connection.close().unwrap();
}

#[test]
fn events_survive_cut_answers() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = nob_ipc_testing::Proxy::start(server.port);
    let connection = Connection::open(&proxy.url()).unwrap();
    let queue = queue(&connection, "/cut");
    let events = Events::new().unwrap();
    proxy.cut(100_000);
    for token in 0..500_u64 {
        let message = token.to_be_bytes();
        let _going_on = queue.start_send(&events, token, &message, 0, Deadline::NEVER).unwrap();
        if token % 10 == 9 {
            for (_, outcome) in ended(&events, 10) {
                assert_eq!(outcome.unwrap(), Outcome::Sent(1));
            }
        }
    }
    proxy.cut(0);
    let direct = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&direct).open("/cut").unwrap();
    let mut all: Vec<Vec<u8>> =
        queue.receive_many(1000).unwrap().into_iter().map(|(message, _)| message).collect();
    all.sort();
    assert!(all.into_iter().eq((0..500_u64).map(|token| token.to_be_bytes().to_vec())));
    assert!(proxy.cuts() > 0);
}
