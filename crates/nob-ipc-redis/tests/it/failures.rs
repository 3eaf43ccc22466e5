//! Servers and clients that die.

use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence};
use nob_ipc_redis::{
    Connection, Durability, Events, Lock, MessageQueue, Outcome, Pending, Semaphore,
};
use nob_ipc_testing::{Arguments, Child, Proxy, Role, say, wait_until, watchdog};

use crate::server;

pub const ROLES: &[Role] = &[("receive", receive), ("receive_for_ever", receive_for_ever)];

/// Waits for a message, and says it.
fn receive(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    let queue = MessageQueue::options(&connection).open("/line").unwrap();
    say("ready");
    let (message, _) = queue.receive().unwrap();
    say(String::from_utf8(message).unwrap());
}

/// Receives, and says each message after it was received.
fn receive_for_ever(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    let queue = MessageQueue::options(&connection).open("/line").unwrap();
    say("ready");
    loop {
        let (message, _) = queue.receive().unwrap();
        say(String::from_utf8(message).unwrap());
    }
}

/// R24: a killed server that wrote all loses nothing.
#[test]
fn a_killed_server_with_its_file_loses_nothing() {
    let _watchdog = watchdog();
    let mut server = server!("--appendonly", "yes", "--appendfsync", "always");
    let connection = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&connection)
        .max_messages(100)
        .existence(Existence::Create)
        .open("/kept")
        .unwrap();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for number in 0..800_u32 {
                queue.send(&number.to_be_bytes(), 0).unwrap();
            }
        });
        let receiver = scope.spawn(|| {
            for number in 0..800_u32 {
                assert_eq!(queue.receive().unwrap().0, number.to_be_bytes());
            }
        });
        thread::sleep(Duration::from_millis(200));
        server.kill();
        thread::sleep(Duration::from_millis(100));
        server.restart();
        sender.join().unwrap();
        receiver.join().unwrap();
    });
    assert_eq!(queue.current_messages().unwrap(), 0);
}

/// R22: with `durability=fsync`, what returns is on the disk of the server, and what is not is `Unconfirmed`.
#[test]
fn what_the_disk_has_is_confirmed() {
    let _watchdog = watchdog();
    let mut server = server!("--appendonly", "yes", "--appendfsync", "everysec");
    let plain = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&plain)
        .max_messages(100)
        .existence(Existence::Create)
        .unlink_on_drop(false)
        .open("/disk")
        .unwrap();
    let connect = || Connection::options().durability(Durability::Fsync).open(&server.url());
    let connection = match connect() {
        Ok(connection) => connection,
        Err(error) => {
            // The servers of the other kind are newer.
            let says = server.command(&["INFO", "server"]);
            assert!(says.contains("redis_version:7.0."), "{error}");
            assert_eq!(error.raw_os_error(), Some(libc::ENOTSUP));
            assert!(error.to_string().contains("WAITAOF"), "{error}");
            eprintln!("skipped: Redis 7.0 cannot confirm what its disk has (WAITAOF)");
            return;
        }
    };
    let sure = MessageQueue::options(&connection).open("/disk").unwrap();
    let events = Events::new().unwrap();
    let ended = |pending: Pending| {
        wait_until(|| !events.ready().is_empty());
        pending.claim().unwrap()
    };
    let send = |number: u8| {
        let never = Deadline::NEVER;
        match number % 2 {
            0 => sure.send(&[number], 0).map(|()| Outcome::Sent(1)),
            _ => ended(sure.start_send(&events, 1, &[number], 0, never).unwrap()),
        }
    };
    for number in 0..4 {
        assert_eq!(send(number).unwrap(), Outcome::Sent(1));
    }
    let lock = Lock::options(&connection).existence(Existence::Create).open("/disk").unwrap();
    lock.acquire().unwrap();
    assert!(lock.is_held());
    lock.release().unwrap();
    drop(lock);
    server.kill();
    server.restart();
    let numbers: Vec<u8> =
        (0..4).map(|_| queue.try_receive_message().unwrap().unwrap().0[0]).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    // Its disk has nothing to say any more.
    server.demand(&["CONFIG", "SET", "appendonly", "no"]);
    for number in 0..2 {
        let error = send(number).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
        assert_eq!(*error.detail::<Outcome>().unwrap(), Outcome::Sent(1));
        assert_eq!(queue.receive().unwrap().0, [number]);
    }
}

/// R23: `StaleHandle`: what is no longer on the server is never met as a new object.
#[test]
fn a_killed_server_without_a_file_makes_handles_stale() {
    let _watchdog = watchdog();
    let mut server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/lost").unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/lost").unwrap();
    queue.send(b"gone", 0).unwrap();
    let other = MessageQueue::options(&connection).open("/lost").unwrap();
    thread::scope(|scope| {
        let (message, _) = queue.receive().unwrap();
        assert_eq!(message, b"gone");
        let waiting = scope.spawn(|| other.receive().unwrap_err());
        thread::sleep(Duration::from_millis(200));
        server.kill();
        server.restart();
        let error = waiting.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::StaleHandle, "{error}");
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
    });
    for error in [
        queue.send(b"x", 0).unwrap_err(),
        queue.current_messages().unwrap_err(),
        lock.acquire().unwrap_err(),
        lock.is_locked().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::StaleHandle, "{error}");
    }
    assert!(queue.handle().is_stale().unwrap());
    // A new object of that name is not theirs.
    let new = MessageQueue::options(&connection)
        .existence(Existence::LinkOrCreate)
        .open("/lost")
        .unwrap();
    new.send(b"new", 0).unwrap();
    assert_eq!(queue.receive().unwrap_err().kind(), ErrorKind::StaleHandle);
    assert!(!new.handle().is_stale().unwrap());
}

/// R9: deletion, and the end of the interpreter, do not wait for a server that is away.
/// R20: `ServerUnavailable`: nothing was changed.
#[test]
fn a_server_that_is_away_is_waited_for() {
    let _watchdog = watchdog();
    let mut server = server!("--appendonly", "yes");
    let connection = Connection::open(&server.url()).unwrap();
    let semaphore =
        Semaphore::options(&connection).existence(Existence::Create).open("/away").unwrap();
    let impatient = Connection::open(&format!("{}?patience=0.3", server.url())).unwrap();
    let impatient = Semaphore::options(&impatient).open("/away").unwrap();
    server.kill();
    let error = impatient.try_acquire().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
    assert!(error.to_string().contains(&format!("127.0.0.1:{}", server.port)), "{error}");
    thread::scope(|scope| {
        let taken = scope.spawn(|| semaphore.acquire_timeout(Duration::from_secs(8)).unwrap());
        thread::sleep(Duration::from_millis(500));
        server.restart();
        assert!(taken.join().unwrap());
    });
    // Deletion tries for a second, and not again for the next.
    server.kill();
    let other = Connection::open(&format!("{}?patience=0.3", server.url())).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::ServerUnavailable);
    let begin = Instant::now();
    drop(semaphore);
    assert!(begin.elapsed() < Duration::from_secs(4));
}

#[test]
fn flushed_scripts_are_sent_again() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/flush").unwrap();
    for number in 0..20_u8 {
        assert_eq!(server.command(&["SCRIPT", "FLUSH"]), "+OK");
        queue.send(&[number], 0).unwrap();
        assert_eq!(queue.receive().unwrap().0, [number]);
    }
}

/// As of a primary that has just taken over: that it is told the script takes no more patience.
#[test]
fn a_script_that_is_missed_at_the_end_of_the_patience() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let connection = Connection::open(&format!("{}?patience=0.6", proxy.url())).unwrap();
    let sent = |name: &str| {
        let queue =
            MessageQueue::options(&connection).existence(Existence::Create).open(name).unwrap();
        queue.send(b"known", 0).unwrap();
        server.demand(&["SCRIPT", "FLUSH"]);
        // The answer comes 0.65 s later.
        proxy.delay(Duration::from_millis(325));
        let sent = thread::scope(|scope| {
            let sending = scope.spawn(|| queue.send(b"late", 0));
            thread::sleep(Duration::from_millis(480));
            proxy.delay(Duration::ZERO);
            sending.join().unwrap()
        });
        assert!(sent.is_err() || queue.current_messages().unwrap() == 2);
        sent
    };
    // On a busy machine it comes later still, when nobody waits for it any more.
    assert!((0..8).any(|number| sent(&format!("/late{number}")).is_ok()));
}

#[test]
fn waiters_survive_the_loss_of_their_connection() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/cut").unwrap();
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..5).map(|_| scope.spawn(|| queue.receive().unwrap())).collect();
        thread::sleep(Duration::from_millis(200));
        assert!(server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).starts_with(":1"));
        let begin = Instant::now();
        for number in 0..5_u8 {
            queue.send(&[number], 0).unwrap();
        }
        for thread in waiting {
            thread.join().unwrap();
        }
        // Nobody has waited for his next look.
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    });
}

/// R17: the dead in line are passed over; the stopped delay the others by one look.
#[test]
fn the_dead_in_line_are_passed_over() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&connection)
        .existence(Existence::Create)
        .max_messages(500)
        .open("/line")
        .unwrap();
    let start = || {
        let mut child = Child::start("receive", &[&server.url()]);
        child.expect("ready");
        thread::sleep(Duration::from_millis(150));
        child
    };
    let mut children: Vec<Child> = (0..5).map(|_| start()).collect();
    let mut last = children.pop().unwrap();
    for mut child in children {
        child.kill();
    }
    // Many more, of clients that never lived.
    let line = format!("nipc:{{q/line}}:{}:w", queue.handle().generation());
    for number in 0..200 {
        let member = format!("dead{number}:{number}");
        assert_eq!(server.command(&["ZADD", &line, &format!("0.{number:03}1"), &member]), ":1");
    }
    let begin = Instant::now();
    queue.send(b"for the living", 0).unwrap();
    last.expect("for the living");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(server.command(&["ZCARD", &line]), ":0");
}

/// R17: the dead in line are passed over; the stopped delay the others by one look.
#[test]
fn the_stopped_in_line_delay_the_others_by_one_look() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/line").unwrap();
    let start = || {
        let mut child = Child::start("receive", &[&server.url()]);
        child.expect("ready");
        thread::sleep(Duration::from_millis(150));
        child
    };
    let stopped: Vec<Child> = (0..2).map(|_| start()).collect();
    let mut living = start();
    for child in &stopped {
        child.signal(libc::SIGSTOP);
    }
    let begin = Instant::now();
    queue.send(b"for the living", 0).unwrap();
    living.expect("for the living");
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    // They have not lost their place for good.
    for (mut child, message) in stopped.into_iter().zip(["one", "two"]) {
        child.signal(libc::SIGCONT);
        queue.send(message.as_bytes(), 0).unwrap();
        child.expect(message);
        child.finish();
    }
}

#[test]
fn killed_receivers_lose_what_they_had_and_no_more() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&connection)
        .existence(Existence::Create)
        .max_messages(20)
        .open("/line")
        .unwrap();
    let mut seen: Vec<u32> = Vec::new();
    let mut kills = 0;
    let mut sent = 0_u32;
    for _ in 0..15 {
        let mut children: Vec<Child> =
            (0..3).map(|_| Child::start("receive_for_ever", &[&server.url()])).collect();
        for child in &mut children {
            child.expect("ready");
        }
        for _ in 0..60 {
            queue.send(sent.to_string().as_bytes(), 0).unwrap();
            sent += 1;
        }
        for child in &mut children {
            child.kill();
            kills += 1;
            while let Some(line) = child.next_line() {
                seen.push(line.parse().unwrap());
            }
        }
    }
    for (message, _) in queue.receive_many(1000).unwrap() {
        seen.push(String::from_utf8(message).unwrap().parse().unwrap());
    }
    let received = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(received, seen.len(), "nothing came twice");
    let missing = sent as usize - seen.len();
    assert!(missing <= kills, "{missing} of {sent} are missing after {kills} kills");
}
