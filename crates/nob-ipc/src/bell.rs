//! What a signal handler rings, so that a wait in the kernel's line misses no signal.

use std::io;

use crate::sys::bell::SpoilableTime;
use crate::sys::{AsFd, BorrowedFd, Errno, Result};

/// Ends a wait on a queue that has no deadline, from a signal handler.
///
/// A signal that arrives while the wait sleeps interrupts it. One that arrives just before, after
/// the program last looked and before the system call, would go unnoticed until the wait is served.
/// So its handler writes a byte that is not 0 to the bell's descriptor
/// ([`as_fd`](std::os::fd::AsFd::as_fd), [write(2)](https://man7.org/linux/man-pages/man2/write.2.html)):
/// the wait then reports [`Interrupted`](crate::ErrorKind::Interrupted) instead of going to sleep. The
/// wait has nothing else to wake up for, and keeps its place in the kernel's line.
///
/// Only a signal wakes a wait that sleeps already; ringing from another thread alone does not.
///
/// ```
/// use nob_ipc::{Bell, Existence, MessageQueue, Patience};
///
/// let queue =
///     MessageQueue::options().existence(Existence::UnlinkAndCreate).open("/nob-ipc-doc-bell")?;
/// let bell = Bell::new().expect("there are descriptors and memory");
/// let mut buffer = vec![0; queue.max_message_size()];
/// # {
/// # use std::{fs::File, io::Write, os::fd::AsFd};
/// # File::from(bell.as_fd().try_clone_to_owned().unwrap()).write_all(&[2]).unwrap();
/// # }
/// // A signal handler has written to bell.as_fd() meanwhile.
/// let error = queue.receive_until(&mut buffer, Patience::Unless(&bell)).unwrap_err();
/// assert!(error.is_interrupted());
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Bell {
    time: SpoilableTime,
}

impl Bell {
    /// A bell that has not been rung.
    ///
    /// # Errors
    ///
    /// What the system says when it has no descriptor or memory for it.
    pub fn new() -> io::Result<Bell> {
        SpoilableTime::new().map(|time| Bell { time }).map_err(into_io)
    }

    /// Makes as if it had not been rung. What is rung at this very moment may be lost, so look for
    /// signals between this and the wait.
    ///
    /// # Errors
    ///
    /// What the system says when it refuses.
    pub fn silence(&self) -> io::Result<()> {
        self.time.mend().map_err(into_io)
    }

    /// Whether it has been rung since it was last silenced.
    #[must_use]
    pub fn has_rung(&self) -> bool {
        self.time.is_spoilt()
    }

    /// Waits in a call of the kernel, unless it has been rung.
    pub(crate) fn unless_rung<T>(
        &self,
        wait: impl FnOnce(&SpoilableTime) -> Result<T>,
    ) -> Result<T> {
        wait(&self.time).map_err(|errno| match errno {
            Errno::INVAL if self.has_rung() => Errno::INTR,
            errno => errno,
        })
    }

    #[allow(dead_code, reason = "an unsupported platform gives no descriptor out")]
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.time.as_fd()
    }
}

fn into_io(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.0)
}
