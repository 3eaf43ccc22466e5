//! Locks and permits: leases, fences, and owners that die or fall silent.

use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{ErrorKind, Existence};
use nob_ipc_redis::{BoundedSemaphore, Connection, Lock};
use nob_ipc_testing::{Arguments, Child, Role, hear, hold, say, watchdog};

use crate::server;

pub const ROLES: &[Role] = &[("lock", hold_lock), ("permit", hold_permit), ("add", add)];

const LEASE: Duration = Duration::from_secs(1);

/// Holds a lock, and says what becomes of it.
fn hold_lock(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    let lock = Lock::options(&connection).lease(LEASE).open("/hold").unwrap();
    lock.acquire().unwrap();
    say(lock.fence().unwrap());
    hear();
    say(lock.is_held());
    say(format_args!("{:?}", lock.release().unwrap_err().kind()));
    say(format_args!("{:?}", lock.release().unwrap_err().kind()));
}

fn hold_permit(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    let permits = BoundedSemaphore::options(&connection).lease(LEASE).open("/hold").unwrap();
    permits.acquire().unwrap();
    hold();
}

/// Adds to a number under a lock, as often as it can in a while.
fn add(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    let lock = Lock::options(&connection).open("/hold").unwrap();
    let port: u16 = arguments.text(1).parse().unwrap();
    let number = || -> u64 {
        let text = nob_ipc_testing::try_command(port, &["GET", "number"]).unwrap();
        text.lines().nth(1).map_or(0, |line| line.parse().unwrap())
    };
    let mut last = 0;
    for _ in 0..arguments.number(2) {
        let guard = lock.guard().unwrap();
        let fence = lock.fence().unwrap();
        assert!(fence > last);
        last = fence;
        let next = (number() + 1).to_string();
        nob_ipc_testing::try_command(port, &["SET", "number", &next]).unwrap();
        guard.release().unwrap();
    }
}

fn lock(connection: &Connection, existence: Existence) -> Lock {
    Lock::options(connection).lease(LEASE).existence(existence).open("/hold").unwrap()
}

#[test]
fn a_lock_from_taking_to_giving() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let (one, other) = (lock(&connection, Existence::Create), lock(&connection, Existence::Link));
    assert!(!one.is_locked().unwrap() && one.owner().unwrap().is_none());
    assert_eq!(one.release().unwrap_err().kind(), ErrorKind::NotHeld);
    assert!(one.try_acquire().unwrap());
    assert!(!other.try_acquire().unwrap() && !one.try_acquire().unwrap());
    assert!(one.is_held() && !other.is_held() && other.is_locked().unwrap());
    assert_eq!(other.owner().unwrap(), Some(std::process::id()));
    assert_eq!(other.fence().unwrap_err().kind(), ErrorKind::NotHeld);
    let fence = one.fence().unwrap();
    one.release().unwrap();
    assert!(other.try_acquire().unwrap());
    assert!(other.fence().unwrap() > fence);
    assert!(!other.owner_died().unwrap());
    // A holder that closes its handle leaves at once, and the next one is told.
    other.handle().close().unwrap();
    assert!(one.try_acquire().unwrap() && one.owner_died().unwrap());
    // Orderly releases do not repair.
    one.release().unwrap();
    assert!(one.owner_died().unwrap());
    assert_eq!(one.mark_repaired().unwrap_err().kind(), ErrorKind::NotHeld);
    one.acquire().unwrap();
    one.mark_repaired().unwrap();
    assert!(!one.owner_died().unwrap());
    for lease in [Duration::ZERO, Duration::from_millis(999), Duration::MAX] {
        let error = Lock::options(&connection).lease(lease).open("/hold").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

/// R19: a lock excludes, and its fence grows although the server's clock goes back.
#[test]
fn a_fence_grows_although_the_clock_goes_back() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let lock = lock(&connection, Existence::Create);
    lock.acquire().unwrap();
    // What a server whose clock is an hour ahead would have given out before it failed.
    let ahead = lock.fence().unwrap() + 3_600_000_000;
    lock.release().unwrap();
    let data = format!("nipc:{{l/hold}}:{}", lock.handle().generation());
    server.demand(&["HSET", &data, "fence", &ahead.to_string()]);
    for step in 1..4 {
        lock.acquire().unwrap();
        assert_eq!(lock.fence().unwrap(), ahead + step);
        lock.release().unwrap();
    }
}

/// R18: a lock's lease is renewed while its owner lives; a silent owner loses it and is told.
#[test]
fn a_lease_is_renewed_for_as_long_as_its_owner_lives() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let owner = lock(&connection, Existence::Create);
    let permits = BoundedSemaphore::options(&connection)
        .bound(1)
        .lease(LEASE)
        .existence(Existence::Create)
        .open("/hold")
        .unwrap();
    owner.acquire().unwrap();
    permits.acquire().unwrap();
    let second = Connection::open(&server.url()).unwrap();
    let other = lock(&second, Existence::Link);
    let other_permits = BoundedSemaphore::options(&second).open("/hold").unwrap();
    let wait = LEASE * 5 / 2;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other_permits.acquire_timeout(wait).unwrap());
        assert!(!other.acquire_timeout(wait).unwrap());
        assert!(!waiting.join().unwrap());
    });
    assert!(owner.is_held());
    owner.release().unwrap();
    permits.release().unwrap();
    assert!(other.try_acquire().unwrap() && other_permits.try_acquire().unwrap());
}

/// R18: a lock's lease is renewed while its owner lives; a silent owner loses it and is told.
#[test]
fn a_killed_owner_leaves_after_its_lease() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let next = lock(&connection, Existence::Create);
    let permits =
        BoundedSemaphore::options(&connection).existence(Existence::Create).open("/hold").unwrap();
    let mut owner = Child::start("lock", &[&server.url()]);
    let fence: u64 = owner.hear().parse().unwrap();
    let mut holder = Child::holding("permit", &[&server.url()]);
    assert!(!next.try_acquire().unwrap() && !permits.try_acquire().unwrap());
    owner.kill();
    holder.kill();
    assert!(next.acquire_timeout(LEASE * 4).unwrap());
    assert!(next.owner_died().unwrap() && next.fence().unwrap() > fence);
    assert!(permits.acquire_timeout(LEASE * 4).unwrap());
}

/// R18: a lock's lease is renewed while its owner lives; a silent owner loses it and is told.
#[test]
fn a_silent_owner_loses_the_lock_and_is_told() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let next = lock(&connection, Existence::Create);
    let mut owner = Child::start("lock", &[&server.url()]);
    let fence: u64 = owner.hear().parse().unwrap();
    owner.signal(libc::SIGSTOP);
    let begin = Instant::now();
    assert!(next.acquire_timeout(LEASE * 4).unwrap());
    // The lease was renewed at some moment of its last third.
    assert!(begin.elapsed() > LEASE / 3, "{:?}", begin.elapsed());
    assert!(next.owner_died().unwrap() && next.fence().unwrap() > fence);
    owner.signal(libc::SIGCONT);
    owner.say("look");
    owner.expect("false");
    owner.expect("LockLost");
    owner.expect("NotHeld");
    assert!(next.is_held());
    next.release().unwrap();
}

/// R19: a lock excludes, and its fence grows although the server's clock goes back.
#[test]
fn a_number_under_a_lock_is_exact() {
    const EACH: u32 = 150;
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let _lock = lock(&connection, Existence::Create);
    let port = server.port;
    let children: Vec<Child> =
        (0..4).map(|_| Child::start("add", &[&server.url(), &port, &EACH])).collect();
    children.into_iter().for_each(Child::finish);
    assert_eq!(server.command(&["GET", "number"]).lines().nth(1), Some("600"));
}

/// R17: a release that failed is over with the lease: whoever released does not come back to it.
#[test]
fn what_could_not_be_released_ends_with_its_lease() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let create = Existence::Create;
    let lease = Duration::from_secs(1);
    let lock = Lock::options(&connection).lease(lease).existence(create).open("/left").unwrap();
    let permits = BoundedSemaphore::options(&connection)
        .lease(lease)
        .existence(create)
        .open("/left")
        .unwrap();
    lock.acquire().unwrap();
    permits.acquire().unwrap();
    server.demand(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(lock.release().unwrap_err().kind(), ErrorKind::Other);
    assert_eq!(permits.release().unwrap_err().kind(), ErrorKind::Other);
    server.demand(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert!(lock.is_held() && permits.held() == 1);
    // Also for the handles themselves.
    let long = Duration::from_secs(20);
    assert!(lock.acquire_timeout(long).unwrap() && permits.acquire_timeout(long).unwrap());
    assert!(lock.owner_died().unwrap());
    assert_eq!((lock.is_held(), permits.held()), (true, 1));
    // What is held now is renewed, and released.
    std::thread::sleep(lease * 2);
    lock.release().unwrap();
    permits.release().unwrap();
    assert!(!lock.is_held() && permits.held() == 0);
}
