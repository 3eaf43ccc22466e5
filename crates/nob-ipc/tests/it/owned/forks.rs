//! Children, by whatever call: they hold nothing, release nothing, and prolong nothing (contract 9.4). Each
//! test is a role, since the harness has threads.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use nob_ipc::{BoundedSemaphore, Deadline};
use nob_ipc_testing::{Arguments, Child, Role, Unique, forks, watchdog};

use crate::support::{OWNED, Owned, new_permits};

pub const ROLES: &[Role] = &[
    ("forks::has_nothing", has_nothing),
    ("forks::outlives", outlives),
    ("forks::takes_over", takes_over),
    ("forks::beside_threads", |_| beside_threads()),
];

fn run(role: &str, extra: &[&str]) {
    let _watchdog = watchdog();
    for kind in OWNED {
        for extra in extra {
            Child::run(role, &[&kind.short_word(), extra]);
        }
    }
}

/// L6, L7: what the parent has, the child has not.
#[test]
fn a_child_has_nothing() {
    run("forks::has_nothing", &[""]);
}

fn has_nothing(arguments: &Arguments) {
    let name = Unique::new();
    let handle = Owned::create(arguments.kind(0), &name);
    handle.takes();
    for _ in 0..3 {
        forks::in_child(|| {
            handle.has_nothing_to_give();
            assert!(!handle.has_it() && handle.is_taken());
            assert_eq!(handle.holder(), Some(parent()));
            assert!(!handle.tries());
            // It has a slot of its own now.
            handle.has_nothing_to_give();
            assert!(!handle.wait(Deadline::after(Duration::from_millis(5))).expect("no signal"));
            forks::in_child(|| {
                handle.has_nothing_to_give();
                assert!(!handle.tries());
            });
        });
        assert!(handle.has_it());
    }
    handle.gives();
    // And the other way round.
    forks::in_child(|| {
        handle.takes();
        forks::in_child(|| assert!(!handle.tries()));
        handle.gives();
        handle.takes();
    });
    handle.assert_told(true);
    handle.takes();
    // Dropping in the child drops nothing of the parent's.
    let mut handle = Some(handle);
    forks::in_child(|| drop(handle.take()));
    assert!(handle.as_ref().is_some_and(Owned::has_it));
}

fn parent() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getppid() }.cast_unsigned()
}

/// What a child of the owner is, and does, that outlives the owner.
const HEIRS: [&str; 7] =
    ["idle", "uses", "drops", "uses-and-drops", "cloned", "spawned", "executed"];

/// L7, L8: the children of an owner live on, and the next has it all the same.
#[test]
fn a_child_outlives_the_owner() {
    run("forks::outlives", &HEIRS);
}

fn outlives(arguments: &Arguments) {
    let name = Unique::new();
    let handle = Owned::create(arguments.kind(0), &name);
    adopt_orphans();
    let (mut answers, answer) = pipe().expect("two descriptors are left");
    let owner = forks::fork(|| own_and_have_a_child(arguments, &name, &answer));
    let heir = hear_number(&mut answers);
    assert!(!handle.tries(), "the owner lives");
    forks::kill(owner);
    assert!(is_running(heir), "its child lives on");
    assert!(handle.tries());
    handle.assert_told(true);
    assert!(is_running(heir));
    forks::kill(heir);
    assert!(handle.has_it());
}

/// In the owner: takes it, has a child of a sort, and tells its number.
fn own_and_have_a_child(arguments: &Arguments, name: &str, answer: &PipeWriter) {
    let mut own = Some(Owned::link(arguments.kind(0), name));
    let inherited = |own: &Option<Owned>| assert!(own.as_ref().is_some_and(|own| !own.tries()));
    assert!(own.as_ref().is_some_and(Owned::tries));
    let heir = match arguments.text(1) {
        "spawned" => Command::new("sleep").arg("60").spawn().expect("sleep runs").id(),
        "executed" => {
            let mut command = Command::new("sleep");
            // SAFETY: it does nothing; but with it the child is forked.
            unsafe { command.arg("60").pre_exec(|| Ok(())) };
            command.spawn().expect("sleep runs").id()
        }
        "cloned" => child_by(|| {
            // SAFETY: without CLONE_VM it is a fork that no handler of `pthread_atfork` sees. The child only
            // makes system calls.
            unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }
        }),
        what => child_by(|| {
            // SAFETY: this process has no thread that does anything.
            let child = unsafe { libc::fork() };
            if child == 0 {
                match what {
                    "idle" => {}
                    "uses" => inherited(&own),
                    "drops" => drop(own.take()),
                    "uses-and-drops" => {
                        inherited(&own);
                        drop(own.take());
                    }
                    other => panic!("{other}?"),
                }
                say_number(answer, std::process::id());
            }
            child.into()
        }),
    };
    if !matches!(arguments.text(1), "idle" | "uses" | "drops" | "uses-and-drops") {
        say_number(answer, heir);
    }
    loop {
        thread::park();
    }
}

/// A child that does nothing more, and does not end with its parent, but after a minute.
pub(super) fn child_by(fork: impl FnOnce() -> libc::c_long) -> u32 {
    let child = fork();
    assert!(child >= 0, "there is no room for a process");
    if child == 0 {
        // SAFETY: takes a number.
        unsafe { libc::alarm(60) };
        loop {
            // SAFETY: takes nothing.
            unsafe { libc::pause() };
        }
    }
    u32::try_from(child).expect("pids are small")
}

/// Makes this process the parent of those whose parent ends.
pub(super) fn adopt_orphans() {
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) }, 0);
}

fn say_number(mut to: &PipeWriter, number: u32) {
    to.write_all(&number.to_ne_bytes()).expect("somebody listens");
}

fn hear_number(from: &mut PipeReader) -> i32 {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes).expect("somebody speaks");
    i32::from_ne_bytes(bytes)
}

pub(super) fn is_running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

/// A child that takes it is an owner like any other: its parent cannot release, and has it after the child's
/// death.
#[test]
fn a_child_that_owns() {
    run("forks::takes_over", &[""]);
}

fn takes_over(arguments: &Arguments) {
    let name = Unique::new();
    let handle = Owned::create(arguments.kind(0), &name);
    for _ in 0..20 {
        let (mut answers, answer) = pipe().expect("two descriptors are left");
        let child = forks::fork(|| {
            handle.takes();
            say_number(&answer, 0);
            loop {
                thread::park();
            }
        });
        hear_number(&mut answers);
        handle.has_nothing_to_give();
        assert!(!handle.tries());
        assert_eq!(handle.holder(), Some(child.cast_unsigned()));
        forks::kill(child);
        handle.takes();
        handle.assert_told(true);
        handle.gives();
    }
}

/// Handles that are made while another thread forks are not kept alive by the children. (One permit for each
/// handle shows it; a lock claims its slot by the same code.)
#[test]
fn opening_beside_forks() {
    let _watchdog = watchdog();
    Child::run("forks::beside_threads", &[]);
}

const HANDLES: u32 = 400;

fn beside_threads() {
    let name = Unique::new();
    let permits = new_permits(&name, HANDLES);
    adopt_orphans();
    let (mut answers, answer) = pipe().expect("two descriptors are left");
    let owner = forks::fork(|| open_beside_forks(&name, &answer));
    let mut children = Vec::new();
    loop {
        match hear_number(&mut answers) {
            0 => break,
            child => children.push(child),
        }
    }
    assert!(!children.is_empty());
    assert_eq!(permits.value().expect("an answer"), 0, "the owner lives");
    forks::kill(owner);
    assert!(children.iter().all(|&child| is_running(child)));
    assert_eq!(permits.value().expect("an answer"), HANDLES, "a child keeps a handle alive");
    children.into_iter().for_each(forks::kill);
}

/// In the owner: opens many handles, each of which has a permit, while another thread forks.
fn open_beside_forks(name: &str, answer: &PipeWriter) {
    let opened = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut handles = Vec::new();
            for _ in 0..HANDLES {
                let permits = BoundedSemaphore::options().open(name).expect("it is there");
                assert!(permits.try_acquire().expect("an answer"));
                handles.push(permits);
                opened.fetch_add(1, Ordering::Relaxed);
            }
            loop {
                thread::park();
            }
        });
        while opened.load(Ordering::Relaxed) < HANDLES {
            let child = child_by(|| {
                // SAFETY: the child only makes system calls.
                unsafe { libc::fork() }.into()
            });
            say_number(answer, child);
        }
        say_number(answer, 0);
        loop {
            thread::park();
        }
    });
}
