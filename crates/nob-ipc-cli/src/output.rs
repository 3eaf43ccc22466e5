//! Standard output and standard error.
//!
//! Output is written without a buffer of the library between, so that each failure is seen where it
//! belongs.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Failure, Result, cannot};
use crate::signals;
use crate::text;

/// Standard output.
pub struct Output {
    stdout: io::Stdout,
}

impl Output {
    pub fn new() -> Output {
        Output { stdout: io::stdout() }
    }

    /// Whether a person looks at it.
    pub fn is_terminal(&self) -> bool {
        self.stdout.is_terminal()
    }

    /// Writes all of it.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        write_all(self.stdout.as_fd(), bytes)
    }

    /// Writes a line.
    pub fn line(&self, text: &str) -> Result<()> {
        self.write(format!("{text}\n").as_bytes())
    }

    /// Bytes of somebody else's choice, such as a name: escaped for a terminal.
    pub fn foreign(&self, bytes: &[u8]) -> Vec<u8> {
        if self.is_terminal() { text::escape(bytes).into_bytes() } else { bytes.to_vec() }
    }

    /// Waits up to `timeout` until something can be written; `false` if not.
    pub fn is_ready(&self, timeout: PollTimeout) -> Result<bool> {
        let mut entries = [PollFd::new(self.stdout.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut entries, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(cannot("look at standard output", errno.desc())),
        }
        let events = entries[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLNVAL) {
            return Err(cannot("write to standard output", "it is closed"));
        }
        if events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            return Err(Failure::ClosedOutput);
        }
        Ok(events.contains(PollFlags::POLLOUT))
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => signals::check()?,
            Err(Errno::EAGAIN) => {
                let mut entries = [PollFd::new(fd, PollFlags::POLLOUT)];
                // Whatever it says, the next attempt to write tells.
                let _ = poll(&mut entries, 250_u16);
                signals::check()?;
            }
            Err(Errno::EPIPE) => return Err(Failure::ClosedOutput),
            Err(errno) => return Err(cannot("write to standard output", errno.desc())),
        }
    }
    Ok(())
}

/// Says a sentence on standard error, escaped.
pub fn complain(sentence: &str) {
    // There is nowhere left to say that standard error is gone.
    let _ = writeln!(io::stderr(), "nob-ipc: {}", text::escape_str(sentence));
}
