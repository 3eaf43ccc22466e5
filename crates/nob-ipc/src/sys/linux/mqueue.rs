//! `<mqueue.h>`: the kernel's message queues.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::conv::check;
use super::time::timespec;
use crate::sys::{Capacity, Errno, OpenMode, QueueState, Result};

/// Opens a queue that exists ([mq_open(3)](https://man7.org/linux/man-pages/man3/mq_open.3.html)).
pub(crate) fn open(name: &CStr, mode: OpenMode) -> Result<OwnedFd> {
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    let fd = check(|| unsafe { libc::mq_open(name.as_ptr(), access(mode)) })?;
    // SAFETY: `mq_open` has just made this descriptor (on Linux it is one), known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Creates a queue; `permissions` are subject to the umask. Without a capacity the system's
/// defaults apply.
pub(crate) fn create(
    name: &CStr,
    mode: OpenMode,
    permissions: u32,
    capacity: Option<Capacity>,
) -> Result<OwnedFd> {
    let flags = access(mode) | libc::O_CREAT | libc::O_EXCL;
    let attributes = capacity.map(attributes).transpose()?;
    let pointer = attributes.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `name` is NUL-terminated; with O_CREAT the call reads a mode and a pointer to
    // attributes, which is null or points to a value that outlives the call.
    let fd = check(|| unsafe { libc::mq_open(name.as_ptr(), flags, permissions, pointer) })?;
    // SAFETY: `mq_open` has just made this descriptor (on Linux it is one), known to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn access(mode: OpenMode) -> i32 {
    let direction = match mode {
        OpenMode::ReadOnly => libc::O_RDONLY,
        OpenMode::WriteOnly => libc::O_WRONLY,
        OpenMode::ReadWrite => libc::O_RDWR,
    };
    direction | libc::O_CLOEXEC
}

fn attributes(capacity: Capacity) -> Result<libc::mq_attr> {
    let mut attributes = zeroed_attributes();
    attributes.mq_maxmsg = i64::try_from(capacity.max_messages).map_err(|_| Errno::INVAL)?;
    attributes.mq_msgsize = i64::try_from(capacity.max_message_size).map_err(|_| Errno::INVAL)?;
    Ok(attributes)
}

fn zeroed_attributes() -> libc::mq_attr {
    // SAFETY: the structure is made of integers, for which zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Removes a queue's name ([mq_unlink(3)](https://man7.org/linux/man-pages/man3/mq_unlink.3.html)).
pub(crate) fn unlink(name: &CStr) -> Result<()> {
    // SAFETY: `name` is a NUL-terminated string that outlives the call.
    check(|| unsafe { libc::mq_unlink(name.as_ptr()) })?;
    Ok(())
}

/// Reads the attributes ([mq_getattr(3)](https://man7.org/linux/man-pages/man3/mq_getattr.3.html)).
pub(crate) fn state(queue: BorrowedFd<'_>) -> Result<QueueState> {
    let mut attributes = zeroed_attributes();
    // SAFETY: `attributes` is writable memory of the right size.
    check(|| unsafe { libc::mq_getattr(queue.as_raw_fd(), &raw mut attributes) })?;
    let count = |value: i64| u64::try_from(value).map_err(|_| Errno::OVERFLOW);
    Ok(QueueState {
        capacity: Capacity {
            max_messages: count(attributes.mq_maxmsg)?,
            max_message_size: count(attributes.mq_msgsize)?,
        },
        current_messages: count(attributes.mq_curmsgs)?,
        blocking: attributes.mq_flags & i64::from(libc::O_NONBLOCK) == 0,
    })
}

/// Sets `O_NONBLOCK` of the open description, all that can be changed.
pub(crate) fn set_blocking(queue: BorrowedFd<'_>, blocking: bool) -> Result<()> {
    let mut attributes = zeroed_attributes();
    attributes.mq_flags = if blocking { 0 } else { libc::O_NONBLOCK.into() };
    // SAFETY: `attributes` is readable; the null pointer asks for no old attributes.
    check(|| unsafe {
        libc::mq_setattr(queue.as_raw_fd(), &raw const attributes, std::ptr::null_mut())
    })?;
    Ok(())
}

/// Until when a queue call of the kernel waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// It does not wait. Time zero alone makes the kernel skip its timer.
    Now,
    /// A time of the wall clock, the only one that these calls know.
    WallClock(Duration),
    Forever,
}

impl Until {
    /// What the kernel is to read as the time: null, or valid as long as `room`.
    #[inline]
    fn pointer(self, room: &mut libc::timespec) -> *const libc::timespec {
        match self {
            Until::Forever => return std::ptr::null(),
            Until::Now => *room = TIME_ZERO,
            Until::WallClock(time) => *room = timespec(time),
        }
        &raw const *room
    }
}

const TIME_ZERO: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };

/// Sends one message ([mq_send(3)](https://man7.org/linux/man-pages/man3/mq_send.3.html)).
#[inline]
pub(crate) fn send(
    queue: BorrowedFd<'_>,
    message: &[u8],
    priority: u32,
    until: Until,
) -> Result<()> {
    let mut room = TIME_ZERO;
    let time = until.pointer(&mut room);
    // SAFETY: `message` is readable for its length; `time` is null or points to a value that outlives
    // the call.
    check(|| unsafe {
        libc::mq_timedsend(
            queue.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            priority,
            time,
        )
    })?;
    Ok(())
}

/// Receives one message into `buffer`; returns its length and priority
/// ([mq_receive(3)](https://man7.org/linux/man-pages/man3/mq_receive.3.html)).
#[inline]
pub(crate) fn receive(
    queue: BorrowedFd<'_>,
    buffer: &mut [u8],
    until: Until,
) -> Result<(usize, u32)> {
    let mut priority = 0;
    let mut room = TIME_ZERO;
    let time = until.pointer(&mut room);
    // SAFETY: `buffer` is writable for its length; `time` is null or points to a value that outlives
    // the call.
    let length = check(|| unsafe {
        libc::mq_timedreceive(
            queue.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &raw mut priority,
            time,
        )
    })?;
    Ok((usize::try_from(length).map_err(|_| Errno::OVERFLOW)?, priority))
}

/// How the kernel tells that a queue is no longer empty.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notify<'a> {
    Signal(i32),
    /// The [`Fate`] arrives on this netlink socket, in the last byte of a cookie.
    Socket(BorrowedFd<'a>),
}

/// What a registration sends through its socket (`NOTIFY_COOKIE_LEN` of Linux).
type Cookie = [u8; 32];

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fired,
    Removed,
}

/// Registers this process for a notification, or withdraws its registration
/// ([mq_notify(2)](https://man7.org/linux/man-pages/man2/mq_notify.2.html)). The system call itself:
/// glibc would put a thread of its own between.
pub(crate) fn notify(queue: BorrowedFd<'_>, how: Option<Notify<'_>>) -> Result<()> {
    // SAFETY: the structure is made of integers and a pointer, for which zero is a value.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    let cookie = Cookie::default();
    let pointer = match how {
        None => std::ptr::null(),
        Some(Notify::Signal(signal)) => {
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = signal;
            &raw const event
        }
        Some(Notify::Socket(socket)) => {
            event.sigev_notify = libc::SIGEV_THREAD;
            event.sigev_signo = socket.as_raw_fd();
            event.sigev_value.sival_ptr = cookie.as_ptr().cast_mut().cast();
            &raw const event
        }
    };
    // SAFETY: `pointer` is null or points to `event`, which outlives the call; the kernel copies the
    // cookie, which is as long as it expects, before it returns.
    check(|| unsafe { libc::syscall(libc::SYS_mq_notify, queue.as_raw_fd(), pointer) })?;
    Ok(())
}

/// The socket through which the kernel sends cookies.
pub(crate) fn notification_socket() -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers only.
    let fd = check(|| unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })?;
    // SAFETY: `socket` has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until it is known what became of a registration.
pub(crate) fn receive_fate(socket: BorrowedFd<'_>) -> Result<Fate> {
    fate(socket, 0)
}

/// What is known already.
pub(crate) fn known_fate(socket: BorrowedFd<'_>) -> Result<Fate> {
    fate(socket, libc::MSG_DONTWAIT)
}

fn fate(socket: BorrowedFd<'_>, flags: i32) -> Result<Fate> {
    const FIRED: u8 = 1;
    let mut cookie = Cookie::default();
    // SAFETY: `cookie` is writable for its length.
    let length = check(|| unsafe {
        libc::recv(socket.as_raw_fd(), cookie.as_mut_ptr().cast(), cookie.len(), flags)
    })?;
    match (usize::try_from(length), cookie.last()) {
        (Ok(32), Some(&FIRED)) => Ok(Fate::Fired),
        (Ok(32), _) => Ok(Fate::Removed),
        _ => Err(Errno::INVAL),
    }
}

/// The process that is registered for a notification, 0 for none; needs the right to receive. The
/// descriptor reads as a line of text.
pub(crate) fn registered_process(queue: BorrowedFd<'_>) -> Result<u32> {
    let mut text = [0_u8; 128];
    // SAFETY: `text` is writable for its length.
    let length = check(|| unsafe {
        libc::pread(queue.as_raw_fd(), text.as_mut_ptr().cast(), text.len(), 0)
    })?;
    let text = text.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| Errno::INVAL)?;
    let pid = text.split_ascii_whitespace().find_map(|field| field.strip_prefix("NOTIFY_PID:"));
    pid.and_then(|pid| pid.parse().ok()).ok_or(Errno::INVAL)
}
