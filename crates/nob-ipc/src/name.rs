//! What a name is.

use std::ffi::{CStr, CString};
use std::fmt;

use crate::kind::Kind;
use crate::sys;

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
    /// A name that has been found legal (`naming`). `text`: with its leading slash.
    pub(crate) fn of_checked(kind: Kind, text: CString) -> Name {
        Name { kind, text }
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
        let prefix = self.kind.file_prefix().as_bytes();
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

/// Writes bytes for people.
pub(crate) fn write_escaped(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_glibcs() {
        let path = |kind, name| Name::new(kind, name).unwrap().path();
        assert_eq!(path(Kind::Semaphore, "/x").as_bytes(), b"/dev/shm/sem.x");
        assert_eq!(path(Kind::SharedMemory, "x").as_bytes(), b"/dev/shm/x");
    }
}
