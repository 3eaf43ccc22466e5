//! What somebody has written into the file, or locked in it (contract 9.5).

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nob_ipc::{Deadline, ErrorKind, Existence, Kind, Name, registry};
use nob_ipc_testing::{Arguments, Child, Role, Unique, files, files::Trace, hold, watchdog};

use crate::support::{
    OWNED, Owned, assert_refused, assert_words, for_the_race, life_bytes, new_permits,
    start_together,
};

pub const ROLES: &[Role] = &[("hostile::work", work), ("hostile::own", own)];

/// The length of a file.
const SIZE: u64 = 12_288;

/// The fields of the header: offset and length.
const FIELDS: [(u64, usize); 20] = [
    (0, 8),
    (8, 4),
    (12, 4),
    (16, 8),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (64, 4),
    (68, 4),
    (72, 8),
    (80, 8),
    (88, 8),
    (128, 4),
    (192, 4),
    (1024, 4),
    (1028, 4),
    (3068, 4),
    (4104, 8),
    (12_280, 8),
];

fn file(kind: Kind, name: &str) -> fs::File {
    let path = files::file(kind, name);
    fs::File::options().read(true).write(true).open(path).expect("it is ours")
}

/// A number at random.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// L13: whatever is written into each field while processes work: no signal, no wait that does
/// not end in time, and no error but those that are documented.
#[test]
fn random_bytes_while_processes_work() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let kept = Owned::create(kind, &name);
        let file = file(kind, &name);
        let start = || Child::start("hostile::work", &[&kind.short_word(), &name]);
        let mut workers: Vec<_> = (0..3).map(|_| start()).collect();
        start_together(&mut workers);
        let values = [0, 1, u64::MAX, 1 << 31, 0x8000_0000_8000_0000, 1 << 63, 0x4000_0005, 7];
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(400) {
            for (offset, length) in FIELDS {
                for value in values.into_iter().chain([random(), random() & 0x3ff]) {
                    file.write_all_at(&value.to_ne_bytes()[..length], offset).expect("it is ours");
                }
            }
            let noise: Vec<u8> = (0..SIZE / 8).flat_map(|_| random().to_ne_bytes()).collect();
            file.write_all_at(&noise, 0).expect("it is ours");
        }
        workers.into_iter().for_each(Child::finish);
        drop(kept);
        assert!(!files::exists(kind, &name));
    }
}

fn work(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let handle = Owned::link(kind, name);
    let checked = Name::new(kind, name).expect("a legal name");
    let (mut taken, mut opened) = (0, 0);
    for_the_race(|| {
        let begin = Instant::now();
        for timeout in [0, 1, 3] {
            let deadline = Deadline::after(Duration::from_millis(timeout));
            if handle.wait(deadline).expect("a living handle asks") {
                taken += 1;
                not_held_or_done(handle.release());
            }
        }
        handle.holder();
        handle.is_taken();
        match &handle {
            Owned::Lock(lock) => {
                lock.owner_died().expect("an answer");
                not_held_or_done(lock.fence());
                not_held_or_done(lock.note_time());
                not_held_or_done(lock.mark_repaired());
            }
            Owned::Permits(permits) => {
                assert_eq!(permits.bound(), 1);
                assert!(permits.holders().expect("an answer").len() <= 1);
            }
        }
        match Owned::open(kind, name, Existence::Link) {
            Ok(_) => opened += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WrongType, "{error}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "timeouts are kept");
        // It looks at all processes of the machine, which takes its time.
        drop(registry::find(&checked).expect("it is there"));
    });
    assert!(taken > 0, "{taken} taken, {opened} opened");
}

fn not_held_or_done<T>(result: nob_ipc::Result<T>) {
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::NotHeld, "{error}");
    }
}

fn own(arguments: &Arguments) {
    let handle = Owned::link(arguments.kind(0), arguments.text(1));
    handle.takes();
    hold();
}

/// Locks each byte that shows a life, as a reader; those of the living are refused.
fn lock_each(reader: &impl AsRawFd) {
    for byte in 0..2048 {
        let mut lock = life_bytes(libc::F_RDLCK);
        (lock.l_start, lock.l_len) = (lock.l_start + byte, 1);
        // SAFETY: the structure is valid, and outlives the call, which only reads it.
        unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    }
}

/// L14: who may only read the file can lock every byte that shows a life, as a reader. That
/// neither keeps a dead owner alive, nor keeps the living from taking over; but no new handle finds a slot.
#[test]
fn a_reader_who_locks() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let handle = Owned::create(kind, &name);
        let mut owner = Child::start("hostile::own", &[&kind.short_word(), &name]);
        owner.expect("ready");
        let reader = files::open(kind, &name);
        lock_each(&reader);
        assert!(!handle.tries(), "the owner lives");
        let refused = Owned::open(kind, &name, Existence::Link);
        assert_refused(refused, &name, ErrorKind::TooManyHandles, Some(libc::EMFILE));
        owner.kill();
        lock_each(&reader);
        assert!(!handle.is_taken() && handle.holder().is_none());
        handle.takes();
        handle.assert_told(true);
        handle.gives();
        drop(reader);
        Owned::link(kind, &name).takes();
    }
}

/// Somebody changes the size of the file: who has to look at it says so.
#[test]
fn a_file_that_changes_its_size() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let holder = Owned::create(kind, &name);
        let other = Owned::link(kind, &name);
        let file = file(kind, &name);
        for size in [SIZE + 1, 2 * SIZE, SIZE - 1] {
            holder.takes();
            file.set_len(size).expect("it is ours");
            for deadline in [Deadline::NOW, Deadline::after(Duration::from_secs(3600))] {
                let error = other.wait(deadline).expect_err("the file is not what it was");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert_eq!(error.raw_os_error(), Some(libc::EUCLEAN));
                assert_words(&error, &["size", "unlink it and create it anew"]);
            }
            assert!(!other.has_it());
            let opened = Owned::open(kind, &name, Existence::Link);
            assert_refused(opened, &name, ErrorKind::WrongType, Some(libc::EINVAL));
            file.set_len(SIZE).expect("it is ours");
            assert!(!other.tries());
            holder.gives();
            other.takes();
            other.gives();
        }
    }
}

/// Opens what is planted in each way that would link to it, and expects to be told what it is.
#[track_caller]
fn assert_no_object(kind: Kind, name: &str, words: &[&str]) {
    let before = fs::read(files::file(kind, name)).expect("it is ours");
    for existence in [Existence::Link, Existence::LinkOrCreate] {
        let opened = Owned::open(kind, name, existence);
        let error = assert_refused(opened, name, ErrorKind::WrongType, Some(libc::EINVAL));
        assert_words(&error, words);
        assert_words(&error, &["unlink it and create it anew"]);
    }
    let trace = Trace::of(kind, name);
    assert_eq!((trace.descriptors(), trace.mappings()), (0, 0));
    let after = fs::read(files::file(kind, name)).expect("it is there still");
    assert!(before == after, "it was left alone");
    let new = Owned::open(kind, name, Existence::UnlinkAndCreate).expect("it may go");
    new.takes();
}

/// The bytes of a new object.
fn image(kind: Kind) -> Vec<u8> {
    let name = Unique::new();
    let _object = Owned::create(kind, &name);
    let image = fs::read(files::file(kind, &name)).expect("it is ours");
    assert_eq!(image.len() as u64, SIZE);
    image
}

/// L18: a short file, a long one, and one of zeros.
#[test]
fn files_of_another_length() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let whole = image(kind);
        for length in [0, 1, 4096, SIZE - 1, SIZE + 1, 4 * SIZE] {
            let name = Unique::new();
            let mut bytes = whole.clone();
            bytes.resize(usize::try_from(length).expect("it is small"), 0);
            fs::write(files::file(kind, &name), bytes).expect("/dev/shm is writable");
            assert_no_object(kind, &name, &[&format!("{length} bytes"), "12288"]);
        }
        let hollow = Unique::new();
        files::hollow(kind, &hollow, SIZE, None);
        assert_no_object(kind, &hollow, &["does not begin as that of one", kind_words(kind)]);
    }
}

fn kind_words(kind: Kind) -> &'static str {
    if kind == Kind::Lock { "no lock" } else { "no bounded semaphore" }
}

/// L18: another kind, another version, and numbers that cannot be.
#[test]
fn fields_that_are_not_ours() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let (own, other) = if kind == Kind::Lock { (1_u32, 2_u32) } else { (2, 1) };
        let other_words = if kind == Kind::Lock { "a bounded semaphore" } else { "a lock" };
        let whole = image(kind);
        assert_eq!(whole[8..12], own.to_ne_bytes());
        let cases: [(usize, u32, &[&str]); 14] = [
            (0, 0, &["does not begin"]),
            (4, u32::MAX, &["does not begin"]),
            (8, other, &["its file is", other_words]),
            (8, 0, &["not known here"]),
            (8, u32::MAX, &["not known here"]),
            (12, 0, &["version 0.0", "1.0"]),
            (12, 2, &["version 2.0", "use the version"]),
            (12, 2 | 5 << 16, &["version 2.5"]),
            (16, 4096, &["out of range"]),
            (20, 1, &["out of range"]),
            (24, 1022, &["out of range"]),
            (24, u32::MAX, &["out of range"]),
            (28, 513, &["out of range"]),
            (28, u32::MAX, &["out of range"]),
        ];
        for (offset, value, words) in cases {
            let name = Unique::new();
            let mut bytes = whole.clone();
            bytes[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
            fs::write(files::file(kind, &name), bytes).expect("/dev/shm is writable");
            assert_no_object(kind, &name, words);
        }
        // No permit at all is none for a lock, and too few for a bounded semaphore.
        let name = Unique::new();
        let mut bytes = whole.clone();
        let value = u32::from(kind == Kind::Lock);
        bytes[28..32].copy_from_slice(&value.to_ne_bytes());
        fs::write(files::file(kind, &name), bytes).expect("/dev/shm is writable");
        assert_no_object(kind, &name, &["out of range"]);
    }
}

/// A later version of the same major number is used as this one.
#[test]
fn a_later_minor_version() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let mut bytes = image(kind);
        bytes[12..16].copy_from_slice(&(1_u32 | 9 << 16).to_ne_bytes());
        fs::write(files::file(kind, &name), bytes).expect("/dev/shm is writable");
        Owned::link(kind, &name).takes();
    }
}

/// A sparse file in which everything is right gets its memory when it is opened.
#[test]
fn a_sparse_file() {
    use std::os::unix::fs::MetadataExt;
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let path = files::file(kind, &name);
        fs::write(&path, &image(kind)[..4096]).expect("/dev/shm is writable");
        file(kind, &name).set_len(SIZE).expect("it is ours");
        assert_eq!(fs::metadata(&path).expect("it is there").blocks() * 512, 4096);
        Owned::link(kind, &name).takes();
        assert_eq!(fs::metadata(&path).expect("it is there").blocks() * 512, SIZE);
    }
}

/// An owner's number that is no slot's belongs to nobody who lives.
#[test]
fn owners_that_cannot_be() {
    let _watchdog = watchdog();
    for number in [1024_u32, 0x7fff, 0xffff] {
        let name = Unique::new();
        let lock = Owned::create(Kind::Lock, &name);
        file(Kind::Lock, &name).write_all_at(&number.to_ne_bytes(), 64).expect("it is ours");
        assert!(!lock.is_taken() && lock.holder().is_none());
        lock.assert_told(true);
        lock.takes();
        lock.assert_told(true);
    }
    for number in [1024, 0xffff, 1 << 30, u32::MAX] {
        let name = Unique::new();
        let permits = new_permits(&name, 3);
        let file = file(Kind::BoundedSemaphore, &name);
        for cell in 0..3 {
            file.write_all_at(&number.to_ne_bytes(), 1024 + 4 * cell).expect("it is ours");
        }
        assert_eq!(permits.value().expect("an answer"), 3);
        assert_eq!(permits.holders().expect("an answer"), [0; 0]);
        for _ in 0..3 {
            assert!(permits.try_acquire().expect("an answer"));
        }
        assert!(!permits.try_acquire().expect("an answer"));
        assert_eq!(permits.held(), 3);
    }
}
