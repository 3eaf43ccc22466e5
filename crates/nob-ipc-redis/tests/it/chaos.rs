//! Everything at once: threads and event loops, answers that are cut off, connections that are
//! killed, a server that stands still, waits that are cancelled; and each message accounted for.

use std::collections::HashMap;
use std::env;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence};
use nob_ipc_redis::{
    BoundedSemaphore, Connection, Events, Lock, MessageQueue, Outcome, Pending, Retry,
};
use nob_ipc_testing::{Proxy, Random, Server, watchdog};

use crate::server;

/// How long it goes on: `NOB_IPC_STRESS` in seconds, else a little while.
fn duration() -> Duration {
    let seconds = env::var("NOB_IPC_STRESS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(4).min(80))
}

/// Sends by calls that may end in an unknown outcome, which is retried until it is known. How many
/// were sent.
fn send(queue: &MessageQueue, number: u32) -> bool {
    let message = number.to_be_bytes();
    let error = match queue.send_timeout(&message, number % 3, Duration::from_millis(500)) {
        Ok(sent) => return sent,
        Err(error) => error,
    };
    if error.kind() == ErrorKind::ServerUnavailable {
        return false;
    }
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    let retry = error.detail::<Retry>().unwrap();
    loop {
        match retry.again(Deadline::NEVER) {
            Ok(outcome) => return outcome == Outcome::Sent(1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}"),
        }
    }
}

/// Receives by operations of an event loop, of which some are cancelled.
fn receive_by_events(queue: &MessageQueue, done: &AtomicBool, start: u64) -> Vec<u32> {
    let events = Events::new().unwrap();
    let mut random = Random(start);
    let mut pending: HashMap<u64, Pending> = HashMap::new();
    let mut seen = Vec::new();
    let mut token = 0;
    while !(done.load(Ordering::SeqCst) && pending.is_empty()) {
        while pending.len() < 8 && !done.load(Ordering::SeqCst) {
            token += 1;
            let deadline = Deadline::after(Duration::from_millis(random.below(60).into()));
            let most = if random.below(2) == 0 { 1 } else { 3 };
            pending.insert(token, queue.start_receive(&events, token, most, deadline).unwrap());
        }
        let mut poll =
            libc::pollfd { fd: events.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor is given, which outlives the call.
        unsafe { libc::poll(&raw mut poll, 1, 5) };
        for (token, outcome) in events.take() {
            assert!(pending.remove(&token).is_some(), "{token} was cancelled");
            match outcome {
                Ok(Outcome::Messages(messages)) => seen.extend(messages.into_iter().map(number)),
                Ok(other) => panic!("{other:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}"),
            }
        }
        if random.below(3) == 0
            && let Some(&token) = pending.keys().next()
        {
            pending.remove(&token).unwrap().cancel();
        }
    }
    seen
}

fn number((message, priority): (Vec<u8>, u32)) -> u32 {
    let number = u32::from_be_bytes(message.try_into().unwrap());
    assert_eq!(priority, number % 3);
    number
}

fn receive_by_calls(queue: &MessageQueue, done: &AtomicBool) -> Vec<u32> {
    let mut seen = Vec::new();
    while !done.load(Ordering::SeqCst) {
        match queue.receive_timeout(Duration::from_millis(20)) {
            Ok(message) => seen.extend(message.map(number)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}"),
        }
    }
    seen
}

/// Holds what can be held, in turns; never two hold the lock.
fn hold(
    lock: &Lock,
    permits: &BoundedSemaphore,
    done: &AtomicBool,
    inside: &AtomicU32,
    count: &AtomicU32,
) {
    // Whether the server has heard of it is not known: it is told again.
    let again = |released: nob_ipc::Result<()>| {
        released.is_err_and(|error| error.kind() == ErrorKind::OutcomeUnknown)
    };
    let timeout = Duration::from_millis(50);
    while !done.load(Ordering::SeqCst) {
        if lock.acquire_timeout(timeout).unwrap_or(false) {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two owners");
            count.fetch_add(1, Ordering::SeqCst);
            inside.fetch_sub(1, Ordering::SeqCst);
            while again(lock.release()) {}
        }
        if permits.acquire_timeout(timeout).unwrap_or(false) {
            while again(permits.release()) {}
        }
    }
}

/// Does what hurts, for a while.
fn disturb(server: &Server, proxy: &Proxy) {
    let end = Instant::now() + duration();
    let mut random = Random(7);
    proxy.cut(3_000);
    while Instant::now() < end {
        match random.below(10) {
            0 => {
                server.signal(libc::SIGSTOP);
                thread::sleep(Duration::from_millis(random.below(2500).into()));
                server.signal(libc::SIGCONT);
            }
            1..4 => drop(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"])),
            4 => drop(server.command(&["SCRIPT", "FLUSH"])),
            _ => {}
        }
        thread::sleep(Duration::from_millis(100));
    }
    proxy.cut(0);
}

/// What was given up comes back, and is received.
fn wait_until_empty(queue: &MessageQueue) {
    let end = Instant::now() + Duration::from_secs(20);
    let mut quiet = 0;
    while quiet < 10 {
        assert!(Instant::now() < end, "{:?} messages are left", queue.current_messages());
        quiet = if queue.current_messages().unwrap() == 0 { quiet + 1 } else { 0 };
        thread::sleep(Duration::from_millis(50));
    }
}

/// R13: a call whose answer was lost runs once.
#[test]
fn all_at_once() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let direct = Connection::open(&server.url()).unwrap();
    let through = || Connection::open(&format!("{}?patience=3", proxy.url())).unwrap();
    let existence = Existence::Create;
    let queue = MessageQueue::options(&direct)
        .max_messages(30)
        .existence(existence)
        .open("/chaos")
        .unwrap();
    let lock = Lock::options(&direct).existence(existence).open("/chaos").unwrap();
    let permits =
        BoundedSemaphore::options(&direct).bound(2).existence(existence).open("/chaos").unwrap();
    let open = || {
        let connection = through();
        MessageQueue::options(&connection).open("/chaos").unwrap()
    };
    let queues: Vec<MessageQueue> = (0..6).map(|_| open()).collect();
    let holders: Vec<(Lock, BoundedSemaphore)> = (0..2)
        .map(|_| {
            let connection = through();
            let permits = BoundedSemaphore::options(&connection).open("/chaos").unwrap();
            (Lock::options(&connection).open("/chaos").unwrap(), permits)
        })
        .collect();
    let (sending_done, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (inside, count) = (AtomicU32::new(0), AtomicU32::new(0));
    let next = AtomicU32::new(0);
    let mut sent = Vec::new();
    let mut seen = Vec::new();
    thread::scope(|scope| {
        let senders: Vec<_> = queues[..2]
            .iter()
            .map(|queue| {
                scope.spawn(|| {
                    let mut sent = Vec::new();
                    while !sending_done.load(Ordering::SeqCst) {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        if send(queue, number) {
                            sent.push(number);
                        }
                    }
                    sent
                })
            })
            .collect();
        let receivers: Vec<_> = queues[2..]
            .iter()
            .zip(1..)
            .map(|(queue, start)| {
                let done = &done;
                scope.spawn(move || {
                    if start % 2 == 0 {
                        receive_by_calls(queue, done)
                    } else {
                        receive_by_events(queue, done, start)
                    }
                })
            })
            .collect();
        let (inside, count) = (&inside, &count);
        for (lock, permits) in &holders {
            let sending_done = &sending_done;
            scope.spawn(move || hold(lock, permits, sending_done, inside, count));
        }
        disturb(&server, &proxy);
        sending_done.store(true, Ordering::SeqCst);
        for sender in senders {
            sent.extend(sender.join().unwrap());
        }
        wait_until_empty(&queue);
        done.store(true, Ordering::SeqCst);
        for receiver in receivers {
            seen.extend(receiver.join().unwrap());
        }
    });
    seen.extend(queue.receive_many(1000).unwrap().into_iter().map(number));
    sent.sort_unstable();
    seen.sort_unstable();
    let (sent_count, seen_count) = (sent.len(), seen.len());
    let lost: Vec<&u32> =
        sent.iter().filter(|number| seen.binary_search(number).is_err()).collect();
    assert!(lost.is_empty(), "lost: {lost:?} of {sent_count}");
    seen.dedup();
    assert_eq!(seen.len(), seen_count, "something came twice");
    // What was told to be unsent may not have come.
    assert_eq!(seen.len(), sent_count);
    assert!(count.load(Ordering::SeqCst) > 0 && sent_count > 0 && proxy.cuts() > 0);
    let end = Instant::now() + Duration::from_secs(15);
    while permits.value().unwrap() != 2 || lock.is_locked().unwrap() {
        assert!(Instant::now() < end, "something is held still");
        thread::sleep(Duration::from_millis(50));
    }
    eprintln!(
        "{sent_count} messages, {} holds, {} cuts, nothing lost, nothing twice",
        count.load(Ordering::SeqCst),
        proxy.cuts()
    );
}
