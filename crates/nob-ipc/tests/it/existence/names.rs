//! Legal names, from creation to unlink; `properties` has the ones nobody thinks of.

use std::os::unix::ffi::OsStrExt;

use nob_ipc::{
    BoundedSemaphore, Channel, ErrorKind, Existence, Kind, Lock, Name, Semaphore, SharedMemory,
};
use nob_ipc_testing::{Unique, files, watchdog};

use crate::support::Object;

/// C6, C7, C8: the longest name of each kind works all the way; one byte more is refused.
#[test]
fn the_longest_names() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let short = Unique::new();
        let room = kind.max_name_length() + 1 - short.len();
        let longest = short.followed_by(("é".repeat(room / 2) + &"x".repeat(room % 2)).as_bytes());
        let longest = longest.to_str().expect("it is text");
        assert_eq!(longest.len(), kind.max_name_length() + 1);
        let created = Object::create(kind, longest);
        let linked = Object::open(kind, longest, Existence::Link).expect("the same object");
        linked.use_it();
        created.ownership().unlink().expect("it is ours");
        assert!(!files::exists(kind, longest));

        let too_long = format!("{longest}x");
        let error = Object::open(kind, &too_long, Existence::Create).expect_err("too long");
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        assert_eq!(error.raw_os_error(), None);
    }
}

/// The core takes every byte that the system takes.
#[test]
fn bytes_that_are_no_text() {
    let _watchdog = watchdog();
    let unique = Unique::new();
    for odd in [&b" \xff\x01*?\n"[..], b"\x80", b"..x", b"-", b"\\"] {
        let bytes = unique.followed_by(odd);
        for kind in Kind::ALL {
            let name = Name::new(kind, &bytes).expect("no NUL, no slash");
            assert_eq!(name.as_bytes(), bytes.as_bytes());
            let created = open_named(&name, Existence::Create);
            assert!(created.ownership().created());
            assert!(!open_named(&name, Existence::Link).ownership().created());
            let shown = name.to_string();
            assert!(shown.chars().all(|character| !character.is_control()), "{shown}");
        }
    }
}

fn open_named(name: &Name, existence: Existence) -> Object {
    match name.kind() {
        Kind::Semaphore => {
            Semaphore::options().existence(existence).open_named(name).map(Object::Semaphore)
        }
        Kind::SharedMemory => {
            let mut options = SharedMemory::options();
            options.size(1).existence(existence).open_named(name).map(Object::Segment)
        }
        Kind::MessageQueue => nob_ipc::MessageQueue::options()
            .max_messages(1)
            .max_message_size(1)
            .existence(existence)
            .open_named(name)
            .map(Object::Queue),
        Kind::Lock => Lock::options().existence(existence).open_named(name).map(Object::Lock),
        Kind::BoundedSemaphore => {
            BoundedSemaphore::options().existence(existence).open_named(name).map(Object::Permits)
        }
        Kind::Channel => {
            Channel::options().existence(existence).open_named(name).map(Object::Channel)
        }
    }
    .expect("the system takes the name")
}

/// Random names are legal everywhere, and free.
#[test]
fn random_names() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let [one, other] = [(); 2].map(|()| Name::random(kind).expect("random bits"));
        assert_ne!(one, other);
        let text = one.to_string();
        assert_eq!(Name::portable(kind, &text).expect("a portable name"), one);
        drop(open_named(&one, Existence::Create));
        assert!(!files::exists(kind, &text));
    }
}
