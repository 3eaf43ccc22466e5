//! Replicas, Sentinel, clusters and encrypted connections.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence, Kind, Name};
use nob_ipc_redis::{Connection, Events, Lock, MessageQueue, Outcome, Pending, Retry, Semaphore};
#[cfg(feature = "tls")]
use nob_ipc_testing::{Certificates, free_port};
use nob_ipc_testing::{Server, watchdog};

use crate::server;

/// Asks servers now and then.
fn wait_until(mut done: impl FnMut() -> bool) {
    while !done() {
        thread::sleep(Duration::from_millis(20));
    }
}

/// R22: `Unconfirmed`: it is done, and too few replicas have said so.
#[test]
fn a_replica_says_that_it_has_it() {
    let _watchdog = watchdog();
    let server = server!();
    let other = server.start_replica();
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
    wait_until(|| !lock.is_locked().unwrap());
    assert!(!lock.is_held() && !lock.owner_died().unwrap());
    // So is one for an event loop.
    let events = Events::new().unwrap();
    let never = nob_ipc::Deadline::NEVER;
    let error = |pending: nob_ipc::Result<Pending>| {
        let _going_on = pending.unwrap();
        let mut all = Vec::new();
        wait_until(|| {
            all.extend(events.take());
            !all.is_empty()
        });
        all.pop().unwrap().1.unwrap_err()
    };
    let sent = error(queue.start_send(&events, 1, b"d", 0, never));
    assert_eq!(sent.kind(), ErrorKind::Unconfirmed);
    assert_eq!(*sent.detail::<Outcome>().unwrap(), Outcome::Sent(1));
    assert_eq!(error(lock.start_acquire(&events, 2, never)).kind(), ErrorKind::Unconfirmed);
    wait_until(|| !lock.is_locked().unwrap());
    assert_eq!(queue.current_messages().unwrap(), 2);
    other.signal(libc::SIGCONT);
    wait_until(|| queue.send(b"c", 0).is_ok());
    let error = Connection::open(&other.url()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTSUP), "{error}");
}

/// R29: sentinels name the new primary, and waits and leases go on there.
#[test]
fn sentinels_name_the_new_primary() {
    let _watchdog = watchdog();
    let mut server = server!();
    let _other = server.start_replica();
    let sentinel = Server::start_sentinel(&server);
    wait_until(|| sentinel.command(&["SENTINEL", "REPLICAS", "primary"]).contains("127.0.0.1"));
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

/// R30: a cluster is one server; a slot may move, and a replica take over, under those who use it.
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

/// R30: nodes that name no hosts, behind a forwarded port for one, are at the host that was asked; so are those
/// that are to name hosts, and do not know them.
#[test]
fn a_cluster_may_name_no_hosts() {
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(2) else { return };
    for kind in ["unknown-endpoint", "hostname"] {
        for node in &nodes {
            node.demand(&["CONFIG", "SET", "cluster-preferred-endpoint-type", kind]);
            assert!(!node.command(&["CLUSTER", "SLOTS"]).contains("$9\r\n127.0.0.1\r\n:"));
        }
        for node in &nodes {
            serves_without_hosts(&nodes, node);
        }
    }
}

fn serves_without_hosts(nodes: &[Server], node: &Server) {
    let connection = Connection::open(&format!("redis+cluster://localhost:{}", node.port)).unwrap();
    let queues: Vec<MessageQueue> = (0..10)
        .map(|number| {
            let mut options = MessageQueue::options(&connection);
            options.existence(Existence::Create).open(format!("/q{number}")).unwrap()
        })
        .collect();
    for queue in &queues {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.receive().unwrap());
            queue.send(b"x", 0).unwrap();
            waiting.join().unwrap();
        });
    }
    let listed = connection.list_objects().unwrap();
    assert_eq!(listed.len(), 10);
    let mut watch = connection.watch();
    while watch.objects().count() < 10 {
        watch.step(&[]).unwrap();
    }
    // On both nodes.
    assert!(nodes.iter().all(|node| node.command(&["DBSIZE"]) != ":0"));
}

/// R30: a cluster is one server; a slot may move, and a replica take over, under those who use it.
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
        from.move_slot(to, "nipc:{q/moving}", Duration::from_millis(20));
        sending.join().unwrap();
        receiving.join().unwrap();
    });
    assert_eq!(queue.current_messages().unwrap(), 0);
    assert!(to.command(&["EXISTS", "nipc:{q/moving}"]).starts_with(":1"));
}

/// What those who send and receive have been told of each message.
#[derive(Default)]
struct Told {
    /// It is on the primary and on its replica.
    acknowledged: HashSet<u32>,
    /// It is on the primary, and may be on no replica.
    unconfirmed: HashSet<u32>,
}

/// Sends numbers until it is told to stop; each is sent once.
fn send_numbers(queue: &MessageQueue, stop: &AtomicBool, acknowledged: &AtomicUsize) -> Told {
    let mut told = Told::default();
    for number in 0_u32.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let mut sent = queue.send(&number.to_be_bytes(), 0);
        while let Err(error) = &sent {
            match error.kind() {
                ErrorKind::ServerUnavailable => sent = queue.send(&number.to_be_bytes(), 0),
                ErrorKind::OutcomeUnknown => {
                    let retry = error.detail::<Retry>().unwrap();
                    sent = retry.again(Deadline::NEVER).map(drop);
                }
                _ => break,
            }
        }
        match sent {
            Ok(()) => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                told.acknowledged.insert(number)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
                told.unconfirmed.insert(number)
            }
        };
    }
    told
}

/// Receives until nothing comes after it was told to stop. The numbers as they came, and whether each was
/// confirmed.
fn receive_numbers(queue: &MessageQueue, stop: &AtomicBool) -> Vec<(u32, bool)> {
    let mut received = Vec::new();
    loop {
        let last = stop.load(Ordering::SeqCst);
        let number = |message: &[u8]| u32::from_be_bytes(message.try_into().unwrap());
        match queue.receive_timeout(Duration::from_millis(500)) {
            Ok(Some((message, _))) => received.push((number(&message), true)),
            Ok(None) if last => return received,
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::ServerUnavailable => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unconfirmed, "{error}");
                let outcome = error.detail::<Outcome>().unwrap();
                let Outcome::Messages(messages) = &*outcome else { panic!("{outcome:?}") };
                received.extend(messages.iter().map(|(message, _)| (number(message), false)));
            }
        }
    }
}

/// R30: a replica takes over from a primary of a cluster that was killed. Waits go on there, and what was
/// acknowledged with `durability=replica` is there, once.
#[test]
fn a_replica_takes_over_in_a_cluster() {
    let _watchdog = watchdog();
    let Some(mut nodes) = Server::start_cluster(3) else { return };
    let node = |name: &str| {
        let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", &format!("nipc:{{q{name}}}")]);
        (slot[1..].parse::<usize>().unwrap() / (16384 / 3)).min(2)
    };
    let dies = node("/jobs");
    // Nobody sends to the second queue there before the primary has died.
    let quiet = (0..1000).map(|number| format!("/quiet{number}")).find(|name| node(name) == dies);
    let quiet = quiet.unwrap();
    let replica = Server::start_cluster_replica(&nodes, dies);
    for node in nodes.iter().chain([&replica]) {
        node.demand(&["CONFIG", "SET", "cluster-node-timeout", "1000"]);
    }
    let ports: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let url = format!("redis+cluster://{}?patience=60", ports.join(","));
    let sure = Connection::open(&format!("{url}&durability=replica")).unwrap();
    let other = Connection::open(&format!("{url}&durability=replica")).unwrap();
    let plain = Connection::open(&url).unwrap();
    let create = |name: &str| {
        let mut options = MessageQueue::options(&plain);
        options.existence(Existence::Create).unlink_on_drop(false).max_messages(50).open(name)
    };
    create("/jobs").unwrap();
    let waited = create(&quiet).unwrap();
    thread::sleep(Duration::from_millis(200));
    let queue = MessageQueue::options(&sure).open("/jobs").unwrap();
    let theirs = MessageQueue::options(&other).open("/jobs").unwrap();
    let stop = AtomicBool::new(false);
    let drained = AtomicBool::new(false);
    let acknowledged = AtomicUsize::new(0);
    let more = || {
        let then = acknowledged.load(Ordering::SeqCst);
        wait_until(|| acknowledged.load(Ordering::SeqCst) > then + 200);
    };
    let (told, received) = thread::scope(|scope| {
        let sending = scope.spawn(|| send_numbers(&queue, &stop, &acknowledged));
        let receiving = scope.spawn(|| receive_numbers(&theirs, &drained));
        let waiting = scope.spawn(|| waited.receive().unwrap().0);
        more();
        nodes[dies].kill();
        wait_until(|| replica.command(&["ROLE"]).contains("master"));
        // It becomes a replica of the one that has taken over, and confirms again.
        nodes[dies].restart();
        wait_until(|| replica.command(&["INFO", "replication"]).contains("state=online"));
        MessageQueue::options(&plain).open(&quiet).unwrap().send(b"on", 0).unwrap();
        assert_eq!(waiting.join().unwrap(), b"on");
        more();
        stop.store(true, Ordering::SeqCst);
        let told = sending.join().unwrap();
        drained.store(true, Ordering::SeqCst);
        (told, receiving.join().unwrap())
    });
    let came: HashSet<u32> = received.iter().map(|&(number, _)| number).collect();
    let missing: Vec<_> = told.acknowledged.difference(&came).collect();
    assert!(missing.is_empty(), "of {} acknowledged: {missing:?}", told.acknowledged.len());
    // Once its receiver was told that it is sure, a message does not come again.
    let mut sure = HashSet::new();
    for &(number, confirmed) in &received {
        assert!(!sure.contains(&number), "{number} came twice");
        if confirmed {
            sure.insert(number);
        }
    }
    // One that was not confirmed was sent all the same, but while nobody else had it, it may go.
    assert!(
        came.iter().all(|number| {
            told.acknowledged.contains(number) || told.unconfirmed.contains(number)
        })
    );
}

/// R30: a replica takes over in a cluster from a primary that lives, and goes on as its replica. That closes no
/// connection, and who waits is called where the object is now.
#[test]
fn a_replica_takes_over_from_a_primary_that_lives() {
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(3) else { return };
    let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", "nipc:{q/jobs}"]);
    let primary = (slot[1..].parse::<usize>().unwrap() / (16384 / 3)).min(2);
    let replica = Server::start_cluster_replica(&nodes, primary);
    let primary = &nodes[primary];
    let ports: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let url = format!("redis+cluster://{}?patience=60", ports.join(","));
    let [first, second, third] = [(); 3].map(|()| Connection::open(&url).unwrap());
    let create = Existence::LinkOrCreate;
    let open = |connection| MessageQueue::options(connection).existence(create).open("/jobs");
    let (queues, sender) = ([open(&first).unwrap(), open(&second).unwrap()], open(&third).unwrap());
    let events = Events::new().unwrap();
    let line = format!("nipc:{{q/jobs}}:{}:w", sender.handle().generation());
    let stand = |server: &Server, from: u64| {
        (0..6).for_each(|number| {
            let queue = &queues[usize::try_from(number % 2).unwrap()];
            let _ = queue.start_receive(&events, from + number, 1, Deadline::NEVER).unwrap();
            let count = format!(":{}", number + 1);
            wait_until(|| server.command(&["ZCARD", &line]) == count);
        });
    };
    let serve = || -> Vec<u64> {
        let mut order = Vec::new();
        for number in 0..6_u8 {
            let begin = Instant::now();
            sender.send(&[number], 0).unwrap();
            let before = order.len();
            wait_until(|| {
                order.extend(events.take().into_iter().map(|(token, outcome)| {
                    assert_eq!(outcome.unwrap(), Outcome::Messages(vec![(vec![number], 0)]));
                    token
                }));
                order.len() > before
            });
            assert!(begin.elapsed() < Duration::from_secs(4), "{:?} for one", begin.elapsed());
        }
        order
    };
    stand(primary, 0);
    // On a busy machine it may come to nothing, which nodes give 5 s.
    let mut asked: Option<Instant> = None;
    wait_until(|| {
        if asked.is_none_or(|moment| moment.elapsed() > Duration::from_secs(6)) {
            replica.command(&["CLUSTER", "FAILOVER"]);
            asked = Some(Instant::now());
        }
        let roles = [&replica, primary].map(|server| server.command(&["ROLE"]));
        roles[0].contains("master") && roles[1].contains("slave")
    });
    // All are called at once, in whatever order.
    assert_eq!(serve().into_iter().collect::<HashSet<_>>(), (0..6).collect());
    wait_until(|| primary.command(&["PUBSUB", "SHARDCHANNELS"]) == "*0");
    stand(&replica, 6);
    assert_eq!(serve(), (6..12).collect::<Vec<_>>());
}

/// R30: what says that a subscription is over is told from the answers to requests, also when the slot moves at
/// that moment: those are of other objects.
#[test]
fn a_slot_moves_while_its_subscription_ends() {
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(2) else { return };
    let key_slot = |name: &str| -> u16 {
        let key = format!("nipc:{{s/{name}}}");
        nodes[0].command(&["CLUSTER", "KEYSLOT", &key])[1..].parse().unwrap()
    };
    let names = (0..).map(|number| format!("n{number}"));
    let here: Vec<String> = names.filter(|name| key_slot(name) < 8192).take(3).collect();
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port);
    let connection = Connection::open(&url).unwrap();
    let open = |index: usize, value: u32| {
        let mut options = Semaphore::options(&connection);
        options.initial_value(value).existence(Existence::Create).unlink_on_drop(false);
        options.open(&here[index]).unwrap()
    };
    let (moves, empty, full) = (open(0, 0), open(1, 0), open(2, 1));
    let events = Events::new().unwrap();
    let waiting = moves.start_acquire(&events, 1, Deadline::NEVER).unwrap();
    let subscribed = || nodes[0].command(&["PUBSUB", "SHARDCHANNELS"]) != "*0";
    wait_until(subscribed);
    waiting.cancel();
    let line = format!("nipc:{{s/{}}}:{}:w", here[0], moves.handle().generation());
    wait_until(|| nodes[0].command(&["EXISTS", &line]) == ":0");

    // All is ready but the last word to the node that has the slot; it hears that just before it hears of the
    // end of the subscription.
    let slot = key_slot(&here[0]).to_string();
    let (from, to) = (&nodes[0], &nodes[1]);
    let (from_id, to_id) = (from.cluster_id(), to.cluster_id());
    to.demand(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    from.demand(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let keys = from.demand(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    for key in keys.lines().filter(|line| !line.starts_with(['*', '$'])) {
        from.demand(&["MIGRATE", "127.0.0.1", &to.port.to_string(), key, "0", "1000"]);
    }
    assert!(subscribed());
    let mut admin = TcpStream::connect(("127.0.0.1", from.port)).unwrap();
    let mut answers = BufReader::new(admin.try_clone().unwrap()).lines();
    admin.write_all(b"PING\r\n").unwrap();
    assert_eq!(answers.next().unwrap().unwrap(), "+PONG");
    from.signal(libc::SIGSTOP);
    admin.write_all(format!("CLUSTER SETSLOT {slot} NODE {to_id}\r\n").as_bytes()).unwrap();
    moves.handle().close().unwrap();
    let _ = empty.start_acquire(&events, 2, Deadline::NOW).unwrap();
    let _ = full.start_acquire(&events, 3, Deadline::NOW).unwrap();
    // It is in the buffers of the kernel by then, or the test shows nothing.
    thread::sleep(Duration::from_millis(300));
    from.signal(libc::SIGCONT);
    assert_eq!(answers.next().unwrap().unwrap(), "+OK");
    let mut acquired = Vec::new();
    wait_until(|| {
        acquired
            .extend(events.take().into_iter().map(|(token, outcome)| (token, outcome.unwrap())));
        acquired.len() == 2
    });
    acquired.sort_unstable_by_key(|(token, _)| *token);
    assert_eq!(acquired, [(2, Outcome::Done(false)), (3, Outcome::Done(true))]);
    assert_eq!((empty.value().unwrap(), full.value().unwrap()), (0, 0));
}

/// R31: an encrypted connection trusts its roots alone.
#[cfg(feature = "tls")]
#[test]
fn an_encrypted_connection_trusts_its_roots_alone() {
    let _watchdog = watchdog();
    let Some(certificates) = Certificates::new() else { return };
    let port = free_port().to_string();
    let Some(_server) = Server::start(&certificates.options(&port)) else { return };
    let url = format!("rediss://127.0.0.1:{port}");
    let authority = certificates.authority.display();
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
        .lease(Duration::from_millis(1500))
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
    // Twice as long as until it is given up.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert!(lock.is_held());
        thread::sleep(Duration::from_millis(50));
    }
    other.signal(libc::SIGCONT);
    lock.release().unwrap();
    waiting.cancel();
}

/// A node that is gone, and refuses connections, keeps nobody from working at the others.
#[test]
fn a_node_that_is_gone_slows_nobody_at_another() {
    let _watchdog = watchdog();
    let Some(mut nodes) = Server::start_cluster(3) else { return };
    for node in &nodes {
        node.demand(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let connection =
        Connection::open(&format!("redis+cluster://127.0.0.1:{}", nodes[0].port)).unwrap();
    let open = |owner: usize| {
        let is_there = |name: &String| {
            let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", &format!("nipc:{{s{name}}}")]);
            (slot[1..].parse::<usize>().unwrap() / (16384 / 3)).min(2) == owner
        };
        let name = (0..1000).map(|number| format!("/s{number}")).find(is_there).unwrap();
        let mut options = Semaphore::options(&connection);
        options.initial_value(0).existence(Existence::Create).unlink_on_drop(false);
        options.open(name).unwrap()
    };
    let (here, there) = (open(0), open(1));
    let events = Events::new().unwrap();
    let release = || {
        let begin = Instant::now();
        for _ in 0..100 {
            let _ = here.start_release(&events, 1, 1).unwrap();
            wait_until_at_once(|| events.take().iter().any(|(token, _)| *token == 1));
        }
        begin.elapsed()
    };
    let before = release();
    let waiting = there.start_acquire(&events, 2, Deadline::NEVER).unwrap();
    let line = format!("nipc:{{s{}}}:{}:w", there.handle().name(), there.handle().generation());
    wait_until(|| nodes[1].command(&["ZCARD", &line]) == ":1");
    nodes[1].kill();
    let after = release();
    assert!(after < before * 10 + Duration::from_secs(4), "{before:?} before, {after:?} after");
    waiting.cancel();
}

/// Looks again and again.
fn wait_until_at_once(mut done: impl FnMut() -> bool) {
    while !done() {
        thread::sleep(Duration::from_micros(100));
    }
}
