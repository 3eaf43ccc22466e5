//! What the system tells of files and of processes, in plain types.

use std::time::SystemTime;

/// What identifies a file among those that exist: device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub device: u64,
    pub inode: u64,
}

/// What identifies an object for ever, whatever its name. Some file systems give the number of a
/// removed file to the next one, which has another time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub file: FileId,
    /// Where the file system keeps it.
    pub created: Option<SystemTime>,
}

/// The sort of file that was found under an object's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Device,
    Other,
}

/// What can be told of a file without opening it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub identity: Identity,
    pub file_type: FileType,
    pub size: u64,
    /// Bytes that are really taken.
    pub allocated: u64,
    /// How many names it has.
    pub names: u32,
    /// With the sticky bit.
    pub permissions: u32,
    pub owner: u32,
    pub group: u32,
    /// When the content last changed.
    pub modified: SystemTime,
    /// When the content or the attributes last changed.
    pub changed: SystemTime,
    /// When it was last read or mapped; most file systems note that once a day.
    pub accessed: SystemTime,
}

impl Stat {
    /// The sticky bit, which has no meaning of its own for such files.
    pub(crate) const SHARED: u32 = 0o1000;

    /// Whether the object lives as long as somebody uses it.
    pub(crate) fn is_shared(&self) -> bool {
        self.permissions & Stat::SHARED != 0
    }
}

/// A process that holds some of the objects that were asked for.
#[derive(Debug)]
pub(crate) struct HoldingProcess {
    pub pid: u32,
    pub command: Vec<u8>,
    pub held: Vec<FileId>,
    pub unlinked: Vec<UnlinkedFile>,
}

/// A file that has lost its name, and that a process still has open or mapped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnlinkedFile {
    pub file: FileId,
    /// The name of the file that it had, without the directory.
    pub name: Vec<u8>,
    /// Where it is open, and so can be asked.
    pub size: Option<u64>,
}

/// Who a process is that may not be looked at.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub effective_user: u32,
    /// Real, effective, saved and file system user.
    pub users: Vec<u32>,
    /// The same of groups, and the supplementary ones.
    pub groups: Vec<u32>,
}

/// What a look at all processes showed.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    pub holding: Vec<HoldingProcess>,
    /// Those that may not be looked at.
    pub hidden: Vec<Credentials>,
    /// Whether even the existence of some processes is hidden.
    pub incomplete: bool,
}
