//! Answers that are lost: each request runs once, and what nobody waits for goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence};
use nob_ipc_redis::{
    BoundedSemaphore, Connection, Events, Lock, MessageQueue, Outcome, Pending, Retry, Semaphore,
};
use nob_ipc_testing::{Proxy, Server, wait_until, watchdog};

use crate::server;

/// How many messages travel before the answers are whole again.
const MESSAGES: u32 = 4000;

/// R13: a call whose answer was lost runs once.
#[test]
fn one_answer_of_a_hundred_is_cut_off() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let direct = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&direct)
        .max_messages(50)
        .existence(Existence::Create)
        .open("/cut")
        .unwrap();
    let through = || {
        let connection = Connection::open(&proxy.url()).unwrap();
        MessageQueue::options(&connection).open("/cut").unwrap()
    };
    let ends: Vec<_> = (0..4).map(|_| through()).collect();
    proxy.cut(10_000);
    let done = Arc::new(AtomicBool::new(false));
    let mut ends = ends.into_iter();
    let senders: Vec<_> = (0..2)
        .zip(ends.by_ref())
        .map(|(sender, queue): (u32, _)| {
            thread::spawn(move || {
                for number in 0..MESSAGES / 2 {
                    queue.send(format!("{sender} {number}").as_bytes(), 0).unwrap();
                }
            })
        })
        .collect();
    let receivers: Vec<_> = ends
        .map(|queue| {
            let done = done.clone();
            thread::spawn(move || {
                let mut seen = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    match queue.receive_timeout(Duration::from_millis(100)) {
                        Ok(message) => seen.extend(message.map(|(message, _)| message)),
                        // Nobody has answered in time: it was put back.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::ServerUnavailable),
                    }
                }
                seen
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    proxy.cut(0);
    // Nothing is on its way any more.
    let end = Instant::now() + Duration::from_secs(20);
    let mut quiet = 0;
    while quiet < 10 && Instant::now() < end {
        quiet = if queue.current_messages().unwrap() == 0 { quiet + 1 } else { 0 };
        thread::sleep(Duration::from_millis(100));
    }
    done.store(true, Ordering::SeqCst);
    let mut seen: Vec<Vec<u8>> =
        receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect();
    let received = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((received, seen.len()), (MESSAGES as usize, MESSAGES as usize));
    assert!(proxy.cuts() > 20, "{} cuts", proxy.cuts());
}

/// R13: a call whose answer was lost runs once.
#[test]
fn permits_and_locks_survive_cut_answers() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let direct = Connection::open(&server.url()).unwrap();
    let semaphore = Semaphore::options(&direct)
        .initial_value(2)
        .existence(Existence::Create)
        .open("/cut")
        .unwrap();
    let lock = Lock::options(&direct).existence(Existence::Create).open("/cut").unwrap();
    let bounded = BoundedSemaphore::options(&direct)
        .bound(2)
        .existence(Existence::Create)
        .open("/cut")
        .unwrap();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let connection = Connection::open(&proxy.url()).unwrap();
            let semaphore = Semaphore::options(&connection).open("/cut").unwrap();
            let lock = Lock::options(&connection).open("/cut").unwrap();
            let bounded = BoundedSemaphore::options(&connection).open("/cut").unwrap();
            thread::spawn(move || {
                let mut fences = Vec::new();
                for _ in 0..300 {
                    semaphore.acquire().unwrap();
                    semaphore.release().unwrap();
                    bounded.acquire().unwrap();
                    bounded.release().unwrap();
                    lock.acquire().unwrap();
                    fences.push(lock.fence().unwrap());
                    lock.release().unwrap();
                }
                fences
            })
        })
        .collect();
    proxy.cut(10_000);
    let mut fences: Vec<u64> = Vec::new();
    for thread in threads {
        let own = thread.join().unwrap();
        assert!(own.is_sorted());
        fences.extend(own);
    }
    proxy.cut(0);
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), 900);
    assert_eq!((semaphore.value().unwrap(), bounded.value().unwrap()), (2, 2));
    assert!(!lock.is_locked().unwrap() && !lock.owner_died().unwrap());
    assert!(proxy.cuts() > 10);
}

/// Until the messages that were taken are back.
fn wait_for(queue: &MessageQueue, count: u64) {
    let end = Instant::now() + Duration::from_secs(20);
    while queue.current_messages().unwrap() != count {
        assert!(Instant::now() < end, "{:?} messages, not {count}", queue.current_messages());
        thread::sleep(Duration::from_millis(20));
    }
}

fn frozen(server: &Server, time: Duration, meanwhile: impl FnOnce()) {
    server.signal(libc::SIGSTOP);
    let begin = Instant::now();
    meanwhile();
    thread::sleep(time.saturating_sub(begin.elapsed()));
    server.signal(libc::SIGCONT);
}

/// R14: a wait that was cancelled, closed, interrupted or not answered has taken nothing in the
/// end.
#[test]
fn what_a_frozen_server_has_taken_goes_back() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/frozen").unwrap();
    let semaphore = Semaphore::options(&connection)
        .initial_value(3)
        .existence(Existence::Create)
        .open("/frozen")
        .unwrap();
    for number in 0..6_u8 {
        queue.send(&[number], 0).unwrap();
    }
    frozen(&server, Duration::from_secs(5), || {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let begin = Instant::now();
                    let error = queue.receive_timeout(Duration::from_secs(1)).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ServerUnavailable);
                    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
                    let error = semaphore.acquire_timeout(Duration::ZERO).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::ServerUnavailable);
                });
            }
        });
    });
    wait_for(&queue, 6);
    for number in 0..6_u8 {
        assert_eq!(queue.receive().unwrap().0, [number]);
    }
    let end = Instant::now() + Duration::from_secs(20);
    while semaphore.value().unwrap() != 3 {
        assert!(Instant::now() < end);
        thread::sleep(Duration::from_millis(20));
    }
}

/// R15: a call on a server that hangs ends all the same.
/// R21: `OutcomeUnknown`: `retry()` repeats that very request.
#[test]
fn an_unknown_outcome_is_retried_once() {
    let _watchdog = watchdog();
    let server = server!();
    let url = format!("{}?patience=0.5", server.url());
    let connection = Connection::open(&url).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/unknown").unwrap();
    let mut error = None;
    frozen(&server, Duration::from_secs(1), || {
        let unknown = queue.send(b"once", 5).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{unknown}");
        error = Some(unknown);
    });
    let error = error.unwrap();
    let retry = error.detail::<Retry>().unwrap();
    assert_eq!(retry.again(Deadline::NEVER).unwrap(), Outcome::Sent(1));
    // Its result was had; the slot is another's.
    assert_eq!(retry.again(Deadline::NEVER).unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    wait_for(&queue, 1);
    assert_eq!(queue.receive().unwrap(), (b"once".to_vec(), 5));
    assert_eq!(queue.try_receive_message().unwrap(), None);
}

/// R21: `OutcomeUnknown`: `retry()` repeats that very request.
#[test]
fn an_unknown_release_is_retried() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&format!("{}?patience=0.5", server.url())).unwrap();
    let create = Existence::Create;
    let lock = Lock::options(&connection).existence(create).open("/unknown").unwrap();
    let permits =
        BoundedSemaphore::options(&connection).existence(create).open("/unknown").unwrap();
    lock.acquire().unwrap();
    permits.acquire().unwrap();
    let mut errors = Vec::new();
    frozen(&server, Duration::from_secs(1), || {
        thread::scope(|scope| {
            let other = scope.spawn(|| permits.release().unwrap_err());
            errors.push(lock.release().unwrap_err());
            errors.push(other.join().unwrap());
        });
    });
    // Nobody may count on them any more.
    assert!(!lock.is_held() && permits.held() == 0);
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
        let retry = error.detail::<Retry>().unwrap();
        assert_eq!(retry.again(Deadline::NEVER).unwrap(), Outcome::Done(true));
    }
    assert!(!lock.is_held() && permits.held() == 0);
    assert_eq!(lock.release().unwrap_err().kind(), ErrorKind::NotHeld);
    assert_eq!(permits.release().unwrap_err().kind(), ErrorKind::NotHeld);
    assert!(!lock.is_locked().unwrap() && !lock.owner_died().unwrap());
    assert_eq!(permits.value().unwrap(), 1);
}

/// The error of an operation of which no answer comes.
fn unknown(proxy: &Proxy, mut call: impl FnMut() -> nob_ipc::Result<()>) -> nob_ipc::Error {
    proxy.cut(1_000_000);
    let error = loop {
        let error = call().unwrap_err();
        // It may not have come so far.
        if error.kind() != ErrorKind::ServerUnavailable {
            break error;
        }
    };
    proxy.cut(0);
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    error
}

/// R17, R21: after `OutcomeUnknown`, another `release()` of a lock or of permits is that very release.
#[test]
fn a_release_goes_on_with_the_one_that_was_not_answered() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let connection = Connection::open(&format!("{}?patience=0.3", proxy.url())).unwrap();
    let (create, lease) = (Existence::Create, Duration::from_secs(1));
    let lock = Lock::options(&connection).lease(lease).existence(create).open("/again").unwrap();
    let mut options = BoundedSemaphore::options(&connection);
    let permits = options.bound(3).existence(create).open("/again").unwrap();
    let is_free = || !lock.is_locked().unwrap() && !lock.owner_died().unwrap();
    let events = Events::new().unwrap();
    let done = |pending: Pending| {
        wait_until(|| !events.ready().is_empty());
        pending.claim().unwrap()
    };

    for _ in 0..3 {
        lock.acquire().unwrap();
        let error = unknown(&proxy, || lock.release());
        assert!(!lock.is_held() && lock.fence().unwrap_err().kind() == ErrorKind::NotHeld);
        assert_eq!(lock.mark_repaired().unwrap_err().kind(), ErrorKind::NotHeld);
        lock.release().unwrap();
        assert!(is_free());
        assert_eq!(lock.release().unwrap_err().kind(), ErrorKind::NotHeld);
        // That very request was answered.
        let over = error.detail::<Retry>().unwrap().again(Deadline::NEVER).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::OutcomeUnknown);
    }
    // Also after the lease, and when another has the lock by then.
    lock.acquire().unwrap();
    let error = unknown(&proxy, || lock.release());
    let direct = Connection::open(&server.url()).unwrap();
    let other = Lock::options(&direct).open("/again").unwrap();
    assert!(other.try_acquire().unwrap());
    thread::sleep(lease);
    unknown(&proxy, || lock.release());
    lock.release().unwrap();
    drop(error);
    assert!(other.is_held());
    other.release().unwrap();

    // Without threads, and from one to the other. What did not even get so far is held still.
    lock.acquire().unwrap();
    proxy.cut(1_000_000);
    let error = done(lock.start_release(&events, 0).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    assert!(lock.is_held());
    proxy.cut(0);
    assert_eq!(done(lock.start_release(&events, 1).unwrap()).unwrap(), Outcome::Done(true));
    lock.acquire().unwrap();
    proxy.cut(1_000_000);
    let error = done(lock.start_release(&events, 1).unwrap()).unwrap_err();
    proxy.cut(0);
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(done(lock.start_release(&events, 2).unwrap()).unwrap(), Outcome::Done(true));
    assert!(is_free());
    lock.acquire().unwrap();
    unknown(&proxy, || lock.release());
    assert_eq!(done(lock.start_release(&events, 3).unwrap()).unwrap(), Outcome::Done(true));
    assert!(is_free());

    // Permits: the release that was not answered comes first, and counts.
    permits.acquire().unwrap();
    permits.acquire().unwrap();
    permits.acquire().unwrap();
    unknown(&proxy, || permits.release_many(2));
    assert_eq!(permits.held(), 1);
    permits.release_many(2).unwrap();
    assert_eq!((permits.held(), permits.value().unwrap()), (1, 2));
    unknown(&proxy, || permits.release());
    // Who has taken another since then gives that back.
    permits.acquire().unwrap();
    permits.release().unwrap();
    permits.release().unwrap();
    assert_eq!((permits.held(), permits.value().unwrap()), (0, 3));
    assert_eq!(permits.release().unwrap_err().kind(), ErrorKind::NotHeld);
    permits.acquire().unwrap();
    unknown(&proxy, || permits.release());
    assert_eq!(done(permits.start_release(&events, 4).unwrap()).unwrap(), Outcome::Done(true));
    assert_eq!(permits.value().unwrap(), 3);
}

/// A release that comes late does nothing to who has the lock by then.
#[test]
fn a_release_that_comes_late_is_the_one_that_was_repeated() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let connection = Connection::open(&format!("{}?patience=0.3", proxy.url())).unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/late").unwrap();
    lock.acquire().unwrap();
    proxy.hold_next();
    // It is sent once more, on another connection.
    lock.release().unwrap();
    lock.acquire().unwrap();
    assert_eq!(proxy.let_through(), 1);
    assert!(lock.is_held() && lock.is_locked().unwrap());
    lock.release().unwrap();
}

/// R21: a removal that is repeated is sent like any call: the place that the server remembers its first
/// answer by is another's by then, whose messages would be mistaken for one's own.
#[test]
fn a_repeated_removal_takes_no_place_of_another() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let connection = Connection::open(&format!("{}?patience=0.3", proxy.url())).unwrap();
    let mut options = MessageQueue::options(&connection);
    let queue = options.existence(Existence::Create).open("/kept").unwrap();
    let gone = options.open("/gone").unwrap();
    let error = unknown(&proxy, || gone.handle().unlink());
    let retry = error.detail::<Retry>().unwrap();
    assert_eq!(retry.again(Deadline::NEVER).unwrap(), Outcome::Done(true));
    for number in 0..6_u8 {
        queue.send(&[number], 0).unwrap();
    }
    // Several at a time.
    proxy.delay(Duration::from_millis(20));
    let mut received: Vec<u8> = thread::scope(|scope| {
        let receive = || queue.receive().unwrap().0[0];
        let all: Vec<_> = (0..6).map(|_| scope.spawn(receive)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    received.sort_unstable();
    assert_eq!(received, [0, 1, 2, 3, 4, 5]);
}

/// R21: one retry at a time has the place that the server remembers the answer by.
#[test]
fn a_retry_is_not_made_twice_at_once() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let connection = Connection::open(&format!("{}?patience=0.3", proxy.url())).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/two").unwrap();
    let error = unknown(&proxy, || queue.send(b"once", 0));
    let retry = error.detail::<Retry>().unwrap();
    proxy.delay(Duration::from_millis(50));
    let results: Vec<_> = thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| retry.again(Deadline::NEVER))).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(queue.current_messages().unwrap(), 1);
}

/// R21: `OutcomeUnknown`: `retry()` repeats that very request.
#[test]
fn an_unknown_creation_is_repeated() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&format!("{}?patience=0.5", server.url())).unwrap();
    let mut options = MessageQueue::options(&connection);
    options.existence(Existence::Create);
    // The server knows the script from here on.
    drop(options.open("/other").unwrap());
    let mut error = None;
    frozen(&server, Duration::from_secs(1), || {
        error = Some(options.open("/created").unwrap_err());
    });
    let error = error.unwrap();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    let end = Instant::now() + Duration::from_secs(10);
    while connection.list_objects().unwrap().is_empty() {
        assert!(Instant::now() < end, "it has not run");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(options.open("/created").unwrap_err().kind(), ErrorKind::AlreadyExists);
    let queue = options.again_after(&error).open("/created").unwrap();
    assert!(queue.handle().created());
    queue.send(b"x", 0).unwrap();
}

/// R14: a wait that was cancelled, closed, interrupted or not answered has taken nothing in the
/// end.
#[test]
fn an_interrupted_wait_has_taken_nothing() {
    let _watchdog = watchdog();
    let server = server!();
    let stop = Arc::new(AtomicBool::new(false));
    let check = stop.clone();
    let connection = Connection::options()
        .check(move || !check.load(Ordering::SeqCst))
        .open(&server.url())
        .unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/stop").unwrap();
    thread::scope(|scope| {
        let waits: Vec<_> =
            (0..4).map(|_| scope.spawn(|| queue.receive().unwrap_err().kind())).collect();
        thread::sleep(Duration::from_millis(200));
        let begin = Instant::now();
        stop.store(true, Ordering::SeqCst);
        for wait in waits {
            assert_eq!(wait.join().unwrap(), ErrorKind::Interrupted);
        }
        assert!(begin.elapsed() < Duration::from_secs(2));
    });
    stop.store(false, Ordering::SeqCst);
    queue.send(b"x", 0).unwrap();
    let other = Connection::open(&server.url()).unwrap();
    let other = MessageQueue::options(&other).open("/stop").unwrap();
    assert_eq!(other.receive_timeout(Duration::from_secs(1)).unwrap(), Some((b"x".to_vec(), 0)));
    // Without a check of its own, the deadline's is used.
    let deadline = Deadline::NEVER.checked_every(Duration::from_millis(1));
    assert_eq!(other.receive_until(deadline).unwrap_err().kind(), ErrorKind::Interrupted);
}

/// R14: a wait that was not answered has taken nothing in the end, also when the server refuses for a
/// while what gives it back.
#[test]
fn what_was_taken_goes_back_when_the_server_takes_it() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let direct = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&direct).existence(Existence::Create).open("/back").unwrap();
    let through = Connection::open(&proxy.url()).unwrap();
    let receiver = MessageQueue::options(&through).open("/back").unwrap();
    assert_eq!(receiver.try_receive_message().unwrap(), None);
    let refusals: [[&[&str]; 2]; 2] = [
        [
            &["CONFIG", "SET", "min-replicas-to-write", "1"],
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
        ],
        [&["CONFIG", "SET", "requirepass", "secret"], &["CONFIG", "SET", "requirepass", ""]],
    ];
    for [refuse, permit] in refusals {
        queue.send(b"kept", 2).unwrap();
        proxy.cut(1_000_000);
        let error = receiver.receive_timeout(Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
        // A connection that is there is not asked for a password.
        let mut keeper = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        server.demand(refuse);
        proxy.cut(0);
        thread::sleep(Duration::from_millis(700));
        let words: Vec<String> =
            permit.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        std::io::Write::write_all(
            &mut keeper,
            format!("*{}\r\n{}", permit.len(), words.concat()).as_bytes(),
        )
        .unwrap();
        wait_for(&queue, 1);
        assert_eq!(queue.receive().unwrap(), (b"kept".to_vec(), 2));
    }
}

/// A server with too many clients is one that cannot be reached now.
#[test]
fn too_many_clients_are_waited_for() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/many").unwrap();
    server.demand(&["CONFIG", "SET", "maxclients", "1"]);
    let error = Connection::open(&format!("{}?patience=0.2", server.url())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| Connection::open(&server.url()).map(|_| ()));
        thread::sleep(Duration::from_millis(300));
        drop(queue);
        connection.close().unwrap();
        waiting.join().unwrap().unwrap();
    });
}

/// R14: a wait that was cancelled, closed, interrupted or not answered has taken nothing in the
/// end.
#[test]
fn nothing_is_held_that_was_lost_before_it_was_had() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let lease = Duration::from_secs(1);
    let existence = Existence::Create;
    let lock = Lock::options(&connection).lease(lease).existence(existence).open("/late").unwrap();
    let permits = BoundedSemaphore::options(&connection)
        .lease(lease)
        .existence(existence)
        .open("/late")
        .unwrap();
    thread::scope(|scope| {
        server.signal(libc::SIGSTOP);
        let locking = scope.spawn(|| lock.acquire());
        let taking = scope.spawn(|| permits.acquire());
        thread::sleep(lease * 3 / 2);
        server.signal(libc::SIGCONT);
        for late in [locking.join().unwrap(), taking.join().unwrap()] {
            let error = late.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
        }
    });
    assert!(!lock.is_held() && permits.held() == 0);
    let end = Instant::now() + Duration::from_secs(15);
    while lock.is_locked().unwrap() || permits.value().unwrap() == 0 {
        assert!(Instant::now() < end, "it did not go back");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(!lock.owner_died().unwrap());
    lock.acquire().unwrap();
    permits.acquire().unwrap();
    lock.release().unwrap();
    permits.release().unwrap();
}
