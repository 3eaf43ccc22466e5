//! Replicas, Sentinel, clusters and encrypted connections.

#[cfg(feature = "tls")]
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence, Kind, Name};
use nob_ipc_redis::{Connection, Events, Lock, MessageQueue, Outcome, Pending, Semaphore};
#[cfg(feature = "tls")]
use nob_ipc_testing::{Directory, free_port, output};
use nob_ipc_testing::{Server, watchdog};

use crate::server;

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A replica that has caught up.
fn replica(primary: &Server) -> Server {
    let of = format!("127.0.0.1 {}", primary.port);
    primary.demand(&["CONFIG", "SET", "repl-ping-replica-period", "1"]);
    primary.demand(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    let replica = Server::start(&["--replicaof", &of]).unwrap();
    // Its first acknowledgement comes later than it is there.
    wait_until("the replica catches up", || {
        let info = primary.command(&["INFO", "replication"]);
        let line = info.lines().find(|line| line.starts_with("slave0:")).unwrap_or_default();
        line.contains("state=online") && !line.contains("offset=0,")
    });
    replica
}

/// R22: `Unconfirmed`: it is done, and too few replicas have said so.
#[test]
fn a_replica_says_that_it_has_it() {
    let _watchdog = watchdog();
    let server = server!();
    let other = replica(&server);
    let url = format!("{}?durability=replica", server.url());
    let connection = Connection::open(&url).unwrap();
    let queue = MessageQueue::options(&connection).existence(Existence::Create).open("/q").unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/l").unwrap();
    queue.send(b"a", 0).unwrap();
    lock.acquire().unwrap();
    lock.release().unwrap();
    other.signal(libc::SIGSTOP);
    let error = queue.send(b"b", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
    assert_eq!(*error.detail::<Outcome>().unwrap(), Outcome::Sent(1));
    let error = queue.receive().unwrap_err();
    let expected = Outcome::Messages(vec![(b"a".to_vec(), 0)]);
    assert_eq!(*error.detail::<Outcome>().unwrap(), expected);
    assert_eq!(queue.current_messages().unwrap(), 1);
    // A lock that nobody is sure of is given up.
    assert_eq!(lock.acquire().unwrap_err().kind(), ErrorKind::Unconfirmed);
    wait_until("the lock is given up", || !lock.is_locked().unwrap());
    assert!(!lock.is_held() && !lock.owner_died().unwrap());
    // So is one for an event loop.
    let events = Events::new().unwrap();
    let never = nob_ipc::Deadline::NEVER;
    let error = |pending: nob_ipc::Result<Pending>| {
        let _going_on = pending.unwrap();
        let mut all = Vec::new();
        wait_until("it ends", || {
            all.extend(events.take());
            !all.is_empty()
        });
        all.pop().unwrap().1.unwrap_err()
    };
    let sent = error(queue.start_send(&events, 1, b"d", 0, never));
    assert_eq!(sent.kind(), ErrorKind::Unconfirmed);
    assert_eq!(*sent.detail::<Outcome>().unwrap(), Outcome::Sent(1));
    assert_eq!(error(lock.start_acquire(&events, 2, never)).kind(), ErrorKind::Unconfirmed);
    wait_until("the lock is given up", || !lock.is_locked().unwrap());
    assert_eq!(queue.current_messages().unwrap(), 2);
    other.signal(libc::SIGCONT);
    wait_until("the replica is back", || queue.send(b"c", 0).is_ok());
    let error = Connection::open(&other.url()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSUP), "{error}");
}

/// R29: sentinels name the new primary, and waits and leases go on there.
#[test]
fn sentinels_name_the_new_primary() {
    let _watchdog = watchdog();
    let mut server = server!();
    let _other = replica(&server);
    let sentinel = Server::start_sentinel(&server);
    wait_until("the sentinel knows the replica", || {
        sentinel.command(&["SENTINEL", "REPLICAS", "primary"]).contains("127.0.0.1")
    });
    let url = format!("redis+sentinel://127.0.0.1:{}/primary?patience=30", sentinel.port);
    let connection =
        Connection::options().durability("replica".parse().unwrap()).open(&url).unwrap();
    let queue = MessageQueue::options(&connection).existence(Existence::Create).open("/q").unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/l").unwrap();
    lock.acquire().unwrap();
    let fence = lock.fence().unwrap();
    queue.send(b"before", 0).unwrap();
    // The other handles make no promise beyond the new primary.
    let plain = Connection::open(&url).unwrap();
    let reader = MessageQueue::options(&plain).open("/q").unwrap();
    let next = Lock::options(&plain).open("/l").unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let first = reader.receive().unwrap().0;
            (first, reader.receive().unwrap().0)
        });
        thread::sleep(Duration::from_millis(300));
        server.kill();
        let sender = MessageQueue::options(&plain).open("/q");
        sender.unwrap().send(b"after", 0).unwrap();
        assert_eq!(waiting.join().unwrap(), (b"before".to_vec(), b"after".to_vec()));
    });
    // Its lease was renewed on the new primary.
    assert!(lock.is_held());
    // It is done, but there is no replica any more.
    assert_eq!(lock.handle().close().unwrap_err().kind(), ErrorKind::Unconfirmed);
    assert!(next.acquire_timeout(Duration::from_secs(20)).unwrap());
    assert!(next.owner_died().unwrap() && next.fence().unwrap() > fence);
}

/// The node that has a slot, and the other one.
fn owner<'a>(nodes: &'a [Server], slot: &str) -> (&'a Server, &'a Server) {
    let number: u32 = slot.parse().unwrap();
    if number < 8192 { (&nodes[0], &nodes[1]) } else { (&nodes[1], &nodes[0]) }
}

/// R30: a cluster is one server, and a slot may move under those who use it.
#[test]
fn a_cluster_is_one_server() {
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(2) else { return };
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[1].port);
    let connection = Connection::open(&url).unwrap();
    let semaphores: Vec<Semaphore> = (0..20)
        .map(|index| {
            Semaphore::options(&connection)
                .initial_value(index)
                .existence(Existence::Create)
                .open(format!("/s{index}"))
                .unwrap()
        })
        .collect();
    for (semaphore, value) in semaphores.iter().zip(0..) {
        assert_eq!(semaphore.value().unwrap(), value);
        semaphore.release().unwrap();
        semaphore.acquire().unwrap();
    }
    assert_eq!(connection.list_objects().unwrap().len(), 20);
    connection.unlink(&Name::new(Kind::Semaphore, "/s3").unwrap()).unwrap();
    drop(semaphores);
    assert!(connection.list_objects().unwrap().is_empty());
}

/// R30: a cluster is one server, and a slot may move under those who use it.
#[test]
fn a_slot_moves_under_those_who_use_it() {
    const MESSAGES: u32 = 2000;
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(2) else { return };
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port);
    let connection = Connection::open(&url).unwrap();
    let open = |existence| {
        MessageQueue::options(&connection)
            .existence(existence)
            .max_messages(10_000)
            .open("/moving")
            .unwrap()
    };
    let queue = open(Existence::Create);
    let other = Connection::open(&url).unwrap();
    let receiver = MessageQueue::options(&other).open("/moving").unwrap();
    let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", "nipc:{q/moving}"])[1..].to_string();
    let (from, to) = owner(&nodes, &slot);
    let id = |server: &Server| {
        let answer = server.command(&["CLUSTER", "MYID"]);
        answer.lines().nth(1).unwrap().to_string()
    };
    let (from_id, to_id) = (id(from), id(to));
    let moving = || {
        to.demand(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        from.demand(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        loop {
            let answer = from.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            let keys: Vec<&str> = answer.lines().filter(|line| line.starts_with("nipc:")).collect();
            if keys.is_empty() {
                break;
            }
            for key in keys {
                let port = to.port.to_string();
                from.command(&["MIGRATE", "127.0.0.1", &port, key, "0", "1000"]);
                thread::sleep(Duration::from_millis(20));
            }
        }
        for node in [to, from] {
            node.demand(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    };
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for number in 0..MESSAGES {
                queue.send(&number.to_be_bytes(), 0).unwrap();
                if number % 20 == 0 {
                    thread::sleep(Duration::from_millis(3));
                }
            }
        });
        let receiving = scope.spawn(|| {
            for number in 0..MESSAGES {
                let message = receiver.receive_timeout(Duration::from_secs(30));
                assert_eq!(message.unwrap().unwrap().0, number.to_be_bytes());
            }
        });
        thread::sleep(Duration::from_millis(100));
        moving();
        sending.join().unwrap();
        receiving.join().unwrap();
    });
    assert_eq!(queue.current_messages().unwrap(), 0);
    assert!(to.command(&["EXISTS", "nipc:{q/moving}"]).starts_with(":1"));
}

/// The paths of a certificate authority, of a certificate for 127.0.0.1, and of its key.
#[cfg(feature = "tls")]
fn certificates(directory: &Directory) -> Option<[String; 3]> {
    let file = |name: &str| directory.join(name).display().to_string();
    let openssl = |words: &[&str]| {
        let mut command = Command::new("openssl");
        output(command.args(words)).is_ok_and(|done| done.status.success())
    };
    let (key, authority) = (file("ca.key"), file("ca.crt"));
    let made = openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=nob-ipc test",
        "-keyout",
        &key,
        "-out",
        &authority,
    ]);
    if !made {
        return None;
    }
    let (server_key, request, certificate) =
        (file("server.key"), file("server.csr"), file("server.crt"));
    let extensions = file("extensions");
    std::fs::write(&extensions, "subjectAltName=IP:127.0.0.1\n").unwrap();
    assert!(openssl(&[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=server",
        "-keyout",
        &server_key,
        "-out",
        &request,
    ]));
    assert!(openssl(&[
        "x509",
        "-req",
        "-in",
        &request,
        "-CA",
        &authority,
        "-CAkey",
        &key,
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        &extensions,
        "-out",
        &certificate,
    ]));
    Some([authority, certificate, server_key])
}

/// R31: an encrypted connection trusts its roots alone.
#[cfg(feature = "tls")]
#[test]
fn an_encrypted_connection_trusts_its_roots_alone() {
    let _watchdog = watchdog();
    let directory = Directory::new();
    let Some([authority, certificate, key]) = certificates(&directory) else {
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    };
    let port = free_port().to_string();
    let server = Server::start(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        "no",
    ]);
    if server.is_none() {
        return;
    }
    let url = format!("rediss://127.0.0.1:{port}");
    let connection = Connection::open(&format!("{url}?cafile={authority}")).unwrap();
    let queue = MessageQueue::options(&connection)
        .existence(Existence::Create)
        .max_message_size(4 << 20)
        .open("/q")
        .unwrap();
    let large = vec![7; 3 << 20];
    thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.receive().unwrap().0);
        thread::sleep(Duration::from_millis(100));
        queue.send(&large, 0).unwrap();
        assert!(waiting.join().unwrap() == large);
    });
    let begin = Instant::now();
    // The roots of the system do not know it; nor does it speak without encryption.
    let error = Connection::open(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    let localhost = format!("rediss://localhost:{port}?cafile={authority}");
    let error = Connection::open(&localhost).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // Trying again would not have helped.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

/// A node that is gone without a word keeps nobody from renewing leases at the others.
#[test]
fn a_node_that_hangs_ends_no_lease_at_another() {
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(3) else { return };
    for node in &nodes {
        node.demand(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let connection =
        Connection::open(&format!("redis+cluster://127.0.0.1:{}", nodes[0].port)).unwrap();
    let create = Existence::Create;
    let lock = Lock::options(&connection)
        .lease(Duration::from_secs(1))
        .existence(create)
        .open("/lease")
        .unwrap();
    let owner = |key: &str| {
        let slot: u16 = nodes[0].command(&["CLUSTER", "KEYSLOT", key])[1..].parse().unwrap();
        usize::from(slot / (16384 / 3)).min(2)
    };
    let own = owner("nipc:{l/lease}");
    let mut names = (0..100).map(|number| format!("/q{number}"));
    let name = names.find(|name| owner(&format!("nipc:{{q{name}}}")) != own).unwrap();
    let other = &nodes[owner(&format!("nipc:{{q{name}}}"))];
    let queue = MessageQueue::options(&connection).existence(create).open(&name).unwrap();
    let events = Events::new().unwrap();
    let waiting = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    lock.acquire().unwrap();
    other.signal(libc::SIGSTOP);
    let end = Instant::now() + Duration::from_secs(8);
    while Instant::now() < end {
        assert!(lock.is_held());
        thread::sleep(Duration::from_millis(50));
    }
    other.signal(libc::SIGCONT);
    lock.release().unwrap();
    waiting.cancel();
}
