//! Reserving the memory of a file, so that a full `/dev/shm` is an error now and not a bus error
//! later.
//!
//! It is done in steps, between which signals are served. Growth is serialised among the processes
//! that use this crate by a lock on the segment: only so can one that fails give back what it had
//! reserved without taking it from another.

use std::ops::ControlFlow;

use crate::error::{Error, ErrorKind, Operation};
use crate::home::shm;
use crate::name::Name;
use crate::sys::fcntl::{self, AllocatedSize};
use crate::sys::{self, AsFd, BorrowedFd, Errno, OpenMode};

/// A step takes tens of milliseconds at the most; under a storm of signals, which each end a step
/// without effect, tens of microseconds.
const LARGEST_STEP: u64 = 64 << 20;
pub(crate) const SMALLEST_STEP: u64 = 256 << 10;

/// Memory is reserved by the page. A larger page only makes a roll-back keep a little more.
const PAGE: u64 = 4096;

/// Why a reservation ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Failed(Errno),
    /// The caller of a step asked to end.
    Abandoned,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Stop {
        Stop::Failed(errno)
    }
}

impl Stop {
    /// The error for `size` bytes in all.
    pub(crate) fn into_error(self, operation: Operation, name: &Name, size: u64) -> Error {
        match self {
            Stop::Abandoned => Error::from_errno(operation, name, Errno::INTR),
            Stop::Failed(Errno::NOSPC) => shm::out_of_space(operation, name, size),
            Stop::Failed(Errno::FBIG) => {
                let why = format!(
                    "{size} bytes are more than a file may have here; ask for less, or raise \
                     RLIMIT_FSIZE (ulimit -f)"
                );
                Error::new(operation, name, ErrorKind::LimitExceeded, Some(Errno::FBIG), why)
            }
            Stop::Failed(errno) => Error::from_errno(operation, name, errno),
        }
    }

    /// The error of making a file of `size` bytes.
    pub(crate) fn into_build_error(self, name: &Name, size: u64) -> Error {
        match self {
            Stop::Failed(errno) if errno != Errno::FBIG => shm::build_error(name, errno, size),
            stop => stop.into_error(Operation::Create, name, size),
        }
    }
}

/// What is called between steps and after signals.
pub(crate) type OnStep<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

fn on_step(on_step: OnStep<'_>) -> Result<(), Stop> {
    match on_step() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Abandoned),
    }
}

/// Gives a file that nobody else knows its size and memory.
pub(crate) fn fill(file: BorrowedFd<'_>, size: u64, on_step: OnStep<'_>) -> Result<(), Stop> {
    check_limit(size)?;
    check_room(0, size)?;
    match in_steps(file, 0, size, AllocatedSize::Grow, on_step) {
        Err((Stop::Failed(Errno::OPNOTSUPP), 0)) => write_zeros(file, 0, size, on_step),
        done => done.map_err(|(stop, _)| stop),
    }
}

/// Gives the first `size` bytes of a file the memory that they have not: in a hole the first use would be
/// a bus error where there is none left.
pub(crate) fn fill_hole(
    file: BorrowedFd<'_>,
    size: u64,
    operation: Operation,
    name: &Name,
) -> Result<(), Error> {
    match fcntl::allocate(file, 0, size, AllocatedSize::Keep) {
        // Where a file system cannot reserve memory, there is nothing to ask it for.
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(Stop::Failed(errno).into_error(operation, name, size)),
    }
}

/// Gives a file that nobody else knows its size, and no memory.
pub(crate) fn set_size(file: BorrowedFd<'_>, size: u64) -> Result<(), Stop> {
    check_limit(size)?;
    Ok(sys::unistd::truncate(file, size)?)
}

/// Grows a file to `size` and reserves the new part, unless it has that size already: it never
/// shrinks. On failure it is as it was.
pub(crate) fn grow(file: BorrowedFd<'_>, size: u64, on_step: OnStep<'_>) -> Result<(), Stop> {
    locked(file, on_step, |on_step| {
        let old = sys::stat::of(file)?.size;
        if size <= old {
            return Ok(());
        }
        check_limit(size)?;
        check_room(old, size)?;
        let grown = in_steps(file, old, size, AllocatedSize::Keep, on_step)
            .and_then(|()| allocate_last(file, size, on_step).map_err(|stop| (stop, size)));
        match grown {
            Err((Stop::Failed(Errno::OPNOTSUPP), reached)) if reached == old => {
                write_zeros(file, old, size, on_step)
            }
            Err((stop, reached)) => {
                give_back(file, old, reached);
                Err(stop)
            }
            Ok(()) => Ok(()),
        }
    })
}

/// Lets a file that ends before `size` end there; it never shrinks. Reserves its last byte only.
pub(crate) fn extend(file: BorrowedFd<'_>, size: u64, on_step: OnStep<'_>) -> Result<(), Stop> {
    check_limit(size)?;
    match allocate_last(file, size, on_step) {
        // Two calls in place of one: only among those who take the lock does it never shrink.
        Err(Stop::Failed(Errno::OPNOTSUPP)) => locked(file, on_step, |_| {
            if sys::stat::of(file)?.size < size {
                sys::unistd::truncate(file, size)?;
            }
            Ok(())
        }),
        done => done,
    }
}

/// Does something that no other process that uses this crate does to the file meanwhile.
fn locked(
    file: BorrowedFd<'_>,
    on_step: OnStep<'_>,
    body: impl FnOnce(OnStep<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    // A lock belongs to an open description, which threads and forked children share: this one is
    // for this call alone. Without the right to open the file again, the shared one must do.
    let own = fcntl::reopen(file, OpenMode::ReadWrite).ok();
    let lock = own.as_ref().map_or(file, |own| own.as_fd());
    while let Err(errno) = fcntl::lock_growth(lock) {
        if errno != Errno::INTR {
            return Err(errno.into());
        }
        self::on_step(on_step)?;
    }
    let done = body(on_step);
    // The lock goes with its descriptor at the latest.
    let _ = fcntl::unlock_growth(lock);
    done
}

/// Reserves the last byte of a file of `size` bytes, which grows to it if it is smaller.
fn allocate_last(file: BorrowedFd<'_>, size: u64, on_step: OnStep<'_>) -> Result<(), Stop> {
    while let Err(errno) = fcntl::allocate(file, size - 1, 1, AllocatedSize::Grow) {
        if errno != Errno::INTR {
            return Err(errno.into());
        }
        self::on_step(on_step)?;
    }
    Ok(())
}

/// Grows a file from `from` to `to` where its file system cannot reserve memory (ramfs, some that are
/// mounted over a network): what has been written has its memory. On failure it is as it was.
fn write_zeros(file: BorrowedFd<'_>, from: u64, to: u64, on_step: OnStep<'_>) -> Result<(), Stop> {
    static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
    let mut at = from;
    let mut write = || -> Result<(), Stop> {
        while at < to {
            let length = usize::try_from(to - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            match sys::unistd::write_at(file, &ZEROS[..length], at) {
                Ok(written) => at += written as u64,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            self::on_step(on_step)?;
            // Somebody without our lock may have grown it meanwhile: what they have is theirs.
            at = at.max(sys::stat::of(file)?.size);
        }
        Ok(())
    };
    let written = write();
    if written.is_err() && sys::stat::of(file).is_ok_and(|stat| stat.size == at) {
        // The error that led here is the one to tell; the memory comes back with the segment.
        let _ = sys::unistd::truncate(file, from);
    }
    written
}

/// Reserves from `from` to `to`; says how far it came when it stops.
fn in_steps(
    file: BorrowedFd<'_>,
    from: u64,
    to: u64,
    size: AllocatedSize,
    on_step: OnStep<'_>,
) -> Result<(), (Stop, u64)> {
    let mut step = LARGEST_STEP;
    let mut at = from;
    while at < to {
        let length = step.min(to - at);
        match fcntl::allocate(file, at, length, size) {
            Ok(()) => {
                at += length;
                step = (step * 2).min(LARGEST_STEP);
                if at == to {
                    break;
                }
            }
            Err(Errno::INTR) => step = (step / 2).max(SMALLEST_STEP),
            Err(errno) => return Err((errno.into(), at)),
        }
        self::on_step(on_step).map_err(|stop| (stop, at))?;
    }
    Ok(())
}

/// Gives back what was reserved behind the end of the file, up to `reached`.
fn give_back(file: BorrowedFd<'_>, old: u64, reached: u64) {
    // Somebody without our lock may have grown it meanwhile: what they have is theirs.
    let end = sys::stat::of(file).map_or(u64::MAX, |stat| stat.size.max(old));
    let start = end.saturating_add(PAGE - 1) / PAGE * PAGE;
    let reached = reached.saturating_add(PAGE - 1) / PAGE * PAGE;
    if let Some(length) = reached.checked_sub(start).filter(|&length| length > 0) {
        // The error that led here is the one to tell; the memory comes back with the segment.
        let _ = fcntl::deallocate(file, start, length);
    }
}

/// Refuses what would end the process: the kernel sends SIGXFSZ to one that passes the limit.
fn check_limit(size: u64) -> Result<(), Stop> {
    match sys::resource::file_size() {
        Some(limit) if size > limit => Err(Errno::FBIG.into()),
        _ => Ok(()),
    }
}

/// Refuses at once what cannot succeed, before it fills the file system to the brim for others. A
/// single step is undone by the kernel, so only larger sizes are worth the question.
fn check_room(from: u64, to: u64) -> Result<(), Stop> {
    let wanted = to.saturating_sub(from);
    if wanted <= LARGEST_STEP {
        return Ok(());
    }
    match sys::stat::room(sys::SHM_DIRECTORY) {
        Ok(room) if room.total != 0 && room.available < wanted => Err(Errno::NOSPC.into()),
        _ => Ok(()),
    }
}
