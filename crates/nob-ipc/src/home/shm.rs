//! The files in `/dev/shm`: objects of all kinds but queues.

use super::interface::{Coverage, Found, Home, Marked};
use super::mark;
use super::usage::{self, Fresh, Part};

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::kind::{Kind, Place};
use crate::name::Name;
use crate::sys::{
    self, AsFd, BorrowedFd, Errno, FileType, Identity, OpenMode, OwnedFd, Stat, flock,
};

pub(crate) struct Shm;

impl Home for Shm {
    fn identity(&self, name: &Name, _: Identity) -> sys::Result<Identity> {
        sys::stat::of_path(&name.path()).map(|stat| stat.identity)
    }

    fn is_taken(&self, name: &Name) -> bool {
        // What cannot be looked at is left to the steps that follow.
        sys::stat::of_path(&name.path()).is_ok()
    }

    fn unlink(&self, name: &Name) -> sys::Result<()> {
        // The errno of a sticky directory becomes the one that POSIX has, as in glibc.
        let posix = |errno| if errno == Errno::PERM { Errno::ACCES } else { errno };
        sys::unistd::unlink(&name.path()).map_err(posix)
    }

    fn mark(&self, name: &Name, identity: Identity) {
        with_file(name, identity, |file| {
            remove_mark_if_dead(file);
            put_mark(file);
        });
    }

    fn unmark(&self, name: &Name, identity: Identity, own: bool) {
        with_file(name, identity, |file| {
            let marked = sys::xattr::mark(file).ok();
            if marked.as_deref() != mark::own().map(str::as_bytes) {
                remove_mark_if_dead(file);
            } else if own {
                remove_mark(file);
            }
        });
    }

    fn forget(&self, _: Identity, _: u32) {}

    fn open(&self, name: &Name) -> sys::Result<Fresh> {
        let path = name.path();
        let file = match sys::fcntl::open(&path, OpenMode::ReadOnly) {
            Err(Errno::ACCES) => sys::fcntl::open(&path, OpenMode::WriteOnly)?,
            file => file?,
        };
        Ok(Fresh::new(file))
    }

    fn mark_of(&self, _: &Name, fresh: &Fresh) -> Marked {
        read_mark(fresh.as_fd())
    }

    fn find(&self, name: &Name) -> sys::Result<Option<Found>> {
        let stat = sys::stat::of_path(&name.path())?;
        if stat.file_type != FileType::Regular {
            return Ok(None);
        }
        let fresh = match self.open(name) {
            Ok(fresh) => fresh,
            Err(Errno::NOENT) => return Err(Errno::NOENT),
            // Something else has got the name since.
            Err(Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(_) => return Ok(Some(unreadable(name, stat))),
        };
        // The name may have changed hands since: what is open counts.
        let stat = fresh.stat()?;
        if stat.file_type != FileType::Regular {
            return Ok(None);
        }
        let (mark, used) = (read_mark(fresh.as_fd()), usage::is_used(&fresh).ok());
        Ok(Some(Found { name: name.clone(), stat, opened: Some(fresh), mark, used }))
    }

    fn list(&self, kinds: &[Kind], show: &mut dyn FnMut(Found)) -> sys::Result<Coverage> {
        for file in sys::files::names()? {
            let Some((kind, bare)) = Kind::of_file(Place::Shm, &file) else { continue };
            if !kinds.contains(&kind) {
                continue;
            }
            // The file "sem." has no name that a semaphore could have.
            let Ok(name) = Name::new(kind, sys::records::os_str(bare)) else { continue };
            // What fails here has been unlinked meanwhile: a file in the directory can be described.
            if let Ok(Some(found)) = self.find(&name) {
                show(found);
            }
        }
        Ok(Coverage::All)
    }

    fn device(&self) -> Option<u64> {
        sys::stat::of_path(sys::SHM_DIRECTORY).ok().map(|stat| stat.identity.file.device)
    }

    fn forget_gone(&self) {}
}

/// A file that exists and cannot be opened: another user's, leased, or there is no descriptor left.
fn unreadable(name: &Name, stat: Stat) -> Found {
    let used = usage::is_listed(stat.identity.file).then_some(true);
    Found { name: name.clone(), stat, opened: None, mark: Marked::Unreadable, used }
}

fn read_mark(file: BorrowedFd<'_>) -> Marked {
    match sys::xattr::mark(file).map(String::from_utf8) {
        Ok(Ok(text)) => text.parse().map_or(Marked::Unreadable, Marked::By),
        Ok(Err(_)) | Err(Errno::ACCES) => Marked::Unreadable,
        // No mark, or a file system that keeps none.
        Err(_) => Marked::Unmarked,
    }
}

/// Marks a file as owned by this process, unless it has a mark.
pub(crate) fn put_mark(file: BorrowedFd<'_>) {
    if let Some(mark) = mark::own() {
        // Where no mark can be made there is none (module docs of `mark`).
        let _ = sys::xattr::set_mark(file, mark.as_bytes());
    }
}

fn remove_mark(file: BorrowedFd<'_>) {
    // As above.
    let _ = sys::xattr::remove_mark(file);
}

/// What a dead creator left is adopted: its mark must not make an orphan of it.
fn remove_mark_if_dead(file: BorrowedFd<'_>) {
    if let Marked::By(mark) = read_mark(file)
        && mark.is_alive() == Some(false)
    {
        remove_mark(file);
    }
}

/// Whether marks are kept here: tmpfs has extended attributes of users since Linux 6.6.
pub(crate) fn marks_are_kept() -> bool {
    sys::fcntl::open_unnamed(sys::SHM_DIRECTORY, 0o600)
        .is_ok_and(|file| sys::xattr::set_mark(file.as_fd(), b"2").is_ok())
}

/// Opens the file of an object, if it still has its name, to work on its mark.
fn with_file(name: &Name, identity: Identity, work: impl FnOnce(BorrowedFd<'_>)) {
    if let Ok(file) = sys::fcntl::open(&name.path(), OpenMode::ReadWrite)
        && sys::stat::of(file.as_fd()).is_ok_and(|stat| stat.identity == identity)
    {
        work(file.as_fd());
    }
}

/// Takes part in the use of a file that was opened to link to it, or replaces what killed processes left.
/// `replaced`: where to note that, if it is this call's to do.
pub(crate) fn link(name: &Name, file: BorrowedFd<'_>, replaced: Option<&mut bool>) -> Result<Part> {
    let fail = |errno| Error::from_errno(Operation::Link, name, errno);
    if let Some(replaced) = replaced {
        let stat = sys::stat::of(file).map_err(fail)?;
        check(name, &stat)?;
        if stat.is_shared() && flock::try_exclusive(file).map_err(fail)? {
            // Nobody uses it, and nobody can link to it or keep it now.
            let stat = sys::stat::of(file).map_err(fail)?;
            // A living creator that has closed its handle will remove the name when it deletes it.
            if stat.is_shared() && stat.names > 0 && !read_mark(file).is_of_living() {
                match Shm.unlink(name) {
                    Ok(()) | Err(Errno::NOENT) => {
                        *replaced = true;
                        flock::unlock(file);
                        return Ok(Part::Again(None));
                    }
                    // Who may not unlink it links to it as it is.
                    Err(_) => {}
                }
            }
        }
    }
    // In place of the exclusive lock, if that is there.
    let part = usage::take_part(file).map_err(fail)?;
    if let Part::Taken(stat) = &part {
        check(name, stat)?;
    }
    Ok(part)
}

/// Opens the file of an object to link to it; `None` if nothing has the name.
pub(crate) fn open(name: &Name, mode: OpenMode) -> Result<Option<OwnedFd>> {
    match sys::fcntl::open(&name.path(), mode) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) if directory_is_missing() => Err(no_directory(Operation::Link, name)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno @ Errno::LOOP) => Err(wrong_type(name, errno, FileType::Symlink)),
        Err(errno @ Errno::ISDIR) => Err(wrong_type(name, errno, FileType::Directory)),
        Err(errno @ Errno::NXIO) => Err(wrong_type(name, errno, FileType::Other)),
        Err(errno) => Err(Error::from_errno(Operation::Link, name, errno)),
    }
}

fn directory_is_missing() -> bool {
    sys::stat::of_path(sys::SHM_DIRECTORY).is_err_and(|errno| errno == Errno::NOENT)
}

/// Not that the object is missing: there is no place for one.
fn no_directory(operation: Operation, name: &Name) -> Error {
    let why = "there is no directory /dev/shm; mount a tmpfs there";
    Error::new(operation, name, ErrorKind::Other, Some(Errno::NOENT), why)
}

/// Makes a file without a name for a new object, in whose use this process takes part already.
pub(crate) fn create(mode: u32) -> sys::Result<OwnedFd> {
    let file = sys::fcntl::open_unnamed(sys::SHM_DIRECTORY, mode)?;
    // Nobody else knows it.
    flock::try_shared(file.as_fd())?;
    Ok(file)
}

/// Gives an unnamed file its name; `false` if it is taken.
pub(crate) fn publish(file: BorrowedFd<'_>, name: &Name) -> Result<bool> {
    match sys::unistd::link(file, &name.path()) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // Before Linux 6.10 a file is named through /proc.
        Err(Errno::NOENT) if !directory_is_missing() => {
            let why = "the file cannot be given its name without /proc; mount it";
            let errno = Some(Errno::NOENT);
            Err(Error::new(Operation::Create, name, ErrorKind::Other, errno, why))
        }
        Err(errno) => Err(build_error(name, errno, 0)),
    }
}

/// Checks what was opened under an object's name.
pub(crate) fn check(name: &Name, stat: &Stat) -> Result<()> {
    match stat.file_type {
        FileType::Regular => Ok(()),
        other => Err(wrong_type(name, Errno::INVAL, other)),
    }
}

fn wrong_type(name: &Name, errno: Errno, found: FileType) -> Error {
    let found = match found {
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link, which is never followed,",
        FileType::Fifo => "a FIFO",
        FileType::Device => "a device",
        FileType::Regular | FileType::Other => "no regular file",
    };
    let path = name.path();
    let path = path.to_string_lossy().escape_debug().to_string();
    let why = format!("{found} has its place at {path}; remove that, or choose another name");
    Error::new(Operation::Link, name, ErrorKind::WrongType, Some(errno), why)
}

/// The failure to build a file of `size` bytes, in words.
pub(crate) fn build_error(name: &Name, errno: Errno, size: u64) -> Error {
    match errno {
        Errno::NOSPC => out_of_space(Operation::Create, name, size),
        Errno::OPNOTSUPP | Errno::ISDIR => {
            let why = "the file system at /dev/shm has no files without a name (O_TMPFILE); mount a \
                       tmpfs there";
            Error::new(Operation::Create, name, ErrorKind::Other, Some(errno), why)
        }
        Errno::NOENT => no_directory(Operation::Create, name),
        _ => Error::from_errno(Operation::Create, name, errno),
    }
}

/// The error for a full file system, with the room that there is.
pub(crate) fn out_of_space(operation: Operation, name: &Name, size: u64) -> Error {
    let room = sys::stat::room(sys::SHM_DIRECTORY).ok();
    let why = match room.filter(|room| room.total != 0) {
        Some(room) if room.files < 2 && size <= room.available => String::from(
            "/dev/shm has as many files as it may; unlink what is not needed, or allow more (mount -o \
             remount,nr_inodes=NUMBER /dev/shm)",
        ),
        Some(room) => format!(
            "/dev/shm has no room for {size} bytes ({} of {} bytes are free); unlink what is not needed, \
             or make it larger (mount -o remount,size=SIZE /dev/shm; for a container: docker run \
             --shm-size=SIZE)",
            room.available, room.total
        ),
        None => format!(
            "/dev/shm has no room for {size} bytes, though it has no bound: the memory of the machine is \
             used up; unlink what is not needed"
        ),
    };
    Error::new(operation, name, ErrorKind::OutOfSpace, Some(Errno::NOSPC), why)
}
