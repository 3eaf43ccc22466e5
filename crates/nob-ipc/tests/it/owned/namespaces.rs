//! Processes of several pid namespaces, in which each of them is number 1.

use std::io::{PipeReader, Read, Write, pipe};
use std::thread;
use std::time::Duration;

use nob_ipc::{Deadline, Kind};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, forks, unshare, users, wait_until_in, watchdog,
};

use crate::support::{OWNED, Owned};

pub const ROLES: &[Role] = &[("namespaces::equal_pids", equal_pids)];

/// L9: a waiter that is killed takes nothing from the owner whose pid it has; and when the owner is killed, it
/// is not kept alive by the waiter whose pid it has.
#[test]
fn equal_pids_in_two_namespaces() {
    let _watchdog = watchdog();
    if !users::is_root("make a pid namespace") {
        return;
    }
    for kind in OWNED {
        Child::run("namespaces::equal_pids", &[&kind.short_word()]);
    }
}

/// The first process of a namespace of its own.
struct First {
    /// Its parent, which has made the namespace.
    parent: i32,
    /// Its number here.
    pid: i32,
    answers: PipeReader,
}

impl First {
    /// Starts it, and returns when it has opened the object, which it then takes. `None`: it may have no
    /// namespace.
    fn start(kind: Kind, name: &str) -> Option<First> {
        let (mut numbers, mut number) = pipe().expect("two descriptors are left");
        let (answers, mut answer) = pipe().expect("two descriptors are left");
        let parent = forks::fork(|| {
            if !unshare(libc::CLONE_NEWPID) {
                return;
            }
            let first = forks::fork(|| {
                assert_eq!(std::process::id(), 1);
                let handle = Owned::link(kind, name);
                answer.write_all(b"o").expect("somebody listens");
                assert!(handle.wait(Deadline::NEVER).expect("no signal comes"));
                answer.write_all(b"t").expect("somebody listens");
                loop {
                    thread::park();
                }
            });
            number.write_all(&first.to_ne_bytes()).expect("somebody listens");
            forks::wait_for(first);
        });
        drop((number, answer));
        let mut pid = [0; 4];
        if numbers.read_exact(&mut pid).is_err() {
            forks::wait_for(parent);
            return None;
        }
        let mut first = First { parent, pid: i32::from_ne_bytes(pid), answers };
        first.expect(b'o');
        Some(first)
    }

    fn expect(&mut self, answer: u8) {
        let mut said = [0];
        self.answers.read_exact(&mut said).expect("somebody speaks");
        assert_eq!(said, [answer]);
    }

    fn wait_until_asleep(&self) {
        wait_until_in(self.pid, self.pid, &[libc::SYS_futex]);
    }

    fn kill(self) {
        // SAFETY: takes numbers only.
        assert_eq!(unsafe { libc::kill(self.pid, libc::SIGKILL) }, 0);
        assert!(forks::wait_for(self.parent).success());
    }
}

fn equal_pids(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), Unique::new());
    let handle = Owned::create(kind, &name);
    let Some(mut owner) = First::start(kind, &name) else { return };
    owner.expect(b't');
    assert_eq!(handle.holder(), Some(1), "as it calls itself");
    assert!(!handle.tries());

    let [waiter, mut heir] = [(); 2].map(|()| First::start(kind, &name).expect("as before"));
    waiter.wait_until_asleep();
    heir.wait_until_asleep();
    waiter.kill();
    thread::sleep(Duration::from_millis(50));
    assert!(!handle.tries() && handle.is_taken(), "the owner lives");
    handle.assert_told(false);
    owner.kill();
    heir.expect(b't');
    assert!(!handle.tries());
    assert_eq!(handle.holder(), Some(1));
    handle.assert_told(true);
    heir.kill();
    handle.takes();
    handle.assert_told(true);
}
