//! Servers that tests start for themselves: Redis or Valkey, as a child in a directory of its own.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::directory::Directory;
use crate::running::{prepare, spawn};
use crate::waiting::{self, wait_until};

/// The program to start: the first that the environment variable `NOB_IPC_REDIS_SERVER` names, else
/// `redis-server` or `valkey-server` of the path.
fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("NOB_IPC_REDIS_SERVER") {
        return env::split_paths(&named).next();
    }
    let path = env::var_os("PATH")?;
    let found =
        |name: &str| env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    found("redis-server").or_else(|| found("valkey-server"))
}

/// A port of 127.0.0.1 that nobody has, and no other process of the tests gets. With the one 10,000 above,
/// which a cluster also uses, it is below those that Linux gives to connections. A socket of datagrams,
/// which no server has, keeps it for as long as this process lives: its server may be down for a while.
#[must_use]
pub fn free_port() -> u16 {
    static STEPS: AtomicU32 = AtomicU32::new(0);
    static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    loop {
        let step = process::id().wrapping_add(STEPS.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(step % 10_000).expect("it is below 10,000");
        let Ok(mark) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
            return port;
        }
    }
}

/// A server of one test; killed when it is dropped.
pub struct Server {
    program: PathBuf,
    /// Where clients find it.
    pub port: u16,
    directory: Directory,
    arguments: Vec<String>,
    /// Its wall clock, if that is not the machine's.
    clock: Option<Clock>,
    process: Option<Child>,
}

impl Server {
    /// Starts one, with these options of its configuration (`--appendonly yes`); `None`, and a word
    /// about it, if the machine has no such program.
    pub fn start(arguments: &[&str]) -> Option<Server> {
        let mut server = Server::new(arguments)?;
        server.restart();
        Some(server)
    }

    /// The same, with a wall clock that is ahead of the machine's by so many seconds, or behind it if
    /// they are negative; `None`, and a word about it, also where the program takes the clock of nobody
    /// else.
    pub fn start_with_clock(arguments: &[&str], ahead: i64) -> Option<Server> {
        let mut server = Server::new(arguments)?;
        server.clock = Some(Clock::new(&server.directory)?);
        server.set_clock(ahead);
        server.restart();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let answer = server.command(&["TIME"]);
        let seconds = answer.lines().nth(2).and_then(|seconds| seconds.parse::<i64>().ok());
        let off = seconds.expect("the time in seconds") - now.as_secs().cast_signed() - ahead;
        if off.abs() > 60 {
            eprintln!("skipped: the server does not take its time from the C library");
            return None;
        }
        Some(server)
    }

    fn new(arguments: &[&str]) -> Option<Server> {
        let Some(program) = program() else {
            eprintln!("skipped: there is no redis-server and no valkey-server");
            return None;
        };
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let directory = Directory::new();
        let port = free_port();
        Some(Server { program, port, directory, arguments, clock: None, process: None })
    }

    /// Steps its wall clock, for one that was started with a clock: it is ahead of the machine's by so
    /// many seconds from here on.
    pub fn set_clock(&self, ahead: i64) {
        self.clock.as_ref().expect("it was started with a clock").set(ahead);
    }

    /// Starts a sentinel that watches a primary under the name `primary`, and is enough by itself
    /// to replace it.
    pub fn start_sentinel(primary: &Server) -> Server {
        let directory = Directory::new();
        let port = free_port();
        let file = directory.join("sentinel.conf");
        let watched = primary.port;
        let lines = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor primary 127.0.0.1 {watched} 1\n\
             sentinel down-after-milliseconds primary 1000\nsentinel failover-timeout primary 5000\n",
            directory.display()
        );
        fs::write(&file, lines).expect("the directory is there");
        let arguments = vec![file.display().to_string(), "--sentinel".into()];
        let program = primary.program.clone();
        let mut server = Server { program, port, directory, arguments, clock: None, process: None };
        server.restart();
        server
    }

    /// Starts a cluster of this many nodes, which share the slots evenly and in order; `None` as
    /// for [`start`](Server::start).
    pub fn start_cluster(nodes: u16) -> Option<Vec<Server>> {
        let options =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--appendonly", "no"];
        let servers: Option<Vec<Server>> = (0..nodes).map(|_| Server::start(&options)).collect();
        let servers = servers?;
        let share = 16384 / nodes;
        for (server, index) in servers.iter().zip(0..) {
            let first = index * share;
            let last = if index == nodes - 1 { 16383 } else { first + share - 1 };
            let range = [first.to_string(), last.to_string()];
            server.demand(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]);
            server.demand(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            server.demand(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port.to_string()]);
        }
        let known = format!("cluster_known_nodes:{nodes}");
        let end = Instant::now() + Duration::from_secs(30);
        let ready = |server: &Server| {
            let info = server.command(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains(&known)
        };
        while !servers.iter().all(ready) {
            assert!(Instant::now() < end, "the cluster does not come together");
            thread::sleep(Duration::from_millis(50));
        }
        Some(servers)
    }

    /// Starts one more node of a cluster, the replica of one of these, which has caught up.
    pub fn start_cluster_replica(nodes: &[Server], of: usize) -> Server {
        let primary = &nodes[of];
        primary.replicate_at_once();
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let replica = Server::start_like(primary, &options);
        // It may be the one to be followed.
        replica.replicate_at_once();
        replica.demand(&["CLUSTER", "MEET", "127.0.0.1", &primary.port.to_string()]);
        let id = primary.cluster_id();
        eventually(|| replica.command(&["CLUSTER", "REPLICATE", &id]).starts_with("+OK"));
        primary.wait_for_replica();
        let known = format!("cluster_known_nodes:{}", nodes.len() + 1);
        let all = || nodes.iter().chain([&replica]);
        eventually(|| all().all(|node| node.command(&["CLUSTER", "INFO"]).contains(&known)));
        replica
    }

    /// How the nodes of its cluster call it.
    pub fn cluster_id(&self) -> String {
        let answer = self.demand(&["CLUSTER", "MYID"]);
        answer.lines().nth(1).expect("it has a name").to_string()
    }

    /// Starts a replica of it, which has caught up.
    #[must_use]
    pub fn start_replica(&self) -> Server {
        self.replicate_at_once();
        let replica =
            Server::start_like(self, &["--replicaof", &format!("127.0.0.1 {}", self.port)]);
        self.wait_for_replica();
        replica
    }

    fn start_like(other: &Server, arguments: &[&str]) -> Server {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let (program, directory) = (other.program.clone(), Directory::new());
        let mut server =
            Server { program, port: free_port(), directory, arguments, clock: None, process: None };
        server.restart();
        server
    }

    /// A new replica is served without waiting for others, and heard of soon.
    fn replicate_at_once(&self) {
        self.demand(&["CONFIG", "SET", "repl-ping-replica-period", "1"]);
        self.demand(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    }

    fn wait_for_replica(&self) {
        eventually(|| {
            let info = self.command(&["INFO", "replication"]);
            let line = info.lines().find(|line| line.starts_with("slave0:")).unwrap_or_default();
            // Its first acknowledgement comes later than it is there.
            line.contains("state=online") && !line.contains("offset=0,")
        });
    }

    /// Moves the slot of a key to another node of the cluster, one key of it after the other, with a
    /// pause behind each; what uses them is sent to and fro meanwhile.
    pub fn move_slot(&self, to: &Server, key: &str, pause: Duration) {
        let slot = self.demand(&["CLUSTER", "KEYSLOT", key])[1..].to_string();
        let (from_id, to_id) = (self.cluster_id(), to.cluster_id());
        to.demand(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        self.demand(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        let port = to.port.to_string();
        loop {
            let answer = self.demand(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            let keys: Vec<&str> =
                answer.lines().filter(|line| !line.starts_with(['*', '$'])).collect();
            if keys.is_empty() {
                break;
            }
            for key in keys {
                // One that has gone meanwhile is not there.
                self.demand(&["MIGRATE", "127.0.0.1", &port, key, "0", "1000"]);
                thread::sleep(pause);
            }
        }
        for node in [to, self] {
            node.demand(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
        // Who takes a slot next has to know by how much its claim is to be newer.
        let epoch = |server: &Server| {
            let info = server.demand(&["CLUSTER", "INFO"]);
            let mut lines = info.lines().map(str::to_string);
            lines.find(|line| line.starts_with("cluster_current_epoch:"))
        };
        wait_until(|| epoch(self) == epoch(to));
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        let process = self.process.as_ref().expect("it runs");
        process.id().try_into().expect("a pid is an i32")
    }

    /// Starts it again, on the same port, after [`kill`](Server::kill).
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.join("log"))
            .expect("the directory is there");
        let errors = log.try_clone().expect("a descriptor is there");
        let mut command = Command::new(&self.program);
        if !self.is_sentinel() {
            command
                .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""])
                .args(["--loglevel", "warning", "--enable-debug-command", "yes", "--dir"])
                .arg(&*self.directory);
        }
        if let Some(clock) = &self.clock {
            clock.give(&mut command);
        }
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log).stderr(errors);
        let process = spawn(prepare(&mut command)).expect("the server can be started");
        self.process = Some(process);
        let end = Instant::now() + Duration::from_secs(30);
        while !self.answers() {
            let ended = self.process.as_mut().expect("it was started").try_wait();
            let alive = ended.expect("a child can be asked").is_none() && Instant::now() < end;
            assert!(alive, "it does not answer: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let Ok(answer) = try_command(self.port, &["PING"]) else { return false };
        // A password is asked for: it answers.
        answer.starts_with("+PONG") || answer.starts_with("-NOAUTH")
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// One command, and the answer as it comes over the wire, without its last end of line.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        try_command(self.port, words).expect("it answers")
    }

    /// One command that is not refused.
    #[track_caller]
    pub fn demand(&self, words: &[&str]) -> String {
        let answer = self.command(words);
        assert!(!answer.starts_with('-'), "{words:?}: {answer}");
        answer
    }

    fn is_sentinel(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--sentinel")
    }

    /// Sends it a signal.
    pub fn signal(&self, number: i32) {
        waiting::signal(self.id(), number);
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("a child can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

/// Asks now and then; the watchdog ends what never comes.
fn eventually(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::sleep(Duration::from_millis(20));
    }
}

/// One command to the server on a port, and the answer as it comes over the wire.
pub fn try_command(port: u16, words: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "*{}\r\n", words.len())?;
    for word in words {
        write!(stream, "${}\r\n{word}\r\n", word.len())?;
    }
    let mut reader = BufReader::new(stream);
    let mut answer = String::new();
    read_value(&mut reader, &mut answer)?;
    Ok(answer.trim_end().to_string())
}

fn read_value(reader: &mut impl BufRead, answer: &mut String) -> std::io::Result<()> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    answer.push_str(&line);
    let length: i64 = line[1..].trim_end().parse().unwrap_or(0);
    match line.as_bytes()[0] {
        b'$' if length >= 0 => {
            let mut bytes = vec![0; usize::try_from(length).expect("it fits") + 2];
            reader.read_exact(&mut bytes)?;
            answer.push_str(&String::from_utf8_lossy(&bytes));
        }
        b'*' => {
            for _ in 0..length {
                read_value(reader, answer)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Stands between clients and a server: it delays what goes through, cuts connections instead of
/// passing an answer on, and has requests of connections that are gone arrive late. It ends with
/// the process.
pub struct Proxy {
    /// Where clients find it.
    pub port: u16,
    shared: Arc<Through>,
}

struct Through {
    /// Of a million answers, so many are cut off.
    cuts: AtomicUsize,
    /// Of a million requests, so many come late, when their client has gone.
    late_share: AtomicUsize,
    delay_us: AtomicU64,
    cut: AtomicUsize,
    closed: AtomicBool,
    random: Mutex<u64>,
    /// The next request is held back.
    hold: AtomicBool,
    /// What was held back, with the connection that it is to arrive on.
    held: Mutex<Vec<(TcpStream, Vec<u8>)>>,
    /// How many answers have come to what was held back.
    late: AtomicUsize,
}

impl Through {
    /// Holds a request back, if that is due.
    fn is_held(&self, to: &TcpStream, request: &[u8]) -> bool {
        if !self.hold.swap(false, Ordering::SeqCst) {
            return false;
        }
        let to = to.try_clone().expect("a descriptor is there");
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push((to, request.to_vec()));
        true
    }

    /// Whether one piece is among these of a million.
    fn is_one_of(&self, many: &AtomicUsize) -> bool {
        let mut state = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        // xorshift64: the same cuts at each run, as far as the order of answers is the same.
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state % 1_000_000) < many.load(Ordering::SeqCst) as u64
    }
}

impl Proxy {
    /// Stands in front of the server on this port.
    pub fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Through {
            cuts: AtomicUsize::new(0),
            late_share: AtomicUsize::new(0),
            delay_us: AtomicU64::new(0),
            cut: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            random: Mutex::new(0x9E37_79B9_7F4A_7C15),
            hold: AtomicBool::new(false),
            held: Mutex::default(),
            late: AtomicUsize::new(0),
        });
        let through = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if through.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", server)))
                else {
                    continue;
                };
                pass_on(&client, &server, &through);
            }
        });
        Proxy { port, shared }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Cuts the connection instead of passing on so many of a million pieces of answers.
    pub fn cut(&self, of_a_million: usize) {
        self.shared.cuts.store(of_a_million, Ordering::SeqCst);
    }

    /// Cuts the connection of so many of a million pieces of requests, which come to the server all the
    /// same, a moment later: a network that repeats what it has lost does so.
    pub fn late(&self, of_a_million: usize) {
        self.shared.late_share.store(of_a_million, Ordering::SeqCst);
    }

    /// Delays each piece, in both directions.
    pub fn delay(&self, time: Duration) {
        let time = time.as_micros().try_into().unwrap_or(u64::MAX);
        self.shared.delay_us.store(time, Ordering::SeqCst);
    }

    /// Holds the next request back, and cuts its client off: what a network does that finds another
    /// way for the packets of a connection which the client has given up.
    pub fn hold_next(&self) {
        self.shared.hold.store(true, Ordering::SeqCst);
    }

    /// How many requests it holds back.
    pub fn holds(&self) -> usize {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was held back arrives, and is answered; nobody hears that. How many requests these were.
    pub fn let_through(&self) -> usize {
        self.shared.hold.store(false, Ordering::SeqCst);
        let held =
            std::mem::take(&mut *self.shared.held.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.late.store(0, Ordering::SeqCst);
        for (server, request) in &held {
            let mut server: &TcpStream = server;
            server.write_all(request).expect("the server is there");
        }
        let end = Instant::now() + Duration::from_secs(10);
        while self.shared.late.load(Ordering::SeqCst) < held.len() {
            assert!(Instant::now() < end, "the server does not answer");
            thread::sleep(Duration::from_millis(5));
        }
        held.len()
    }

    /// How many connections it has cut.
    pub fn cuts(&self) -> usize {
        self.shared.cut.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the thread, which sees it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pass_on(client: &TcpStream, server: &TcpStream, through: &Arc<Through>) {
    for stream in [client, server] {
        stream.set_nodelay(true).expect("a TCP socket");
    }
    let held = Arc::new(AtomicBool::new(false));
    for (from, to, answers) in [(client, server, false), (server, client, true)] {
        let held = held.clone();
        let mut from = from.try_clone().expect("a descriptor is there");
        let mut to = to.try_clone().expect("a descriptor is there");
        let through = through.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let delay = through.delay_us.load(Ordering::SeqCst);
                if delay > 0 {
                    thread::sleep(Duration::from_micros(delay));
                }
                if answers && through.is_one_of(&through.cuts) {
                    through.cut.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                if !answers && through.is_one_of(&through.late_share) {
                    through.cut.fetch_add(1, Ordering::SeqCst);
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    thread::sleep(Duration::from_millis(1 + u64::from(buffer[length / 2]) % 20));
                    let _ = to.write_all(&buffer[..length]);
                    // It is read before the connection ends.
                    let _ = to.shutdown(std::net::Shutdown::Write);
                    break;
                }
                if !answers && through.is_held(&to, &buffer[..length]) {
                    held.store(true, Ordering::SeqCst);
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    return;
                }
                if answers && held.load(Ordering::SeqCst) {
                    through.late.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            // The other direction ends as well.
            let _ = from.shutdown(std::net::Shutdown::Both);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    }
}
