//! The kinds of named objects: one table.

use std::fmt;

/// The kinds of named objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A semaphore; its file is `/dev/shm/sem.NAME`.
    Semaphore,
    /// A segment of shared memory; its file is `/dev/shm/NAME`.
    SharedMemory,
    /// A message queue, in the kernel's `mqueue` file system.
    MessageQueue,
    /// A lock that survives its owner; its file is `/dev/shm/nob.lock.NAME`.
    Lock,
    /// A semaphore whose permits survive their owners; its file is `/dev/shm/nob.permits.NAME`.
    BoundedSemaphore,
    /// A channel of messages; its file is `/dev/shm/nob.channel.NAME`.
    Channel,
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
const TABLE: [Row; 6] = [
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
    Row { kind: Kind::Lock, word: "lock", short: "lock", place: Place::Shm, prefix: "nob.lock." },
    Row {
        kind: Kind::BoundedSemaphore,
        word: "bounded semaphore",
        short: "permits",
        place: Place::Shm,
        prefix: "nob.permits.",
    },
    Row {
        kind: Kind::Channel,
        word: "channel",
        short: "channel",
        place: Place::Shm,
        prefix: "nob.channel.",
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

    /// A short word for the kind, as the command `nob-ipc` takes it: `sem`, `shm`, `mq`, `lock`,
    /// `permits`, `channel`.
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

    pub(crate) const fn file_prefix(self) -> &'static str {
        self.row().prefix
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_tells_the_kind_of_a_file() {
        let kind = |place, file: &'static str| Kind::of_file(place, file.as_bytes());
        assert_eq!(kind(Place::Shm, "sem.x"), Some((Kind::Semaphore, &b"x"[..])));
        assert_eq!(kind(Place::Shm, "x"), Some((Kind::SharedMemory, &b"x"[..])));
        assert_eq!(kind(Place::Shm, "nob.lock.x"), Some((Kind::Lock, &b"x"[..])));
        assert_eq!(kind(Place::Shm, "nob.locks"), Some((Kind::SharedMemory, &b"nob.locks"[..])));
        assert_eq!(kind(Place::Mqueue, "sem.x"), Some((Kind::MessageQueue, &b"sem.x"[..])));
    }
}
