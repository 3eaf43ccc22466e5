//! Watching a server: what is seen, that it is little work, and what becomes of it when the server does not
//! answer.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{ErrorKind, Existence, Kind, Name};
use nob_ipc_redis::{
    BoundedSemaphore, Connection, Content, Lock, MessageQueue, Semaphore, Watch, Watched,
};
use nob_ipc_testing::{Server, wait_until, watchdog};

use crate::server;

fn name(kind: Kind, name: &str) -> Name {
    Name::new(kind, name).unwrap()
}

fn of(watch: &Watch, kind: Kind) -> Arc<Watched> {
    let mut found = watch.objects().filter(|watched| watched.info.name.kind() == kind);
    found.next().unwrap_or_else(|| panic!("no {kind}")).clone()
}

#[test]
fn what_each_kind_holds() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let created = Existence::Create;
    let queue = MessageQueue::options(&connection).max_messages(3).existence(created).open("/x");
    let queue = queue.unwrap();
    let semaphore = Semaphore::options(&connection).initial_value(0).existence(created).open("/x");
    let semaphore = semaphore.unwrap();
    let lock = Lock::options(&connection).existence(created).open("/x").unwrap();
    let permits = BoundedSemaphore::options(&connection).bound(2).existence(created).open("/x");
    let permits = permits.unwrap();
    let mut watch = connection.watch();
    assert!(!watch.is_whole());
    watch.step(&[]).unwrap();
    assert!(watch.is_whole() && !watch.overflows());
    assert_eq!(watch.objects().count(), 4);
    let free = of(&watch, Kind::Lock).state.clone().unwrap();
    assert_eq!(free.content, Content::Lock { owner: None, held: false, owner_died: false });
    assert_eq!((free.lease_left, free.waiters), (None, 0));

    for message in [b"a", b"b", b"c"] {
        queue.send(message, 0).unwrap();
    }
    queue.receive().unwrap();
    lock.acquire().unwrap();
    permits.acquire().unwrap();
    let me = std::process::id();
    thread::scope(|scope| {
        scope.spawn(|| semaphore.acquire().unwrap());
        scope.spawn(|| semaphore.acquire().unwrap());
        wait_until(|| {
            watch.step(&[]).unwrap();
            of(&watch, Kind::Semaphore).state.as_ref().unwrap().waiters == 2
        });
        semaphore.release_many(3).unwrap();
    });
    watch.step(&[]).unwrap();
    let state = |kind| of(&watch, kind).state.clone().unwrap();
    assert_eq!(state(Kind::Semaphore).content, Content::Value(1));
    assert_eq!(state(Kind::MessageQueue).content, Content::Messages { messages: 2, sent: 3 });
    let held = state(Kind::Lock);
    assert_eq!(held.content, Content::Lock { owner: Some(me), held: true, owner_died: false });
    assert!(held.lease_left > Some(Duration::from_secs(3)), "{held:?}");
    assert!(held.lease_left <= Some(Duration::from_secs(10)), "{held:?}");
    let taken = state(Kind::BoundedSemaphore);
    assert_eq!(taken.content, Content::Permits { held: 1, holders: vec![me] });
    assert!(taken.lease_left.is_some());
    // Who looks at one object sees the same.
    let info = connection.find_object(&name(Kind::Lock, "/x")).unwrap();
    let alone = connection.look_at(&info).unwrap().unwrap();
    assert_eq!(alone.content, held.content);
    assert_eq!(info.bound, None);

    // Its owner is cut off, and the lease is over.
    server.demand(&["HSET", &format!("nipc:{{l/x}}:{}", info.generation), "until", "1"]);
    watch.step(&[]).unwrap();
    let silent = of(&watch, Kind::Lock).state.clone().unwrap();
    assert_eq!(silent.content, Content::Lock { owner: None, held: false, owner_died: true });
    assert_eq!(silent.lease_left, None);
}

#[test]
fn names_that_go_and_come_back() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let open = || {
        let mut options = Semaphore::options(&connection);
        options.existence(Existence::UnlinkAndCreate).unlink_on_drop(false).open("/x").unwrap()
    };
    open();
    let mut watch = connection.watch();
    watch.step(&[]).unwrap();
    let old = of(&watch, Kind::Semaphore).info.clone();
    open();
    // The step that sees that there is another looks at it the next time.
    watch.step(&[]).unwrap();
    watch.step(&[]).unwrap();
    let new = of(&watch, Kind::Semaphore);
    assert_ne!(new.info.generation, old.generation);
    assert!(new.state.is_some());
    assert_eq!(connection.look_at(&old).unwrap(), None);
    // The new one is not removed in place of the old one.
    let error = connection.unlink_object(&old).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Replaced, "{error}");
    connection.unlink_object(&new.info).unwrap();
    assert_eq!(connection.unlink_object(&new.info).unwrap_err().kind(), ErrorKind::NotFound);
    watch.step(&[]).unwrap();
    assert_eq!(watch.objects().count(), 0);

    // Of another version, or damaged: it is there, and tells nothing.
    let other = open();
    server.demand(&["HSET", "nipc:{s/x}", "pv", "2"]);
    watch.step(&[]).unwrap();
    let seen = of(&watch, Kind::Semaphore);
    assert!(seen.state.is_none() && seen.looked.is_some());
    let error = connection.look_at(&seen.info).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongType, "{error}");
    server.demand(&["HSET", "nipc:{s/x}", "pv", "1"]);
    server.demand(&["DEL", &format!("nipc:{{s/x}}:{}", other.handle().generation())]);
    watch.step(&[]).unwrap();
    assert!(of(&watch, Kind::Semaphore).state.is_none());
}

/// How often a command was called.
fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]);
    let begin = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&begin));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

/// However much there is, a step does little, and what is asked for is looked at in each.
#[test]
fn a_step_is_a_bounded_piece_of_work() {
    const OBJECTS: u32 = 1200;
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    for number in 0..OBJECTS {
        let mut options = Semaphore::options(&connection);
        options.existence(Existence::LinkOrCreate).initial_value(number);
        options.open(format!("/s{number}")).unwrap();
    }
    // Those of others.
    server.demand(&["DEBUG", "POPULATE", "30000", "theirs"]);
    let mut watch = connection.watch();
    let asked = [name(Kind::Semaphore, "/s7"), name(Kind::Semaphore, "/s1100")];
    let (mut steps, mut evals) = (0, calls(&server, "eval") + calls(&server, "evalsha"));
    let mut last = None;
    let mut looked = 0;
    while !watch.is_whole() || looked < OBJECTS {
        let scans = calls(&server, "scan");
        watch.step(&asked).unwrap();
        steps += 1;
        assert!(steps < 100, "it does not end");
        let now = calls(&server, "eval") + calls(&server, "evalsha");
        assert!(now - evals <= 256 && calls(&server, "scan") - scans <= 10);
        evals = now;
        looked = 0;
        for watched in watch.objects() {
            looked += u32::from(watched.state.is_some());
            if watched.info.name == asked[1] && watched.looked.is_some() {
                assert!(watched.looked > last, "it is looked at in each step");
                last = watched.looked;
                assert_eq!(watched.state.as_ref().unwrap().content, Content::Value(1100));
            }
        }
    }
    assert_eq!(watch.objects().count(), OBJECTS as usize);
    assert!(steps > 3, "{steps}");
    server.demand(&["FLUSHALL"]);
    for _ in 0..OBJECTS / 256 + 2 {
        watch.step(&asked).unwrap();
    }
    assert_eq!(watch.objects().count(), 0);
}

/// More objects than it knows are told of as long as there are.
#[test]
fn too_many_objects_are_told_of() {
    const MOST: usize = 10_000;
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    // Names are enough.
    let fill = "for i = 1, ARGV[1] do redis.call('HSET', 'nipc:{s/' .. i .. '}', 'gen', i) end";
    server.demand(&["EVAL", fill, "0", &(MOST + 500).to_string()]);
    let mut watch = connection.watch();
    let round = |watch: &mut Watch| (0..5).for_each(|_| watch.step(&[]).unwrap());
    round(&mut watch);
    assert!(watch.is_whole() && watch.overflows());
    let clear = "for i = 1, ARGV[1] do redis.call('DEL', 'nipc:{s/' .. i .. '}') end";
    server.demand(&["EVAL", clear, "0", "1000"]);
    round(&mut watch);
    assert!(!watch.overflows());
}

/// What a user may not look at hides nothing else, also where the server has not seen the script.
#[test]
fn one_that_may_not_be_looked_at_hides_no_other() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let names = ["/theirs", "/mine-1", "/mine-2"];
    for name in names {
        let mut options = Semaphore::options(&connection);
        options.existence(Existence::LinkOrCreate).initial_value(5).open(name).unwrap();
    }
    // A script needs the right to write to the keys that it is given.
    server.demand(&[
        "ACL",
        "SETUSER",
        "some",
        "on",
        "nopass",
        "+@all",
        "%R~nipc:{?/*",
        "~nipc:{s/mine*",
    ]);
    server.demand(&["SCRIPT", "FLUSH"]);
    let some = Connection::open(&format!("redis://some@127.0.0.1:{}", server.port)).unwrap();
    let mut watch = some.watch();
    let first = names.map(|given| name(Kind::Semaphore, given));
    watch.step(&first).unwrap();
    let values = watch.objects().map(|watched| {
        let content = watched.state.as_ref().map(|state| state.content.clone());
        (watched.info.name.to_string(), content)
    });
    let mut values: Vec<_> = values.collect();
    values.sort_by(|one, other| one.0.cmp(&other.0));
    let five = Some(Content::Value(5));
    let seen: Vec<_> = values.into_iter().map(|(_, content)| content).collect();
    assert_eq!(seen, [five.clone(), five, None]);
}

/// What a node has that is gone does not keep others from being looked at.
#[test]
fn objects_of_a_node_that_is_gone_hide_no_others() {
    let _watchdog = watchdog();
    let Some(mut nodes) = Server::start_cluster(2) else { return };
    for node in &nodes {
        node.demand(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let connection =
        Connection::open(&format!("redis+cluster://127.0.0.1:{}", nodes[0].port)).unwrap();
    let open = |name: &str| {
        let mut options = Semaphore::options(&connection);
        options.existence(Existence::LinkOrCreate).open(name).unwrap()
    };
    let is_first = |name: &str| {
        let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", &format!("nipc:{{s{name}}}")]);
        slot[1..].parse::<u32>().unwrap() < 8192
    };
    // More than one step looks at.
    let names: Vec<String> = (0..700).map(|number| format!("/s{number}")).collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = names.iter().partition(|name| is_first(name));
    assert!(theirs.len() > 256 && ours.len() > 1);
    for name in &names {
        open(name);
    }
    let mut watch = connection.watch();
    while watch.objects().filter(|watched| watched.state.is_some()).count() < names.len() {
        watch.step(&[]).unwrap();
    }
    nodes[1].kill();
    let semaphore = open(ours[0]);
    semaphore.release_many(7).unwrap();
    let before = Instant::now();
    for _ in 0..4 {
        watch.step(&[]).unwrap_err();
    }
    let fresh = watch.objects().filter(|watched| watched.looked > Some(before)).count();
    assert_eq!((fresh, watch.objects().count()), (ours.len(), names.len()));
}

/// A step ends soon, and says why; when the server is back, the next one goes on.
#[test]
fn a_server_that_does_not_answer() {
    let _watchdog = watchdog();
    // What is acknowledged is there after it was killed: otherwise a busy disk delays writing.
    let mut server = server!("--appendonly", "yes", "--appendfsync", "always");
    let connection = Connection::open(&server.url()).unwrap();
    let semaphore = Semaphore::options(&connection).existence(Existence::LinkOrCreate).open("/x");
    let semaphore = semaphore.unwrap();
    let mut watch = connection.watch();
    watch.step(&[]).unwrap();
    server.signal(libc::SIGSTOP);
    let begin = Instant::now();
    let error = watch.step(&[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
    // The patience is ten seconds.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(watch.objects().count(), 1, "what was known stays");
    server.signal(libc::SIGCONT);
    semaphore.release().unwrap();
    watch.step(&[]).unwrap();
    let value = |watch: &Watch| of(watch, Kind::Semaphore).state.clone().unwrap().content;
    assert_eq!(value(&watch), Content::Value(2));
    server.kill();
    watch.step(&[]).unwrap_err();
    server.restart();
    semaphore.release().unwrap();
    watch.step(&[]).unwrap();
    assert_eq!(value(&watch), Content::Value(3));
    connection.close().unwrap();
    assert_eq!(watch.step(&[]).unwrap_err().kind(), ErrorKind::Closed);
}

/// What each node of a cluster has is seen; one that is gone does not hide the others.
#[test]
fn a_cluster() {
    let _watchdog = watchdog();
    let Some(mut nodes) = Server::start_cluster(3) else { return };
    let url = format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", nodes[0].port, nodes[1].port);
    let connection = Connection::open(&url).unwrap();
    let names: Vec<String> = (0..30).map(|number| format!("/s{number}")).collect();
    for name in &names {
        let mut options = Semaphore::options(&connection);
        options.existence(Existence::LinkOrCreate).open(name).unwrap();
    }
    let mut watch = connection.watch();
    watch.step(&[]).unwrap();
    assert!(watch.is_whole() && watch.objects().all(|watched| watched.state.is_some()));
    assert_eq!(watch.objects().count(), 30);
    let there = nodes[0].command(&["DBSIZE"]);
    nodes[0].kill();
    watch.step(&[]).unwrap_err();
    let before = Instant::now();
    watch.step(&[]).unwrap_err();
    let fresh = watch.objects().filter(|watched| watched.looked > Some(before)).count();
    // A name and its data are two keys.
    let lost: usize = there[1..].parse::<usize>().unwrap() / 2;
    assert_eq!((fresh, watch.objects().count()), (30 - lost, 30), "{there}");
    assert!(lost > 0 && lost < 30, "{there}");
}
