//! Handles whose life can be handed on: what they hold is free when the last copy of the descriptor is
//! closed. Each test is a role, since the harness has threads.

use std::io::{PipeWriter, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{self, Command};
use std::thread;

use nob_ipc_testing::{Arguments, Child, Role, Unique, forks, wait_until, watchdog};

use super::forks::{adopt_orphans, child_by, is_running};
use crate::support::{OWNED, Owned};

pub const ROLES: &[Role] = &[("handed_on::outlives", outlives), ("handed_on::given_up", given_up)];

fn run(role: &str, heirs: &[&str]) {
    let _watchdog = watchdog();
    for kind in OWNED {
        for heir in heirs {
            Child::run(role, &[&kind.short_word(), heir]);
        }
    }
}

/// A child that is forked, or a program for which the descriptor stays open, holds on when the owner dies; a
/// program for which it is closed does not.
#[test]
fn who_has_a_copy_holds_on() {
    run("handed_on::outlives", &["forked", "executed", "executed-without"]);
}

/// Releasing it, and dropping the handle, needs nobody who has a copy.
#[test]
fn what_is_given_up_is_free() {
    run("handed_on::given_up", &["release", "drop"]);
}

/// In the owner: has a child of a sort; returns its number.
fn heir(own: &Owned, sort: &str) -> u32 {
    let life = own.life().expect("it can be handed on").as_raw_fd();
    if sort == "forked" {
        return child_by(|| {
            // SAFETY: the child only makes system calls.
            unsafe { libc::fork() }.into()
        });
    }
    let keeps = sort == "executed";
    let mut command = Command::new("sleep");
    // SAFETY: between fork and exec there is a system call alone.
    unsafe {
        command.arg("60").pre_exec(move || {
            if keeps {
                libc::fcntl(life, libc::F_SETFD, 0);
            }
            Ok(())
        })
    };
    command.spawn().expect("sleep runs").id()
}

fn tell(mut to: &PipeWriter, number: u32) {
    to.write_all(&number.to_ne_bytes()).expect("somebody listens");
}

fn outlives(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), Unique::new());
    let handle = Owned::create(kind, &name);
    assert!(handle.life().is_none(), "only who asks for it has one");
    adopt_orphans();
    let (mut answers, answer) = pipe().expect("two descriptors are left");
    let owner = forks::fork(|| {
        let own = Owned::inheritable(kind, &name);
        own.takes();
        tell(&answer, heir(&own, arguments.text(1)));
        loop {
            thread::park();
        }
    });
    let mut heir = [0; 4];
    answers.read_exact(&mut heir).expect("somebody speaks");
    let heir = i32::from_ne_bytes(heir);
    assert!(!handle.tries());
    forks::kill(owner);
    assert!(is_running(heir));
    if arguments.text(1) == "executed-without" {
        handle.takes();
    } else {
        assert!(!handle.tries() && handle.is_taken(), "the child holds on");
        assert_eq!(handle.holder(), Some(owner.cast_unsigned()));
        handle.assert_told(false);
    }
    forks::kill(heir);
    wait_until(|| handle.has_it() || handle.tries());
    handle.assert_told(true);
}

fn given_up(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), Unique::new());
    let handle = Owned::create(kind, &name);
    let own = Owned::inheritable(kind, &name);
    own.takes();
    assert!(own.life().is_some());
    let child = heir(&own, "forked");
    // In a child it is not the life of its own handle.
    forks::in_child(|| {
        assert!(own.life().is_none() && !own.has_it());
        own.has_nothing_to_give();
    });
    if arguments.text(1) == "release" {
        own.gives();
        handle.takes();
        handle.assert_told(false);
        assert_eq!(handle.holder(), Some(process::id()));
    } else {
        drop(own);
        handle.takes();
        handle.assert_told(true);
    }
    let child = i32::try_from(child).expect("pids are small");
    assert!(is_running(child));
    forks::kill(child);
    assert!(handle.has_it());
}
