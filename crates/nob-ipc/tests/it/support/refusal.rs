//! What a refusal has to look like.

use nob_ipc::{Error, ErrorKind, Result};

/// Refused with this kind and errno, in a text that names the object.
#[track_caller]
pub fn assert_refused<T>(
    result: Result<T>,
    name: &str,
    kind: ErrorKind,
    errno: Option<i32>,
) -> Error {
    let Err(error) = result else { panic!("{name}: not refused, though {kind:?} was expected") };
    assert_eq!((error.kind(), error.raw_os_error()), (kind, errno), "{error}");
    assert!(error.to_string().contains(name), "{error} does not name {name}");
    error
}

/// The same for what the system refuses.
#[track_caller]
pub fn refused<T>(result: Result<T>, name: &str, kind: ErrorKind, errno: i32) -> Error {
    assert_refused(result, name, kind, Some(errno))
}

/// The text has each of these words.
#[track_caller]
pub fn assert_words(error: &Error, words: &[&str]) {
    for word in words {
        assert!(error.message().contains(word), "{word:?} is not in {error}");
    }
}
