//! Signals: what this process does about them, and sending them to one thread.

use std::mem::MaybeUninit;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::calls::check;

/// Signals have the numbers from 1 to 64.
const NUMBERS: usize = 65;

static HANDLED: [AtomicU32; NUMBERS] = [const { AtomicU32::new(0) }; NUMBERS];
static SENT_CODE: [AtomicU32; NUMBERS] = [const { AtomicU32::new(0) }; NUMBERS];
static SENT_BY: [AtomicU32; NUMBERS] = [const { AtomicU32::new(0) }; NUMBERS];

extern "C" fn count(
    signal: libc::c_int,
    information: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    let index = usize::try_from(signal).unwrap_or(0);
    // SAFETY: the kernel passes a valid structure to a handler with SA_SIGINFO.
    let information = unsafe { &*information };
    SENT_CODE[index].store(information.si_code.cast_unsigned(), Ordering::Relaxed);
    // SAFETY: a pid is there for every signal that these tests send; for others it is any number.
    SENT_BY[index].store(unsafe { information.si_pid() }.cast_unsigned(), Ordering::Relaxed);
    HANDLED[index].fetch_add(1, Ordering::Relaxed);
}

/// Installs a handler that only counts.
pub fn handle(signal: i32, flags: i32) {
    install(signal, count as *const () as usize, flags | libc::SA_SIGINFO);
}

/// Installs a handler without `SA_RESTART`. It may do only what a signal handler may.
pub fn handle_with(signal: i32, handler: extern "C" fn(libc::c_int)) {
    install(signal, handler as *const () as usize, 0);
}

/// Ignores a signal.
pub fn ignore(signal: i32) {
    install(signal, libc::SIG_IGN, 0);
}

fn install(signal: i32, handler: libc::sighandler_t, flags: i32) {
    // SAFETY: the structure is made of integers and pointers, for which zero is a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is a valid structure; its handler does only what a handler may.
    check(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) });
}

/// Sets every signal to its default.
pub fn reset() {
    for number in 1..NUMBERS {
        let number = i32::try_from(number).expect("they are small");
        // What cannot be set, such as SIGKILL, is at its default.
        // SAFETY: the default action takes no handler.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// How often the handler of this signal ran.
pub fn handled(signal: i32) -> u32 {
    HANDLED[index(signal)].load(Ordering::Relaxed)
}

/// Why (`si_code`) and by whom the signal was sent the last time.
pub fn origin(signal: i32) -> (i32, i32) {
    let code = SENT_CODE[index(signal)].load(Ordering::Relaxed).cast_signed();
    (code, SENT_BY[index(signal)].load(Ordering::Relaxed).cast_signed())
}

fn index(signal: i32) -> usize {
    usize::try_from(signal).expect("signals are positive")
}

/// Sends a signal to one thread of this process; `false` if it has ended.
pub fn send_to_thread(thread: i32, signal: i32) -> bool {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, process::id(), thread, signal) == 0 }
}
