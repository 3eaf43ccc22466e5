//! The only door to a legal name.

use std::ffi::{CString, OsStr};

use crate::error::{Error, ErrorKind, Result};
use crate::kind::Kind;
use crate::name::{Name, write_escaped};
use crate::sys;

impl Name {
    /// Takes every name that the system takes: bytes without NUL and slash, after one optional
    /// leading slash.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] for an empty name, `.`, `..`, a NUL byte, a second slash, or more
    /// bytes than [`Kind::max_name_length`].
    pub fn new(kind: Kind, name: impl AsRef<OsStr>) -> Result<Name> {
        let given = name.as_ref().as_encoded_bytes();
        let bare = given.strip_prefix(b"/").unwrap_or(given);
        let refuse = |why: String| Err(invalid(kind, given, &why));
        if bare.is_empty() {
            return refuse("it is empty".into());
        }
        if bare == b"." || bare == b".." {
            return refuse("the system reserves it for directories".into());
        }
        if bare.contains(&b'/') {
            return refuse("it has a slash after its first character".into());
        }
        let limit = kind.max_name_length();
        if bare.len() > limit {
            let length = bare.len();
            return refuse(format!(
                "it has {length} bytes after the slash, and {limit} are allowed"
            ));
        }
        match CString::from_vec_with_nul([b"/", bare, b"\0"].concat()) {
            Ok(text) => Ok(Name::of_checked(kind, text)),
            Err(_) => refuse("it has a NUL byte".into()),
        }
    }

    /// Takes what is safe to type, to print and to carry to other systems: letters and digits
    /// ([`char::is_alphanumeric`]), `-`, `_` and `.`; and nothing whose file would be of another kind,
    /// such as a segment called `sem.x`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] for anything else, and for what [`Name::new`] refuses.
    pub fn portable(kind: Kind, name: &str) -> Result<Name> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let foreign = |c: &char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if let Some(character) = bare.chars().find(foreign) {
            let why = format!(
                "it has the character {character:?}, and only letters, digits, '-', '_' and '.' are \
                 allowed after one optional leading slash"
            );
            return Err(invalid(kind, name.as_bytes(), &why));
        }
        let file = [kind.file_prefix(), bare].concat();
        if let Some((other, _)) = Kind::of_file(kind.place(), file.as_bytes())
            && other != kind
        {
            let prefix = other.file_prefix();
            let why = format!("files that begin with {prefix:?} are of the kind {other}");
            return Err(invalid(kind, name.as_bytes(), &why));
        }
        Name::new(kind, name)
    }

    /// A name that nobody has or can guess: 128 random bits.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Other`] where the system gives no random bits.
    pub fn random(kind: Kind) -> Result<Name> {
        let bits = sys::random::bits().map_err(|errno| {
            let why = format!("cannot make a random name: {}; choose a name", errno.words());
            Error::unnamed(ErrorKind::Other, Some(errno), why)
        })?;
        Name::new(kind, format!("/nob-{bits:032x}"))
    }
}

fn invalid(kind: Kind, given: &[u8], why: &str) -> Error {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_escaped(&mut text, given);
    let why = format!("{text:?} is no name for a {kind}: {why}");
    Error::unnamed(ErrorKind::InvalidName, None, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leading_slash_is_optional() {
        for kind in Kind::ALL {
            assert_eq!(Name::new(kind, "a").unwrap(), Name::new(kind, "/a").unwrap());
            assert_eq!(Name::portable(kind, "a").unwrap().as_bytes(), b"/a");
        }
    }

    #[test]
    fn illegal_names_are_refused() {
        for kind in Kind::ALL {
            for name in ["", "/", "//", "//a", "/a/b", "a/", ".", "/..", "a\0b", "/../x"] {
                assert!(Name::new(kind, name).is_err(), "{name:?}");
                assert!(Name::portable(kind, name).is_err(), "{name:?}");
            }
        }
    }

    #[test]
    fn the_length_counts_bytes() {
        let limits: [usize; Kind::ALL.len()] = [251, 255, 255, 246, 243, 243];
        for (kind, limit) in Kind::ALL.into_iter().zip(limits) {
            assert!(Name::new(kind, "x".repeat(limit)).is_ok());
            assert!(Name::new(kind, "x".repeat(limit + 1)).is_err());
            assert!(Name::portable(kind, &"é".repeat(limit / 2)).is_ok());
            assert!(Name::portable(kind, &"é".repeat(limit / 2 + 1)).is_err());
        }
    }

    #[test]
    fn the_portable_set_is_letters_digits_and_three_signs() {
        assert!(Name::portable(Kind::Semaphore, "/Ünï-1_.x").is_ok());
        for name in ["a b", "a\n", "a\u{1b}[0m", "a:b", "a\\b", "a*"] {
            assert!(Name::portable(Kind::Semaphore, name).is_err(), "{name:?}");
            assert!(Name::new(Kind::Semaphore, name).is_ok(), "{name:?}");
        }
        for name in ["sem.x", "nob.lock.x", "nob.permits.x", "nob.channel.x"] {
            for kind in Kind::ALL {
                let portable = Name::portable(kind, name);
                assert_eq!(portable.is_ok(), kind != Kind::SharedMemory, "{kind} {name:?}");
            }
        }
        for name in ["nob.x", "nob.lock", "nob.locks.x", "nob.permit.x", "nob.channels.x"] {
            assert!(Name::portable(Kind::SharedMemory, name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn hostile_names_are_escaped_for_people() {
        let name = Name::new(Kind::SharedMemory, "a\u{1b}[2Jb").unwrap();
        assert_eq!(name.to_string(), "/a\\u{1b}[2Jb");
        assert!(!Name::new(Kind::Semaphore, "/\u{7}/").unwrap_err().to_string().contains('\u{7}'));
    }
}
