//! Processes that are killed at a random moment, and what they leave.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use nob_ipc::{ErrorKind, Existence, Kind, MessageQueue, Semaphore, SharedMemory};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, Waiter, files, marks, say, thread_id, wait_until_in, watchdog,
};

use crate::support::{Object, can_be_marked, new_queue, new_segment, new_semaphore};

pub const ROLES: &[Role] = &[
    ("kills::churn", churn),
    ("kills::hold", hold),
    ("kills::wait", wait),
    ("kills::send", send),
    ("kills::receive", receive),
    ("kills::pass_on", pass_on),
    ("kills::grow", grow),
];

const ROUNDS: u32 = 30;

/// Lets some of the child's work happen: up to 15 ms, at random.
fn a_moment(round: u32) {
    let random = RandomState::new().hash_one(round);
    thread::sleep(Duration::from_micros(random % 15_000));
}

/// Removes the records of a process that was killed, which only its death leaves.
fn forget_records_of(pid: i32) {
    let (marked, called) = (format!("2 {pid} "), format!("new-{pid}-"));
    for (path, content) in marks::records() {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if content.starts_with(&marked) || file.starts_with(&called) {
            fs::remove_file(path).expect("it is ours");
        }
    }
}

/// C32, S27, H24, H26: a creator that is killed leaves nothing, or something complete that says
/// whose it was; and the name can be used again.
#[test]
fn a_creator() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let bare = name.trim_start_matches('/');
        for round in 0..ROUNDS {
            let mut creator = Child::start("kills::churn", &[&kind.short_word(), &name]);
            creator.expect("begin");
            a_moment(round);
            let mark = marks::mark_of(creator.id());
            creator.kill();

            match Object::options(kind).measure(1).open(&name) {
                Ok(left) => {
                    if kind != Kind::Lock {
                        assert_eq!(left.measure(), CHURNED[kind as usize], "complete");
                    }
                    left.use_it();
                    if kind == Kind::MessageQueue {
                        let [(_, record)] =
                            marks::records_of(&name).try_into().expect("one record");
                        assert!(record.starts_with(&mark));
                    } else if can_be_marked(kind) {
                        assert_eq!(marks::mark(kind, &name), Some(mark));
                    }
                    left.ownership().unlink().expect("it is this user's");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
            }
            if kind == Kind::MessageQueue {
                forget_records_of(creator.id());
            }
            Object::create(kind, &name).use_it();
        }
        let left: Vec<_> = fs::read_dir("/dev/shm")
            .expect("it is there")
            .map(|entry| entry.expect("readable").file_name())
            .filter(|file| file.to_string_lossy().contains(bare))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// The measures of what the churning process creates.
const CHURNED: [u32; Kind::ALL.len()] = [9, 9000, 3, 0, 5, 7];

fn churn(arguments: &Arguments) {
    let kind = arguments.kind(0);
    let options = Object::options(kind).measure(CHURNED[kind as usize]);
    let options = options.existence(Existence::UnlinkAndCreate);
    say("begin");
    loop {
        drop(options.open(arguments.text(1)).expect("a new object"));
    }
}

/// S28: a permit in the hands of who dies stays taken, until somebody gives it back.
#[test]
fn a_holder() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 1);
    let mut holder = Child::start("kills::hold", &[&name]);
    holder.expect("held");
    holder.kill();
    assert!(!semaphore.acquire_timeout(Duration::from_millis(20)).expect("a wait"));
    semaphore.release().expect("far from the maximum");
    assert!(semaphore.try_acquire());
}

fn hold(arguments: &Arguments) {
    let semaphore = Semaphore::options().open(arguments.text(0)).expect("it is there");
    let _permit = semaphore.guard().expect("a permit");
    say("held");
    thread::park();
}

/// S29: who is killed while waiting takes nothing along, and spoils nothing for others.
#[test]
fn a_waiter() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    for _ in 0..ROUNDS {
        let mut waiter = Child::start("kills::wait", &[&name]);
        let thread = waiter.hear().parse().expect("an id");
        wait_until_in(waiter.id(), thread, &[libc::SYS_futex]);
        waiter.kill();
        assert_eq!(semaphore.value(), 0);
        semaphore.release().expect("far from the maximum");
        assert!(semaphore.try_acquire());
    }
}

/// S29: a waiter that was woken and is killed before it takes the permit leaves it to the others,
/// whom nobody wakes. Here the value rises as such a one leaves it.
#[test]
fn a_waiter_that_was_woken() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let semaphore = &new_semaphore(&name, 0);
    let path = files::file(Kind::Semaphore, &name);
    let file = fs::File::options().read(true).write(true).open(path).expect("it is ours");
    let waits: [&(dyn Fn() -> bool + Sync); 2] = [&|| semaphore.acquire().is_ok(), &|| {
        semaphore.acquire_timeout(Duration::from_secs(1000)).expect("a wait")
    }];
    for wait in waits {
        thread::scope(|scope| {
            let waiter = Waiter::start_in(scope, libc::SYS_futex, wait);
            // The value is the lower half of the number that begins the file.
            let mut word = [0; 8];
            file.read_exact_at(&mut word, 0).expect("it is mapped, too");
            let half = if cfg!(target_endian = "little") { 0 } else { 4 };
            assert_eq!(word[half..half + 4], [0; 4]);
            file.write_all_at(&1_u32.to_ne_bytes(), half as u64).expect("it is ours");
            assert!(waiter.join());
        });
        assert_eq!(semaphore.value(), 0);
    }
}

fn wait(arguments: &Arguments) {
    let semaphore = Semaphore::options().open(arguments.text(0)).expect("it is there");
    say(thread_id());
    semaphore.acquire().expect("it never comes");
}

/// M49: the message of a sender that is killed while it waits never appears.
#[test]
fn a_blocked_sender() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    queue.send(b"first", 0).expect("there is room");
    let mut sender = Child::start("kills::send", &[&name]);
    let thread = sender.hear().parse().expect("an id");
    wait_until_in(sender.id(), thread, &[libc::SYS_mq_timedsend]);
    sender.kill();
    assert_eq!(queue.current_messages().expect("a number"), 1);
    assert_eq!(queue.receive().expect("a message").0, b"first");
    assert_eq!(queue.receive_timeout(Duration::from_millis(5)).expect("a wait"), None);
}

fn send(arguments: &Arguments) {
    let queue = MessageQueue::options().open(arguments.text(0)).expect("it is there");
    say(thread_id());
    queue.send(b"never", 9).expect("there is never room");
}

/// M50: what a receiver that is killed while it waits would have got, another gets.
#[test]
fn a_blocked_receiver() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 1, 8);
    for _ in 0..5 {
        let mut receiver = Child::start("kills::receive", &[&name]);
        let thread = receiver.hear().parse().expect("an id");
        wait_until_in(receiver.id(), thread, &[libc::SYS_mq_timedreceive]);
        receiver.kill();
        queue.send(b"for you", 0).expect("there is room");
        assert_eq!(queue.receive().expect("a message").0, b"for you");
    }
}

fn receive(arguments: &Arguments) {
    let queue = MessageQueue::options().open(arguments.text(0)).expect("it is there");
    say(thread_id());
    queue.receive().expect("nothing ever comes");
}

/// M45, M51: a process that passes messages on is killed; those that are left are in order, none is
/// there twice, at most the one in its hands is lost, and its notification is off.
#[test]
fn a_process_in_the_middle() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = new_queue(&name, 6, 8);
    for round in 0..ROUNDS {
        for number in 0_u32..6 {
            queue.send(&number.to_ne_bytes(), 0).expect("there is room");
        }
        let mut middle = Child::start("kills::pass_on", &[&name]);
        middle.expect("begin");
        a_moment(round);
        middle.kill();
        let mut left = Vec::new();
        let mut buffer = [0; 8];
        while queue.try_receive(&mut buffer).expect("an answer").is_some() {
            left.push(u32::from_ne_bytes(buffer[..4].try_into().expect("four bytes")));
        }
        assert!((5..=6).contains(&left.len()), "{left:?}");
        // It takes from the front and puts to the back: what is left is a cycle, in which one may
        // be missing.
        let steps = left.windows(2).map(|pair| (pair[1] + 6 - pair[0]) % 6);
        let gaps: u32 = steps.inspect(|&step| assert!((1..=2).contains(&step), "{left:?}")).sum();
        assert!(gaps <= 5, "{left:?}");
        drop(queue.watch().expect("an answer").expect("the place is free"));
    }
}

fn pass_on(arguments: &Arguments) {
    let queue = MessageQueue::options().open(arguments.text(0)).expect("it is there");
    say("begin");
    loop {
        let (message, priority) = queue.receive().expect("a message");
        queue.send(&message, priority).expect("there is room");
        // The queue is never empty, so this never fires.
        drop(queue.watch().expect("an answer"));
    }
}

/// A process that is killed while it grows a segment holds nobody up.
#[test]
fn a_grower() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, 1);
    let mapping = segment.map().expect("it is not empty");
    for round in 0..ROUNDS {
        let mut grower = Child::start("kills::grow", &[&name]);
        grower.expect("begin");
        a_moment(round);
        grower.kill();
        let size = segment.size().expect("a size");
        assert!(size >= 1 && (size - 1).is_multiple_of(5000), "{size}");
        let larger = SharedMemory::options().size(size + 1).open(&*name).expect("it grows");
        assert_eq!(larger.size().expect("a size"), size + 1);
        segment.resize(1).expect("it shrinks");
        mapping.write(0, b"x").expect("it is there");
    }
}

fn grow(arguments: &Arguments) {
    let segment = SharedMemory::options().open(arguments.text(0)).expect("it is there");
    say("begin");
    for size in 1.. {
        segment.resize(1 + size % 400 * 5000).expect("there is room");
    }
}
