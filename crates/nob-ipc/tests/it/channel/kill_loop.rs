//! Processes that are killed at any moment while they send and receive (contract 10.1, 10.2). `make stress`
//! lets it go on for longer.

use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nob_ipc::{Channel, Deadline, Existence};
use nob_ipc_testing::{Child, Role, Unique, forks, say, watchdog};

use crate::support::{Workers, random};

pub const ROLES: &[Role] = &[
    ("channel_kills::senders", |_| kill_senders()),
    ("channel_kills::both", |_| kill_both_sides()),
    ("channel_kills::bound", |_| kill_at_the_bound()),
];

const SENDERS: usize = 3;

/// How many messages can be accounted for: far more than are sent in the longest loop.
const MESSAGES: u64 = 1 << 28;

/// What all processes write their receipts into.
#[derive(Clone, Copy)]
struct Books {
    /// The number of the next message.
    next: &'static AtomicU64,
    received: &'static AtomicU64,
    /// Not zero: whoever finds nothing to receive is done.
    sent_all: &'static AtomicU64,
    /// A bit for each message whose send returned that it was sent, or that it was not, and one for each
    /// that was received.
    answered: Bits,
    refused: Bits,
    receipts: Bits,
}

#[derive(Clone, Copy)]
struct Bits(&'static [AtomicU64]);

impl Bits {
    const WORDS: usize = (MESSAGES / 64) as usize;

    /// Sets one; whether it was set.
    fn set(self, number: u64) -> bool {
        let bit = 1 << (number % 64);
        self.word(number).fetch_or(bit, Ordering::SeqCst) & bit != 0
    }

    fn is_set(self, number: u64) -> bool {
        self.word(number).load(Ordering::SeqCst) & (1 << (number % 64)) != 0
    }

    fn word(self, number: u64) -> &'static AtomicU64 {
        &self.0[usize::try_from(number / 64).expect("64 bits")]
    }
}

impl Books {
    fn new() -> Books {
        // Each counter has a line of the processor's cache.
        let words = shared_zeros(24 + 3 * Bits::WORDS);
        let (counters, bits) = words.split_at(24);
        let (answered, bits) = bits.split_at(Bits::WORDS);
        let (refused, receipts) = bits.split_at(Bits::WORDS);
        Books {
            next: &counters[0],
            received: &counters[8],
            sent_all: &counters[16],
            answered: Bits(answered),
            refused: Bits(refused),
            receipts: Bits(receipts),
        }
    }

    /// Sends in each way, for ever; one message, or several at once.
    fn send(self, channel: &Channel, sender: usize) {
        loop {
            let several = if random(4) == 0 { 5 } else { 1 };
            let first = self.next.fetch_add(several, Ordering::SeqCst);
            assert!(first + several < MESSAGES, "more than can be accounted for");
            let messages: Vec<_> =
                (first..first + several).map(|number| message(sender, number)).collect();
            let sent = if several > 1 {
                let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
                channel.send_many(&messages, 0, Deadline::NEVER).expect("it is whole")
            } else if random(2) == 0 {
                let short = Duration::from_micros(random(3000));
                let sent = channel.send_timeout(&messages[0], 0, short);
                usize::from(sent.expect("it is whole"))
            } else {
                channel.send(&messages[0], 0).expect("it is whole");
                1
            };
            for number in first..first + several {
                let answers =
                    if number < first + sent as u64 { self.answered } else { self.refused };
                answers.set(number);
            }
        }
    }

    /// Receives one message, or up to so many, again and again until all are sent and received.
    fn receive(self, channel: &Channel, most: usize) {
        let mut last = [None; SENDERS];
        let mut buffer = vec![0; channel.max_message_size()];
        loop {
            let messages = if most > 1 || random(2) == 0 {
                let soon = Deadline::after(Duration::from_millis(random(20)));
                channel.receive_many(most, soon).expect("it is whole")
            } else {
                let received = channel.try_receive(&mut buffer).expect("it is whole");
                received.map(|it| (buffer[..it.length].to_vec(), it.priority)).into_iter().collect()
            };
            let all = self.sent_all.load(Ordering::SeqCst) != 0;
            if messages.is_empty() && all && channel.current_messages().expect("it is whole") == 0 {
                return;
            }
            for (bytes, _) in messages {
                self.note(&bytes, &mut last);
            }
        }
    }

    /// Notes a message that was received after others.
    fn note(self, bytes: &[u8], last: &mut [Option<u64>; SENDERS]) {
        let (sender, number) = parse(bytes);
        assert!(last[sender].replace(number) < Some(number), "{number} is out of order");
        assert!(!self.receipts.set(number), "{number} came twice");
        self.received.fetch_add(1, Ordering::SeqCst);
    }

    /// How many messages were sent and answered for, and not received; and received, and not answered for.
    fn balance(self) -> (u32, u32) {
        let (mut lost, mut unanswered) = (0, 0);
        for number in 0..self.next.load(Ordering::SeqCst) {
            let is_received = self.receipts.is_set(number);
            assert!(!(is_received && self.refused.is_set(number)), "{number} was not sent");
            match (self.answered.is_set(number), is_received) {
                (true, false) => lost += 1,
                (false, true) => unanswered += 1,
                _ => {}
            }
        }
        (lost, unanswered)
    }

    /// Fails unless something was received since.
    fn goes_on(self, before: &mut u64) {
        let received = self.received.load(Ordering::SeqCst);
        assert!(received > *before, "nothing was received since");
        *before = received;
    }
}

/// Zeros that this process shares with the children that it forks from now on; memory comes when they are
/// touched.
fn shared_zeros(words: usize) -> &'static [AtomicU64] {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let flags = flags | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the kernel chooses the address.
    let start = unsafe { libc::mmap(ptr::null_mut(), words * 8, protection, flags, -1, 0) };
    assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: it is as long, aligned to a page, and never unmapped; all bytes are a value.
    unsafe { slice::from_raw_parts(start.cast(), words) }
}

/// 10 to 3,000 bytes that all depend on the number.
fn message(sender: usize, number: u64) -> Vec<u8> {
    let length = 10 + usize::try_from(number * 131 % 2990).expect("small");
    let mut message = vec![(number % 251) as u8; length];
    message[..8].copy_from_slice(&number.to_ne_bytes());
    message[8] = u8::try_from(sender).expect("there are few");
    message
}

fn parse(bytes: &[u8]) -> (usize, u64) {
    let number = u64::from_ne_bytes(bytes[..8].try_into().expect("eight bytes"));
    let sender = usize::from(bytes[8]);
    assert!(bytes == message(sender, number), "{number} is torn");
    (sender, number)
}

fn create(name: &str) -> Channel {
    let mut options = Channel::options();
    options.capacity(64 << 10).existence(Existence::Create).open(name).expect("a new channel")
}

fn link(name: &str) -> Channel {
    Channel::options().open(name).expect("it is there")
}

#[track_caller]
fn run(role: &str) {
    let _watchdog = watchdog();
    let mut killer = Child::start(role, &[]);
    println!("{}", killer.hear());
    killer.finish();
}

/// N4: only senders are killed: each message that was answered for is received once, whole and in order.
#[test]
fn senders_are_killed() {
    run("channel_kills::senders");
}

fn kill_senders() {
    let name = Unique::new();
    let channel = create(&name);
    let books = Books::new();
    let receivers = [(); 2].map(|()| forks::fork(|| books.receive(&link(&name), 8)));
    let send = |number| books.send(&link(&name), number);
    let mut senders = Workers::start(SENDERS, &send);
    let mut before = 0;
    let kills = senders.kill_at_random(&|_, _| {}, |_, kills| {
        if kills.is_multiple_of(50) {
            books.goes_on(&mut before);
        }
    });
    senders.kill_all(&|_, _| {});
    books.sent_all.store(1, Ordering::SeqCst);
    for receiver in receivers {
        assert!(forks::wait_for(receiver).success(), "a receiver has failed");
    }
    assert_eq!(channel.current_messages().expect("it is whole"), 0);
    let (lost, unanswered) = books.balance();
    // One who is killed after he has sent has not answered for it: for one message, or for a batch.
    let most = (u64::from(kills) + SENDERS as u64) * 5;
    assert!(
        kills > 50 && lost == 0 && u64::from(unanswered) <= most,
        "{kills} {lost} {unanswered}"
    );
    let received = books.received.load(Ordering::SeqCst);
    say(format_args!("{kills} senders killed, {unanswered} unanswered, of {received} messages"));
}

/// N4: both sides are killed: a message is lost with the receiver that has taken it, and in no other way.
#[test]
fn both_sides_are_killed() {
    run("channel_kills::both");
}

fn kill_both_sides() {
    let name = Unique::new();
    let channel = create(&name);
    let books = Books::new();
    let killed_receivers = AtomicU64::new(0);
    let work = |number| {
        let channel = link(&name);
        if number < SENDERS { books.send(&channel, number) } else { books.receive(&channel, 1) }
    };
    let count = |number, dead| {
        if dead && number >= SENDERS {
            killed_receivers.fetch_add(1, Ordering::Relaxed);
        }
    };
    let mut workers = Workers::start(2 * SENDERS, &work);
    let mut before = 0;
    let kills = workers.kill_at_random(&count, |_, kills| {
        if kills.is_multiple_of(50) {
            books.goes_on(&mut before);
        }
    });
    workers.kill_all(&count);
    // What is there still is whole, too.
    books.sent_all.store(1, Ordering::SeqCst);
    books.receive(&channel, 1);
    let (lost, _) = books.balance();
    let most = killed_receivers.load(Ordering::Relaxed);
    assert!(kills > 50 && u64::from(lost) <= most, "{kills} killed, {lost} lost of {most} at most");
    let received = books.received.load(Ordering::SeqCst);
    say(format_args!("{kills} processes killed, {lost} lost, of {received} messages"));
}

/// N13: what a killed sender leaves takes nobody's place, and gives nobody one too many.
#[test]
fn senders_are_killed_at_the_bound() {
    run("channel_kills::bound");
}

fn kill_at_the_bound() {
    const BOUND: usize = 7;
    let name = Unique::new();
    let channel = Channel::options()
        .max_messages(BOUND as u64)
        .priorities(2)
        .existence(Existence::Create)
        .open(&*name)
        .expect("a new channel");
    let messages = || channel.current_messages().expect("it is whole");
    let work = |number| {
        let channel = link(&name);
        loop {
            if number < SENDERS {
                let batch: &[&[u8]] = &[b"one", b"two", b"three"];
                let priority = u32::from(random(2) == 0);
                channel.send_many(batch, priority, Deadline::NEVER).expect("it is whole");
            } else {
                channel.receive_many(3, Deadline::NEVER).expect("it is whole");
            }
        }
    };
    let mut workers = Workers::start(SENDERS + 2, &work);
    let kills = workers.kill_at_random(&|_, _| {}, |workers, kills| {
        if kills.is_multiple_of(20) {
            workers.kill_all(&|_, _| {});
            let left = messages();
            assert!(left <= BOUND, "{left}");
            for _ in left..BOUND {
                assert!(channel.try_send(b"x", 0).expect("it is whole"));
            }
            assert!(!channel.try_send(b"x", 1).expect("it is whole"));
            assert_eq!(messages(), BOUND);
            let all = channel.receive_many(usize::MAX, Deadline::NOW).expect("it is whole");
            assert_eq!((all.len(), messages()), (BOUND, 0));
            workers.start_again();
        }
    });
    workers.kill_all(&|_, _| {});
    assert!(kills > 50, "{kills}");
    say(format_args!("{kills} processes killed at the bound"));
}
