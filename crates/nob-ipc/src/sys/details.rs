//! What the registry learns from the system, in plain types that every platform has.

use std::time::SystemTime;

use super::{FileType, Identity};

/// What can be told of a file without opening it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Details {
    pub identity: Identity,
    pub file_type: FileType,
    pub size: u64,
    /// Bytes that are really taken.
    pub allocated: u64,
    pub permissions: u32,
    pub owner: u32,
    pub group: u32,
    /// Where the file system keeps it.
    pub created: Option<SystemTime>,
    /// The latest of the times at which content or attributes changed.
    pub changed: SystemTime,
}

/// A process that holds some of the objects that were asked for.
#[derive(Debug)]
pub(crate) struct HoldingProcess {
    pub pid: u32,
    pub command: Vec<u8>,
    pub held: Vec<Identity>,
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
