//! Who waits is served in the order of asking.

use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Existence, Result};
use nob_ipc_redis::{
    BoundedSemaphore, Connection, Events, Handle, Lock, MessageQueue, Outcome, Pending, Semaphore,
};
use nob_ipc_testing::{Arguments, Child, Proxy, Role, Server, say, wait_until, watchdog};

use crate::events::ended;
use crate::server;

pub const ROLES: &[Role] = &[("acquire", acquire)];

const NEVER: Deadline = Deadline::NEVER;

/// Waits until so many stand in a line of an object.
fn until_in_line(server: &Server, kind: char, handle: &Handle, line: char, count: usize) {
    let name = handle.name().to_string();
    let name = name.trim_start_matches('/');
    let line = format!("nipc:{{{kind}/{name}}}:{}:{line}", handle.generation());
    let end = Instant::now() + Duration::from_secs(20);
    while server.command(&["ZCARD", &line]) != format!(":{count}") {
        assert!(Instant::now() < end, "{count} do not come to {line}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Five wait, and five are given something as fast as it goes: the native thread has not come back
/// for the first when the next is woken.
fn in_order(
    events: &Events,
    start: impl Fn(u64) -> Result<Pending>,
    wait: impl FnOnce(),
    give: impl Fn(),
) {
    let _waiting: Vec<Pending> = (0..5).map(|token| start(token).unwrap()).collect();
    wait();
    for _ in 0..5 {
        give();
    }
    let order: Vec<u64> = ended(events, 5)
        .into_iter()
        .map(|(token, outcome)| {
            assert_ne!(outcome.unwrap(), Outcome::Done(false));
            token
        })
        .collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

/// R33: who waits is served in the order of asking.
#[test]
fn of_permits() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let events = Events::new().unwrap();
    let mut options = Semaphore::options(&connection);
    let semaphore = options.initial_value(0).existence(Existence::Create).open("/x").unwrap();
    for _ in 0..100 {
        in_order(
            &events,
            |token| semaphore.start_acquire(&events, token, NEVER),
            || until_in_line(&server, 's', semaphore.handle(), 'w', 5),
            || semaphore.release().unwrap(),
        );
    }
    let mut options = BoundedSemaphore::options(&connection);
    options.bound(5).existence(Existence::LinkOrCreate);
    let (giver, taker) = (options.open("/x").unwrap(), options.open("/x").unwrap());
    for _ in 0..100 {
        for _ in 0..5 {
            giver.acquire().unwrap();
        }
        in_order(
            &events,
            |token| taker.start_acquire(&events, token, NEVER),
            || until_in_line(&server, 'b', taker.handle(), 'w', 5),
            || giver.release().unwrap(),
        );
        taker.release_many(5).unwrap();
    }
}

/// R33: who waits is served in the order of asking.
#[test]
fn of_receivers_and_senders() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let events = Events::new().unwrap();
    let mut options = MessageQueue::options(&connection);
    let queue = options.max_messages(5).existence(Existence::Create).open("/x").unwrap();
    for _ in 0..100 {
        in_order(
            &events,
            |token| queue.start_receive(&events, token, 1, NEVER),
            || until_in_line(&server, 'q', queue.handle(), 'w', 5),
            || queue.send(b"x", 0).unwrap(),
        );
    }
    for _ in 0..100 {
        for _ in 0..5 {
            queue.send(b"full", 9).unwrap();
        }
        in_order(
            &events,
            |token| queue.start_send(&events, token, b"x", 0, NEVER),
            || until_in_line(&server, 'q', queue.handle(), 's', 5),
            || assert_eq!(queue.receive().unwrap(), (b"full".to_vec(), 9)),
        );
        assert_eq!(queue.receive_many(10).unwrap().len(), 5);
    }
}

/// R33: whoever comes when a lock is free may take it. The one that was woken for it stays the first.
#[test]
fn who_is_overtaken_keeps_its_place() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let mut options = Lock::options(&connection);
    let owner = options.existence(Existence::LinkOrCreate).open("/x").unwrap();
    let waiting = [options.open("/x").unwrap(), options.open("/x").unwrap()];
    let mut overtaken = 0;
    for _ in 0..100 {
        owner.acquire().unwrap();
        let events = Events::new().unwrap();
        let mut pending = Vec::new();
        for (token, lock) in (0..).zip(&waiting) {
            pending.push(lock.start_acquire(&events, token, NEVER).unwrap());
            until_in_line(&server, 'l', owner.handle(), 'w', pending.len());
        }
        owner.release().unwrap();
        if owner.try_acquire().unwrap() {
            overtaken += 1;
            owner.release().unwrap();
        }
        for (expected, lock) in (0..).zip(&waiting) {
            let (token, outcome) = ended(&events, 1).remove(0);
            assert_eq!((token, outcome.unwrap()), (expected, Outcome::Done(true)));
            lock.release().unwrap();
        }
    }
    assert!(overtaken > 0, "nobody was overtaken");
}

/// Takes a permit, and says so.
fn acquire(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    let semaphore = Semaphore::options(&connection).open("/x").unwrap();
    semaphore.acquire().unwrap();
    say("has one");
}

/// R17: what the dead were woken for goes to who comes behind them, and not after a look of 5 s.
#[test]
fn who_dies_before_it_comes_is_passed_over() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let mut options = Semaphore::options(&connection);
    let semaphore = options.initial_value(0).existence(Existence::Create).open("/x").unwrap();
    let mut children: Vec<Child> = (1..=4)
        .map(|number| {
            let child = Child::start("acquire", &[&server.url()]);
            until_in_line(&server, 's', semaphore.handle(), 'w', number);
            child
        })
        .collect();
    let begin = Instant::now();
    let living = children.split_off(2);
    for child in &children {
        child.signal(libc::SIGSTOP);
    }
    semaphore.release_many(2).unwrap();
    for mut child in children {
        child.kill();
    }
    // Two permits are there that nobody comes for. This is for the third, who sees to them.
    semaphore.release().unwrap();
    for mut child in living {
        child.expect("has one");
        child.finish();
    }
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(semaphore.value().unwrap(), 1);
}

/// R17: a request that arrives when its caller has gone stands in no line for long: what it is woken for goes
/// to who comes behind it, and not after a look of 5 s.
#[test]
fn a_late_sender_is_passed_over() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let through = Connection::open(&proxy.url()).unwrap();
    let direct = Connection::open(&server.url()).unwrap();
    let mut options = MessageQueue::options(&direct);
    let queue = options.max_messages(1).existence(Existence::Create).open("/x").unwrap();
    let theirs = MessageQueue::options(&through).open("/x").unwrap();
    queue.send(b"full", 0).unwrap();
    let events = Events::new().unwrap();
    // Their subscription is there.
    let waiting = theirs.start_send(&events, 1, b"first", 0, NEVER).unwrap();
    until_in_line(&server, 'q', queue.handle(), 's', 1);
    waiting.cancel();
    until_in_line(&server, 'q', queue.handle(), 's', 0);
    // Cancelled before it is repeated.
    server.signal(libc::SIGSTOP);
    proxy.hold_next();
    let waiting = theirs.start_send(&events, 2, b"second", 0, NEVER).unwrap();
    wait_until(|| proxy.holds() == 1);
    waiting.cancel();
    server.signal(libc::SIGCONT);
    // What comes after that has left the line.
    let _ = theirs.start_send(&events, 3, b"now", 0, Deadline::NOW).unwrap();
    assert_eq!(ended(&events, 1).remove(0).1.unwrap(), Outcome::Sent(0));
    assert_eq!(proxy.let_through(), 1);
    until_in_line(&server, 'q', queue.handle(), 's', 1);

    let _waiting = queue.start_send(&events, 3, b"third", 0, NEVER).unwrap();
    until_in_line(&server, 'q', queue.handle(), 's', 2);
    let begin = Instant::now();
    assert_eq!(queue.receive().unwrap().0, b"full");
    let (token, outcome) = ended(&events, 1).remove(0);
    assert_eq!((token, outcome.unwrap()), (3, Outcome::Sent(1)));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(queue.receive().unwrap().0, b"third");
    until_in_line(&server, 'q', queue.handle(), 's', 0);
}

/// R17: a failover may bring back the place of one that was woken and has gone.
#[test]
fn who_was_woken_and_has_gone_is_passed_over() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let mut options = Semaphore::options(&connection);
    let semaphore = options.initial_value(0).existence(Existence::Create).open("/x").unwrap();
    let events = Events::new().unwrap();
    let _waiting: Vec<Pending> =
        (0..2).map(|token| semaphore.start_acquire(&events, token, NEVER).unwrap()).collect();
    until_in_line(&server, 's', semaphore.handle(), 'w', 2);
    let line = format!("nipc:{{s/x}}:{}:w", semaphore.handle().generation());
    let first = server.command(&["ZRANGE", &line, "0", "0"]);
    let client = first.lines().nth(2).unwrap().split(':').next().unwrap().to_string();
    let gone = format!("{client}:1000000");
    assert_eq!(server.command(&["ZADD", &line, "-4503599627370496", &gone]), ":1");
    semaphore.release_many(2).unwrap();
    ended(&events, 2);
    // Whoever came before it was told so.
    until_in_line(&server, 's', semaphore.handle(), 'w', 0);
}
