//! A copy of a file's bytes: read without a mapping, so that one that shrinks meanwhile is an error and no
//! signal.

use std::os::fd::BorrowedFd;

use crate::sys;

/// The first bytes of a file: so many, or all.
pub(crate) fn read_first(file: BorrowedFd<'_>, count: usize) -> sys::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let length = sys::unistd::read_at(file, &mut bytes, 0)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// A copy of a file's bytes.
pub(crate) struct Image<'a>(pub &'a [u8]);

impl Image<'_> {
    pub(crate) fn word(&self, offset: usize) -> Option<u32> {
        let bytes = self.0.get(offset..offset.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    pub(crate) fn long(&self, offset: usize) -> Option<u64> {
        let bytes = self.0.get(offset..offset.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}
