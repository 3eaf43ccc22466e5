//! Several senders and receivers, and threads that fork.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use nob_ipc::{Channel, Deadline, Existence, Kind, retry_on_interrupt};
use nob_ipc_testing::{Arguments, Child, Role, Unique, files, forks, say, stress, watchdog};

use crate::support::new_channel;

pub const ROLES: &[Role] = &[
    ("channel_traffic::sends", sends),
    ("channel_traffic::receives", receives),
    ("channel_traffic::millions", |_| millions()),
];

const SENDERS: u32 = 4;
const RECEIVERS: u32 = 4;
const EACH: u32 = 3_000;

fn message(sender: u32, number: u32) -> Vec<u8> {
    let mut message = vec![u8::try_from(sender).expect("small"); 8 + (number as usize * 37) % 700];
    message[..4].copy_from_slice(&sender.to_ne_bytes());
    message[4..8].copy_from_slice(&number.to_ne_bytes());
    message
}

fn parse(bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let (sender, number) = (word(0), word(4));
    assert_eq!(bytes, message(sender, number), "it is whole");
    (sender, number)
}

/// N7: every message once, and those of a sender in order.
#[test]
fn four_senders_and_four_receivers() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let _channel = Channel::options()
        .capacity(32 << 10)
        .existence(Existence::Create)
        .open(&*name)
        .expect("a new channel");
    let mut receivers: Vec<_> =
        (0..RECEIVERS).map(|_| Child::start("channel_traffic::receives", &[&name])).collect();
    for receiver in &mut receivers {
        receiver.expect("ready");
    }
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| Child::start("channel_traffic::sends", &[&name, &sender]))
        .collect();
    for sender in senders {
        sender.finish();
    }
    let stop = Channel::options().open(&*name).expect("it is there");
    for _ in 0..RECEIVERS {
        stop.send(b"", 0).expect("there is room");
    }
    let mut counts = HashMap::new();
    for mut receiver in receivers {
        for sender in 0..SENDERS {
            let count: u32 = receiver.hear().parse().expect("a number");
            *counts.entry(sender).or_insert(0) += count;
        }
        receiver.finish();
    }
    assert!(counts.values().all(|&count| count == EACH), "{counts:?}");
}

fn sends(arguments: &Arguments) {
    let channel = Channel::options().open(arguments.text(0)).expect("it is there");
    for number in 0..EACH {
        channel.send(&message(arguments.number(1), number), 0).expect("it is whole");
    }
}

fn receives(arguments: &Arguments) {
    let channel = Channel::options().open(arguments.text(0)).expect("it is there");
    say("ready");
    let mut last: HashMap<u32, u32> = HashMap::new();
    let mut counts = [0; SENDERS as usize];
    loop {
        let (bytes, _) = channel.receive().expect("it is whole");
        if bytes.is_empty() {
            break;
        }
        let (sender, number) = parse(&bytes);
        assert!(last.insert(sender, number).is_none_or(|last| last < number), "in order");
        counts[sender as usize] += 1;
    }
    for count in counts {
        say(count);
    }
}

/// N9: a child that is forked amid sends has nothing of its parent's turn, and sends itself.
#[test]
fn forks_amid_traffic() {
    const NUMBER: u32 = 20_000;
    const SOON: Duration = Duration::from_secs(20);
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = Channel::options()
        .priorities(2)
        .capacity(64 << 10)
        .existence(Existence::Create)
        .open(&*name)
        .expect("a new channel");
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for number in 0..NUMBER {
                channel.send(&message(1, number), 0).expect("it is whole");
            }
        });
        let receiving = scope.spawn(|| {
            let (mut next, mut of_children) = (0, 0);
            loop {
                let (bytes, priority) = channel.receive().expect("it is whole");
                match (bytes.is_empty(), priority) {
                    (true, _) => break assert_eq!(next, NUMBER),
                    (_, 1) => {
                        assert_eq!(parse(&bytes), (2, of_children));
                        of_children += 1;
                    }
                    _ => {
                        assert_eq!(parse(&bytes), (1, next));
                        next += 1;
                    }
                }
            }
            of_children
        });
        let mut children = 0;
        while !sending.is_finished() {
            forks::in_child(|| {
                let one = message(2, children);
                assert!(channel.send_timeout(&one, 1, SOON).expect("it is whole"));
            });
            children += 1;
        }
        // The lowest priority: all else comes before.
        channel.send(b"", 0).expect("there is room");
        assert_eq!(receiving.join().expect("all of them"), children);
    });
    assert!(channel.try_send(b"", 0).expect("nobody is amid a copy"));
}

/// The same handle in several threads.
#[test]
fn threads_share_a_handle() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let total: usize = thread::scope(|scope| {
        for sender in 0..3 {
            let channel = &channel;
            scope.spawn(move || {
                for number in 0..4_000 {
                    channel.send(&message(sender, number), 0).expect("it is whole");
                }
            });
        }
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut buffer = [0; 1024];
                    let mut count = 0;
                    while count < 4_000 {
                        let received = retry_on_interrupt(|| {
                            channel.receive_until(&mut buffer, Deadline::NEVER)
                        });
                        let received = received.expect("it is whole").expect("it comes");
                        parse(&buffer[..received.length]);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        receivers.into_iter().map(|it| it.join().expect("all of them")).sum()
    });
    assert_eq!(total, 12_000);
    assert_eq!(channel.current_messages().expect("it is whole"), 0);
}

/// N15: memory does not grow with the number of messages; 10^7 of them under `make stress`.
#[test]
fn memory_does_not_grow() {
    let _watchdog = watchdog();
    Child::run("channel_traffic::millions", &[]);
}

/// In a process of its own, whose memory it measures.
fn millions() {
    let messages = if stress() < 10.0 { 1_000_000 } else { 10_000_000 };
    let name = Unique::new();
    let channel = new_channel(&name);
    let mut buffer = [0; 1024];
    let some: Vec<_> = (0..500).map(|number| message(1, number)).collect();
    let mut rounds = |from: usize, to: usize| {
        for number in from..to {
            let sent = &some[number % some.len()];
            channel.send(sent, 0).expect("there is room");
            if number % 64 == 0 {
                let batch = [&sent[..]; 8];
                assert_eq!(channel.send_many(&batch, 0, Deadline::NOW).expect("it is whole"), 8);
                assert_eq!(channel.receive_many(8, Deadline::NOW).expect("it is whole").len(), 8);
            }
            let received = channel.try_receive(&mut buffer).expect("it is whole");
            assert_eq!(received.map(|it| it.length), Some(sent.len()));
        }
    };
    let file = || fs::metadata(files::file(Kind::Channel, &*name)).expect("it is there");
    let own = || {
        let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux has it");
        line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("a number of KiB")
    };
    // The ring has been gone through, and the allocator has what it keeps.
    rounds(0, 20_000);
    let before: (u64, u64, u64) = (file().blocks(), file().len(), own());
    rounds(20_000, messages);
    assert_eq!((file().blocks(), file().len()), (before.0, before.1));
    assert!(own() <= before.2 + 512, "from {} to {} KiB", before.2, own());
}
