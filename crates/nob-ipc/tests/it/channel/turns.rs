//! Turns to copy: one of each side at a time, and what becomes of a turn that does not end.

use std::fs;
use std::iter;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::registry::{self, ChannelState, Measure};
use nob_ipc::{Channel, Deadline, ErrorKind, Existence, Kind, Name, Sink};
use nob_ipc_testing::{Unique, Waiter, files, watchdog};

use super::{LANE, RECEIVERS, SENDERS};
use crate::support::{assert_words, new_channel};

/// How long a copy of another is borne (contract 10.8).
const COPY: Duration = Duration::from_millis(20);

/// Far beyond what a call takes that bears one copy after the other, also on a busy machine.
const MUCH: Duration = Duration::from_millis(150);

/// Writes the number of a slot into the word of those who send, or of those who receive.
fn give_turn(name: &str, word: u64, slot: u32) {
    let path = files::file(Kind::Channel, name);
    let file = fs::File::options().write(true).open(path).expect("it is ours");
    file.write_all_at(&slot.to_ne_bytes(), word).expect("it is ours");
}

/// The slot of a handle that is opened now.
fn slot_of_next(name: &str) -> (Channel, u32) {
    let file = files::file(Kind::Channel, name);
    let slots = || {
        let page = fs::read(&file).expect("it is ours")[4096..12_288].to_vec();
        let pid = |slot: u32| {
            let at = slot as usize * 8 + 4;
            u32::from_ne_bytes(page[at..at + 4].try_into().expect("four bytes"))
        };
        (1..1024).filter(|&slot| pid(slot) == process::id()).collect::<Vec<_>>()
    };
    let before = slots();
    let handle = Channel::options().open(name).expect("it is there");
    let new = slots().into_iter().find(|slot| !before.contains(slot));
    (handle, new.expect("it has one of its own"))
}

/// The shortest of some tries: the machine may be busy.
fn shortest(call: impl Fn()) -> Duration {
    let times = (0..5).map(|_| {
        let begin = Instant::now();
        call();
        begin.elapsed()
    });
    times.min().expect("there are some")
}

/// Contract 10.8: whoever has the turn lives, and does not end: as one who was stopped amid a copy.
#[test]
fn a_turn_that_does_not_end() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    channel.send(b"old", 0).expect("there is room");
    let (other, slot) = slot_of_next(&name);
    give_turn(&name, SENDERS, slot);
    give_turn(&name, RECEIVERS, slot);
    let sends = |deadline| assert!(!channel.send_until(b"x", 0, deadline).expect("it is whole"));
    let receives = |deadline| {
        let received = channel.receive_until(&mut [0; 9], deadline).expect("it is whole");
        assert!(received.is_none());
    };
    let waits: [&dyn Fn(Deadline); 2] = [&sends, &receives];
    for wait in waits {
        let at_once = shortest(|| wait(Deadline::NOW));
        assert!((COPY..MUCH).contains(&at_once), "{at_once:?}");
        let soon = Duration::from_millis(5);
        let waited = shortest(|| wait(Deadline::after(soon)));
        assert!((soon..MUCH).contains(&waited), "{waited:?}");
        let checked = Deadline::NEVER.checked_every(soon);
        let error = channel.send_until(b"x", 0, checked).expect_err("a check is due");
        assert!(error.is_interrupted() && !error.is_signal());
    }
    assert_eq!(channel.current_messages().expect("it is whole"), 1);
    // It gives up its turns.
    drop(other);
    assert!(channel.try_send(b"new", 0).expect("it is whole"));
    assert_eq!(channel.receive().expect("it is whole").0, b"old");
}

/// What is no living handle's is taken over at once.
#[test]
fn the_turn_of_the_dead() {
    let _watchdog = watchdog();
    for slot in [900, 1023, 1024, 0xffff] {
        let name = Unique::new();
        let channel = new_channel(&name);
        give_turn(&name, SENDERS, slot);
        assert!(channel.try_send(b"x", 0).expect("it is whole"), "{slot}");
        give_turn(&name, RECEIVERS, slot);
        let received = channel.try_receive(&mut [0; 9]).expect("it is whole");
        assert_eq!(received.map(|received| received.length), Some(1), "{slot}");
    }
}

/// Somebody changes the size of the file: who has to look at it says so.
#[test]
fn a_file_that_changes_its_size() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    channel.send(b"x", 0).expect("there is room");
    let path = files::file(Kind::Channel, &*name);
    let file = fs::File::options().write(true).open(path).expect("it is ours");
    let size = file.metadata().expect("it is open").len();
    file.set_len(size + 1).expect("it is ours");
    give_turn(&name, SENDERS, 900);
    give_turn(&name, RECEIVERS, 900);
    for error in [
        channel.try_send(b"x", 0).map(|_| ()).expect_err("the file is not what it was"),
        channel.receive().map(|_| ()).expect_err("the file is not what it was"),
        channel.readable().map(|_| ()).expect_err("the file is not what it was"),
    ] {
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Corrupt, Some(libc::EUCLEAN)));
        assert_words(&error, &["size", "unlink it and create it anew"]);
    }
    file.set_len(size).expect("it is ours");
    assert_eq!(channel.receive().expect("it is whole").0, b"x");
    assert!(channel.try_send(b"x", 0).expect("it is whole"));
}

/// What lists objects tells of a channel.
#[test]
fn what_is_listed() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = Channel::options()
        .capacity(4096)
        .priorities(2)
        .max_messages(9)
        .max_message_size(100)
        .existence(Existence::Create)
        .open(&*name)
        .expect("a new channel");
    let checked = Name::new(Kind::Channel, &*name).expect("a legal name");
    let state = || match registry::find(&checked).expect("it is there").measure() {
        Measure::Channel(state) => state.expect("it is whole"),
        other => panic!("{other:?}"),
    };
    let empty = state();
    assert_eq!((empty.messages, empty.max_messages, empty.max_message_size), (0, 9, 100));
    assert_eq!((empty.used, empty.capacity, empty.priorities), (0, 8192, 2));
    assert_eq!((empty.waiters, empty.deaths), (0, 0));
    give_turn(&name, SENDERS, 900);
    channel.send(b"123456789", 1).expect("there is room");
    channel.send(b"", 0).expect("there is room");
    let full = state();
    assert_eq!((full.messages, full.used, full.deaths), (2, 24 + 8, 1));
    channel.receive_many(2, Deadline::NOW).expect("it is whole");
    thread::scope(|scope| {
        let receive = || channel.receive_timeout(Duration::from_secs(3600));
        let waiter = Waiter::start_in(scope, libc::SYS_futex, receive);
        assert_eq!(state().waiters, 1);
        channel.send(b"", 0).expect("there is room");
        assert!(waiter.join().expect("it is whole").is_some());
    });
    assert_eq!((state().waiters, state().messages), (0, 0));
    assert_eq!(state().since(&full), (1, 3), "one was sent since, and all were received");
}

/// The counts of what was ever sent and received begin anew in the end, and tell all the same how many that
/// were since an earlier look.
#[test]
fn what_was_ever_sent_is_counted() {
    const MESSAGES: u32 = 40;
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let state = || {
        let checked = Name::new(Kind::Channel, &*name).expect("a legal name");
        match registry::find(&checked).expect("it is there").measure() {
            Measure::Channel(state) => state.expect("it is whole"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((state().sent, state().received), (0, 0));
    channel.send(b"x", 0).expect("there is room");
    assert_eq!((state().sent, state().received), (1, 0));
    channel.receive().expect("there is one");
    // As if all but two that can be counted had passed, which are at the same place.
    let file = fs::File::options().write(true).open(files::file(Kind::Channel, &*name));
    let file = file.expect("it is ours");
    let cursor = (ChannelState::COUNTED - 2) << MESSAGES;
    for at in [LANE, LANE + 64] {
        file.write_all_at(&cursor.to_ne_bytes(), at).expect("it is ours");
    }
    let before = state();
    assert_eq!((before.sent, before.received), (ChannelState::COUNTED - 2, before.sent));
    for _ in 0..5 {
        channel.send(b"x", 0).expect("there is room");
    }
    channel.receive().expect("there is one");
    let after = state();
    assert_eq!((after.messages, after.sent), (4, 3));
    assert_eq!(after.since(&before), (5, 1));
}

/// Refuses, or fails.
struct Hopeless(bool);

impl Sink for Hopeless {
    fn place(&mut self, _: usize, _: u32) -> Option<&mut [MaybeUninit<u8>]> {
        assert!(!self.0, "the sink fails");
        None
    }
}

/// What a caller gives that panics amid a turn ends the turn, and nothing is sent or taken.
#[test]
fn a_panic_ends_the_turn() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let other = Channel::options().open(&*name).expect("it is there");
    let failing = iter::once(&b"lost"[..]).chain(iter::from_fn(|| panic!("the iterator fails")));
    let sent = catch_unwind(AssertUnwindSafe(|| channel.try_send_many(failing, 0)));
    assert!(sent.is_err());
    assert_eq!(channel.current_messages().expect("it is whole"), 0);
    for handle in [&other, &channel] {
        assert!(handle.try_send(b"kept", 0).expect("it is whole"));
    }
    let mut sink = Hopeless(true);
    let taken = catch_unwind(AssertUnwindSafe(|| channel.try_receive_with(1, &mut sink)));
    assert!(taken.is_err());
    assert_eq!(channel.current_messages().expect("it is whole"), 2);
    for handle in [&other, &channel] {
        assert!(handle.try_receive(&mut [0; 9]).expect("it is whole").is_some());
    }
}

/// A sink that refuses leaves the message, and is not asked for ever.
#[test]
fn a_sink_that_refuses() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    channel.send(b"kept", 0).expect("there is room");
    for deadline in [Deadline::NOW, Deadline::after(Duration::from_secs(3600)), Deadline::NEVER] {
        let taken = channel.receive_with(9, &mut Hopeless(false), deadline);
        assert_eq!(taken.expect("it is whole"), 0);
        let taken = channel.receive_with(0, &mut Hopeless(true), deadline);
        assert_eq!(taken.expect("it is whole"), 0);
    }
    assert_eq!(channel.receive().expect("it is whole").0, b"kept");
}

/// What a caller gives may not use the channel: that waits for itself, but not for ever.
#[test]
fn one_that_waits_for_itself() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = new_channel(&name);
    let mut inner = None;
    let messages = iter::once_with(|| {
        inner = Some(channel.try_send(b"inner", 0).expect("it is whole"));
        &b"outer"[..]
    });
    assert_eq!(channel.try_send_many(messages, 0).expect("it is whole"), 1);
    assert_eq!(inner, Some(false));
    assert_eq!(channel.receive().expect("it is whole").0, b"outer");
}
