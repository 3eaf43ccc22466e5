//! Threads and processes that wait, seen from outside.

use std::fs;
use std::process;
use std::sync::{LazyLock, mpsc};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use crate::calls::check;
use crate::signals;

/// Returns when something is so. If it never is, the watchdog ends the test.
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends a process a signal. Of one that is stopped, no thread runs any more when this returns: any of them
/// can take the signal, and the others go on until it does.
pub(crate) fn signal(pid: i32, number: i32) {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, number) });
    if number == libc::SIGSTOP {
        wait_until(|| is_stopped(pid));
    }
}

/// Whether no thread of a process runs: all are stopped, or gone.
fn is_stopped(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    let states = threads.flatten().filter_map(|thread| {
        let line = fs::read_to_string(thread.path().join("stat")).ok()?;
        // Behind the name, which may have any characters.
        line.rsplit_once(") ")?.1.chars().next()
    });
    states.into_iter().all(|state| "TtZX".contains(state))
}

/// Returns when the thread sleeps in one of these system calls.
pub fn wait_until_in(pid: i32, thread: i32, calls: &[libc::c_long]) {
    let path = format!("/proc/{pid}/task/{thread}/syscall");
    let calls: Vec<_> = calls.iter().map(|&call| of_the_kernel(call)).collect();
    wait_until(|| {
        let call = fs::read_to_string(&path).expect("the thread lives, and may be looked at");
        number(&call).is_some_and(|number| calls.contains(&number))
    });
}

/// The call that a line of a file `syscall` tells of.
fn number(line: &str) -> Option<libc::c_long> {
    line.split_whitespace().next()?.parse().ok()
}

/// The kernel's own number of a call. Under an emulator of another processor, qemu-user, it is that of this
/// machine's, x86-64.
fn of_the_kernel(call: libc::c_long) -> libc::c_long {
    static EMULATED: LazyLock<bool> = LazyLock::new(|| {
        // The call that reads the line is the one that it tells of.
        let line = fs::read_to_string("/proc/thread-self/syscall").expect("/proc is there");
        number(&line) != Some(libc::SYS_read)
    });
    if !*EMULATED {
        return call;
    }
    match call {
        libc::SYS_futex => 202,
        libc::SYS_mq_timedsend => 242,
        libc::SYS_mq_timedreceive => 243,
        libc::SYS_ppoll => 271,
        _ => panic!("nobody has said what number the system call {call} has on x86-64"),
    }
}

/// The id by which the system knows this thread.
pub fn thread_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// A thread that makes one call.
pub struct Waiter<'scope, T> {
    /// The id by which the system knows the thread.
    pub thread: i32,
    call: ScopedJoinHandle<'scope, T>,
}

impl<'scope, T: Send + 'scope> Waiter<'scope, T> {
    /// Starts a thread that makes the call.
    pub fn start(
        scope: &'scope Scope<'scope, '_>,
        call: impl FnOnce() -> T + Send + 'scope,
    ) -> Waiter<'scope, T> {
        let (announce, announced) = mpsc::channel();
        let call = scope.spawn(move || {
            announce.send(thread_id()).expect("the test listens");
            drop(announce);
            call()
        });
        Waiter { thread: announced.recv().expect("the thread has begun"), call }
    }

    /// Starts a thread that makes the call, and returns when it sleeps in this system call.
    pub fn start_in(
        scope: &'scope Scope<'scope, '_>,
        system_call: libc::c_long,
        call: impl FnOnce() -> T + Send + 'scope,
    ) -> Waiter<'scope, T> {
        let waiter = Waiter::start(scope, call);
        waiter.wait_until_in(system_call);
        waiter
    }

    /// Returns when the thread sleeps in this system call.
    pub fn wait_until_in(&self, system_call: libc::c_long) {
        let pid = process::id().try_into().expect("a pid is an i32");
        wait_until_in(pid, self.thread, &[system_call]);
    }

    /// The first arguments of the system call in which the thread sleeps.
    pub fn arguments(&self) -> [i64; 2] {
        let path = format!("/proc/self/task/{}/syscall", self.thread);
        let line = fs::read_to_string(path).expect("the thread lives");
        let mut fields = line.split_ascii_whitespace().skip(1);
        [(); 2].map(|()| {
            let field = fields.next().and_then(|field| field.strip_prefix("0x"));
            let number = field.and_then(|field| u64::from_str_radix(field, 16).ok());
            number.expect("an argument").cast_signed()
        })
    }

    /// Whether the call has returned.
    pub fn has_ended(&self) -> bool {
        self.call.is_finished()
    }

    /// Sends the thread a signal, and returns when its handler has run.
    pub fn interrupt(&self, number: i32) {
        let before = signals::handled(number);
        assert!(signals::send_to_thread(self.thread, number), "the thread has ended");
        while signals::handled(number) == before {
            thread::yield_now();
        }
    }

    /// What the call returned.
    pub fn join(self) -> T {
        match self.call.join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
