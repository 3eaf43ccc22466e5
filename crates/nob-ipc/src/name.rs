//! The only door to a legal name.

use std::ffi::{CStr, CString, OsStr};
use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::sys;

/// The kinds of named objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A semaphore; its file is `/dev/shm/sem.NAME`.
    Semaphore,
    /// A segment of shared memory; its file is `/dev/shm/NAME`.
    SharedMemory,
    /// A message queue, in the kernel's `mqueue` file system.
    MessageQueue,
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Files in `/dev/shm`.
    Shm,
    /// The kernel's `mqueue` file system.
    Mqueue,
}

impl Place {
    pub(crate) const ALL: [Place; 2] = [Place::Shm, Place::Mqueue];
}

/// What tells one kind from another: all that is needed to list, to name and to find its objects.
struct Row {
    kind: Kind,
    word: &'static str,
    short: &'static str,
    place: Place,
    /// What stands before the name in the name of the file.
    prefix: &'static str,
}

/// One row a kind, in the order of [`Kind`].
const TABLE: [Row; 3] = [
    Row {
        kind: Kind::Semaphore,
        word: "semaphore",
        short: "sem",
        place: Place::Shm,
        prefix: "sem.",
    },
    Row {
        kind: Kind::SharedMemory,
        word: "shared memory",
        short: "shm",
        place: Place::Shm,
        prefix: "",
    },
    Row {
        kind: Kind::MessageQueue,
        word: "message queue",
        short: "mq",
        place: Place::Mqueue,
        prefix: "",
    },
];

/// How many bytes the name of a file may have.
const FILE_NAME: usize = 255;

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; TABLE.len()] = {
        let mut all = [Kind::Semaphore; TABLE.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = TABLE[index].kind;
            assert!(all[index] as usize == index, "the rows are in the order of the kinds");
            index += 1;
        }
        all
    };

    const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// A short word for the kind, as the command `nob-ipc` takes it: `sem`, `shm`, `mq`.
    #[must_use]
    pub const fn short_word(self) -> &'static str {
        self.row().short
    }

    /// How many bytes a name may have after its slash
    /// ([sem_overview(7)](https://man7.org/linux/man-pages/man7/sem_overview.7.html),
    /// [shm_overview(7)](https://man7.org/linux/man-pages/man7/shm_overview.7.html),
    /// [mq_overview(7)](https://man7.org/linux/man-pages/man7/mq_overview.7.html)).
    #[must_use]
    pub const fn max_name_length(self) -> usize {
        FILE_NAME - self.row().prefix.len()
    }

    pub(crate) const fn place(self) -> Place {
        self.row().place
    }

    /// The kind of object that a file of this name is, and the object's name without its slash.
    pub(crate) fn of_file(place: Place, file: &[u8]) -> Option<(Kind, &[u8])> {
        let rows = TABLE.iter().filter(|row| row.place == place);
        let matching = rows.filter_map(|row| {
            let bare = file.strip_prefix(row.prefix.as_bytes())?;
            Some((row, bare))
        });
        // The longest prefix decides: every name begins with the empty one.
        let (row, bare) = matching.max_by_key(|(row, _)| row.prefix.len())?;
        Some((row.kind, bare))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().word)
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
        let file = [kind.row().prefix, bare].concat();
        if let Some((other, _)) = Kind::of_file(kind.place(), file.as_bytes())
            && other != kind
        {
            let prefix = other.row().prefix;
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

    /// The path of the file in `/dev/shm` that holds an object of this name.
    pub(crate) fn path(&self) -> CString {
        let prefix = self.kind.row().prefix.as_bytes();
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
    fn the_longest_prefix_tells_the_kind_of_a_file() {
        let kind = |place, file: &'static str| Kind::of_file(place, file.as_bytes());
        assert_eq!(kind(Place::Shm, "sem.x"), Some((Kind::Semaphore, &b"x"[..])));
        assert_eq!(kind(Place::Shm, "x"), Some((Kind::SharedMemory, &b"x"[..])));
        assert_eq!(kind(Place::Mqueue, "sem.x"), Some((Kind::MessageQueue, &b"sem.x"[..])));
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
