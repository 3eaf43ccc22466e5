//! What holds for all names, times, sizes and messages, on those that nobody would think of.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nob_ipc::{
    Channel, Deadline, ErrorKind, Existence, Kind, MessageQueue, Messages, Name, Reservation,
    Semaphore, SharedMemory,
};
use nob_ipc_testing::{Unique, watchdog};
use proptest::collection::vec;
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&Kind::ALL[..])
}

/// Bytes with many of those that matter.
fn name_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => any::<u8>(),
        3 => b'a'..=b'z',
        1 => Just(b'/'),
        1 => Just(b'.'),
        1 => Just(0),
    ];
    prop_oneof![vec(byte, 0..8), vec(1..=255_u8, 0..300), vec(b'a'..=b'z', 240..260)]
}

/// What the system takes as a name, said another way.
fn is_legal(kind: Kind, bytes: &[u8]) -> bool {
    let bare = match bytes {
        [b'/', rest @ ..] => rest,
        all => all,
    };
    let longest = match kind {
        Kind::Semaphore => 251,
        Kind::SharedMemory | Kind::MessageQueue => 255,
        Kind::Lock => 246,
        Kind::BoundedSemaphore | Kind::Channel => 243,
    };
    (1..=longest).contains(&bare.len())
        && bare.iter().all(|&byte| byte != 0 && byte != b'/')
        && !matches!(bare, b"." | b"..")
}

fn is_portable(kind: Kind, name: &str) -> bool {
    let bare = name.strip_prefix('/').unwrap_or(name);
    is_legal(kind, name.as_bytes())
        && bare.chars().all(|character| character.is_alphanumeric() || "-_.".contains(character))
        && !(kind == Kind::SharedMemory
            && ["sem.", "nob.lock.", "nob.permits.", "nob.channel."]
                .iter()
                .any(|prefix| bare.starts_with(prefix)))
}

proptest! {
    /// C2, C3, C4, C9: whatever bytes a name has.
    #[test]
    fn names(kind in kinds(), bytes in name_bytes()) {
        match Name::new(kind, OsStr::from_bytes(&bytes)) {
            Ok(name) => {
                prop_assert!(is_legal(kind, &bytes));
                prop_assert_eq!(name.kind(), kind);
                prop_assert_eq!(&name.as_bytes()[..1], b"/");
                let bare = bytes.strip_prefix(b"/").unwrap_or(&bytes);
                prop_assert_eq!(&name.as_bytes()[1..], bare);
                // What is shown can be printed, and the name leads to itself.
                prop_assert!(!name.to_string().chars().any(char::is_control));
                let again = Name::new(kind, OsStr::from_bytes(name.as_bytes()));
                prop_assert_eq!(again.ok(), Some(name));
            }
            Err(error) => {
                prop_assert!(!is_legal(kind, &bytes));
                prop_assert_eq!(error.kind(), ErrorKind::InvalidName);
                prop_assert_eq!(error.raw_os_error(), None);
                prop_assert!(error.name().is_none());
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }

    /// C2, C3, C4, C9: whatever characters a name has.
    #[test]
    fn portable_names(kind in kinds(), name in "/?(sem\\.|nob\\.lock\\.|nob\\.permits\\.|nob\\.)?[a-zA-Z0-9._é中 \u{1b}/-]{0,12}|\\PC{0,90}") {
        let portable = Name::portable(kind, &name);
        prop_assert_eq!(portable.is_ok(), is_portable(kind, &name), "{:?}", name);
        if let Ok(portable) = portable {
            prop_assert_eq!(Some(portable), Name::new(kind, &name).ok());
        }
    }

    /// A name that is legal is one that the system takes, and the other way round.
    #[test]
    fn the_system_agrees(bytes in vec(prop_oneof![1..=255_u8, Just(b'.')], 0..4), long in any::<bool>()) {
        let unique = Unique::new();
        let length = if long { 250 } else { 1 };
        let name = [unique.as_bytes(), &vec![b'x'; length - 1], &bytes].concat();
        let name = OsStr::from_bytes(&name);
        let created = Semaphore::options().existence(Existence::Create).open(name);
        let legal = is_legal(Kind::Semaphore, name.as_bytes());
        prop_assert_eq!(created.is_ok(), legal);
    }
}

proptest! {
    /// S15: whatever the time.
    #[test]
    fn deadlines(seconds in prop_oneof![any::<u64>(), 0..5_u64, (u64::MAX - 5)..=u64::MAX,
                     (i64::MAX.unsigned_abs() - 100_000_000)..(i64::MAX.unsigned_abs() + 5)],
                 nanoseconds in 0..1_000_000_000_u32) {
        let timeout = Duration::new(seconds, nanoseconds);
        let deadline = Deadline::after(timeout);
        prop_assert_eq!(deadline == Deadline::NOW, timeout.is_zero());
        if seconds > 60 {
            prop_assert!(!deadline.has_passed());
            prop_assert!(!deadline.checked_every(Deadline::CHECK_INTERVAL).has_passed());
        }
        if seconds >= i64::MAX.unsigned_abs() {
            prop_assert_eq!(deadline, Deadline::NEVER);
        }
        if seconds < 1 << 40 {
            prop_assert_ne!(deadline, Deadline::NEVER);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// H2, H11: every size is exact or refused, and nothing else happens.
    #[test]
    fn sizes(first in segment_sizes(), then in segment_sizes(), sparse in any::<bool>()) {
        let name = Unique::new();
        let mut options = SharedMemory::options();
        let reservation = if sparse { Reservation::Sparse } else { Reservation::Reserved };
        options.size(first).reservation(reservation).existence(Existence::Create);
        let segment = match options.open(&*name) {
            Ok(segment) => segment,
            Err(error) => {
                prop_assert!(is_too_large(first, sparse, error.kind()), "{}", error);
                return Ok(());
            }
        };
        prop_assert_eq!(segment.size().expect("a size"), first);
        let expected = match segment.resize(then) {
            Ok(()) => then,
            Err(error) => {
                prop_assert!(is_too_large(then, sparse, error.kind()), "{}", error);
                first
            }
        };
        prop_assert_eq!(segment.size().expect("a size"), expected);
        let linked = SharedMemory::options().size(7).open(&*name).expect("it is there");
        prop_assert_eq!(linked.size().expect("a size"), expected.max(7));
    }

    /// M15, M21: a queue is a list, sorted by priority.
    #[test]
    fn a_queue_against_its_model(steps in message_steps()) {
        let _watchdog = watchdog();
        let name = Unique::new();
        let mut options = MessageQueue::options();
        options.max_messages(5).max_message_size(16).existence(Existence::Create);
        let queue = options.open(&*name).expect("a new queue");
        are_a_list(&queue, &|| queue.current_messages().expect("a number"), steps)?;
    }

    /// N1, N11: so is a channel, whatever its priorities.
    #[test]
    fn a_channel_against_its_model(steps in message_steps(), priorities in 4..=8_u32) {
        let _watchdog = watchdog();
        let name = Unique::new();
        let mut options = Channel::options();
        options.max_messages(5).max_message_size(16).priorities(priorities);
        let channel = options.existence(Existence::Create).open(&*name).expect("a new channel");
        are_a_list(&channel, &|| channel.current_messages().expect("a number"), steps)?;
    }

    /// S4, S5, S8: a semaphore is a number.
    #[test]
    fn a_semaphore_against_its_model(
        initial in prop_oneof![0..4_u32, (Semaphore::MAX_VALUE - 3)..=Semaphore::MAX_VALUE],
        steps in vec(prop_oneof![2 => Just(None), 3 => (1..4_u32).prop_map(Some)], 0..40),
    ) {
        let name = Unique::new();
        let mut options = Semaphore::options();
        let semaphore = options.initial_value(initial).existence(Existence::Create).open(&*name);
        let semaphore = semaphore.expect("a new semaphore");
        let mut model = initial;
        for step in steps {
            if let Some(count) = step {
                let fits = model + count <= Semaphore::MAX_VALUE;
                prop_assert_eq!(semaphore.release_many(count).is_ok(), fits);
                model += if fits { count } else { 0 };
            } else {
                let taken = semaphore.acquire_timeout(Duration::ZERO).expect("no wait");
                prop_assert_eq!(taken, model > 0);
                model -= u32::from(taken);
            }
            prop_assert_eq!(semaphore.value(), model);
        }
    }
}

/// Messages that are sent with a priority, and receptions.
fn message_steps() -> impl Strategy<Value = Vec<Option<(u32, Vec<u8>)>>> {
    let send = (0..4_u32, vec(any::<u8>(), 0..=16)).prop_map(Some);
    vec(prop_oneof![3 => send, 2 => Just(None)], 0..60)
}

/// What has room for five messages of 16 bytes is a list, sorted by priority.
fn are_a_list(
    messages: &dyn Messages,
    count: &dyn Fn() -> usize,
    steps: Vec<Option<(u32, Vec<u8>)>>,
) -> Result<(), TestCaseError> {
    let mut model: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut buffer = [0; 16];
    for step in steps {
        if let Some((priority, message)) = step {
            let sent = messages.try_send(&message, priority).expect("an answer");
            prop_assert_eq!(sent, model.len() < 5);
            if sent {
                model.push((priority, message));
                model.sort_by_key(|&(priority, _)| Reverse(priority));
            }
        } else {
            let received = messages.try_receive(&mut buffer).expect("an answer");
            let received = received.map(|got| (got.priority, buffer[..got.length].to_vec()));
            let expected = (!model.is_empty()).then(|| model.remove(0));
            prop_assert_eq!(received, expected);
        }
        prop_assert_eq!(count(), model.len());
    }
    Ok(())
}

fn segment_sizes() -> impl Strategy<Value = u64> {
    prop_oneof![0..20_000_u64, Just(4096), (1 << 60)..=u64::MAX, Just(i64::MAX.unsigned_abs())]
}

/// Whether this kind of refusal fits the size.
fn is_too_large(size: u64, sparse: bool, kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::InvalidArgument => size > i64::MAX.unsigned_abs(),
        ErrorKind::OutOfSpace => size >= 1 << 60,
        ErrorKind::LimitExceeded => sparse && size >= 1 << 60,
        _ => false,
    }
}
