//! Concurrent calls of a few clients, written down and held against the model of their object: there
//! is an order in which it would have answered so.
//!
//! Some clients cancel what they wait for, and some lose answers. What the contract takes back (11.3)
//! is in the models: what a given up call has taken is missing for a moment, and what goes back may be
//! beyond a queue's bound. No more than that.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, Error, ErrorKind, Existence, Permits, Result};
use nob_ipc_redis::{
    BoundedSemaphore, Connection, Events, Lock, MessageQueue, Outcome, Pending, Retry, Semaphore,
};
use nob_ipc_testing::history::{
    End, Event, MessageAnswer, MessageCall, MessageModel, PermitAnswer, PermitCall, PermitModel,
    Recorder, call_messages, call_permits, check, message, message_calls, number, permit_calls,
};
use nob_ipc_testing::{Proxy, Random, Server, stress, watchdog};

/// How long rounds of one kind go on in the short suite.
const TIME: Duration = Duration::from_millis(1500);

/// How the clients of a round reach the server.
#[derive(Clone, Copy, Debug)]
enum Way {
    Direct,
    /// Answers are lost, and asked for again until they come.
    Cut,
    /// Answers are lost, and soon nobody asks for them any more.
    Impatient,
    /// Requests come to the server after those that repeat them.
    Late,
    /// Connections are ended by the server, which sentinels name.
    Killed,
    /// The object moves between the nodes of a cluster.
    Moving,
}

struct Place {
    servers: Vec<Server>,
    url: String,
    proxy: Proxy,
    ways: &'static [Way],
    control: Connection,
    done: Mutex<Done>,
}

/// Says so when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What has been checked so far.
#[derive(Debug, Default)]
struct Done {
    histories: usize,
    /// Too much was not known in these.
    undecided: usize,
    calls: usize,
    given_up: usize,
    unknown: usize,
}

impl Place {
    fn single() -> Option<Place> {
        let server = Server::start(&[])?;
        let url = server.url();
        Some(Place::new(vec![server], url, &[Way::Direct, Way::Cut, Way::Impatient, Way::Late]))
    }

    fn sentinel() -> Option<Place> {
        let server = Server::start(&[])?;
        let sentinel = Server::start_sentinel(&server);
        let url = format!("redis+sentinel://127.0.0.1:{}/primary", sentinel.port);
        Some(Place::new(vec![server, sentinel], url, &[Way::Killed]))
    }

    fn cluster() -> Option<Place> {
        let nodes = Server::start_cluster(2)?;
        let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port);
        Some(Place::new(nodes, url, &[Way::Moving]))
    }

    fn new(servers: Vec<Server>, url: String, ways: &'static [Way]) -> Place {
        let proxy = Proxy::start(servers[0].port);
        let control = Connection::open(&url).unwrap();
        Place { servers, url, proxy, ways, control, done: Mutex::default() }
    }

    fn connect(&self, way: Way) -> Connection {
        let mut options = Connection::options();
        let url = match way {
            Way::Direct | Way::Killed | Way::Moving => self.url.clone(),
            Way::Cut | Way::Late => self.proxy.url(),
            Way::Impatient => {
                options.patience(Duration::from_millis(2));
                self.proxy.url()
            }
        };
        options.open(&url).unwrap()
    }

    fn begin(&self, way: Way) {
        let (cut, late) = match way {
            Way::Direct | Way::Killed | Way::Moving => (0, 0),
            Way::Cut => (100_000, 0),
            Way::Impatient => (400_000, 0),
            Way::Late => (50_000, 200_000),
        };
        self.proxy.cut(cut);
        self.proxy.late(late);
    }
}

impl Place {
    fn note<C, A>(&self, events: &[Event<C, A>], decided: bool) {
        let mut done = self.done.lock().unwrap();
        if !decided {
            done.undecided += 1;
            return;
        }
        done.histories += 1;
        done.calls += events.len();
        let count =
            |end: fn(&End<A>) -> bool| events.iter().filter(|event| end(&event.end)).count();
        done.given_up += count(|end| matches!(end, End::GivenUp));
        done.unknown += count(|end| matches!(end, End::Unknown));
    }

    /// Runs a round, and does what hurts meanwhile; `key`: the object's.
    fn disturb(&self, way: Way, key: &str, round: impl FnOnce()) {
        let is_over = AtomicBool::new(false);
        self.begin(way);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    match way {
                        Way::Killed => {
                            for kind in ["normal", "pubsub"] {
                                self.servers[0].demand(&["CLIENT", "KILL", "TYPE", kind]);
                            }
                        }
                        Way::Moving => self.move_and_back(key),
                        _ => return,
                    }
                    thread::sleep(Duration::from_millis(3));
                }
            });
            let _over = Over(&is_over);
            round();
        });
        self.begin(Way::Direct);
    }

    fn move_and_back(&self, key: &str) {
        let slot: u16 = self.servers[0].demand(&["CLUSTER", "KEYSLOT", key])[1..].parse().unwrap();
        let (home, other) = if slot < 8192 { (0, 1) } else { (1, 0) };
        let (home, other) = (&self.servers[home], &self.servers[other]);
        let pause = Duration::from_micros(500);
        home.move_slot(other, key, pause);
        other.move_slot(home, key, pause);
    }

    /// Makes rounds for a while, and until all that there is to try was tried.
    fn rounds(&self, round: impl Fn(Way, u64)) {
        let end = Instant::now() + TIME.mul_f64(stress());
        let is_tried = || {
            let done = self.done.lock().unwrap();
            let may_be_unknown = self.proxy.cuts() > 0;
            done.given_up > 0 && (done.unknown > 0 || !may_be_unknown)
        };
        for seed in 1.. {
            for &way in self.ways {
                round(way, seed);
            }
            if Instant::now() > end && is_tried() {
                break;
            }
        }
        eprintln!("{:?}, {} answers lost", self.done.lock().unwrap(), self.proxy.cuts());
    }
}

/// One client of a round.
struct Client<T> {
    object: T,
    connection: Connection,
    events: Events,
    random: Random,
    /// Whether it repeats what it does not know the outcome of.
    repeats: bool,
}

impl<T> Client<T> {
    fn new(place: &Place, way: Way, seed: u64, open: impl Fn(&Connection) -> T) -> Client<T> {
        let connection = place.connect(way);
        let object = open(&connection);
        let events = Events::new().unwrap();
        let repeats = seed.is_multiple_of(2);
        Client { object, connection, events, random: Random(seed), repeats }
    }

    /// Whether it is to cancel what it begins now.
    fn cancels(&mut self) -> bool {
        self.random.below(4) == 0
    }

    /// Cancels what was begun, soon or at once: perhaps it has ended already.
    fn cancel(&mut self, pending: Result<Pending>) {
        let pending = pending.unwrap();
        thread::sleep(Duration::from_micros(self.random.below(800).into()));
        pending.cancel();
    }

    /// What an error tells of the call's end; `takes`: it would have taken something.
    fn end<A>(&self, error: &Error, takes: bool, answer: impl Fn(Outcome) -> A) -> End<A> {
        match error.kind() {
            ErrorKind::ServerUnavailable if takes => End::GivenUp,
            ErrorKind::ServerUnavailable => End::Unchanged,
            ErrorKind::OutcomeUnknown if self.repeats => {
                let retry = error.detail::<Retry>().expect("what is not known can be repeated");
                loop {
                    match retry.again(Deadline::NEVER) {
                        Ok(outcome) => return End::Answered(answer(outcome)),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
                        }
                    }
                }
            }
            ErrorKind::OutcomeUnknown => End::Unknown,
            _ => panic!("{error}"),
        }
    }
}

/// All that a round needs to know of an object that gives out permits.
trait Kind: Permits + Sized {
    fn create(connection: &Connection, name: &str, existence: Existence) -> Self;
    fn model(clients: usize) -> PermitModel;
    fn fence(&self) -> Option<u64> {
        None
    }
    fn start(&self, events: &Events, deadline: Deadline) -> Result<Pending>;
    fn close(&self);
    /// With which its keys begin.
    const LETTER: &str;
    /// How many permits a call may give.
    const MOST: u32;
    /// Whether a client that does not know whether it has given its permit is to stop: it cannot know
    /// what it holds.
    const HELD: bool;
}

impl Kind for Semaphore {
    fn create(connection: &Connection, name: &str, existence: Existence) -> Semaphore {
        Semaphore::options(connection).initial_value(2).existence(existence).open(name).unwrap()
    }

    fn model(_clients: usize) -> PermitModel {
        PermitModel::semaphore(2)
    }

    fn start(&self, events: &Events, deadline: Deadline) -> Result<Pending> {
        self.start_acquire(events, 1, deadline)
    }

    fn close(&self) {
        self.handle().close().unwrap();
    }

    const LETTER: &str = "s";
    const MOST: u32 = 2;
    const HELD: bool = false;
}

impl Kind for BoundedSemaphore {
    fn create(connection: &Connection, name: &str, existence: Existence) -> BoundedSemaphore {
        BoundedSemaphore::options(connection).bound(2).existence(existence).open(name).unwrap()
    }

    fn model(clients: usize) -> PermitModel {
        PermitModel::bounded(2, clients)
    }

    fn start(&self, events: &Events, deadline: Deadline) -> Result<Pending> {
        self.start_acquire(events, 1, deadline)
    }

    fn close(&self) {
        self.handle().close().unwrap();
    }

    const LETTER: &str = "b";
    const MOST: u32 = 2;
    const HELD: bool = true;
}

impl Kind for Lock {
    fn create(connection: &Connection, name: &str, existence: Existence) -> Lock {
        Lock::options(connection).existence(existence).open(name).unwrap()
    }

    fn model(clients: usize) -> PermitModel {
        PermitModel::bounded(1, clients)
    }

    fn fence(&self) -> Option<u64> {
        Some(self.fence().unwrap())
    }

    fn start(&self, events: &Events, deadline: Deadline) -> Result<Pending> {
        self.start_acquire(events, 1, deadline)
    }

    fn close(&self) {
        self.handle().close().unwrap();
    }

    const LETTER: &str = "l";
    const MOST: u32 = 1;
    const HELD: bool = true;
}

fn call_of<K: Kind>(client: &mut Client<K>, call: &PermitCall) -> (End<PermitAnswer>, bool) {
    if let PermitCall::Acquire(Some(wait)) = call
        && client.cancels()
    {
        let pending = client.object.start(&client.events, Deadline::after(*wait));
        client.cancel(pending);
        return (End::GivenUp, true);
    }
    let error = match call_permits(&client.object, call, || client.object.fence()) {
        Ok(answer) => return (End::Answered(answer), true),
        Err(error) => error,
    };
    let takes = matches!(call, PermitCall::Acquire(_));
    let end = client.end(&error, takes, |outcome| match outcome {
        Outcome::Done(true) => PermitAnswer::Done,
        other => panic!("{other:?}"),
    });
    let goes_on = !K::HELD || end != End::Unknown;
    (end, goes_on)
}

fn permit_round<K: Kind>(place: &Place, way: Way, seed: u64) {
    let name = format!("/history-{way:?}-{seed}");
    let control = K::create(&place.control, &name, Existence::Create);
    let open = |connection: &Connection| K::create(connection, &name, Existence::Link);
    let mut random = Random(seed);
    let count = 3 + random.below(2) as usize;
    let mut clients: Vec<(Client<K>, Vec<PermitCall>)> = (1..=count as u64)
        .map(|number| {
            let calls = 5 + random.below(5);
            let calls = permit_calls(&mut random, calls, K::MOST);
            (Client::new(place, way, seed * 10 + number, open), calls)
        })
        .collect();
    let recorder = Recorder::<PermitModel>::default();
    let key = format!("nipc:{{{}{name}}}", K::LETTER);
    place.disturb(way, &key, || recorder.run(&mut clients, call_of));
    for (number, (client, _)) in clients.iter().enumerate() {
        recorder.call(number, PermitCall::Close, |_| {
            client.object.close();
            End::Answered(PermitAnswer::Done)
        });
        assert!(client.connection.finish(Duration::from_secs(60)).unwrap());
    }
    let mut control = Client {
        object: control,
        connection: place.control.clone(),
        events: Events::new().unwrap(),
        random,
        repeats: false,
    };
    for call in [PermitCall::Rest, PermitCall::Value] {
        recorder.call(count, call, |call| call_of(&mut control, call).0);
    }
    let what = format!("seed {seed}, {way:?}");
    let events = recorder.into_events();
    let start = K::model(count + 1);
    place.note(&events, check(&what, &start, &events));
}

fn permit_rounds<K: Kind>() {
    let _watchdog = watchdog();
    let Some(place) = Place::single() else { return };
    place.rounds(|way, seed| permit_round::<K>(&place, way, seed));
}

/// R12: every operation is atomic: order, bounds and counts are those of a model.
#[test]
fn of_a_semaphore() {
    permit_rounds::<Semaphore>();
}

/// R12: every operation is atomic: order, bounds and counts are those of a model.
#[test]
fn of_a_bounded_semaphore() {
    permit_rounds::<BoundedSemaphore>();
}

/// R19: a lock excludes, and its fence grows although the server's clock goes back.
#[test]
fn of_a_lock() {
    permit_rounds::<Lock>();
}

fn call_queue(client: &mut Client<MessageQueue>, call: &MessageCall) -> End<MessageAnswer> {
    let most = match call {
        MessageCall::Receive(_) => 1,
        MessageCall::ReceiveMany(most) => *most,
        _ => 0,
    };
    if most > 0 && client.cancels() {
        let deadline = Deadline::after(Duration::from_millis(5));
        let pending = client.object.start_receive(&client.events, 1, most, deadline);
        client.cancel(pending);
        return End::GivenUp;
    }
    let queue = &client.object;
    let answered = match call {
        MessageCall::SendMany(numbers, priority) => {
            let bytes: Vec<[u8; 4]> = numbers.iter().map(|&number| message(number)).collect();
            let bytes: Vec<&[u8]> = bytes.iter().map(<[u8; 4]>::as_slice).collect();
            queue.send_many(&bytes, *priority).map(MessageAnswer::Sent)
        }
        MessageCall::ReceiveMany(most) => queue.receive_many(*most).map(|messages| {
            let messages = messages.iter().map(|(bytes, priority)| number(bytes, *priority));
            MessageAnswer::Received(messages.collect())
        }),
        _ => call_messages(queue, call, || {
            queue.current_messages().map(|count| count.try_into().expect("there are few"))
        }),
    };
    match answered {
        Ok(answer) => End::Answered(answer),
        Err(error) => client.end(&error, most > 0, |outcome| match outcome {
            Outcome::Sent(count) => MessageAnswer::Sent(count),
            other => panic!("{other:?}"),
        }),
    }
}

fn queue_round(place: &Place, way: Way, seed: u64) {
    const CAPACITY: u32 = 3;
    let name = format!("/history-{way:?}-{seed}");
    let control = MessageQueue::options(&place.control)
        .max_messages(CAPACITY.into())
        .max_message_size(4)
        .existence(Existence::Create)
        .open(&name)
        .unwrap();
    let open = |connection: &Connection| MessageQueue::options(connection).open(&name).unwrap();
    let mut random = Random(seed);
    let count = 3 + random.below(2);
    let mut clients: Vec<_> = (1..=count)
        .map(|number| {
            let calls = 5 + random.below(5);
            let calls = message_calls(&mut random, calls, 1000 * number, 3, true);
            (Client::new(place, way, seed * 10 + u64::from(number), open), calls)
        })
        .collect();
    let recorder = Recorder::<MessageModel>::default();
    let call =
        |client: &mut Client<MessageQueue>, call: &MessageCall| (call_queue(client, call), true);
    let key = format!("nipc:{{q{name}}}");
    place.disturb(way, &key, || recorder.run(&mut clients, call));
    for (client, _) in &clients {
        assert!(client.connection.finish(Duration::from_secs(60)).unwrap());
    }
    for call in [MessageCall::Rest, MessageCall::Count, MessageCall::ReceiveMany(100)] {
        recorder.call(count as usize, call, |call| {
            End::Answered(match call {
                MessageCall::Rest => MessageAnswer::Done,
                MessageCall::Count => {
                    let count = control.current_messages().unwrap();
                    MessageAnswer::Count(count.try_into().unwrap())
                }
                _ => {
                    let messages = control.receive_many(100).unwrap();
                    let messages =
                        messages.iter().map(|(bytes, priority)| number(bytes, *priority));
                    MessageAnswer::Received(messages.collect())
                }
            })
        });
    }
    let what = format!("seed {seed}, {way:?}");
    let events = recorder.into_events();
    let start = MessageModel::new(CAPACITY as usize);
    place.note(&events, check(&what, &start, &events));
}

/// R12: every operation is atomic: order, bounds and counts are those of a model.
#[test]
fn of_a_queue() {
    let _watchdog = watchdog();
    let Some(place) = Place::single() else { return };
    place.rounds(|way, seed| queue_round(&place, way, seed));
}

fn all_kinds(place: &Place) {
    place.rounds(|way, seed| {
        permit_round::<Semaphore>(place, way, seed);
        permit_round::<BoundedSemaphore>(place, way, seed);
        permit_round::<Lock>(place, way, seed);
        queue_round(place, way, seed);
    });
}

/// R29: sentinels name the new primary, and waits and leases go on there.
#[test]
fn of_all_kinds_through_sentinels() {
    let _watchdog = watchdog();
    let Some(place) = Place::sentinel() else { return };
    all_kinds(&place);
}

/// R30: a cluster is one server, and a slot may move under those who use it.
#[test]
fn of_all_kinds_while_their_slots_move() {
    let _watchdog = watchdog();
    let Some(place) = Place::cluster() else { return };
    all_kinds(&place);
}
