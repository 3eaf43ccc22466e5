//! The bytes of a segment in this process.

#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::name::Name;
use crate::object::ownership::Ownership;
use crate::sys::OpenMode;
use crate::sys::mman::Map;

/// What a handle may do with its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Access {
    /// Read only.
    ReadOnly,
    /// Read, write, grow and shrink.
    #[default]
    ReadWrite,
}

impl From<Access> for OpenMode {
    fn from(access: Access) -> OpenMode {
        match access {
            Access::ReadOnly => OpenMode::ReadOnly,
            Access::ReadWrite => OpenMode::ReadWrite,
        }
    }
}

/// A mapping of a whole segment; unmapped when it is dropped.
///
/// Other processes may write to it at any moment, so no slice of it is given out:
/// [`read`](Mapping::read) and [`write`](Mapping::write) copy byte by byte with relaxed atomic
/// accesses, and whoever needs more works on [`as_ptr`](Mapping::as_ptr).
///
/// **What cannot be prevented:** a process with write permission may shrink the segment. Bytes
/// behind its new end are then a bus error (`SIGBUS`) for everyone who has them mapped.
///
/// The name stays until the handle, or the last mapping made through it, is dropped.
#[derive(Debug)]
pub struct Mapping {
    map: Map,
    access: Access,
    ownership: Arc<Ownership>,
}

impl Mapping {
    pub(crate) fn new(map: Map, access: Access, ownership: Arc<Ownership>) -> Mapping {
        Mapping { map, access, ownership }
    }

    /// How many bytes are mapped: the size of the segment at that time.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Never: a segment of size 0 cannot be mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }

    /// The address of the first byte. It is page-aligned and valid for [`len`](Mapping::len) bytes
    /// until this mapping is dropped. Writing through it is allowed if the handle was opened for
    /// writing; anything read may change at any moment.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.as_ptr()
    }

    /// Copies bytes from `offset` on into `buffer`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if they do not all lie within the mapping.
    pub fn read(&self, offset: usize, buffer: &mut [u8]) -> Result<()> {
        let bytes = self.bytes(Operation::Read, offset, buffer.len())?;
        for (target, source) in buffer.iter_mut().zip(bytes) {
            *target = source.load(Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copies `bytes` to `offset` and after.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] if they do not all fit into the mapping,
    /// [`ErrorKind::ReadOnly`] if the handle was opened for reading.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        if self.access == Access::ReadOnly {
            let why = "it was opened for reading; open it for writing";
            let kind = ErrorKind::ReadOnly;
            return Err(Error::new(Operation::Write, self.name(), kind, None, why));
        }
        let targets = self.bytes(Operation::Write, offset, bytes.len())?;
        for (target, source) in targets.iter().zip(bytes) {
            target.store(*source, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The bytes of a range as atomics.
    fn bytes(&self, operation: Operation, offset: usize, length: usize) -> Result<&[AtomicU8]> {
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > self.len()) {
            let why = format!(
                "{length} bytes from offset {offset} on do not lie within its {} bytes",
                self.len()
            );
            let kind = ErrorKind::InvalidArgument;
            return Err(Error::new(operation, self.name(), kind, None, why));
        }
        // SAFETY: the range lies within the mapping, which lives as long as `self`. AtomicU8 has
        // the layout of u8; other processes change the bytes as they would any atomic's, and a
        // read-only mapping is only loaded from (`write` refuses before it comes here).
        Ok(unsafe { std::slice::from_raw_parts(self.as_ptr().add(offset).cast(), length) })
    }

    fn name(&self) -> &Name {
        self.ownership.name()
    }
}
