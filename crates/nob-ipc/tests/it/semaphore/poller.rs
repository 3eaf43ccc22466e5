//! Many semaphores behind one descriptor.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use nob_ipc::{Deadline, Permits, Result, Semaphore, SemaphorePoller};
use nob_ipc_testing::{Child, Role, Unique, forks, wait_until, watchdog};

use crate::support::new_semaphore;

pub const ROLES: &[Role] =
    &[("poller::one_thread", |_| one_thread()), ("poller::inherited", |_| inherited())];

fn semaphores<const COUNT: usize>() -> ([Unique; COUNT], [Arc<Semaphore>; COUNT]) {
    let names: [Unique; COUNT] = std::array::from_fn(|_| Unique::new());
    let made = std::array::from_fn(|index| Arc::new(new_semaphore(&names[index], 0)));
    (names, made)
}

fn poller() -> SemaphorePoller {
    SemaphorePoller::new().expect("a descriptor and a thread")
}

/// Waits as an event loop does.
fn readable(poller: &SemaphorePoller, timeout: i32) -> bool {
    let mut fds =
        [libc::pollfd { fd: poller.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    // SAFETY: one writable structure.
    unsafe { libc::poll(fds.as_mut_ptr(), 1, timeout) == 1 }
}

fn ready(poller: &SemaphorePoller) -> Vec<u64> {
    let mut keys = poller.ready().expect("it can be read");
    keys.sort_unstable();
    keys
}

#[test]
fn it_tells_which_have_a_permit() {
    let _watchdog = watchdog();
    let (_names, [first, second, third]) = semaphores();
    let poller = poller();
    for (key, semaphore) in (0..).zip([&first, &second, &third]) {
        poller.add(key, Arc::<Semaphore>::clone(semaphore));
    }
    assert_eq!(ready(&poller), []);
    assert!(!readable(&poller, 30));
    second.release().expect("far from the maximum");
    assert!(readable(&poller, -1));
    third.release_many(2).expect("far from the maximum");
    assert_eq!(ready(&poller), [1, 2]);
    assert!(second.try_acquire() && third.try_acquire());
    // What is not taken is told again.
    assert!(readable(&poller, -1));
    assert_eq!(ready(&poller), [2]);
    poller.remove(2);
    assert_eq!(ready(&poller), []);
    assert!(!readable(&poller, 30));
    poller.add(7, third);
    assert!(readable(&poller, -1));
    assert_eq!(ready(&poller), [7]);
}

/// Also when others are added all the time.
#[test]
fn each_permit_is_seen() {
    let _watchdog = watchdog();
    let (_names, [semaphore, other]) = semaphores();
    let poller = poller();
    poller.add(0, Arc::<Semaphore>::clone(&semaphore));
    for _ in 0..40 {
        semaphore.release().expect("far from the maximum");
        let mut key = 1;
        while !readable(&poller, 0) {
            poller.add(key, Arc::<Semaphore>::clone(&other));
            key = key % 9 + 1;
        }
        assert_eq!(ready(&poller), [0]);
        assert!(semaphore.try_acquire());
    }
}

struct Failing;

impl Permits for Failing {
    fn try_acquire(&self) -> Result<bool> {
        self.value().map(|value| value > 0)
    }

    fn wait_acquire(&self, _: Deadline) -> Result<bool> {
        self.try_acquire()
    }

    fn release_many(&self, _: u32) -> Result<()> {
        self.value().map(|_| ())
    }

    fn value(&self) -> Result<u32> {
        Err(Semaphore::options().open("/nob-it-nothing-has-this-name").expect_err("it is missing"))
    }
}

/// Who waits on what cannot tell finds out by trying.
#[test]
fn an_error_is_news() {
    let _watchdog = watchdog();
    let poller = poller();
    poller.add(3, Arc::new(Failing));
    assert!(readable(&poller, -1));
    assert_eq!(ready(&poller), [3]);
}

/// Its thread blocks all signals and ends with the poller, which gives up its shares.
#[test]
fn its_thread() {
    Child::run("poller::one_thread", &[]);
}

#[test]
fn in_a_forked_child() {
    Child::run("poller::inherited", &[]);
}

/// The threads of this process that are called like this.
fn threads(name: &str) -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("this process has threads");
    let folders = tasks.map(|task| task.expect("a thread").path().display().to_string());
    // One may have ended meanwhile.
    let called = |folder: &String| {
        fs::read_to_string(format!("{folder}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    folders.filter(called).collect()
}

fn one_thread() {
    let (_names, [semaphore]) = semaphores();
    let poller = poller();
    poller.add(0, Arc::<Semaphore>::clone(&semaphore));
    // A thread gives itself its name.
    wait_until(|| threads("nob-ipc poller").len() == 1);
    let [folder] = threads("nob-ipc poller").try_into().expect("one thread");
    let status = fs::read_to_string(format!("{folder}/status")).expect("it lives");
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"));
    let blocked = u64::from_str_radix(blocked.expect("a mask"), 16).expect("a number");
    // Two that glibc keeps for itself, and those that nobody can block.
    let exempt = [libc::SIGKILL, libc::SIGSTOP, 32, 33];
    for signal in (1..=64).filter(|signal| !exempt.contains(signal)) {
        assert!(blocked >> (signal - 1) & 1 == 1, "signal {signal} is not blocked: {blocked:x}");
    }
    let own = fs::read_to_string("/proc/thread-self/status").expect("this thread lives");
    assert!(own.lines().any(|line| line == "SigBlk:\t0000000000000000"), "{own}");
    drop(poller);
    wait_until(|| threads("nob-ipc poller").is_empty());
    assert_eq!(Arc::strong_count(&semaphore), 1);
}

/// Whatever a thread of the parent was doing with it: nothing hangs, and the child can have its own.
fn inherited() {
    let (_names, [semaphore, other]) = semaphores();
    let poller = poller();
    poller.add(0, Arc::<Semaphore>::clone(&semaphore));
    for _ in 0..30 {
        forks::in_child(|| {
            semaphore.release().expect("far from the maximum");
            poller.add(1, Arc::<Semaphore>::clone(&other));
            poller.remove(0);
            assert_eq!(ready(&poller), []);
            let own = self::poller();
            own.add(5, Arc::<Semaphore>::clone(&semaphore));
            assert!(readable(&own, -1));
            assert_eq!(ready(&own), [5]);
            assert!(semaphore.try_acquire());
        });
    }
    forks::in_child(move || drop(poller));
}
