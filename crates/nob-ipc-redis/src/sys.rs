//! What the standard library has not: system calls, and nothing else.

use std::hint::black_box;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

fn check(returned: i32) -> io::Result<i32> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

fn timespec(time: Duration) -> libc::timespec {
    // So far in the future that nobody waits for it.
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    libc::timespec { tv_sec: seconds, tv_nsec: time.subsec_nanos().into() }
}

/// The time since the machine was started, suspended or not. A lease goes on while this machine
/// sleeps, so the monotonic clock, which does not, is of no use for it.
pub(crate) fn boot_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call, which writes it.
    let done = check(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) });
    assert!(done.is_ok(), "CLOCK_BOOTTIME is there since Linux 2.6.39");
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.try_into().unwrap_or(0))
}

/// 64 bits that nobody can guess.
pub(crate) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer has the length that is given, and outlives the call. Up to 256 bytes come
    // whole.
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    assert_eq!(length, 8, "the kernel gives random bits since Linux 3.17");
    u64::from_ne_bytes(bytes)
}

/// Sleeps while `word` has this value, until it is woken, a signal arrives or the time is over.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, time: Duration) {
    let time = timespec(time);
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: `word` and `time` outlive the call. However it ends, the caller looks for itself.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, &raw const time) };
}

/// Wakes all who sleep on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: takes an address and numbers.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}

/// A descriptor that is readable once it has been [set](set_eventfd).
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the descriptor is new, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes an [`eventfd`] readable.
pub(crate) fn set_eventfd(fd: BorrowedFd<'_>) {
    let one = 1_u64;
    // SAFETY: 8 bytes are read from `one`. It is only refused when it is readable already.
    unsafe { libc::write(fd.as_raw_fd(), (&raw const one).cast(), 8) };
}

/// Makes an [`eventfd`] unreadable.
pub(crate) fn clear_eventfd(fd: BorrowedFd<'_>) {
    let mut count = 0_u64;
    // SAFETY: 8 bytes are written to `count`. It is only refused when it is unreadable already.
    unsafe { libc::read(fd.as_raw_fd(), (&raw mut count).cast(), 8) };
}

/// One descriptor to wait for.
pub(crate) type Poll = libc::pollfd;

/// What is waited for: that it is readable, and also writable if `write`.
pub(crate) fn poll_for(fd: BorrowedFd<'_>, write: bool) -> Poll {
    let events = libc::POLLIN | if write { libc::POLLOUT } else { 0 };
    Poll { fd: fd.as_raw_fd(), events, revents: 0 }
}

/// Waits until one of the descriptors is ready, or the time is over.
pub(crate) fn poll(fds: &mut [Poll], time: Duration) -> io::Result<()> {
    let time = timespec(time);
    let count = fds.len().try_into().unwrap_or(libc::nfds_t::MAX);
    // SAFETY: `fds` has `count` entries, and all outlives the call.
    let ready = unsafe { libc::ppoll(fds.as_mut_ptr(), count, &raw const time, std::ptr::null()) };
    check(ready).map(|_| ())
}

/// Waits until the socket is writable; `false`: a signal came first, or the time is over.
pub(crate) fn is_writable(socket: BorrowedFd<'_>, time: Duration) -> bool {
    let mut fds = [Poll { fd: socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 }];
    poll(&mut fds, time).is_ok() && fds[0].revents != 0
}

/// Sockets of this process, or -1. There are rarely more, and a child keeps what is beyond.
static SOCKETS: [AtomicI32; 256] = [const { AtomicI32::new(-1) }; 256];

/// Closes the copies that a forked child has of its parent's sockets: as long as it had them, the
/// server would take a parent that has died for one that listens.
extern "C" fn close_sockets() {
    for socket in &SOCKETS {
        let fd = socket.swap(-1, Ordering::SeqCst);
        if fd >= 0 {
            // SAFETY: it is the copy of a socket whose owner, in the parent, is out of this
            // process's reach: what belongs to a client of the parent is never dropped here.
            unsafe { libc::close(fd) };
        }
    }
}

/// A socket that forked children close.
#[derive(Debug)]
pub(crate) struct NotInherited(Option<&'static AtomicI32>);

impl NotInherited {
    pub(crate) fn new(socket: BorrowedFd<'_>) -> NotInherited {
        static REGISTERED: AtomicBool = AtomicBool::new(false);
        if !REGISTERED.swap(true, Ordering::SeqCst) {
            // SAFETY: the handler only changes atomics and closes descriptors, which is allowed
            // between fork and exec. Without memory for it, children keep their copies.
            unsafe { libc::pthread_atfork(None, None, Some(close_sockets)) };
        }
        let fd = socket.as_raw_fd();
        let free = |place: &&AtomicI32| {
            place.compare_exchange(-1, fd, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        };
        NotInherited(SOCKETS.iter().find(free))
    }
}

impl Drop for NotInherited {
    /// Before the socket is closed, so that a child never closes what has its number then.
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.store(-1, Ordering::SeqCst);
        }
    }
}

/// Bytes that there have to be for what Rust and glibc keep of a thread: for want of them they end
/// the process, and the thread cannot tell.
const ROOM: usize = 16 << 10;

/// Starts a thread that no signal is delivered to: the program's own threads are to be interrupted.
pub(crate) fn spawn_without_signals(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut room = Vec::<u8>::new();
    room.try_reserve_exact(ROOM)?;
    // What is freed here is there for the thread.
    drop(black_box(room));
    // SAFETY: an all-zero `sigset_t` is a valid place for the calls to fill.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: the sets outlive the calls. A thread inherits the mask of the one that starts it.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
    }
    let started = thread::Builder::new().name(name.into()).spawn(body);
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    started.map(|_| ())
}

/// The name of this machine, for people.
pub(crate) fn host_name() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer has the length that is given.
    let done = check(unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) });
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    done.map_or(String::new(), |_| String::from_utf8_lossy(&name[..length]).into_owned())
}
