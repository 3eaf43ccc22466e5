//! How much a channel takes.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;

use nob_ipc::{Channel, ChannelOptions, Deadline, ErrorKind, Existence, Kind, Name, Reservation};
use nob_ipc_testing::{Child, Role, Unique, files, files::Trace, limits, say, watchdog};

use super::RINGS;
use crate::support::{assert_refused, assert_words, new_channel};

pub const ROLES: &[Role] = &[("channel_limits::no_memory", |_| no_memory())];

fn created(name: &str, set: impl FnOnce(&mut ChannelOptions)) -> nob_ipc::Result<Channel> {
    let mut options = Channel::options();
    set(options.existence(Existence::Create));
    options.open(name)
}

/// What ends the creation of a large one leaves nothing of it.
#[test]
fn giving_up() {
    const LARGE: u64 = 256 << 20;
    let _watchdog = watchdog();
    if files::free_in_shm() < 2 * LARGE {
        eprintln!("skipped: /dev/shm is too small");
        return;
    }
    let name = Unique::new();
    let checked = Name::new(Kind::Channel, &*name).expect("a legal name");
    let mut options = Channel::options();
    options.existence(Existence::Create).capacity(LARGE);
    for patience in 0..3 {
        let mut calls = 0;
        let opened = options.open_with(&checked, &mut || {
            calls += 1;
            if calls > patience { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_refused(opened, &name, ErrorKind::Interrupted, Some(libc::EINTR));
        assert_eq!(calls, patience + 1);
        assert!(!files::exists(Kind::Channel, &name));
    }
}

/// The capacity is a power of two, and a page at the least.
#[test]
fn capacities() {
    let _watchdog = watchdog();
    for (asked, given) in
        [(1, 4096), (4096, 4096), (4097, 8192), (100_000, 131_072), (1 << 20, 1 << 20)]
    {
        let name = Unique::new();
        let channel = created(&name, |options| {
            options.capacity(asked).priorities(3);
        });
        let channel = channel.expect("a new channel");
        assert_eq!(channel.capacity(), given, "{asked}");
        assert_eq!(channel.max_message_size(), given - 16);
        let file = fs::metadata(files::file(Kind::Channel, &*name)).expect("it is there");
        assert_eq!(file.len(), RINGS + 3 * given as u64);
        assert!(file.blocks() * 512 >= file.len(), "its memory is reserved");
    }
    let name = Unique::new();
    let channel = new_channel(&name);
    assert_eq!((channel.capacity(), channel.priorities()), (1 << 20, 1));
    assert_eq!(channel.max_messages(), (1 << 20) / 8, "as many as fit");
}

/// Without a capacity there is room for what was asked for.
#[test]
fn room_for_all() {
    let _watchdog = watchdog();
    for (count, size) in [(10, 1000), (1, 1), (1, 4081), (3, 0x1_0000), (4096, 1)] {
        let name = Unique::new();
        let channel = created(&name, |options| {
            options.max_messages(count).max_message_size(size).priorities(2);
        });
        let channel = channel.expect("a new channel");
        assert_eq!(channel.max_message_size() as u64, size);
        assert_eq!(channel.max_messages() as u64, count);
        let message = vec![7; channel.max_message_size()];
        for _ in 0..count {
            assert!(channel.try_send(&message, 1).expect("it is whole"), "{count} {size}");
        }
        assert!(!channel.try_send(b"", 1).expect("it is whole"));
        assert!(!channel.try_send(b"", 0).expect("it is whole"), "that counts all priorities");
    }
    let name = Unique::new();
    let channel = created(&name, |options| {
        options.max_message_size(3 << 20);
    });
    assert!(channel.expect("a new channel").capacity() >= 3 << 20);
}

/// Each is refused, by its name and with the limits.
#[test]
fn out_of_range() {
    type Set = fn(&mut ChannelOptions) -> &mut ChannelOptions;
    let _watchdog = watchdog();
    let name = Unique::new();
    let cases: [(Set, &[&str]); 11] = [
        (|it| it.capacity(0), &["capacity", "1 to 1099511627776"]),
        (|it| it.capacity((1 << 40) + 1), &["capacity", "1099511627777"]),
        (|it| it.capacity(u64::MAX), &["capacity"]),
        (|it| it.max_message_size(0), &["max_message_size", "1 to"]),
        (|it| it.capacity(4096).max_message_size(4081), &["4081 bytes", "capacity", "4080"]),
        (|it| it.max_message_size(u64::MAX), &["max_message_size"]),
        (|it| it.max_messages(0), &["max_messages", "1 to 16777215"]),
        (|it| it.max_messages(1 << 24), &["max_messages", "16777216"]),
        (|it| it.max_messages(1 << 20).max_message_size(1 << 30), &["room for all messages"]),
        (|it| it.priorities(0), &["priorities", "1 to 8"]),
        (|it| it.priorities(9), &["priorities", "1 to 8"]),
    ];
    for (set, words) in cases {
        for existence in [Existence::Create, Existence::LinkOrCreate, Existence::Link] {
            let mut options = Channel::options();
            let opened = set(options.existence(existence)).open(&*name);
            let error = assert_refused(opened, &name, ErrorKind::InvalidArgument, None);
            assert_words(&error, words);
        }
    }
    assert!(!files::exists(Kind::Channel, &*name));
}

/// N13: over all priorities.
#[test]
fn a_number_of_messages() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = created(&name, |options| {
        options.max_messages(3).priorities(2);
    });
    let channel = channel.expect("a new channel");
    assert_eq!(channel.max_messages(), 3);
    assert!(channel.try_send(b"a", 0).expect("it is whole"));
    let rest: [&[u8]; 3] = [b"b", b"c", b"d"];
    assert_eq!(channel.try_send_many(rest, 1).expect("it is whole"), 2);
    assert!(!channel.try_send(b"e", 0).expect("it is whole"));
    assert_eq!(channel.receive().expect("it is whole"), (b"b".to_vec(), 1));
    assert!(channel.try_send(b"e", 0).expect("it is whole"));
    assert_eq!(channel.current_messages().expect("it is whole"), 3);
}

/// Without a number it is as many as there is room for, in each priority.
#[test]
fn as_many_as_fit() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = created(&name, |options| {
        options.capacity(4096).priorities(3);
    });
    let channel = channel.expect("a new channel");
    assert_eq!(channel.max_messages(), 3 * 512);
    let empty: [&[u8]; 600] = [b""; 600];
    for priority in 0..3 {
        let sent = channel.send_many(&empty, priority, Deadline::NOW).expect("it is whole");
        assert_eq!(sent, 512, "{priority}");
    }
    assert_eq!(channel.current_messages().expect("it is whole"), 3 * 512);
    let received = channel.receive_many(usize::MAX, Deadline::NOW).expect("it is whole");
    assert_eq!(received.len(), 3 * 512);
}

/// Memory comes when it is written to, and only as much as that.
#[test]
fn sparse() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let channel = created(&name, |options| {
        options.reservation(Reservation::Sparse).capacity(1 << 36);
    });
    let channel = channel.expect("it takes no memory");
    for _ in 0..8 {
        channel.send(&vec![5; 1 << 20], 0).expect("there is room");
        assert_eq!(channel.receive().expect("it is whole").0, vec![5; 1 << 20]);
    }
    let file = fs::metadata(files::file(Kind::Channel, &*name)).expect("it is there");
    assert!(file.len() > 1 << 36 && file.blocks() * 512 < 16 << 20, "{file:?}");
}

/// Contract 10.9: one descriptor, and four mappings: the page, the ring twice, and the page that shows the
/// life. Each further priority has a ring.
#[test]
fn what_a_handle_takes() {
    let _watchdog = watchdog();
    for priorities in 1..=8 {
        let name = Unique::new();
        let channel = created(&name, |options| {
            options.capacity(4096).priorities(priorities);
        });
        let channel = channel.expect("a new channel");
        let trace = Trace::of(Kind::Channel, &name);
        let each = 2 + 2 * priorities as usize;
        let taken = || (trace.descriptors(), trace.mappings());
        assert_eq!(taken(), (1, each));
        let linked = Channel::options().open(&*name).expect("it is there");
        assert_eq!(linked.priorities(), priorities);
        assert_eq!(taken(), (2, 2 * each));
        drop(channel);
        assert_eq!(taken(), (1, each));
        drop(linked);
        assert_eq!(taken(), (0, 0));
    }
}

/// A message for which there is no memory stays, and the call says so at once.
#[test]
fn no_memory_for_a_message() {
    let _watchdog = watchdog();
    let mut child = Child::start("channel_limits::no_memory", &[]);
    child.expect("refused");
    child.finish();
}

fn no_memory() {
    // More than what the allocator may have set apart for this thread.
    const LARGE: usize = 70 << 20;
    let name = Unique::new();
    let channel = created(&name, |options| {
        options.reservation(Reservation::Sparse).capacity(128 << 20);
    });
    let channel = channel.expect("a new channel");
    channel.send(b"small", 0).expect("there is room");
    channel.send(&vec![3; LARGE], 0).expect("there is room");
    let size = fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: u64 = size.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
    let limit = limits::set(libc::RLIMIT_AS, pages * 4096 + LARGE as u64 / 2);
    // What there is memory for is not lost on the way.
    let received = channel.receive_many(2, Deadline::NEVER).expect("it is whole");
    assert_eq!(received, [(b"small".to_vec(), 0)]);
    for deadline in [Deadline::NOW, Deadline::NEVER] {
        let error = channel.receive_many(2, deadline).expect_err("there is no memory");
        assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
    }
    let error = channel.receive().expect_err("there is no memory");
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
    assert_eq!(channel.current_messages().expect("it is whole"), 1);
    limits::set(libc::RLIMIT_AS, limit);
    assert!(channel.receive().expect("it is whole").0 == vec![3; LARGE]);
    say("refused");
}
