//! When waits end.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence};
use nob_ipc_redis::{Connection, Events, MessageQueue, Outcome, Semaphore};
use nob_ipc_testing::{Directory, Proxy, watchdog};

use crate::server;

#[test]
fn a_wait_is_never_early_and_rarely_late() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/late").unwrap();
    let mut late: Vec<Duration> = (1..=15)
        .map(|step| {
            let timeout = Duration::from_millis(step * 7);
            let begin = Instant::now();
            assert_eq!(queue.receive_timeout(timeout).unwrap(), None);
            begin.elapsed().checked_sub(timeout).expect("never early")
        })
        .collect();
    late.sort_unstable();
    // Far beyond what is usual: the machine may be busy.
    assert!(late[7] < Duration::from_millis(200), "{late:?}");
}

#[test]
fn what_is_there_is_taken_although_the_time_is_over() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let semaphore =
        Semaphore::options(&connection).existence(Existence::Create).open("/there").unwrap();
    assert!(semaphore.acquire_until(Deadline::NOW).unwrap());
    semaphore.release().unwrap();
    assert!(semaphore.wait_acquire(Deadline::NOW).unwrap());
    let over = Deadline::after(Duration::from_nanos(1));
    std::thread::sleep(Duration::from_millis(1));
    assert!(!semaphore.acquire_until(over).unwrap());
}

#[test]
fn connecting_can_be_interrupted() {
    let _watchdog = watchdog();
    // A listener whose backlog is full answers no more: a place where connecting takes long.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let short = Duration::from_millis(100);
    let full: Vec<_> =
        (0..8).filter_map(|_| std::net::TcpStream::connect_timeout(&address, short).ok()).collect();
    assert!(full.len() < 8, "the backlog is never full");
    let begin = Instant::now();
    let error = Connection::options()
        .check(move || begin.elapsed() < Duration::from_millis(300))
        .open(&format!("redis://{address}"))
        .unwrap_err();
    assert_eq!(error.kind(), nob_ipc::ErrorKind::Interrupted, "{error}");
    assert!(begin.elapsed() < Duration::from_millis(1900), "{:?}", begin.elapsed());
}

#[test]
fn a_call_is_one_round_trip() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let connection = Connection::open(&proxy.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/trip").unwrap();
    queue.send(b"warm", 0).unwrap();
    queue.receive().unwrap();
    let one_way = Duration::from_millis(20);
    proxy.delay(one_way);
    let mut trips: Vec<Duration> = (0..5)
        .map(|_| {
            let begin = Instant::now();
            queue.send(b"x", 0).unwrap();
            begin.elapsed()
        })
        .collect();
    trips.sort_unstable();
    assert!(trips[0] >= one_way * 2);
    assert!(trips[0] < one_way * 4, "{trips:?}");
}

/// The clock that deadlines are on.
fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) }, 0);
    Duration::from_secs(time.tv_sec.cast_unsigned())
}

#[test]
fn no_time_is_too_long() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/long").unwrap();
    let events = Events::new().unwrap();
    // Up to where the clock cannot count any more.
    let clock = monotonic();
    let last = Duration::from_secs(i64::MAX.cast_unsigned()).saturating_sub(clock);
    for less in [0, 1, 2, 3, 5, 10, 100, 1_000_000] {
        let timeout = last.saturating_sub(Duration::from_secs(less));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                queue.send(b"x", 0).unwrap();
            });
            assert!(queue.receive_timeout(timeout).unwrap().is_some());
        });
        let pending = queue.start_receive(&events, 1, 1, Deadline::after(timeout)).unwrap();
        queue.send(b"x", 0).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let outcome = loop {
            if let Some(outcome) = pending.claim() {
                break outcome.unwrap();
            }
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(outcome, Outcome::Messages(vec![(b"x".to_vec(), 0)]));
    }
}

/// A server that answers what connecting asks, and then drop by drop, or with what `answer` says.
fn slow_server(answer: &'static [u8]) -> String {
    use std::io::{Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while let Ok(length @ 1..) = client.read(&mut request) {
                    let request = String::from_utf8_lossy(&request[..length]).into_owned();
                    let sent = if request.contains("PING") {
                        client.write_all(b"+PONG\r\n")
                    } else if request.contains("INFO") {
                        client.write_all(b"-NOPERM no\r\n")
                    } else if request.contains("HELLO") {
                        client.write_all(b"%0\r\n")
                    } else {
                        answer.iter().chain(std::iter::repeat(&b'x')).try_for_each(|byte| {
                            std::thread::sleep(Duration::from_millis(20));
                            client.write_all(&[*byte])
                        })
                    };
                    if sent.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// R15: a call on a server that hangs ends all the same, also when it does so in small steps.
#[test]
fn a_server_that_answers_drop_by_drop_is_not_waited_for() {
    let _watchdog = watchdog();
    let url = slow_server(b"$500000000\r\n");
    let connection = Connection::open(&format!("{url}?patience=1")).unwrap();
    let begin = Instant::now();
    let error = MessageQueue::options(&connection).open("/drop").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// R15, where the connection is to be made anew, with a password.
#[test]
fn a_server_that_hangs_while_one_logs_in_is_not_waited_for() {
    let _watchdog = watchdog();
    let server = server!("--requirepass", "secret");
    let url = server.url().replace("redis://", "redis://:secret@");
    let connection = Connection::open(&url).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/hang").unwrap();
    let events = Events::new().unwrap();
    assert_eq!(queue.receive_timeout(Duration::from_millis(10)).unwrap(), None);
    server.signal(libc::SIGSTOP);
    let ends_in_time = |timeout: Duration, native: bool| {
        let begin = Instant::now();
        let error = if native {
            let pending = queue.start_receive(&events, 1, 1, Deadline::after(timeout)).unwrap();
            loop {
                if let Some(outcome) = pending.claim() {
                    break outcome.unwrap_err();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        } else {
            queue.receive_timeout(timeout).unwrap_err()
        };
        assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
        let late = begin.elapsed().saturating_sub(timeout);
        assert!(late < Duration::from_millis(2600), "{timeout:?}, {native}: {late:?} late");
    };
    // Whoever is connected hears nothing; then all have to connect.
    for timeouts in [&[100][..], &[100, 1000, 1900]] {
        std::thread::scope(|scope| {
            for timeout in timeouts.iter().copied().map(Duration::from_millis) {
                for native in [false, true] {
                    scope.spawn(move || ends_in_time(timeout, native));
                }
            }
        });
    }
    server.signal(libc::SIGCONT);
}

/// Patience bounds how long a server is looked for.
#[test]
fn sentinels_that_hang_are_not_waited_for() {
    let _watchdog = watchdog();
    let listeners: Vec<_> =
        (0..4).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let hosts: Vec<String> =
        listeners.iter().map(|it| it.local_addr().unwrap().to_string()).collect();
    let begin = Instant::now();
    let url = format!("redis+sentinel://{}/primary?patience=1", hosts.join(","));
    let error = Connection::open(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

/// The queue of a socket of the file system is full: connecting to it would sleep, signals or not.
#[test]
fn a_socket_that_nobody_accepts_at_is_not_waited_for() {
    let _watchdog = watchdog();
    let directory = Directory::new();
    let path = directory.join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let begin = Instant::now();
    let url = format!("unix://{}?patience=1", path.display());
    let error = Connection::open(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

/// What comes slowly, but comes, is waited for.
#[test]
fn a_large_message_has_the_time_that_it_takes() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let connection = Connection::open(&proxy.url()).unwrap();
    let message = vec![7; 6 << 20];
    let events = Events::new().unwrap();
    let there_and_back = |queue: &MessageQueue, native: bool| {
        queue.send(&message, 0).unwrap();
        let received = if native {
            let pending = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
            loop {
                match pending.claim() {
                    Some(Ok(Outcome::Messages(mut messages))) => break messages.pop().unwrap(),
                    Some(other) => panic!("{other:?}"),
                    None => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        } else {
            queue.receive().unwrap()
        };
        assert!(received == (message.clone(), 0));
    };
    let queue = |name: &str| {
        let mut options = MessageQueue::options(&connection);
        options.max_message_size(6 << 20).existence(Existence::Create).open(name).unwrap()
    };
    let queues = [(queue("/large"), false), (queue("/native"), true)];
    // Pieces are of 64 KiB at the most, so each way takes more than 2.4 s.
    proxy.delay(Duration::from_millis(25));
    std::thread::scope(|scope| {
        for (queue, native) in &queues {
            scope.spawn(|| there_and_back(queue, *native));
        }
    });
    proxy.delay(Duration::ZERO);
}

/// A server closes a connection that listens when it has 32 MB to send there.
#[test]
fn a_message_that_is_too_large_for_who_listens_arrives() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&format!("{}?patience=60", server.url())).unwrap();
    let queue = MessageQueue::options(&connection)
        .max_message_size(MessageQueue::MAX_MESSAGE_SIZE)
        .existence(Existence::Create)
        .open("/large")
        .unwrap();
    let message = vec![7; 36 << 20];
    let events = Events::new().unwrap();
    let pending = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    queue.send(&message, 0).unwrap();
    let outcome = loop {
        match pending.claim() {
            Some(outcome) => break outcome.unwrap(),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(outcome == Outcome::Messages(vec![(message, 0)]));
}
