//! What somebody has written into the file (contract 10.4).

use std::fs;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{Channel, Deadline, ErrorKind, Existence, Kind, Name, registry};
use nob_ipc_testing::{Arguments, Child, Role, Unique, files, watchdog};

use super::{LANE, PAGE, RECEIVERS, RINGS, SENDERS};
use crate::support::{assert_refused, new_channel, on_your_marks, random, start_together};

pub const ROLES: &[Role] = &[("channel_hostile::work", work)];

fn file(name: &str) -> fs::File {
    let path = files::file(Kind::Channel, name);
    fs::File::options().read(true).write(true).open(path).expect("it is ours")
}

/// The fields of the file: offset and length.
fn fields() -> Vec<(u64, usize)> {
    let header = [(0, 8), (8, 4), (12, 4), (16, 8), (24, 4), (28, 4), (32, 4), (36, 4), (64, 4)];
    // Slots: who waits, and the process.
    let slots = (0..8).map(|slot| (4096 + 4 * slot, 4));
    // The limits; both turns with all that is noted beside them; both events; the ends of each ring.
    let limits = (0..4).map(|field| (PAGE + 8 * field, 8));
    let turns = [SENDERS, RECEIVERS]
        .into_iter()
        .flat_map(|turn| [(turn, 4), (turn + 4, 4), (turn + 8, 8), (turn + 16, 8), (turn + 24, 8)]);
    let events = (0..4).map(|word| (PAGE + 192 + 64 * (word / 2) + 4 * (word % 2), 4));
    let ends = (0..2 * LANES).map(|end| (LANE + 64 * end, 8));
    let origins = (0..LANES).map(|lane| (LANE + 128 * lane + 8, 8));
    // Lengths of messages, among other things.
    let rings = (0..40).map(|word| (RINGS + 8 * (word % 20) + CAPACITY * (word / 20), 8));
    header
        .into_iter()
        .chain(slots)
        .chain(limits)
        .chain(turns)
        .chain(events)
        .chain(ends)
        .chain(origins)
        .chain(rings)
        .collect()
}

/// Two rings of a small channel.
const CAPACITY: u64 = 4096;
const LANES: u64 = 2;

fn small_channel(name: &str) -> Channel {
    Channel::options()
        .capacity(CAPACITY)
        .priorities(2)
        .existence(Existence::Create)
        .open(name)
        .expect("a new channel")
}

/// N8: whatever is written into each field, and into the messages, while processes work: no signal,
/// no wait that does not end in time, and no error but those that are documented.
#[test]
fn random_bytes_while_processes_work() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let kept = small_channel(&name);
    let file = file(&name);
    let whole = fs::read(files::file(Kind::Channel, &*name)).expect("it is ours");
    let start = |side| Child::start("channel_hostile::work", &[&name, &side]);
    let mut workers: Vec<_> = (0..4_u32).map(start).collect();
    start_together(&mut workers);
    let values = [0, 1, u64::MAX, 1 << 31, 1 << 63, 8, 4096, 1 << 40, 0x8000_0000_8000_0000];
    let begin = Instant::now();
    let mut round = 0;
    while begin.elapsed() < TIME {
        for (offset, length) in fields() {
            for value in values.into_iter().chain([random(u64::MAX), random(1024), random(1 << 13)])
            {
                file.write_all_at(&value.to_ne_bytes()[..length], offset).expect("it is ours");
                if random(8) == 0 {
                    thread::sleep(Duration::from_micros(random(100)));
                }
            }
            // Now and then all is well, and whoever works does not only meet refusals.
            round += 1;
            if round % 20 == 0 {
                file.write_all_at(&whole, 0).expect("it is ours");
                thread::sleep(Duration::from_millis(1));
            }
        }
        let noise: Vec<u8> = (0..RINGS / 8).flat_map(|_| random(u64::MAX).to_ne_bytes()).collect();
        file.write_all_at(&noise, 0).expect("it is ours");
    }
    for worker in workers {
        worker.finish();
    }
    drop(kept);
    assert!(!files::exists(Kind::Channel, &*name));
}

/// How long bytes are written.
const TIME: Duration = Duration::from_millis(1500);

/// Far beyond the timeouts of the calls, and what they bear besides.
const MUCH: Duration = Duration::from_secs(5);

fn work(arguments: &Arguments) {
    let (name, side) = (arguments.text(0), arguments.number(1));
    let channel = Channel::options().open(name).expect("it is there");
    let checked = Name::new(Kind::Channel, name).expect("a legal name");
    let readiness = [channel.readable(), channel.writable()].map(|it| it.expect("a descriptor"));
    let (mut done, mut refused) = (0, 0);
    on_your_marks();
    let begin = Instant::now();
    let mut buffer = vec![0; channel.capacity()];
    while begin.elapsed() < TIME {
        let before = Instant::now();
        let soon = Deadline::after(Duration::from_millis(random(4)));
        let priority = u32::from(random(2) == 0);
        let message = vec![7; usize::try_from(random(CAPACITY - 16)).expect("small")];
        let answer = match random(3) {
            0 if side % 2 == 0 => channel.send_until(&message, priority, soon).map(|_| ()),
            _ if side % 2 == 0 => {
                let batch: [&[u8]; 3] = [b"", b"message", &message];
                channel.send_many(&batch, priority, soon).map(|_| ())
            }
            0 => channel.receive_until(&mut buffer, soon).map(|_| ()),
            1 => channel.receive_many(5, soon).map(|messages| {
                for (bytes, priority) in messages {
                    assert!(bytes.len() as u64 <= CAPACITY - 16 && u64::from(priority) < LANES);
                }
            }),
            _ => channel.try_receive(&mut buffer[..9]).map(|_| ()),
        };
        readiness[0].clear();
        readiness[1].want_room(message.len(), priority);
        match answer {
            Ok(()) => done += 1,
            // The last of the calls has a small buffer.
            Err(error) => {
                let documented = [ErrorKind::Corrupt, ErrorKind::TooLong];
                assert!(documented.contains(&error.kind()), "{error:?}");
                assert!(side % 2 == 1 || error.kind() == ErrorKind::Corrupt, "{error:?}");
                refused += 1;
            }
        }
        if let Err(error) = channel.current_messages() {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        }
        assert!(channel.peek().is_none_or(|length| length as u64 <= CAPACITY - 16));
        assert_eq!((channel.priorities(), channel.capacity() as u64), (2, CAPACITY));
        if let Err(error) = Channel::options().open(name) {
            assert_eq!(error.kind(), ErrorKind::WrongType, "{error:?}");
        }
        assert!(before.elapsed() < MUCH, "timeouts are kept");
        if random(50) == 0 {
            // It looks at all processes of the machine, which takes its time.
            drop(registry::find(&checked).expect("it is there"));
        }
    }
    assert!(done > 0 && refused > 0, "{done} done, {refused} refused");
}

/// N8: a length that leaves the ring, and one that leaves what was sent.
#[test]
fn a_length_of_rubbish() {
    let _watchdog = watchdog();
    for length in [u64::MAX, 1 << 63, 1 << 32, 6000, 17] {
        let name = Unique::new();
        let channel = new_channel(&name);
        channel.send(b"hello", 0).expect("there is room");
        file(&name).write_all_at(&length.to_ne_bytes(), RINGS).expect("it is ours");
        let error = channel.receive().expect_err("there is no such message");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::Corrupt, Some(libc::EUCLEAN)));
    }
}

/// N8: positions that cannot be.
#[test]
fn cursors_of_rubbish() {
    let _watchdog = watchdog();
    for (offset, cursor) in [(512, u64::MAX), (512, 1 << 40), (576, 5), (512, 100_000)] {
        let name = Unique::new();
        let channel = new_channel(&name);
        channel.send(b"hello", 0).expect("there is room");
        file(&name).write_all_at(&u64::to_ne_bytes(cursor), PAGE + offset).expect("it is ours");
        for error in [
            channel.receive().map(|_| ()).expect_err("nobody knows where it is"),
            channel.send(b"x", 0).expect_err("nobody knows where to"),
            channel.current_messages().map(|_| ()).expect_err("nobody knows"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{cursor:x}");
        }
    }
}

/// N17: what is no channel is refused, and the error says why.
#[test]
fn what_is_no_channel() {
    let _watchdog = watchdog();
    let refused = |change: &dyn Fn(&fs::File), words: &str| {
        let name = Unique::new();
        let mut options = Channel::options();
        let made = options.existence(Existence::Create).unlink_on_drop(false).open(&*name);
        // Who has it mapped must not touch what is cut off.
        drop(made.expect("a new channel"));
        change(&file(&name));
        let opened = Channel::options().open(&*name);
        let error = assert_refused(opened, &name, ErrorKind::WrongType, Some(libc::EINVAL));
        assert!(error.to_string().contains(words), "{words:?} is not in {error}");
    };
    let write = |at: u64, value: u64| {
        move |file: &fs::File| {
            file.write_all_at(&value.to_ne_bytes(), at).expect("it is ours");
        }
    };
    refused(&write(0, 0), "does not begin as that of one");
    refused(&write(8, 1 | 1 << 32), "its file is a lock");
    refused(&write(8, 4 | 9 << 32), "version 9.0");
    refused(&write(PAGE, 12_345), "out of range");
    refused(&write(PAGE, 1 << 41), "out of range");
    refused(&write(PAGE + 8, 1 << 20), "out of range");
    refused(&write(PAGE + 16, 0), "out of range");
    refused(&write(PAGE + 24, 9), "out of range");
    refused(&|file| file.set_len(100).expect("it is ours"), "100 bytes");
    refused(&|file| file.set_len(RINGS + 5000).expect("it is ours"), "bytes");
    let name = Unique::new();
    files::hollow(Kind::Channel, &name, 20_480, None);
    let opened = Channel::options().open(&*name);
    assert_refused(opened, &name, ErrorKind::WrongType, Some(libc::EINVAL));
    fs::remove_file(files::file(Kind::Channel, &*name)).expect("it is ours");
}
