//! A request that is repeated since its connection was lost, and whose first copy arrives late: when
//! the call has long ended, whatever it came to, the copy does nothing.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nob_ipc::{Deadline, ErrorKind, Existence};
use nob_ipc_redis::{BoundedSemaphore, Connection, Events, Lock, MessageQueue, Outcome, Semaphore};
use nob_ipc_testing::{Proxy, Server, watchdog};

use crate::server;

/// A proxy before the server, a connection through it and one past it.
fn places(server: &Server) -> (Proxy, Connection, Connection) {
    let proxy = Proxy::start(server.port);
    let through = Connection::open(&proxy.url()).unwrap();
    let direct = Connection::open(&server.url()).unwrap();
    (proxy, through, direct)
}

/// Waits until an operation has ended; its outcome.
fn outcome(events: &Events) -> Outcome {
    let mut poll =
        libc::pollfd { fd: events.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor is given, which outlives the call.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "nothing has ended");
    let (_, result) = events.take().pop().expect("it is readable");
    result.unwrap()
}

/// Some time, but no more than a moment.
fn soon() -> Deadline {
    Deadline::after(Duration::from_millis(50))
}

/// R14: a wait that has ended without a message has taken none in the end.
#[test]
fn a_late_receive_takes_no_message() {
    let _watchdog = watchdog();
    let server = server!();
    let (proxy, through, direct) = places(&server);
    let create = Existence::Create;
    let sender = MessageQueue::options(&direct).existence(create).open("/late").unwrap();
    let queue = MessageQueue::options(&through).open("/late").unwrap();
    assert_eq!(queue.receive_until(soon()).unwrap(), None);
    for deadline in [Deadline::NOW, soon()] {
        proxy.hold_next();
        assert_eq!(queue.receive_until(deadline).unwrap(), None);
        sender.send(b"kept", 3).unwrap();
        assert_eq!(proxy.let_through(), 1);
        assert_eq!(sender.try_receive_message().unwrap(), Some((b"kept".to_vec(), 3)));
    }
    // In the native thread as well, and in the middle of a wait.
    let events = Events::new().unwrap();
    for deadline in [Deadline::NOW, soon()] {
        proxy.hold_next();
        let _ = queue.start_receive(&events, 1, 1, deadline).unwrap();
        assert_eq!(outcome(&events), Outcome::Messages(Vec::new()));
        sender.send(b"kept", 3).unwrap();
        assert_eq!(proxy.let_through(), 1);
        assert_eq!(sender.try_receive_message().unwrap(), Some((b"kept".to_vec(), 3)));
    }
}

/// R13: a call whose answer was lost runs once, also when the answer was that there is no room.
#[test]
fn a_late_send_sends_nothing() {
    let _watchdog = watchdog();
    let server = server!();
    let (proxy, through, direct) = places(&server);
    let create = Existence::Create;
    let receiver =
        MessageQueue::options(&direct).max_messages(1).existence(create).open("/late").unwrap();
    let queue = MessageQueue::options(&through).open("/late").unwrap();
    receiver.send(b"first", 0).unwrap();
    assert!(!queue.try_send(b"second", 0).unwrap());
    let events = Events::new().unwrap();
    for deadline in [Deadline::NOW, soon()] {
        for native in [false, true] {
            proxy.hold_next();
            if native {
                let _ = queue.start_send(&events, 1, b"second", 0, deadline).unwrap();
                assert_eq!(outcome(&events), Outcome::Sent(0));
            } else {
                assert!(!queue.send_until(b"second", 0, deadline).unwrap());
            }
            receiver.receive().unwrap();
            assert_eq!(proxy.let_through(), 1);
            assert_eq!(receiver.current_messages().unwrap(), 0, "{deadline:?} {native}");
            receiver.send(b"first", 0).unwrap();
        }
    }
}

/// R13, R14, for permits.
#[test]
fn a_late_acquisition_takes_nothing() {
    let _watchdog = watchdog();
    let server = server!();
    let (proxy, through, direct) = places(&server);
    let create = Existence::Create;
    let holder =
        Semaphore::options(&direct).initial_value(0).existence(create).open("/late").unwrap();
    let semaphore = Semaphore::options(&through).open("/late").unwrap();
    let all = BoundedSemaphore::options(&direct).existence(create).open("/late").unwrap();
    let bounded = BoundedSemaphore::options(&through).open("/late").unwrap();
    let owner = Lock::options(&direct).existence(create).open("/late").unwrap();
    let lock = Lock::options(&through).open("/late").unwrap();
    assert!(!semaphore.try_acquire().unwrap());
    let events = Events::new().unwrap();
    for deadline in [Deadline::NOW, soon()] {
        for native in [false, true] {
            let check = |done: bool| {
                assert!(if native { outcome(&events) == Outcome::Done(false) } else { !done });
            };
            proxy.hold_next();
            check(if native {
                semaphore.start_acquire(&events, 1, deadline).is_err()
            } else {
                semaphore.acquire_until(deadline).unwrap()
            });
            holder.release().unwrap();
            assert_eq!(proxy.let_through(), 1);
            assert_eq!(holder.value().unwrap(), 1);
            holder.acquire().unwrap();

            all.acquire().unwrap();
            proxy.hold_next();
            check(if native {
                bounded.start_acquire(&events, 1, deadline).is_err()
            } else {
                bounded.acquire_until(deadline).unwrap()
            });
            all.release().unwrap();
            assert_eq!(proxy.let_through(), 1);
            assert_eq!(all.value().unwrap(), 1);

            owner.acquire().unwrap();
            proxy.hold_next();
            check(if native {
                lock.start_acquire(&events, 1, deadline).is_err()
            } else {
                lock.acquire_until(deadline).unwrap()
            });
            owner.release().unwrap();
            assert_eq!(proxy.let_through(), 1);
            assert!(!owner.is_locked().unwrap());
        }
    }
    assert!(!owner.owner_died().unwrap());
}

/// R13: what was acquired by a repetition, and given up, stays given up.
#[test]
fn a_late_acquisition_does_not_come_back() {
    let _watchdog = watchdog();
    let server = server!();
    let (proxy, through, _) = places(&server);
    let create = Existence::Create;
    let lock = Lock::options(&through).existence(create).open("/late").unwrap();
    let permits = BoundedSemaphore::options(&through).existence(create).open("/late").unwrap();
    let events = Events::new().unwrap();
    let take = Outcome::Done(true);
    for native in [false, true] {
        proxy.hold_next();
        if native {
            let _ = lock.start_acquire(&events, 1, Deadline::NEVER).unwrap();
            assert_eq!(outcome(&events), take);
        } else {
            lock.acquire().unwrap();
        }
        lock.release().unwrap();
        assert_eq!(proxy.let_through(), 1);
        assert!(!lock.is_locked().unwrap() && !lock.owner_died().unwrap());

        proxy.hold_next();
        if native {
            let _ = permits.start_acquire(&events, 1, Deadline::NEVER).unwrap();
            assert_eq!(outcome(&events), take);
        } else {
            permits.acquire().unwrap();
        }
        permits.release().unwrap();
        assert_eq!(proxy.let_through(), 1);
        assert_eq!(permits.value().unwrap(), 1);
    }
}

/// R13: nothing was released, as the error says.
#[test]
fn a_late_release_that_overflowed_releases_nothing() {
    let _watchdog = watchdog();
    let server = server!();
    let (proxy, through, direct) = places(&server);
    let most = Semaphore::MAX_VALUE;
    let holder = Semaphore::options(&direct)
        .initial_value(most)
        .existence(Existence::Create)
        .open("/late")
        .unwrap();
    let semaphore = Semaphore::options(&through).open("/late").unwrap();
    assert_eq!(semaphore.value().unwrap(), most);
    proxy.hold_next();
    assert_eq!(semaphore.release().unwrap_err().kind(), ErrorKind::Overflow);
    holder.acquire().unwrap();
    assert_eq!(proxy.let_through(), 1);
    assert_eq!(holder.value().unwrap(), most - 1);
}

/// R13: what was refused, or made and removed, is not made after all.
#[test]
fn a_late_creation_makes_nothing() {
    let _watchdog = watchdog();
    let server = server!();
    let (proxy, through, direct) = places(&server);
    let open = |connection: &Connection, existence| {
        MessageQueue::options(connection).existence(existence).open("/late")
    };
    let gone = || {
        let error = open(&direct, Existence::Link).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    };
    drop(open(&through, Existence::Create).unwrap());
    let other = open(&direct, Existence::Create).unwrap();
    proxy.hold_next();
    let error = open(&through, Existence::Create).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    drop(other);
    assert_eq!(proxy.let_through(), 1);
    gone();
    for existence in [Existence::Create, Existence::LinkOrCreate, Existence::UnlinkAndCreate] {
        proxy.hold_next();
        let queue = open(&through, existence).unwrap();
        assert!(queue.handle().created());
        queue.send(b"mine", 0).unwrap();
        queue.handle().unlink().unwrap();
        assert_eq!(proxy.let_through(), 1);
        gone();
        assert_eq!(queue.receive().unwrap().0, b"mine");
    }
}

/// R14: an opening that was interrupted has made nothing in the end.
#[test]
fn a_late_creation_that_was_interrupted_makes_nothing() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    let stop = Arc::new(AtomicBool::new(false));
    let check = stop.clone();
    let through = Connection::options()
        .check(move || !check.load(Ordering::SeqCst))
        .open(&proxy.url())
        .unwrap();
    let mut options = MessageQueue::options(&through);
    options.existence(Existence::LinkOrCreate);
    drop(options.open("/warm").unwrap());
    proxy.hold_next();
    server.signal(libc::SIGSTOP);
    stop.store(true, Ordering::SeqCst);
    let error = options.open("/late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    server.signal(libc::SIGCONT);
    assert!(through.finish(Duration::from_secs(10)).unwrap());
    assert_eq!(proxy.let_through(), 1);
    let direct = Connection::open(&server.url()).unwrap();
    let error = MessageQueue::options(&direct).open("/late").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
