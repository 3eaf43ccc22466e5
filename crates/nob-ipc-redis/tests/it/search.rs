//! Hosts that are looked up slowly, and sentinels that do not answer, hold up nobody who does not need
//! them.

use std::ffi::{CStr, c_char, c_int};
use std::io::{BufRead, BufReader, Write};
use std::mem;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence};
use nob_ipc_redis::{Connection, Events, Lock, MessageQueue, Outcome};
use nob_ipc_testing::{Arguments, Child, Role, Server, forks, try_command, wait_until, watchdog};

use crate::server;

pub const ROLES: &[Role] = &[("fork_and_end", fork_and_end), ("end", end)];

/// How long looking up [`HOST`] takes, in ms.
static DELAY: AtomicU64 = AtomicU64::new(0);
/// How often it was looked up.
static LOOKED_UP: AtomicUsize = AtomicUsize::new(0);

/// This machine, by a name that nobody else has.
const HOST: &CStr = c"slow.nob-ipc.test";

type LookUp = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const libc::addrinfo,
    *mut *mut libc::addrinfo,
) -> c_int;

/// What the standard library looks hosts up by, in this program.
///
/// # Safety
///
/// That of the C library's.
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    host: *const c_char,
    service: *const c_char,
    hints: *const libc::addrinfo,
    found: *mut *mut libc::addrinfo,
) -> c_int {
    // SAFETY: the function of that name has this type.
    let real = unsafe {
        let real = libc::dlsym(libc::RTLD_NEXT, c"getaddrinfo".as_ptr());
        mem::transmute::<*mut libc::c_void, Option<LookUp>>(real)
    };
    let real = real.expect("the C library has it");
    // SAFETY: it is null, or a string.
    let is_ours = !host.is_null() && unsafe { CStr::from_ptr(host) } == HOST;
    if is_ours {
        LOOKED_UP.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(DELAY.load(Ordering::SeqCst)));
    }
    let host = if is_ours { c"127.0.0.1".as_ptr() } else { host };
    // SAFETY: the caller's arguments, and at most another string.
    unsafe { real(host, service, hints, found) }
}

/// A sentinel that names a server, until it falls silent.
struct Sentinel {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    /// The port of the primary.
    primary: AtomicU16,
    silent: AtomicBool,
    /// How many have asked it since it is silent.
    kept_waiting: AtomicUsize,
    /// How many of these have gone.
    gone: AtomicUsize,
}

impl Sentinel {
    fn start(primary: u16) -> Sentinel {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            primary: AtomicU16::new(primary),
            silent: AtomicBool::new(false),
            kept_waiting: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
        });
        let all = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let shared = all.clone();
                thread::spawn(move || shared.serve(client.unwrap()));
            }
        });
        Sentinel { port, shared }
    }

    fn be_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::SeqCst);
    }

    fn kept_waiting(&self) -> usize {
        self.shared.kept_waiting.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) {
        let mut words = BufReader::new(client.try_clone().unwrap()).lines();
        let mut waits = false;
        // The name of the primary comes last.
        while let Some(Ok(word)) = words.next() {
            if word != "primary" {
                continue;
            }
            if self.silent.load(Ordering::SeqCst) {
                self.kept_waiting.fetch_add(1, Ordering::SeqCst);
                waits = true;
                continue;
            }
            let port = self.primary.load(Ordering::SeqCst).to_string();
            write!(client, "*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len()).unwrap();
        }
        if waits {
            self.gone.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn short_lease(connection: &Connection, name: &str) -> Lock {
    let mut options = Lock::options(connection);
    // Over before what hangs is given up, and long enough for a busy machine.
    let lease = Duration::from_millis(1500);
    options.lease(lease).existence(Existence::Create).open(name).unwrap()
}

fn stays_held(lock: &Lock, until: impl Fn() -> bool) {
    while !until() {
        assert!(lock.is_held());
        thread::sleep(Duration::from_millis(20));
    }
}

/// No lease ends, and no message is late, because a sentinel that is to name the primary says nothing.
#[test]
fn a_sentinel_that_hangs_holds_nothing_up() {
    let _watchdog = watchdog();
    let server = server!();
    let sentinel = Sentinel::start(server.port);
    let url = format!("redis+sentinel://127.0.0.1:{}/primary", sentinel.port);
    let connection = Connection::options().patience(Duration::from_secs(1)).open(&url).unwrap();
    let lock = short_lease(&connection, "/l");
    let queue = MessageQueue::options(&connection).existence(Existence::Create).open("/q").unwrap();
    let theirs = Connection::open(&server.url()).unwrap();
    let theirs = MessageQueue::options(&theirs).open("/q").unwrap();
    let events = Events::new().unwrap();
    let waiting = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    wait_until(|| server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).contains("name="));
    assert!(lock.try_acquire().unwrap());

    // Who calls has lost his connection, and finds none; the one that listens is there.
    sentinel.be_silent(true);
    server.demand(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let begin = Instant::now();
    thread::scope(|scope| {
        let caller = scope.spawn(|| queue.current_messages());
        stays_held(&lock, || begin.elapsed() > Duration::from_millis(2500));
        assert!(caller.join().unwrap().is_err());
    });
    assert!(sentinel.kept_waiting() > 1);
    theirs.send(b"on", 0).unwrap();
    stays_held(&lock, || !events.ready().is_empty());
    let claimed = waiting.claim();
    let Some(Ok(Outcome::Messages(messages))) = claimed else { panic!("{claimed:?}") };
    assert_eq!(messages, [(b"on".to_vec(), 0)]);
    sentinel.be_silent(false);
    lock.release().unwrap();
    // Nobody asks any more.
    connection.close().unwrap();
    wait_until(|| !searches());
}

/// What waits for a sentinel that hangs goes on once somebody else has found the primary.
#[test]
fn a_primary_that_a_caller_has_found_serves_all() {
    let _watchdog = watchdog();
    let server = server!();
    let (hangs, answers) = (Sentinel::start(server.port), Sentinel::start(server.port));
    let url =
        format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{}/primary", hangs.port, answers.port);
    let connection = Connection::open(&url).unwrap();
    let queue = MessageQueue::options(&connection).existence(Existence::Create).open("/q").unwrap();
    let theirs = Connection::open(&server.url()).unwrap();
    let theirs = MessageQueue::options(&theirs).open("/q").unwrap();
    let events = Events::new().unwrap();
    let waiting = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    let listens = || server.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).contains("name=");
    wait_until(listens);
    hangs.be_silent(true);
    // The native thread loses its connection until it asks the one that hangs.
    while hangs.kept_waiting() == 0 {
        server.demand(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        wait_until(|| hangs.kept_waiting() > 0 || listens());
    }
    theirs.send(b"on", 0).unwrap();
    // Whoever asks next asks the other one first.
    assert!(queue.current_messages().unwrap() <= 1);
    wait_until(|| !events.ready().is_empty());
    assert_eq!(hangs.shared.gone.load(Ordering::SeqCst), 0, "the search was waited for");
    let Some(Ok(Outcome::Messages(messages))) = waiting.claim() else { panic!("no messages") };
    assert_eq!(messages, [(b"on".to_vec(), 0)]);
    hangs.be_silent(false);
    connection.close().unwrap();
    wait_until(|| !searches());
}

/// R29: an operator may exchange a primary and its replica without closing a connection: who waits is called
/// by those who use the new one.
#[test]
fn who_waits_is_called_at_the_new_primary() {
    let _watchdog = watchdog();
    let server = server!();
    let other = server.start_replica();
    let sentinel = Sentinel::start(server.port);
    let url = format!("redis+sentinel://127.0.0.1:{}/primary", sentinel.port);
    let connection = Connection::open(&url).unwrap();
    let queue = MessageQueue::options(&connection).existence(Existence::Create).open("/q").unwrap();
    let events = Events::new().unwrap();
    let line = format!("nipc:{{q/q}}:{}:w", queue.handle().generation());
    let receive = |server: &Server, number: u64| {
        let _ = queue.start_receive(&events, number, 1, Deadline::NEVER).unwrap();
        wait_until(|| server.command(&["ZCARD", &line]) == ":1");
    };
    receive(&server, 1);
    wait_until(|| other.command(&["ZCARD", &line]) == ":1");
    other.demand(&["REPLICAOF", "NO", "ONE"]);
    sentinel.shared.primary.store(other.port, Ordering::SeqCst);
    server.demand(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let in_step = |info: &str| info.contains("master_link_status:up");
    wait_until(|| in_step(&server.command(&["INFO", "replication"])));
    let theirs = Connection::open(&other.url()).unwrap();
    let theirs = MessageQueue::options(&theirs).open("/q").unwrap();
    for number in 2..5 {
        theirs.send(b"on", 0).unwrap();
        wait_until(|| !events.ready().is_empty());
        receive(&other, number);
    }
    wait_until(|| server.command(&["PUBSUB", "SHARDCHANNELS"]) == "*0");
    assert_ne!(other.command(&["PUBSUB", "SHARDCHANNELS"]), "*0");
}

/// Whether a thread of this process looks for something. Those of other tests end as well.
fn searches() -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default()
    };
    threads.into_iter().any(|thread| name(thread).trim() == "nob-ipc-find")
}

/// A node whose name is looked up slowly ends no lease at another.
#[test]
fn a_host_that_is_looked_up_slowly_holds_nothing_up() {
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(2) else { return };
    let name = HOST.to_str().unwrap();
    nodes[1].demand(&["CONFIG", "SET", "cluster-announce-hostname", name]);
    nodes[0].demand(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname"]);
    wait_until(|| nodes[0].command(&["CLUSTER", "SLOTS"]).contains(name));
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port);
    let connection = Connection::open(&url).unwrap();
    let own = |key: String| {
        let slot = nodes[0].command(&["CLUSTER", "KEYSLOT", &key]);
        slot[1..].parse::<u32>().unwrap() < 8192
    };
    let mut names = (0..100).map(|number| format!("/n{number}"));
    let here = names.find(|name| own(format!("nipc:{{l{name}}}"))).unwrap();
    let there = names.find(|name| !own(format!("nipc:{{q{name}}}"))).unwrap();
    let lock = short_lease(&connection, &here);
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open(&there).unwrap();
    lock.acquire().unwrap();
    thread::sleep(Duration::from_millis(500));

    DELAY.store(2000, Ordering::SeqCst);
    let (before, begin) = (LOOKED_UP.load(Ordering::SeqCst), Instant::now());
    let events = Events::new().unwrap();
    let waiting = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    stays_held(&lock, || begin.elapsed() > Duration::from_millis(2200));
    assert!(LOOKED_UP.load(Ordering::SeqCst) > before);
    DELAY.store(0, Ordering::SeqCst);
    // Who waits is served once the host is found.
    queue.send(b"on", 0).unwrap();
    wait_until(|| !events.ready().is_empty());
    let Some(Ok(Outcome::Messages(messages))) = waiting.claim() else { panic!("no messages") };
    assert_eq!(messages, [(b"on".to_vec(), 0)]);
    lock.release().unwrap();
    wait_until(|| !searches());
}

/// Forks, and then ends, while a sentinel keeps its native thread waiting.
fn fork_and_end(arguments: &Arguments) {
    let port: u16 = arguments.text(0).parse().unwrap();
    let sentinel = Sentinel::start(port);
    let url = format!("redis+sentinel://127.0.0.1:{}/primary?patience=0.5", sentinel.port);
    let connection = Connection::open(&url).unwrap();
    let queue = MessageQueue::options(&connection)
        .existence(Existence::Create)
        .unlink_on_drop(false)
        .open("/forked")
        .unwrap();
    let events = Events::new().unwrap();
    let _waiting = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    let pubsub = || try_command(port, &["CLIENT", "LIST", "TYPE", "pubsub"]).unwrap();
    wait_until(|| pubsub().contains("name="));
    sentinel.be_silent(true);
    for kind in ["pubsub", "normal"] {
        try_command(port, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).unwrap();
    }
    wait_until(searches);
    let direct = format!("redis://127.0.0.1:{port}");
    forks::in_child(|| {
        assert!(!searches());
        let error = queue.send(b"x", 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerUnavailable, "{error}");
        let direct = Connection::open(&direct).unwrap();
        MessageQueue::options(&direct).open("/forked").unwrap().send(b"x", 0).unwrap();
    });
    sentinel.be_silent(false);
    wait_until(|| !events.ready().is_empty());
    sentinel.be_silent(true);
    for kind in ["pubsub", "normal"] {
        try_command(port, &["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).unwrap();
    }
    let _more = queue.start_receive(&events, 2, 1, Deadline::NEVER).unwrap();
    wait_until(searches);
    connection.finish(Duration::from_secs(5)).unwrap();
    wait_until(|| !searches());
}

/// Ends while a host is looked up.
fn end(arguments: &Arguments) {
    let url = format!("redis://{}:{}", HOST.to_str().unwrap(), arguments.text(0));
    let connection = Connection::open(&url).unwrap();
    let queue =
        MessageQueue::options(&connection).existence(Existence::Create).open("/ended").unwrap();
    DELAY.store(3_600_000, Ordering::SeqCst);
    let events = Events::new().unwrap();
    let _waiting = queue.start_receive(&events, 1, 1, Deadline::NEVER).unwrap();
    wait_until(searches);
}

/// What searches is not there in a forked child, and keeps no process from ending.
#[test]
fn a_search_ends_with_its_process() {
    let _watchdog = watchdog();
    let server = server!();
    for role in ["fork_and_end", "end"] {
        Child::run(role, &[&server.port.to_string()]);
    }
}
