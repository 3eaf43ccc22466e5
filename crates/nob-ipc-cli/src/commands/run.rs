//! `nob-ipc sem run`: acquire, run, release.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SignalFd, siginfo};
use nix::unistd::Pid;
use nob_ipc::{Existence, Name, Semaphore};

use crate::failure::{Failure, Result, cannot, status_of_signal};
use crate::signals;
use crate::text;
use crate::waiting::{deadline, wait};

pub fn run(
    name: &Name,
    create: Option<u32>,
    timeout: Option<Duration>,
    command: &[OsString],
) -> Result<()> {
    let [program, arguments @ ..] = command else {
        return Err(Failure::because("there is no command to run"));
    };
    let semaphore = match create {
        None => Semaphore::options().open_named(name)?,
        Some(value) => Semaphore::options()
            .initial_value(value)
            .existence(Existence::LinkOrCreate)
            .unlink_on_drop(false)
            .open_named(name)?,
    };
    let deadline = deadline(timeout);
    let _deferred = signals::defer();
    if !wait(deadline, |deadline| semaphore.acquire_until(deadline), || Ok(()))? {
        return Err(Failure::TimeOver);
    }
    let permit = Permit { semaphore: &semaphore, held: true };
    // From here on signals stay pending; one that came before is not passed on, but ends this.
    let blocked = Blocked::new()?;
    signals::check()?;
    let child = blocked.start(Command::new(program).args(arguments)).map_err(|error| {
        cannot(&format!("run {}", text::escape(program.as_encoded_bytes())), error)
    });
    let status = child.and_then(|child| wait_for(child, &blocked));
    permit.release()?;
    match status? {
        status if status.success() => Ok(()),
        status => {
            let signalled = status.signal().map(status_of_signal);
            Err(Failure::Status(status.code().or(signalled).unwrap_or(1)))
        }
    }
}

/// A permit, which is given back whatever happens.
struct Permit<'a> {
    semaphore: &'a Semaphore,
    held: bool,
}

impl Permit<'_> {
    fn release(mut self) -> Result<()> {
        self.held = false;
        Ok(self.semaphore.release()?)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.held {
            // The failure that brought us here is the one that is reported.
            let _ = self.semaphore.release();
        }
    }
}

/// All signals wait, but for those of job control and those that a fault of this program raises.
struct Blocked {
    descriptor: SignalFd,
    previous: SigSet,
}

impl Blocked {
    fn new() -> Result<Blocked> {
        let mut set = SigSet::all();
        for signal in [
            Signal::SIGTSTP,
            Signal::SIGTTIN,
            Signal::SIGTTOU,
            Signal::SIGCONT,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGFPE,
            Signal::SIGILL,
            Signal::SIGTRAP,
            Signal::SIGSYS,
            Signal::SIGABRT,
        ] {
            set.remove(signal);
        }
        let fail = |errno: Errno| cannot("wait for signals", errno.desc());
        let descriptor = SignalFd::new(&set).map_err(fail)?;
        let previous = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(fail)?;
        Ok(Blocked { descriptor, previous })
    }

    /// Starts a command with the signal mask that was in force before.
    fn start(&self, command: &mut Command) -> io::Result<Child> {
        let previous = self.previous;
        // SAFETY: setting the mask is the only thing done between fork and exec, where it is allowed.
        unsafe { command.pre_exec(move || Ok(previous.thread_set_mask()?)) };
        command.spawn()
    }

    /// Waits for the next signal.
    fn next(&self) -> Result<Option<siginfo>> {
        match self.descriptor.read_signal() {
            Ok(signal) => Ok(signal),
            Err(Errno::EINTR) => Ok(None),
            Err(errno) => Err(cannot("wait for signals", errno.desc())),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // The mask was in force before, so it is valid.
        let _ = self.previous.thread_set_mask();
    }
}

/// Waits for the command to end, and passes signals on to it.
fn wait_for(mut child: Child, blocked: &Blocked) -> Result<ExitStatus> {
    let pid = i32::try_from(child.id()).map_err(|error| cannot("run the command", error))?;
    loop {
        let waited = child.try_wait().map_err(|error| cannot("wait for the command", error))?;
        if let Some(status) = waited {
            return Ok(status);
        }
        let Some(info) = blocked.next()? else { continue };
        let signal = i32::try_from(info.ssi_signo).ok().and_then(|it| Signal::try_from(it).ok());
        // What a terminal sends goes to the command anyway.
        let from_terminal = info.ssi_code == nix::libc::SI_KERNEL;
        match signal {
            Some(Signal::SIGCHLD | Signal::SIGWINCH | Signal::SIGURG) | None => {}
            Some(_) if from_terminal => {}
            Some(signal) => match kill(Pid::from_raw(pid), signal) {
                // It has ended, which the next look tells.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => {
                    let what = format!("pass {signal} on to the command");
                    crate::output::complain(&format!("cannot {what}: {}", errno.desc()));
                }
            },
        }
    }
}
