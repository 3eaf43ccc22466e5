//! Creating, linking, unlinking, and the end of handles.

use std::thread;
use std::time::Duration;

use nob_ipc::{Deadline, ErrorKind, Existence, Kind, Name};
use nob_ipc_redis::{BoundedSemaphore, Connection, Handle, Lock, MessageQueue, Semaphore};
use nob_ipc_testing::{Arguments, Child, Role, hear, say, watchdog};

use crate::server;

pub const ROLES: &[Role] = &[("open_one", open_one)];

fn existence(word: &str) -> Existence {
    match word {
        "create" => Existence::Create,
        "link" => Existence::Link,
        "both" => Existence::LinkOrCreate,
        _ => Existence::UnlinkAndCreate,
    }
}

/// Opens a queue when it is told to, and says what came of it.
fn open_one(arguments: &Arguments) {
    let connection = Connection::open(arguments.text(0)).unwrap();
    say("connected");
    while hear() == "go" {
        let mut options = MessageQueue::options(&connection);
        options.existence(existence(arguments.text(1))).unlink_on_drop(false);
        match options.open("/race") {
            Ok(queue) => {
                say(format_args!("{} {}", queue.handle().created(), queue.handle().generation()));
            }
            Err(error) => say(format_args!("{:?} -", error.kind())),
        }
    }
}

/// R6: objects are created, linked to and replaced as asked, also by many at once.
#[test]
fn opening_as_asked() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let open = |existence| Semaphore::options(&connection).existence(existence).open("/x");
    assert_eq!(open(Existence::Link).unwrap_err().kind(), ErrorKind::NotFound);
    let first = open(Existence::Create).unwrap();
    assert!(first.handle().created() && first.handle().unlink_on_drop());
    assert_eq!(open(Existence::Create).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let second = open(Existence::LinkOrCreate).unwrap();
    assert!(!second.handle().created() && !second.handle().unlink_on_drop());
    let third = open(Existence::UnlinkAndCreate).unwrap();
    assert!(third.handle().created() && first.handle().is_stale().unwrap());
    // Who has the old one goes on with it.
    assert!(first.try_acquire().unwrap() && !second.try_acquire().unwrap());
    assert_eq!(third.value().unwrap(), 1);
    assert_eq!(first.handle().unlink().unwrap_err().kind(), ErrorKind::Replaced);
    drop(first);
    assert!(!third.handle().is_stale().unwrap());
    drop(third);
    assert_eq!(open(Existence::Link).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(connection.list_objects().unwrap().is_empty());
}

/// R6: objects are created, linked to and replaced as asked, also by many at once.
#[test]
fn four_modes_raced_by_eight_processes() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let name = Name::new(Kind::MessageQueue, "/race").unwrap();
    for mode in ["create", "both", "replace", "link"] {
        let mut children: Vec<Child> =
            (0..8).map(|_| Child::start("open_one", &[&server.url(), &mode])).collect();
        for child in &mut children {
            child.expect("connected");
        }
        for _ in 0..20 {
            for child in &mut children {
                child.say("go");
            }
            let heard: Vec<String> = children.iter_mut().map(Child::hear).collect();
            let count = |prefix: &str| heard.iter().filter(|line| line.starts_with(prefix)).count();
            match mode {
                "create" => {
                    assert_eq!((count("true"), count("AlreadyExists")), (1, 7), "{heard:?}");
                }
                "both" => assert_eq!((count("true"), count("false")), (1, 7), "{heard:?}"),
                "replace" => assert_eq!(count("true"), 8, "{heard:?}"),
                _ => assert_eq!(count("NotFound"), 8, "{heard:?}"),
            }
            let mut generations: Vec<&str> =
                heard.iter().filter_map(|line| line.split(' ').nth(1)).collect();
            generations.sort_unstable();
            generations.dedup();
            // Each replacement is another object; all others see one.
            assert_eq!(
                generations.len(),
                match mode {
                    "create" => 2,
                    "replace" => 8,
                    _ => 1,
                }
            );
            let removed = connection.unlink(&name);
            assert_eq!(removed.is_ok(), mode != "link");
        }
        for child in &mut children {
            child.say("end");
        }
    }
}

/// R7: open handles go on after `unlink`, and a name is removed as the flags say.
#[test]
fn an_unlinked_object_goes_on() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/gone").unwrap();
    let other = MessageQueue::options(&connection).open("/gone").unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.receive().unwrap());
        thread::sleep(Duration::from_millis(100));
        queue.handle().unlink().unwrap();
        assert_eq!(queue.handle().unlink().unwrap_err().kind(), ErrorKind::NotFound);
        queue.send(b"still here", 1).unwrap();
        assert_eq!(waiting.join().unwrap(), (b"still here".to_vec(), 1));
    });
    queue.send(b"again", 0).unwrap();
    // All that is left of it ends by itself.
    let keys = server.command(&["KEYS", "*"]);
    let keys: Vec<&str> = keys.lines().filter(|line| line.starts_with("nipc:")).collect();
    assert!(!keys.is_empty());
    for key in keys {
        let left = server.command(&["PTTL", key]);
        let left: i64 = left[1..].parse().unwrap();
        assert!((1..=3_600_000).contains(&left), "{key} lives for {left} ms");
    }
}

#[test]
fn a_closed_handle_is_closed() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/close").unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/close").unwrap();
    lock.acquire().unwrap();
    for closing in ["handle", "connection"] {
        let other = Connection::open(&server.url()).unwrap();
        let waiting = MessageQueue::options(&other).open("/close").unwrap();
        let waiting_lock = Lock::options(&other).open("/close").unwrap();
        thread::scope(|scope| {
            let waits = [
                scope.spawn(|| waiting.receive().map(|_| ()).unwrap_err().kind()),
                scope.spawn(|| waiting_lock.acquire().unwrap_err().kind()),
            ];
            thread::sleep(Duration::from_millis(200));
            if closing == "handle" {
                waiting.handle().close().unwrap();
                waiting_lock.handle().close().unwrap();
            } else {
                other.close().unwrap();
            }
            for wait in waits {
                assert_eq!(wait.join().unwrap(), ErrorKind::Closed);
            }
        });
        assert_eq!(waiting.send(b"x", 0).unwrap_err().kind(), ErrorKind::Closed);
        waiting.handle().close().unwrap();
        // What comes now is not for those who have gone.
        queue.send(b"x", 0).unwrap();
        assert_eq!(queue.receive().unwrap().0, b"x");
    }
}

#[test]
fn objects_are_listed() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let queue = MessageQueue::options(&connection)
        .existence(Existence::Create)
        .max_messages(3)
        .open("/b}c")
        .unwrap();
    let lock = Lock::options(&connection).existence(Existence::Create).open("/a").unwrap();
    queue.send(b"1", 0).unwrap();
    lock.acquire().unwrap();
    let elsewhere = Connection::options().namespace("other").open(&server.url()).unwrap();
    assert!(elsewhere.list_objects().unwrap().is_empty());
    let listed = connection.list_objects().unwrap();
    let names: Vec<String> = listed.iter().map(|info| info.name.to_string()).collect();
    assert_eq!(names, ["/b}c", "/a"]);
    assert_eq!(listed[0].bound, Some(3));
    assert_eq!(listed[0].creator_pid, Some(std::process::id()));
    for info in &listed {
        assert_eq!(connection.find_object(&info.name).unwrap(), *info);
        let missing = elsewhere.find_object(&info.name).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
    assert!(!connection.findings().unwrap().is_empty(), "no append-only file");
}

/// R10: an object without a name ends an hour after its last use, and who finds nothing, or no room,
/// uses it.
#[test]
fn who_finds_nothing_keeps_an_object_without_a_name() {
    let _watchdog = watchdog();
    let server = server!();
    let connection = Connection::open(&server.url()).unwrap();
    let create = Existence::Create;
    let full =
        MessageQueue::options(&connection).max_messages(1).existence(create).open("/f").unwrap();
    full.send(b"x", 0).unwrap();
    let empty = MessageQueue::options(&connection).existence(create).open("/e").unwrap();
    let semaphore =
        Semaphore::options(&connection).initial_value(0).existence(create).open("/s").unwrap();
    let lock = Lock::options(&connection).existence(create).open("/l").unwrap();
    lock.acquire().unwrap();
    let permits = BoundedSemaphore::options(&connection).existence(create).open("/b").unwrap();
    permits.acquire().unwrap();
    for handle in
        [full.handle(), empty.handle(), semaphore.handle(), lock.handle(), permits.handle()]
    {
        handle.unlink().unwrap();
    }
    // The data, and what it has.
    let keys = |handle: &Handle, letters: &[&str]| -> Vec<String> {
        let base = format!("nipc:{{{}}}:{}", handle_key(handle), handle.generation());
        [String::new()]
            .into_iter()
            .chain(letters.iter().map(|letter| format!(":{letter}")))
            .map(|end| format!("{base}{end}"))
            .collect()
    };
    let short = Deadline::after(Duration::from_millis(20));
    for deadline in [Deadline::NOW, short] {
        let all = [
            keys(full.handle(), &["z"]),
            keys(empty.handle(), &[]),
            keys(semaphore.handle(), &[]),
            keys(lock.handle(), &[]),
            keys(permits.handle(), &["z"]),
        ]
        .concat();
        for key in &all {
            assert_eq!(server.demand(&["PEXPIRE", key, "60000"]), ":1", "{key}");
        }
        assert!(!full.send_until(b"y", 0, deadline).unwrap());
        assert!(empty.receive_until(deadline).unwrap().is_none());
        assert!(!semaphore.acquire_until(deadline).unwrap());
        assert!(!lock.acquire_until(deadline).unwrap());
        assert!(!permits.acquire_until(deadline).unwrap());
        for key in &all {
            let left: u64 = server.demand(&["PTTL", key])[1..].parse().unwrap();
            assert!(left > 3_000_000, "{key}: {left}");
        }
    }
}

fn handle_key(handle: &Handle) -> String {
    let letter = match handle.name().kind() {
        Kind::MessageQueue => "q",
        Kind::Semaphore => "s",
        Kind::Lock => "l",
        _ => "b",
    };
    format!("{letter}{}", String::from_utf8_lossy(handle.name().as_bytes()))
}
