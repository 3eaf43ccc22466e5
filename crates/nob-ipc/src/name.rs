//! The only door to a legal name.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// The three kinds of named objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A semaphore; its file is `/dev/shm/sem.NAME`.
    Semaphore,
    /// A segment of shared memory; its file is `/dev/shm/NAME`.
    SharedMemory,
    /// A message queue, in the kernel's `mqueue` file system.
    MessageQueue,
}

impl Kind {
    /// How many bytes a name may have after its slash
    /// ([sem_overview(7)](https://man7.org/linux/man-pages/man7/sem_overview.7.html),
    /// [shm_overview(7)](https://man7.org/linux/man-pages/man7/shm_overview.7.html),
    /// [mq_overview(7)](https://man7.org/linux/man-pages/man7/mq_overview.7.html)).
    #[must_use]
    pub const fn max_name_length(self) -> usize {
        match self {
            // A file name has 255 bytes, four of which are "sem.".
            Kind::Semaphore => 251,
            Kind::SharedMemory | Kind::MessageQueue => 255,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Semaphore => "semaphore",
            Kind::SharedMemory => "shared memory",
            Kind::MessageQueue => "message queue",
        })
    }
}

/// A legal name of an object of one [`Kind`], with its leading slash.
///
/// ```
/// use nob_ipc::{Kind, Name};
///
/// let name = Name::new(Kind::MessageQueue, "jobs")?;
/// assert_eq!(name.to_string(), "/jobs");
/// assert_eq!(name, Name::new(Kind::MessageQueue, "/jobs")?);
/// assert!(Name::new(Kind::MessageQueue, "/jobs/urgent").is_err());
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name {
    kind: Kind,
    /// With the leading slash.
    text: CString,
}

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
            Ok(text) => Ok(Name { kind, text }),
            Err(_) => refuse("it has a NUL byte".into()),
        }
    }

    /// Takes what is safe to type, to print and to carry to other systems: letters and digits
    /// ([`char::is_alphanumeric`]), `-`, `_` and `.`; and no segment called `sem.*`, which would be
    /// a semaphore's file.
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
        if kind == Kind::SharedMemory && bare.starts_with("sem.") {
            let why = "files that begin with \"sem.\" are semaphores";
            return Err(invalid(kind, name.as_bytes(), why));
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
            Error::of_name(ErrorKind::Other, Some(errno), why)
        })?;
        Name::new(kind, format!("/nob-{bits:032x}"))
    }

    /// The kind of object that it names.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes of the name, with its leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The name for the system's queue calls.
    pub(crate) fn as_c_str(&self) -> &CStr {
        &self.text
    }

    /// The path of the file that holds a semaphore or segment of this name.
    pub(crate) fn path(&self) -> CString {
        let prefix: &[u8] = match self.kind {
            Kind::Semaphore => b"sem.",
            Kind::SharedMemory | Kind::MessageQueue => b"",
        };
        let bare = &self.text.to_bytes_with_nul()[1..];
        let path = [sys::SHM_DIRECTORY.to_bytes(), prefix, bare].concat();
        // The NUL at the end is the only one: the directory has none and `text` ends at its first.
        CString::from_vec_with_nul(path).unwrap_or_default()
    }
}

impl fmt::Display for Name {
    /// Control characters and bytes that are not UTF-8 are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(f, self.as_bytes())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({}, \"{self}\")", self.kind)
    }
}

fn write_escaped(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

fn invalid(kind: Kind, given: &[u8], why: &str) -> Error {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_escaped(&mut text, given);
    let why = format!("{text:?} is no name for a {kind}: {why}");
    Error::of_name(ErrorKind::InvalidName, None, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leading_slash_is_optional() {
        for kind in [Kind::Semaphore, Kind::SharedMemory, Kind::MessageQueue] {
            assert_eq!(Name::new(kind, "a").unwrap(), Name::new(kind, "/a").unwrap());
            assert_eq!(Name::portable(kind, "a").unwrap().as_bytes(), b"/a");
        }
    }

    #[test]
    fn illegal_names_are_refused() {
        for kind in [Kind::Semaphore, Kind::SharedMemory, Kind::MessageQueue] {
            for name in ["", "/", "//", "//a", "/a/b", "a/", ".", "/..", "a\0b", "/../x"] {
                assert!(Name::new(kind, name).is_err(), "{name:?}");
                assert!(Name::portable(kind, name).is_err(), "{name:?}");
            }
        }
    }

    #[test]
    fn the_length_counts_bytes() {
        for (kind, limit) in
            [(Kind::Semaphore, 251), (Kind::SharedMemory, 255), (Kind::MessageQueue, 255)]
        {
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
        assert!(Name::portable(Kind::SharedMemory, "sem.x").is_err());
        assert!(Name::portable(Kind::Semaphore, "sem.x").is_ok());
    }

    #[test]
    fn paths_are_glibcs() {
        let path = |kind, name| Name::new(kind, name).unwrap().path();
        assert_eq!(path(Kind::Semaphore, "/x").as_bytes(), b"/dev/shm/sem.x");
        assert_eq!(path(Kind::SharedMemory, "x").as_bytes(), b"/dev/shm/x");
    }

    #[test]
    fn hostile_names_are_escaped_for_people() {
        let name = Name::new(Kind::SharedMemory, "a\u{1b}[2Jb").unwrap();
        assert_eq!(name.to_string(), "/a\\u{1b}[2Jb");
        assert!(!Name::new(Kind::Semaphore, "/\u{7}/").unwrap_err().to_string().contains('\u{7}'));
    }
}
