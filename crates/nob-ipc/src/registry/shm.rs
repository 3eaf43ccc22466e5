//! Semaphores and segments: the files in `/dev/shm`.

use super::creator::Mark;
use super::object::{Measure, Object};
use crate::name::{Kind, Name};
use crate::sys::{self, AsFd, Details, Errno, FileType, Identity, OpenMode, Result};

/// The objects of the given kinds, without their holders.
pub(super) fn list(kinds: &[Kind]) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for (kind, file) in sys::files::list()? {
        if !kinds.contains(&kind) {
            continue;
        }
        // The file "sem." has no name that a semaphore could have.
        let Ok(name) = Name::new(kind, &file) else { continue };
        match find(&name) {
            Ok(object) => objects.extend(object),
            // Unlinked meanwhile.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(objects)
}

/// One object, without its holders; `None` if the file is none.
pub(super) fn find(name: &Name) -> Result<Option<Object>> {
    let details = sys::files::look(&name.path())?;
    if details.file_type != FileType::Regular {
        return Ok(None);
    }
    let file = sys::fcntl::open(&name.path(), OpenMode::ReadOnly);
    let file = match file {
        Ok(file) => file,
        Err(Errno::ACCES) => {
            return Ok(Some(Object::new(
                name.clone(),
                details,
                measure(name.kind(), &details, None),
                Mark::UNREADABLE,
            )));
        }
        Err(errno) => return Err(errno),
    };
    // The name may have changed hands since: what is open counts.
    let details = sys::files::look_at(file.as_fd())?;
    if details.file_type != FileType::Regular {
        return Ok(None);
    }
    // A file that is too short is no semaphore, and has no value.
    let value = match name.kind() {
        Kind::Semaphore => sys::files::semaphore_value(file.as_fd()).ok(),
        _ => None,
    };
    let mark = match sys::xattr::mark(file.as_fd()).map(String::from_utf8) {
        Ok(Ok(text)) => text.parse().map_or(Mark::UNREADABLE, |mark| Mark::of(&mark, None)),
        Ok(Err(_)) | Err(Errno::ACCES) => Mark::UNREADABLE,
        // No mark, or a file system that keeps none.
        Err(_) => Mark::UNMARKED,
    };
    let measure = measure(name.kind(), &details, value);
    Ok(Some(Object::new(name.clone(), details, measure, mark)))
}

fn measure(kind: Kind, details: &Details, value: Option<u32>) -> Measure {
    match kind {
        Kind::Semaphore => Measure::Value(value),
        _ => Measure::Size { bytes: details.size, allocated: details.allocated },
    }
}

/// What has the name at this moment.
pub(super) fn identity(name: &Name) -> Result<Identity> {
    sys::stat::lstat(&name.path()).map(|stat| stat.identity)
}
