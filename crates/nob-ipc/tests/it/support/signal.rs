//! Signals: handlers that count, and sending to one thread.

use std::io;
use std::mem::MaybeUninit;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

static HANDLED: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];
static SENT_CODE: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];
static SENT_BY: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

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
    // SAFETY: the structure is made of integers and pointers, for which zero is a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = count as *const () as usize;
    action.sa_flags = flags | libc::SA_SIGINFO;
    install(signal, &action);
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

/// Installs a handler that restarts nothing.
pub fn handle_with(signal: i32, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: the structure is made of integers and pointers, for which zero is a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    install(signal, &action);
}

/// Lets a signal pass by.
pub fn ignore(signal: i32) {
    // SAFETY: the structure is made of integers and pointers, for which zero is a value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = libc::SIG_IGN;
    install(signal, &action);
}

fn install(signal: i32, action: &libc::sigaction) {
    // SAFETY: `action` is a valid structure, whose handler does only what a handler may.
    let done = unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) };
    assert_eq!(done, 0, "{}", io::Error::last_os_error());
}
