//! Servers whose wall clock is wrong, and is stepped: leases and memories are counted by it.

use std::thread;
use std::time::Duration;

use nob_ipc::{Deadline, ErrorKind, Existence};
use nob_ipc_redis::{BoundedSemaphore, Connection, Lock, MessageQueue, Outcome, Retry, Semaphore};
use nob_ipc_testing::{Child, Proxy, Server, wait_until, watchdog};

const LEASE: Duration = Duration::from_secs(1);
const HOUR: i64 = 3600;
const MINUTE: i64 = 60;

/// Two handles of each kind that has leases, by connections of their own.
struct Holders {
    locks: [Lock; 2],
    permits: [BoundedSemaphore; 2],
}

impl Holders {
    fn open(server: &Server, lease: Duration) -> Holders {
        let handles = [Existence::Create, Existence::Link].map(|existence| {
            let connection = Connection::open(&server.url()).unwrap();
            let lock =
                Lock::options(&connection).lease(lease).existence(existence).open("/hold").unwrap();
            let permits = BoundedSemaphore::options(&connection)
                .lease(lease)
                .existence(existence)
                .open("/hold")
                .unwrap();
            (lock, permits)
        });
        let [(lock, permits), (other_lock, other_permits)] = handles;
        Holders { locks: [lock, other_lock], permits: [permits, other_permits] }
    }

    /// The first takes all; the number of its hold.
    fn take(&self) -> u64 {
        self.locks[0].acquire().unwrap();
        self.permits[0].acquire().unwrap();
        self.locks[0].fence().unwrap()
    }

    /// The first has all, and the other gets nothing, for as long as this takes.
    fn stay(&self, time: Duration) {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| self.permits[1].acquire_timeout(time).unwrap());
            assert!(!self.locks[1].acquire_timeout(time).unwrap());
            assert!(!waiting.join().unwrap());
        });
        assert!(self.locks[0].is_held());
        assert_eq!(self.permits[0].held(), 1);
    }

    /// The leases were over, and are renewed.
    fn wait_for_renewals(&self) {
        wait_until(|| {
            !self.locks[0].owner_died().unwrap() && self.permits[0].value().unwrap() == 0
        });
    }

    /// The first gives all up in order, and the other takes it; the number of its hold.
    fn hand_over(&self) -> u64 {
        self.locks[0].release().unwrap();
        self.permits[0].release().unwrap();
        assert!(self.locks[1].try_acquire().unwrap() && self.permits[1].try_acquire().unwrap());
        assert!(!self.locks[1].owner_died().unwrap());
        self.locks[1].fence().unwrap()
    }
}

macro_rules! server {
    ($ahead:expr) => {
        match Server::start_with_clock(&[], $ahead) {
            Some(server) => server,
            None => return,
        }
    };
}

/// R19: a lock excludes, and its fence grows although the server's clock goes back.
#[test]
fn a_living_owner_keeps_what_it_has_on_a_clock_that_is_behind_and_goes_back() {
    let _watchdog = watchdog();
    let server = server!(-HOUR);
    let lease = LEASE * 2;
    let holders = Holders::open(&server, lease);
    let mut last = holders.take();
    holders.stay(lease / 2);
    server.set_clock(-2 * HOUR);
    holders.stay(lease * 5 / 4);
    // Forward by no more than was gone back is forward all the same: nobody asks meanwhile.
    server.set_clock(-HOUR);
    holders.wait_for_renewals();
    holders.stay(lease / 2);
    server.set_clock(-3 * HOUR);
    let fence = holders.hand_over();
    assert!(fence > last);
    last = fence;
    // The clock has not come as far again, and each hold has a larger number.
    for lock in [&holders.locks[1], &holders.locks[0], &holders.locks[1]] {
        if !lock.is_held() {
            assert!(lock.try_acquire().unwrap());
        }
        let fence = lock.fence().unwrap();
        assert!(fence >= last);
        last = fence + 1;
        lock.release().unwrap();
    }
}

/// R18: a lock's lease is renewed while its owner lives; a silent owner loses it and is told.
#[test]
fn a_dead_owner_is_kept_for_as_long_as_the_clock_goes_back() {
    let _watchdog = watchdog();
    let server = server!(0);
    let holders = Holders::open(&server, LEASE);
    let mut owner = Child::start("lock", &[&server.url()]);
    let fence: u64 = owner.hear().parse().unwrap();
    owner.kill();
    server.set_clock(-HOUR);
    let lock = &holders.locks[1];
    assert!(!lock.acquire_timeout(LEASE * 3 / 2).unwrap());
    server.set_clock(1);
    wait_until(|| lock.try_acquire().unwrap());
    assert!(lock.owner_died().unwrap() && lock.fence().unwrap() > fence);
}

/// R18: a lock's lease is renewed while its owner lives; a silent owner loses it and is told.
#[test]
fn a_clock_that_goes_ahead_ends_leases_and_the_owner_is_told() {
    let _watchdog = watchdog();
    let server = server!(0);
    let holders = Holders::open(&server, LEASE * 3);
    let fence = holders.take();
    // Nobody asks: the owner keeps it all.
    server.set_clock(HOUR);
    holders.wait_for_renewals();
    holders.stay(LEASE / 4);
    // Somebody asks before the next renewal.
    let mut ahead = HOUR;
    let taken = |take: &dyn Fn() -> bool, ahead: &mut i64| {
        while !take() {
            *ahead += HOUR;
            server.set_clock(*ahead);
        }
    };
    taken(&|| holders.locks[1].try_acquire().unwrap(), &mut ahead);
    taken(&|| holders.permits[1].try_acquire().unwrap(), &mut ahead);
    let [old, new] = &holders.locks;
    // What the new owner has may be over as well; then it is told alike, and takes it again.
    while !new.is_held() {
        new.release().unwrap_err();
        taken(&|| new.try_acquire().unwrap(), &mut ahead);
    }
    let next = new.fence().unwrap();
    assert!(next > fence && new.owner_died().unwrap());
    // The clock goes back, and nothing comes back with it.
    server.set_clock(-HOUR);
    wait_until(|| !old.is_held() && holders.permits[0].held() == 0);
    assert_eq!(old.fence().unwrap_err().kind(), ErrorKind::LockLost);
    assert_eq!(old.release().unwrap_err().kind(), ErrorKind::LockLost);
    assert_eq!(holders.permits[0].release().unwrap_err().kind(), ErrorKind::LockLost);
    assert!(!old.try_acquire().unwrap() && !holders.permits[0].try_acquire().unwrap());
    assert!(new.is_held());
    new.release().unwrap();
    holders.permits[1].release().unwrap();
    assert!(old.try_acquire().unwrap() && old.fence().unwrap() > next);
}

/// R19: a lock excludes, and its fence grows although the server's clock goes back.
#[test]
fn a_new_primary_whose_clock_is_behind_gives_larger_fences() {
    let _watchdog = watchdog();
    let server = server!(0);
    let Some(replica) =
        Server::start_with_clock(&["--replicaof", &format!("127.0.0.1 {}", server.port)], -HOUR)
    else {
        return;
    };
    let holders = Holders::open(&server, LEASE);
    let fence = holders.take();
    // It has got all: this number is of the last.
    let offset = |server: &Server, field: &str| {
        let info = server.command(&["INFO", "replication"]);
        let line = info.lines().find_map(|line| line.strip_prefix(field).map(str::to_string));
        line.unwrap_or_default()
    };
    wait_until(|| offset(&replica, "master_link_status:") == "up");
    wait_until(|| {
        let sent = offset(&server, "master_repl_offset:");
        offset(&replica, "slave_repl_offset:") == sent
    });
    replica.demand(&["REPLICAOF", "NO", "ONE"]);
    let connection = Connection::open(&replica.url()).unwrap();
    let lock = Lock::options(&connection).lease(LEASE).open("/hold").unwrap();
    // The owner is another server's now: its lease ends an hour later here.
    assert!(!lock.try_acquire().unwrap());
    replica.set_clock(1);
    wait_until(|| lock.try_acquire().unwrap());
    replica.set_clock(-HOUR);
    assert!(lock.fence().unwrap() > fence && lock.owner_died().unwrap());
    let last = lock.fence().unwrap();
    lock.release().unwrap();
    lock.acquire().unwrap();
    assert!(lock.fence().unwrap() > last);
}

/// What the server has, but for what it has for a while only.
fn keys(server: &Server) -> usize {
    server.demand(&["KEYS", "*"]).lines().filter(|line| !line.starts_with(['*', '$'])).count()
}

/// R13: a call whose answer was lost runs once.
#[test]
fn an_answer_is_remembered_for_nine_minutes_and_not_for_ever() {
    let _watchdog = watchdog();
    let server = server!(0);
    let proxy = Proxy::start(server.port);
    let direct = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&direct).existence(Existence::Create).open("/memory").unwrap();
    let cut = Connection::options().patience(Duration::from_secs(1)).open(&proxy.url()).unwrap();
    let sender = MessageQueue::options(&cut).open("/memory").unwrap();
    let base = keys(&server);
    // The connection is there, and the server knows the script.
    assert!(sender.try_send(b"before", 0).unwrap());
    queue.receive().unwrap();
    proxy.cut(1_000_000);
    let error = sender.send(b"once", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    proxy.cut(0);
    server.set_clock(9 * MINUTE);
    let retry = error.detail::<Retry>().unwrap();
    let outcome = retry.again(Deadline::NEVER).unwrap();
    assert_eq!(outcome, Outcome::Sent(1));
    assert_eq!(queue.receive_many(9).unwrap(), [(b"once".to_vec(), 0)]);
    assert!(keys(&server) > base);
    server.set_clock(20 * MINUTE);
    assert_eq!(keys(&server), base);
}

/// R7: open handles go on after `unlink`, and a name is removed as the flags say.
#[test]
fn an_unlinked_object_ends_an_hour_after_its_last_use() {
    let _watchdog = watchdog();
    let server = server!(0);
    let connection = Connection::open(&server.url()).unwrap();
    let existence = Existence::Create;
    let queue = MessageQueue::options(&connection)
        .max_messages(2)
        .existence(existence)
        .open("/end")
        .unwrap();
    let empty = MessageQueue::options(&connection).existence(existence).open("/empty").unwrap();
    let semaphore =
        Semaphore::options(&connection).initial_value(0).existence(existence).open("/end").unwrap();
    let lock = Lock::options(&connection).existence(existence).open("/end").unwrap();
    let other = Lock::options(&connection).open("/end").unwrap();
    let permits = BoundedSemaphore::options(&connection).existence(existence).open("/end").unwrap();
    assert!(queue.try_send(b"first", 0).unwrap() && queue.try_send(b"second", 0).unwrap());
    lock.acquire().unwrap();
    permits.acquire().unwrap();
    for handle in
        [queue.handle(), empty.handle(), semaphore.handle(), lock.handle(), permits.handle()]
    {
        handle.unlink().unwrap();
    }
    // Who looks in vain uses it as well. What it has lives as long as the object itself.
    let mut ahead = 0;
    for _ in 0..3 {
        ahead += 50 * MINUTE;
        server.set_clock(ahead);
        assert!(!queue.try_send(b"third", 0).unwrap());
        assert_eq!(empty.try_receive_message().unwrap(), None);
        assert!(!semaphore.try_acquire().unwrap());
        // Their leases are over, but nobody has asked.
        lock.release().unwrap();
        permits.release().unwrap();
        assert!(lock.try_acquire().unwrap() && permits.try_acquire().unwrap());
        assert!(!other.try_acquire().unwrap());
    }
    let messages = queue.receive_many(9).unwrap();
    assert_eq!(messages, [(b"first".to_vec(), 0), (b"second".to_vec(), 0)]);
    queue.send(b"left", 0).unwrap();
    lock.release().unwrap();
    permits.release().unwrap();
    server.set_clock(ahead + 61 * MINUTE);
    let stale = [
        queue.receive().map(|_| ()),
        empty.try_receive_message().map(|_| ()),
        semaphore.release(),
        lock.acquire(),
        permits.acquire(),
    ];
    for result in stale {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::StaleHandle);
    }
    assert_eq!(keys(&server), 0);
}
