//! The door to legal names: nothing illegal passes, nothing legal is refused, nothing panics, and
//! what is shown to people holds no control character.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use nob_ipc::{ErrorKind, Kind, Name};

fuzz_target!(|bytes: &[u8]| {
    for kind in Kind::ALL {
        let name = Name::new(kind, OsStr::from_bytes(bytes));
        assert_eq!(name.is_ok(), is_legal(kind, bytes));
        match &name {
            Ok(name) => {
                assert_eq!(name.as_bytes()[0], b'/');
                assert!(name.as_bytes().ends_with(bytes));
                assert!(!name.to_string().chars().any(char::is_control));
                let again = Name::new(kind, OsStr::from_bytes(name.as_bytes()));
                assert_eq!(again.ok().as_ref(), Some(name));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidName);
                assert!(!error.to_string().chars().any(char::is_control));
            }
        }
        if let Ok(text) = str::from_utf8(bytes)
            && let Ok(portable) = Name::portable(kind, text)
        {
            assert_eq!(name.ok(), Some(portable));
        }
    }
});

/// What the system takes as a name, said another way.
fn is_legal(kind: Kind, bytes: &[u8]) -> bool {
    let bare = match bytes {
        [b'/', rest @ ..] => rest,
        all => all,
    };
    (1..=kind.max_name_length()).contains(&bare.len())
        && bare.iter().all(|&byte| byte != 0 && byte != b'/')
        && !matches!(bare, b"." | b"..")
}
