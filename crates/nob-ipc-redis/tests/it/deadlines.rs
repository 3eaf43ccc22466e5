//! When waits end.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Existence};
use nob_ipc_redis::{Connection, MessageQueue, Semaphore};
use nob_ipc_testing::{Proxy, watchdog};

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
