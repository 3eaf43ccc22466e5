//! The program on a terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{TIOCSWINSZ, ioctl};
use nix::pty::{Winsize, grantpt, posix_openpt, ptsname_r, unlockpt};
use nob_ipc_testing::{spawn, wait_until_in};

use super::program::{Argument, command};

/// Both sides of a new terminal, which no child inherits by accident: it would keep it from hanging up.
fn open_terminal((columns, rows): (u16, u16)) -> io::Result<(File, File)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = ptsname_r(&master)?;
    let slave =
        OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NOCTTY).open(path)?;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call reads a `Winsize`, which lives.
    Errno::result(unsafe { ioctl(slave.as_raw_fd(), TIOCSWINSZ, &raw const size) })?;
    Ok((File::from(OwnedFd::from(master)), slave))
}

/// A program whose controlling terminal the test plays.
pub struct OnTerminal {
    child: Child,
    terminal: File,
}

impl OnTerminal {
    pub fn start(arguments: &[Argument]) -> OnTerminal {
        OnTerminal::start_in((80, 24), arguments)
    }

    /// The same, in so many columns and rows.
    pub fn start_in(size: (u16, u16), arguments: &[Argument]) -> OnTerminal {
        let (terminal, side_of_program) = open_terminal(size).expect("there are terminals");
        let slave = || side_of_program.try_clone().expect("there are descriptors");
        let mut command = command(arguments);
        command.env("TERM", "xterm").stdin(slave()).stdout(slave()).stderr(slave());
        // SAFETY: between fork and exec there are two system calls; standard input is the terminal.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                let done = nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0);
                nix::errno::Errno::result(done).map(drop)?;
                Ok(())
            });
        }
        let child = spawn(&mut command).expect("the program runs");
        OnTerminal { child, terminal }
    }

    /// Waits until it sleeps in one of these system calls.
    pub fn wait_until_in(&self, calls: &[i64]) {
        let pid = self.child.id().try_into().expect("a pid is an i32");
        wait_until_in(pid, pid, calls);
    }

    pub fn press(&mut self, keys: &[u8]) {
        self.terminal.write_all(keys).expect("the terminal takes keys");
    }

    /// All that it prints until it ends, and how it ended.
    pub fn end(mut self) -> (ExitStatus, Vec<u8>) {
        let mut printed = Vec::new();
        let mut block = [0; 4096];
        // A terminal whose program has gone is an error to read.
        while let Ok(length @ 1..) = self.terminal.read(&mut block) {
            printed.extend_from_slice(&block[..length]);
        }
        (self.child.wait().expect("it ends"), printed)
    }

    /// Takes the terminal away once something is printed, and tells how it ended.
    pub fn hang_up(mut self) -> ExitStatus {
        let printed = self.terminal.read(&mut [0; 4096]).expect("it prints");
        assert!(printed > 0);
        drop(self.terminal);
        self.child.wait().expect("it ends")
    }
}
