//! Descriptors for event loops.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Channel, Existence, Kind, Readiness};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, files::Trace, forks, hear, say, wait_until, watchdog,
};

use crate::support::{new_channel, random};

pub const ROLES: &[Role] = &[("channel_readiness::waits", waits)];

/// Whether the descriptor becomes readable in time.
fn is_readable(readiness: &Readiness, time: Duration) -> bool {
    let mut poll =
        libc::pollfd { fd: readiness.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let time = i32::try_from(time.as_millis()).expect("a short time");
    // SAFETY: one structure, which is writable.
    unsafe { libc::poll(&raw mut poll, 1, time) == 1 }
}

const SOON: Duration = Duration::from_secs(20);
const NOT: Duration = Duration::from_millis(60);

/// How many threads look out in this process.
fn lookouts() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let named = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    named.filter(|name| name.trim() == "nob-ipc lookout").count()
}

/// In a process of its own: it counts threads.
#[test]
fn a_descriptor_tells_of_messages_and_of_room() {
    let _watchdog = watchdog();
    forks::in_child(|| {
        let name = Unique::new();
        let channel = Channel::options()
            .capacity(4096)
            .existence(Existence::Create)
            .open(&*name)
            .expect("a new channel");
        let readable = channel.readable().expect("a descriptor");
        assert!(!is_readable(&readable, NOT));
        let other = Channel::options().open(&*name).expect("it is there");
        for _ in 0..50 {
            other.send(b"x", 0).expect("there is room");
            assert!(is_readable(&readable, SOON));
            channel.receive().expect("it is whole");
            readable.clear();
            assert!(!is_readable(&readable, Duration::from_millis(2)));
        }
        // What arrives before it is cleared is told anew.
        other.send(b"x", 0).expect("there is room");
        assert!(is_readable(&readable, SOON));
        readable.clear();
        assert!(is_readable(&readable, SOON));
        channel.receive().expect("it is whole");
        readable.clear();

        let writable = channel.writable().expect("a descriptor");
        assert!(!is_readable(&writable, NOT), "nothing is wanted");
        channel.send(&[0; 2000], 0).expect("there is room");
        channel.send(&[0; 1000], 0).expect("there is room");
        writable.want_room(3000, 0);
        assert!(!is_readable(&writable, NOT));
        channel.receive().expect("it is whole");
        assert!(is_readable(&writable, SOON));
        writable.want_room(4000, 0);
        assert!(!is_readable(&writable, NOT));
        channel.receive().expect("it is whole");
        assert!(is_readable(&writable, SOON));
        assert_eq!(lookouts(), 1);
        drop((readable, writable));
        wait_until(|| lookouts() == 0);
    });
}

/// More than a thread can sleep on at once.
#[test]
fn many_channels() {
    let _watchdog = watchdog();
    forks::in_child(|| {
        let names: Vec<_> = (0..150).map(|_| Unique::new()).collect();
        let channels: Vec<_> = names
            .iter()
            .map(|name| {
                let mut options = Channel::options();
                options.capacity(4096).existence(Existence::Create).open(&**name).expect("new")
            })
            .collect();
        let told: Vec<_> =
            channels.iter().map(|channel| channel.readable().expect("a descriptor")).collect();
        for (channel, readable) in channels.iter().zip(&told) {
            channel.send(b"x", 0).expect("there is room");
            assert!(is_readable(readable, SOON));
        }
        drop(told);
        wait_until(|| lookouts() == 0);
    });
}

/// A child has no thread that could tell it; what it does there changes nothing for its parent.
#[test]
fn a_forked_child() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let readable = channel.readable().expect("a descriptor");
    channel.send(b"x", 0).expect("there is room");
    assert!(is_readable(&readable, SOON));
    forks::in_child(|| {
        readable.clear();
        let own = channel.readable().expect("a descriptor");
        assert!(is_readable(&own, SOON));
    });
    assert!(is_readable(&readable, Duration::ZERO));
}

/// N12: two processes, and one message: both are told, one has it, and the other sleeps on.
#[test]
fn two_processes_and_one_message() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let mut loops = [(); 2].map(|()| Child::holding("channel_readiness::waits", &[&name]));
    let mut received = [0; 2];
    for round in 1..=20 {
        channel.send(b"x", 0).expect("there is room");
        // One of them says so. Whoever was told in vain says nothing.
        wait_until(|| channel.current_messages().expect("it is whole") == 0);
        for (child, received) in loops.iter_mut().zip(&mut received) {
            child.say("how many");
            *received = child.hear().parse().expect("a number");
        }
        let total: u32 = received.iter().sum();
        assert_eq!(total, round, "{received:?}");
    }
    for child in loops {
        drop(child);
    }
}

/// An event loop, in which messages arrive and the test asks how many they were.
fn waits(arguments: &Arguments) {
    let channel = Channel::options().open(arguments.text(0)).expect("it is there");
    let readable = channel.readable().expect("a descriptor");
    let received = AtomicU32::new(0);
    let turn = Mutex::new(());
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                assert!(is_readable(&readable, Duration::from_secs(3600)));
                let _turn = turn.lock().expect("nobody has failed");
                if channel.try_receive(&mut [0; 9]).expect("it is whole").is_some() {
                    received.fetch_add(1, Ordering::SeqCst);
                } else {
                    readable.clear();
                }
            }
        });
        say("ready");
        loop {
            hear();
            let _turn = turn.lock().expect("nobody has failed");
            say(received.load(Ordering::SeqCst));
        }
    });
}

/// The handle and the readiness go in any order, while the thread sleeps; what is left is told on.
#[test]
fn dropped_while_the_thread_sleeps() {
    let _watchdog = watchdog();
    forks::in_child(|| {
        let names = [(); 3].map(|()| Unique::new());
        let [kept, gone, closed] = names.each_ref().map(|name| new_channel(name));
        let file = |name: &Unique| Trace::of(Kind::Channel, name);
        let [first, second] = [&kept, &gone].map(|channel| channel.readable().expect("one"));
        let third = closed.writable().expect("a descriptor");
        let trace = file(&names[2]);
        assert!(!is_readable(&first, NOT));
        // Its own mapping is left.
        drop(closed);
        assert_eq!((trace.descriptors(), trace.mappings()), (0, 1));
        third.want_room(1, 0);
        assert!(is_readable(&third, SOON));
        drop(second);
        assert_eq!(lookouts(), 1);
        drop(gone);
        drop(third);
        wait_until(|| trace.mappings() == 0);
        kept.send(b"x", 0).expect("there is room");
        assert!(is_readable(&first, SOON));
        drop((first, kept));
        wait_until(|| lookouts() == 0);
        // The next one has a thread again.
        let again = new_channel(&names[0]);
        let readable = again.readable().expect("a descriptor");
        again.send(b"x", 0).expect("there is room");
        assert!(is_readable(&readable, SOON));
    });
}

/// Whoever clears while the thread is about to tell: once nothing is there, and that was said, the
/// descriptor is unreadable for good; and what is there is told.
#[test]
fn clearing_while_the_thread_tells() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let readable = channel.readable().expect("a descriptor");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // Others try in vain all the time, and say so.
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        readable.clear();
                    }
                });
            }
            for _ in 0..20 {
                channel.send(b"x", 0).expect("there is room");
                thread::sleep(Duration::from_micros(random(200)));
                channel.receive().expect("it is whole");
            }
            done.store(true, Ordering::Relaxed);
        });
        // What was seen before may be told after.
        let is_clear = (0..50).any(|_| {
            readable.clear();
            !is_readable(&readable, Duration::from_millis(2))
        });
        assert!(is_clear, "nothing is there, and that was said");
        channel.send(b"x", 0).expect("there is room");
        assert!(is_readable(&readable, SOON));
        channel.receive().expect("it is whole");
    }
}
