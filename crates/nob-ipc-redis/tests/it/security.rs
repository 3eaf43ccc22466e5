//! Who may do what, and what a server must be.

use std::time::Duration;

use nob_ipc::{ErrorKind, Existence};
use nob_ipc_redis::{BoundedSemaphore, Connection, Durability, Lock, MessageQueue, Semaphore};
use nob_ipc_testing::{Arguments, Child, Role, hear, say, watchdog};

use crate::server;

pub const ROLES: &[Role] = &[("fork", fork), ("password", password)];

/// The rights that the documentation asks for.
const RIGHTS: &[&str] = &[
    "~nipc:{?/*",
    "&nipc:{?/*",
    "+eval",
    "+evalsha",
    "+hello",
    "+ping",
    "+ssubscribe",
    "+sunsubscribe",
    "+spublish",
    "+time",
    "+hgetall",
    "+hget",
    "+hset",
    "+hmget",
    "+hincrby",
    "+del",
    "+pexpire",
    "+exists",
    "+get",
    "+set",
    "+zcard",
    "+zadd",
    "+zrange",
    "+zrem",
    "+zpopmin",
    "+zscore",
    "+zcount",
    "+zremrangebyscore",
];

/// R26: the rights of the guide suffice; with fewer it is permission denied, and nothing is
/// made.
#[test]
fn the_least_rights_suffice() {
    let _watchdog = watchdog();
    let server = server!();
    let user = ["ACL", "SETUSER", "app", "reset", "on", ">p@ss"];
    assert_eq!(server.command(&[&user, RIGHTS].concat()), "+OK");
    assert_eq!(server.command(&["CONFIG", "SET", "requirepass", "admin"]), "+OK");
    let url = format!("redis://app:p%40ss@127.0.0.1:{}", server.port);
    let connection = Connection::open(&url).unwrap();
    assert!(!connection.url().contains("ss") || !format!("{connection:?}").contains("p%40ss"));
    let create = Existence::UnlinkAndCreate;
    for _ in 0..2 {
        let queue = MessageQueue::options(&connection).existence(create).open("/q").unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.receive().unwrap());
            std::thread::sleep(Duration::from_millis(100));
            queue.send(b"x", 0).unwrap();
            waiting.join().unwrap();
        });
        let semaphore = Semaphore::options(&connection).existence(create).open("/s").unwrap();
        semaphore.acquire().unwrap();
        semaphore.release().unwrap();
        let lock = Lock::options(&connection).existence(create).open("/l").unwrap();
        lock.acquire().unwrap();
        lock.mark_repaired().unwrap();
        assert!(lock.is_locked().unwrap());
        lock.release().unwrap();
        let permits = BoundedSemaphore::options(&connection).existence(create).open("/b").unwrap();
        permits.acquire().unwrap();
        assert_eq!(permits.value().unwrap(), 0);
        permits.release().unwrap();
        assert!(!permits.handle().is_stale().unwrap());
    }
    assert_eq!(connection.list_objects().unwrap_err().kind(), ErrorKind::PermissionDenied);
    // What the server is was not told, and nothing else is missing.
    let [finding] = &connection.findings().unwrap()[..] else { panic!("one finding") };
    assert!(finding.contains("INFO"), "{finding}");
    let lists = connection.checks().unwrap().pop().unwrap();
    assert_eq!((lists.what, &*lists.value), ("right to list", "+scan is missing"));
    let wrong = Connection::open(&url.replace("p%40ss", "wrong")).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::PermissionDenied);
    assert!(!wrong.to_string().contains("wrong@"), "{wrong}");
    let none = Connection::open(&server.url()).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::PermissionDenied);
    let elsewhere = Connection::options().namespace("other").open(&url).unwrap();
    let other = Semaphore::options(&elsewhere).existence(create).open("/s").unwrap_err();
    assert_eq!(other.kind(), ErrorKind::PermissionDenied, "{other}");
}

/// Finds its password in the environment.
fn password(arguments: &Arguments) {
    assert_eq!(
        Connection::open(arguments.text(0)).unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    // SAFETY: no other thread of this role reads or changes the environment.
    unsafe { std::env::set_var("NOB_IPC_PASSWORD", "secret") };
    let connection = Connection::open(arguments.text(0)).unwrap();
    assert!(connection.list_objects().unwrap().is_empty());
    assert!(!format!("{connection:?} {}", connection.secret_url()).contains("secret"));
}

/// R25: no text shows a password.
#[test]
fn a_password_may_come_from_the_environment() {
    let server = server!();
    assert_eq!(server.command(&["CONFIG", "SET", "requirepass", "secret"]), "+OK");
    Child::run("password", &[&server.url()]);
}

/// R26: the rights of the guide suffice; with fewer it is permission denied, and nothing is
/// made.
#[test]
fn without_the_right_to_wake_nothing_is_made() {
    let _watchdog = watchdog();
    let server = server!();
    let user = ["ACL", "SETUSER", "mute", "reset", "on", "nopass"];
    let rights: Vec<&str> =
        RIGHTS.iter().copied().filter(|right| !right.starts_with('&')).collect();
    assert_eq!(server.command(&[&user, &rights[..]].concat()), "+OK");
    let url = format!("redis://mute:x@127.0.0.1:{}", server.port);
    let connection = Connection::open(&url).unwrap();
    let options = || {
        let mut options = MessageQueue::options(&connection);
        options.existence(Existence::LinkOrCreate);
        options
    };
    let error = options().open("/q").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert_eq!(server.command(&["DBSIZE"]), ":0");
}

/// R26: the checks name each right that is missing, before a call needs it.
#[test]
fn each_missing_right_is_named() {
    let _watchdog = watchdog();
    let server = server!();
    let url = format!("redis://some@127.0.0.1:{}", server.port);
    let told = |rights: &[&str], durability| {
        let user = ["ACL", "SETUSER", "some", "reset", "on", "nopass", "+info"];
        server.demand(&[&user, rights].concat());
        let connection = Connection::options().durability(durability).open(&url).unwrap();
        let checks = connection.checks().unwrap();
        checks.into_iter().find(|check| check.what == "rights").unwrap()
    };
    let memory = |rights: &[&str]| told(rights, Durability::Memory);
    let whole = memory(RIGHTS);
    assert_eq!((&*whole.value, whole.finding), ("enough for all calls", None));
    // Everybody may say HELLO, and who may not PING does not come so far.
    for missing in RIGHTS.iter().filter(|right| !["+ping", "+hello"].contains(right)) {
        let others: Vec<&str> = RIGHTS.iter().copied().filter(|right| right != missing).collect();
        let check = memory(&others);
        let whole = format!(" {} ", check.value);
        assert!(whole.contains(&format!(" {missing} ")), "{missing}: {whole}");
        let finding = check.finding.unwrap();
        assert!(finding.contains(missing), "{finding}");
        // What it advises is enough.
        if let Some((_, advice)) = finding.split_once("ACL SETUSER some ") {
            let advice: Vec<&str> = advice.split(' ').collect();
            assert_eq!(memory(&[&others[..], &advice].concat()).finding, None);
        }
    }
    // The keys of a kind.
    let queues = |sign: &str| format!("{sign}nipc:{{q/*");
    let (keys, channels) = (queues("~"), queues("&"));
    let some = [&[&*keys, &*channels], &RIGHTS[2..]].concat();
    assert_eq!(
        memory(&some).value,
        "&nipc:{b/* &nipc:{l/* &nipc:{s/* ~nipc:{b/* ~nipc:{l/* ~nipc:{s/* is missing"
    );
    // Who may only read.
    let reads = [&["%R~nipc:{?/*"], &RIGHTS[1..]].concat();
    assert!(memory(&reads).value.contains("+hset"));
    // What the durability takes.
    assert_eq!(told(RIGHTS, Durability::Replica).value, "+wait is missing");
    assert_eq!(told(&[RIGHTS, &["+wait"]].concat(), Durability::Replica).finding, None);
    // Without PING nobody connects.
    let user = ["ACL", "SETUSER", "some", "reset", "on", "nopass"];
    server.demand(&user);
    assert_eq!(Connection::open(&url).unwrap_err().kind(), ErrorKind::PermissionDenied);
}

/// R26: whatever right is missing, a message that cannot be received stays, whether senders wait or not.
#[test]
fn without_a_right_no_message_is_lost() {
    let _watchdog = watchdog();
    let server = server!();
    let all = Connection::open(&server.url()).unwrap();
    let url = format!("redis://some@127.0.0.1:{}", server.port);
    let set = |rights: &[&str]| {
        let user = ["ACL", "SETUSER", "some", "reset", "on", "nopass"];
        server.demand(&[&user, rights].concat());
    };
    set(RIGHTS);
    let some = Connection::open(&url).unwrap();
    let mut options = MessageQueue::options(&all);
    let queue = options.max_messages(2).existence(Existence::Create).open("/q").unwrap();
    let theirs = MessageQueue::options(&some).open("/q").unwrap();
    let events = nob_ipc_redis::Events::new().unwrap();
    for missing in
        ["+set", "+zadd", "+zrange", "+zrem", "+zpopmin", "+zcard", "+exists", "+spublish"]
    {
        let others: Vec<&str> = RIGHTS.iter().copied().filter(|right| *right != missing).collect();
        for waits in [false, true] {
            queue.send(b"a", 0).unwrap();
            queue.send(b"b", 0).unwrap();
            let waiting =
                waits.then(|| queue.start_send(&events, 1, b"c", 0, nob_ipc::Deadline::NEVER));
            if waits {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            set(&others);
            let received = theirs.receive_until(nob_ipc::Deadline::NOW);
            set(RIGHTS);
            let mut expected = vec![&b"a"[..], b"b"];
            if let Ok(Some((message, _))) = &received {
                assert_eq!(message, b"a", "{missing}");
                expected.remove(0);
            }
            if let Some(waiting) = waiting {
                waiting.unwrap().cancel();
            }
            let all = queue.receive_many(9).unwrap();
            let there: Vec<&[u8]> = all.iter().map(|(message, _)| &message[..]).collect();
            assert!(there.starts_with(&expected), "{missing} {waits}: {received:?}, {there:?}");
        }
    }
}

/// R27: a full server is ENOSPC that names `maxmemory`, and can be emptied.
#[test]
fn a_full_server_can_be_emptied() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&connection)
        .max_messages(100)
        .existence(Existence::Create)
        .open("/full")
        .unwrap();
    for number in 0..50_u8 {
        queue.send(&[number; 100], 0).unwrap();
    }
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]), "+OK");
    let error = queue.send(b"x", 0).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::OutOfSpace, Some(libc::ENOSPC)));
    assert!(error.to_string().contains("maxmemory"), "{error}");
    let other = Semaphore::options(&connection).existence(Existence::Create).open("/other");
    assert_eq!(other.unwrap_err().kind(), ErrorKind::OutOfSpace);
    let linked = MessageQueue::options(&connection)
        .existence(Existence::LinkOrCreate)
        .open("/full")
        .unwrap();
    assert_eq!(MessageQueue::options(&connection).open("/full").unwrap().max_messages(), 100);
    for number in 0..50_u8 {
        assert_eq!(linked.receive().unwrap().0, [number; 100]);
    }
}

/// R28: a server that throws objects away is refused; `check()` tells of one that forgets.
#[test]
fn a_server_that_forgets_does_not_suit() {
    let _watchdog = watchdog();
    let server = server!("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru");
    let error = Connection::open(&server.url()).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Other, Some(libc::ENOTSUP)));
    assert!(error.to_string().contains("noeviction"), "{error}");
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]), "+OK");
    let connection = Connection::open(&server.url()).unwrap();
    // Nothing but its disk could confirm, and there is no file on it.
    let refused =
        Connection::options().durability(Durability::Fsync).open(&server.url()).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::ENOTSUP));
    assert!(refused.to_string().contains("fsync"), "{refused}");
    assert!(connection.findings().unwrap()[0].contains("appendonly"));
    let sure = Connection::options().durability(Durability::Replica).open(&server.url()).unwrap();
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "100kb"]), "+OK");
    let checks = sure.checks().unwrap();
    let hurting: Vec<&str> =
        checks.iter().filter(|check| check.finding.is_some()).map(|check| check.what).collect();
    assert_eq!(hurting, ["maxmemory", "appendonly", "replicas"]);
    let plain = connection.checks().unwrap();
    assert_eq!(plain.iter().filter(|check| check.finding.is_some()).count(), 2);
    assert!(checks.iter().all(|check| check.objection.is_none() && !check.value.is_empty()));
    // It has become unsuitable meanwhile.
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]), "+OK");
    assert!(connection.findings().unwrap()[0].contains("noeviction"));
}

/// The connections that a server has, but for the one that asks.
fn connections(url: &str) -> usize {
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let listed = nob_ipc_testing::try_command(port, &["CLIENT", "LIST"]).unwrap();
    listed.matches(" cmd=").count() - 1
}

/// Forks while handles are open, and has both processes use them.
fn fork(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/fork").unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/fork").unwrap();
    lock.acquire().unwrap();
    // The native thread and connections are there.
    assert_eq!(queue.receive_timeout(Duration::from_millis(50)).unwrap(), None);
    let url = arguments.text(0).to_string();
    nob_ipc_testing::forks::in_child(|| {
        assert!(!lock.is_held());
        assert_eq!(lock.release().unwrap_err().kind(), ErrorKind::NotHeld);
        assert!(lock.is_locked().unwrap() && !lock.try_acquire().unwrap());
        for number in 0..50_u8 {
            queue.send(&[number], 0).unwrap();
        }
        // Its end removes no name.
        queue.handle().delete().unwrap();
        lock.handle().delete().unwrap();
    });
    assert!(lock.is_held() && !queue.handle().is_stale().unwrap());
    lock.release().unwrap();
    // What a child opens is not mistaken for what it has inherited.
    nob_ipc_testing::forks::in_child(|| {
        let other = Lock::options(&connection).existence(Existence::Create).open("/own").unwrap();
        lock.acquire().unwrap();
        other.acquire().unwrap();
        lock.release().unwrap();
        assert!(other.is_held() && !lock.is_held() && !lock.is_locked().unwrap());
        other.release().unwrap();
        drop(other);
        // Closing the connection lets go of what it holds by a handle of its parent.
        lock.acquire().unwrap();
        connection.close().unwrap();
    });
    assert!(!lock.is_locked().unwrap());
    hear();
    // A child that lives on keeps none of its parent's connections open.
    let idle = nob_ipc_testing::forks::fork(|| {
        loop {
            std::thread::park();
        }
    });
    connection.close().unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while connections(&url) > 0 {
        assert!(std::time::Instant::now() < end, "they are open still");
        std::thread::sleep(Duration::from_millis(20));
    }
    nob_ipc_testing::forks::kill(idle);
    say("done");
}

/// R11: a forked child has a client of its own, and holds nothing of its parent's.
#[test]
fn a_forked_child_has_a_client_of_its_own() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let mut child = Child::start("fork", &[&server.url()]);
    let mut seen = Vec::new();
    let queue = loop {
        match MessageQueue::options(&connection).open("/fork") {
            Ok(queue) => break queue,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        }
    };
    while seen.len() < 50 {
        let (message, _) = queue.receive_timeout(Duration::from_secs(30)).unwrap().unwrap();
        seen.push(message[0]);
    }
    assert!(seen.into_iter().eq(0..50));
    drop(queue);
    connection.close().unwrap();
    child.say("go on");
    child.expect("done");
    child.finish();
}

#[test]
fn sockets_and_databases() {
    let _watchdog = watchdog();
    let directory = nob_ipc_testing::Directory::new();
    let socket = directory.join("s").display().to_string();
    let Some(server) = nob_ipc_testing::Server::start(&["--unixsocket", &socket]) else { return };
    let url = format!("unix://{socket}?db=3&namespace=other");
    let connection = Connection::open(&url).unwrap();
    let queue = MessageQueue::options(&connection).existence(Existence::Create).open("/q").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.receive().unwrap().0);
        std::thread::sleep(Duration::from_millis(50));
        queue.send(b"x", 0).unwrap();
        assert_eq!(waiting.join().unwrap(), b"x");
    });
    assert_eq!(server.command(&["DBSIZE"]), ":0");
    let same = Connection::options()
        .namespace("other")
        .open(&format!("redis://127.0.0.1:{}/3", server.port))
        .unwrap();
    assert_eq!(same.list_objects().unwrap().len(), 1);
}

/// A user of the URL is never another one in silence.
#[test]
fn a_user_without_a_password_is_that_user() {
    let _watchdog = watchdog();
    let server = server!();
    server.demand(&["ACL", "SETUSER", "guest", "on", "nopass", "~*", "&*", "+@all"]);
    let url = |user: &str| server.url().replace("redis://", &format!("redis://{user}@"));
    let connection = Connection::open(&url("guest")).unwrap();
    let create = Existence::Create;
    let queue = MessageQueue::options(&connection).existence(create).open("/guest").unwrap();
    assert_eq!(queue.receive_timeout(Duration::from_millis(20)).unwrap(), None);
    let clients = server.demand(&["CLIENT", "LIST"]);
    // This question is from the default user.
    assert_eq!(clients.matches("user=default").count(), 1, "{clients}");
    assert!(clients.matches("user=guest").count() >= 2, "{clients}");
    let error = Connection::open(&url("nobody")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

/// What others have under our keys is told, and neither believed nor changed.
#[test]
fn keys_of_another_program() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    server.demand(&["SET", "nipc:{q/string}", "theirs"]);
    server.demand(&["HSET", "nipc:{q/hash}", "gen", "1", "theirs", "2"]);
    for name in ["/string", "/hash"] {
        for existence in [Existence::Link, Existence::LinkOrCreate] {
            let error =
                MessageQueue::options(&connection).existence(existence).open(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongType, "{name}: {error}");
        }
    }
    assert_eq!(server.demand(&["GET", "nipc:{q/string}"]), "$6\r\ntheirs");
    assert_eq!(server.demand(&["HLEN", "nipc:{q/hash}"]), ":2");
    // In place of what a queue has.
    let queue = MessageQueue::options(&connection).existence(Existence::Create).open("/q").unwrap();
    server.demand(&["SET", &format!("nipc:{{q/q}}:{}:z", queue.handle().generation()), "theirs"]);
    for error in [
        queue.try_send(b"x", 0).unwrap_err(),
        queue.try_receive_message().unwrap_err(),
        queue.receive_timeout(Duration::from_millis(10)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::WrongType, "{error}");
        assert!(error.to_string().contains("namespace"), "{error}");
    }
    // A list passes over what is not ours.
    server.demand(&["DEBUG", "POPULATE", "100000", "nipc:{q/many}"]);
    let names: Vec<String> = connection
        .list_objects()
        .unwrap()
        .into_iter()
        .map(|object| String::from_utf8_lossy(object.name.as_bytes()).into_owned())
        .collect();
    assert!(names.contains(&"/q".to_string()) && !names.contains(&"/string".to_string()));
}

/// What an object was made with is not believed when it cannot be so.
#[test]
fn attributes_out_of_range() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let create = Existence::Create;
    let _queue = MessageQueue::options(&connection).existence(create).open("/q").unwrap();
    let _permits = BoundedSemaphore::options(&connection).existence(create).open("/b").unwrap();
    let queue = || MessageQueue::options(&connection).open("/q").map(|_| ());
    let permits = || BoundedSemaphore::options(&connection).open("/b").map(|_| ());
    for (key, attribute, open) in [
        ("nipc:{q/q}", "size", &queue as &dyn Fn() -> nob_ipc::Result<()>),
        ("nipc:{q/q}", "max", &queue),
        ("nipc:{b/b}", "max", &permits),
    ] {
        let reply = server.demand(&["HGET", key, attribute]);
        let made = reply.lines().last().unwrap();
        for value in ["0", "-1", "x", "", "99999999999"] {
            server.demand(&["HSET", key, attribute, value]);
            let error = open().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongType, "{key} {attribute} {value}: {error}");
        }
        server.demand(&["HSET", key, attribute, made]);
        open().unwrap();
    }
}
