//! `nob-ipc sem run`, `lock run` and `permits run`: acquire, run, release.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg::F_SETFD, FdFlag, fcntl};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::signalfd::{SignalFd, siginfo};
use nix::unistd::{Pid, getpid, getppid};
use nob_ipc::{BoundedSemaphore, Existence, Lock, Name, Permits, Semaphore};
use nob_ipc_redis::{self as redis, Connection};

use super::any_lock::AnyLock;
use super::creation::{DEFAULT_MODE, Differences, exactly};
use crate::args::Job;
use crate::failure::{Failure, Result, cannot, status_of_signal};
use crate::output::complain;
use crate::signals::{self, Deferred};
use crate::text;
use crate::waiting::{acquire, deadline};

/// A program that cannot be run, and one that does not exist: as `env`, `timeout` and shells say it.
const CANNOT_RUN: i32 = 126;
const NOT_FOUND: i32 = 127;

/// What had to be done before the command failed, so that it was not run.
const NOT_PREPARED: i32 = 125;

pub fn with_semaphore(
    name: &Name,
    create: Option<u32>,
    job: &Job,
    server: Option<&Connection>,
) -> Result<()> {
    let semaphore: Box<dyn Permits> = if let Some(server) = server {
        let mut options = redis::Semaphore::options(server);
        if let Some(value) = create {
            options.initial_value(value).existence(Existence::LinkOrCreate);
        }
        Box::new(options.open_named(name)?)
    } else {
        let mut options = Semaphore::options();
        if let Some(value) = create {
            options.initial_value(value).existence(Existence::LinkOrCreate);
            options.unlink_on_drop(false);
        }
        // The command that is run has the umask of its caller.
        let _exactly = exactly();
        Box::new(options.open_named(name)?)
    };
    let turn = Turn::wait_for(&*semaphore, job.timeout, Fate::Own)?;
    let ended = turn.start(&mut command(&job.command)?)?.wait();
    turn.end()?;
    outcome(ended?)
}

pub fn with_permit(
    name: &Name,
    value: Option<u32>,
    mode: Option<u32>,
    job: &Job,
    server: Option<&Connection>,
) -> Result<()> {
    const WHAT: &str = "number of permits";
    let bound = value.unwrap_or(1);
    let (permits, fate): (Box<dyn Permits>, Fate) = if let Some(server) = server {
        let mut options = redis::BoundedSemaphore::options(server);
        options.bound(bound).existence(Existence::LinkOrCreate);
        let permits = options.open_named(name)?;
        Differences::of_remote(permits.handle()).compare(WHAT, value, permits.bound()).tell();
        (Box::new(permits), Fate::Killed)
    } else {
        let mut options = BoundedSemaphore::options();
        options.bound(bound).inheritable(true).mode(mode.unwrap_or(DEFAULT_MODE));
        options.existence(Existence::LinkOrCreate).unlink_on_drop(false);
        let exactly = exactly();
        let permits = options.open_named(name)?;
        drop(exactly);
        Differences::of(permits.ownership())
            .compare(WHAT, value, permits.bound())
            .compare_mode(mode)
            .tell();
        let fate = Fate::Shared(life(permits.life())?);
        (Box::new(permits), fate)
    };
    let turn = Turn::wait_for(&*permits, job.timeout, fate)?;
    let ended = turn.start(&mut command(&job.command)?)?.wait();
    turn.end()?;
    outcome(ended?)
}

pub fn with_lock(
    name: &Name,
    mode: Option<u32>,
    on_death: Option<&OsStr>,
    job: &Job,
    server: Option<&Connection>,
) -> Result<()> {
    let (lock, fate): (Box<dyn AnyLock>, Fate) = if let Some(server) = server {
        let mut options = redis::Lock::options(server);
        let lock = options.existence(Existence::LinkOrCreate).open_named(name)?;
        (Box::new(lock), Fate::Killed)
    } else {
        let mut options = Lock::options();
        options.inheritable(true).mode(mode.unwrap_or(DEFAULT_MODE));
        options.existence(Existence::LinkOrCreate).unlink_on_drop(false);
        let exactly = exactly();
        let lock = options.open_named(name)?;
        drop(exactly);
        Differences::of(lock.ownership()).compare_mode(mode).tell();
        let fate = Fate::Shared(life(lock.life())?);
        (Box::new(lock), fate)
    };
    let turn = Turn::wait_for(&*lock, job.timeout, fate)?;
    lock.note_time()?;
    if lock.owner_died()? {
        recover(&turn, &*lock, name, on_death)?;
    }
    let ended = turn.start(&mut command(&job.command)?)?.wait();
    match &ended {
        Ok(status) if status.signal().is_none() => turn.end()?,
        // It has died in the middle of its work, or may not have ended.
        _ => {
            turn.leave();
            lock.abandon();
        }
    }
    outcome(ended?)
}

/// What a command inherits, to hold on when this process is killed.
fn life(descriptor: Option<BorrowedFd<'_>>) -> Result<RawFd> {
    let descriptor = descriptor.map(|descriptor| descriptor.as_raw_fd());
    descriptor.ok_or_else(|| Failure::because("the descriptor of the object was closed by others"))
}

/// Tells that a holder has died, and lets a command repair what that may have left.
fn recover(
    turn: &Turn<'_>,
    lock: &dyn AnyLock,
    name: &Name,
    on_death: Option<&OsStr>,
) -> Result<()> {
    let died = format!("a holder of the lock \"{name}\" died while it held it");
    let Some(script) = on_death else {
        complain(&format!(
            "{died}; what it did may be half done, and each who follows is told until --on-death or \
             `nob-ipc lock repaired` says that all is well"
        ));
        return Ok(());
    };
    complain(&format!("{died}; running the command of --on-death"));
    let failed = |how: String| {
        let so = "the command was not run, and who follows is told again";
        Failure::NotRun(NOT_PREPARED, format!("the command of --on-death {how}; {so}"))
    };
    let status = match turn.start(Command::new("sh").arg("-c").arg(script)) {
        Ok(running) => running.wait()?,
        Err(Failure::NotRun(_, why)) => return Err(failed(format!("could not be run ({why})"))),
        Err(failure) => return Err(failure),
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(lock.mark_repaired()?),
        (Some(code), _) => Err(failed(format!("ended with status {code}"))),
        (None, signal) => Err(failed(format!("was ended by signal {}", signal.unwrap_or(0)))),
    }
}

fn command(words: &[OsString]) -> Result<Command> {
    let [program, arguments @ ..] = words else {
        return Err(Failure::because("there is no command to run"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// How this ends when its command has ended.
fn outcome(status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    let signalled = status.signal().map(status_of_signal);
    Err(Failure::Status(status.code().or(signalled).unwrap_or(1)))
}

/// What becomes of the command when this process is killed.
#[derive(Clone, Copy)]
enum Fate {
    /// It goes on, and what was taken stays taken.
    Own,
    /// It is killed as well. What it has started is not: on a server nobody else can hold on.
    Killed,
    /// It is killed as well, and what was taken is free when all that it has started has ended, too: they
    /// inherit this descriptor.
    Shared(RawFd),
}

/// Something that is held, and is given back whatever happens. Signals stay pending meanwhile.
struct Turn<'a> {
    permits: &'a dyn Permits,
    held: bool,
    fate: Fate,
    blocked: Blocked,
    _deferred: Deferred,
}

impl<'a> Turn<'a> {
    fn wait_for(
        permits: &'a dyn Permits,
        timeout: Option<Duration>,
        fate: Fate,
    ) -> Result<Turn<'a>> {
        let deadline = deadline(timeout);
        let deferred = signals::defer();
        if !acquire(permits, deadline)? {
            return Err(Failure::TimeOver);
        }
        let blocked = match Blocked::new() {
            Ok(blocked) => blocked,
            Err(failure) => {
                permits.release_many(1)?;
                return Err(failure);
            }
        };
        let turn = Turn { permits, held: true, fate, blocked, _deferred: deferred };
        // One that came before the signals were blocked is not passed on, but ends this.
        signals::check()?;
        Ok(turn)
    }

    /// Starts a command with the signal mask that was in force before.
    fn start(&self, command: &mut Command) -> Result<Running<'_>> {
        let mask = self.blocked.previous;
        let fate = self.fate;
        let parent = getpid();
        // SAFETY: between fork and exec there are system calls alone.
        unsafe {
            command.pre_exec(move || {
                if let Fate::Shared(life) = fate {
                    // SAFETY: the handle keeps it open, and only its flags change.
                    fcntl(BorrowedFd::borrow_raw(life), F_SETFD(FdFlag::empty()))?;
                }
                if !matches!(fate, Fate::Own) {
                    die_with(parent)?;
                }
                Ok(mask.thread_set_mask()?)
            });
        }
        match command.spawn() {
            Ok(child) => Ok(Running { child, blocked: &self.blocked }),
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let program = text::escape(command.get_program().as_encoded_bytes());
                let status = if missing { NOT_FOUND } else { CANNOT_RUN };
                Err(Failure::NotRun(status, format!("cannot run {program}: {error}")))
            }
        }
    }

    /// Gives it back.
    fn end(mut self) -> Result<()> {
        self.held = false;
        Ok(self.permits.release_many(1)?)
    }

    /// Leaves it to those who have the handle.
    fn leave(mut self) {
        self.held = false;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.held {
            // The failure that brought us here is the one that is reported.
            let _ = self.permits.release_many(1);
        }
    }
}

/// Lets the kernel kill this process when its parent ends.
fn die_with(parent: Pid) -> nix::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // It may have ended before. A parent in another pid namespace is 0.
    let current = getppid();
    if current == parent || current.as_raw() == 0 { Ok(()) } else { Err(Errno::ESRCH) }
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

/// A command that was started.
struct Running<'a> {
    child: Child,
    blocked: &'a Blocked,
}

impl Running<'_> {
    /// Waits for the command to end, and passes signals on to it.
    fn wait(mut self) -> Result<ExitStatus> {
        let pid =
            i32::try_from(self.child.id()).map_err(|error| cannot("run the command", error))?;
        loop {
            let waited = self.child.try_wait();
            let waited = waited.map_err(|error| cannot("wait for the command", error))?;
            if let Some(status) = waited {
                return Ok(status);
            }
            let Some(info) = self.blocked.next()? else { continue };
            let signal =
                i32::try_from(info.ssi_signo).ok().and_then(|it| Signal::try_from(it).ok());
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
                        complain(&format!("cannot {what}: {}", errno.desc()));
                    }
                },
            }
        }
    }
}
