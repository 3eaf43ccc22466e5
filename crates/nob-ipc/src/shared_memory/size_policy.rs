//! What linking does to the size of a segment that exists.

use super::{Access, SharedMemory};
use crate::error::{Error, Operation, Result};
use crate::registry;
use crate::sys::{self, AsFd};

/// What linking does to a segment that is larger than the size asked for. One that is smaller is
/// always grown to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum SizePolicy {
    /// It stays as it is.
    #[default]
    Grow,
    /// It is shrunk to the size, if it is this user's and not in use.
    ///
    /// A segment is in use while another process has it open or mapped, while this process has it
    /// mapped, and while that cannot be told: touching what would be gone is a bus error. Then it
    /// [stays larger](SharedMemory::kept_larger). What cannot be seen: processes outside the pid
    /// namespace of this one, those of root for other users, and a process that opens the segment
    /// between the look and the shrinking.
    Exact,
    /// It is emptied first, so that all of it reads as zeros, if it is this user's and not in use.
    Truncate,
}

/// Shrinks a segment to `size` if that hurts nobody; `false`: it stays as it is.
pub(super) fn shrink(segment: &SharedMemory, size: u64) -> Result<bool> {
    let used =
        || registry::is_used_by_others(segment.ownership.name(), segment.ownership.identity());
    if segment.access == Access::ReadOnly || used() {
        return Ok(false);
    }
    sys::unistd::truncate(segment.file.as_fd(), size)
        .map_err(|errno| Error::from_errno(Operation::Resize, segment.ownership.name(), errno))?;
    Ok(true)
}
