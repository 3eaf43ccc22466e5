//! What does not end a hold (contract 9.3, 9.4): stop signals, and closing all descriptors.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use nob_ipc::{Deadline, ErrorKind, Existence, Kind};
use nob_ipc_testing::{
    Arguments, Child, Directory, Role, Unique, Waiter, files, files::Trace, forks, hear, hold, say,
    watchdog,
};

use crate::support::{OWNED, Owned, assert_words};

pub const ROLES: &[Role] = &[
    ("staying::own", own),
    ("staying::close_all", close_all),
    ("staying::numbers_used_again", numbers_used_again),
    ("staying::name_gone", name_gone),
];

/// Many looks of who waits.
const LONG: Duration = Duration::from_millis(300);

fn own(arguments: &Arguments) {
    let handle = Owned::link(arguments.kind(0), arguments.text(1));
    handle.takes();
    hold();
}

/// L15: nobody gets what a stopped process has.
#[test]
fn a_stopped_owner() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let waiting = Owned::create(kind, &name);
        let mut owner = Child::holding("staying::own", &[&kind.short_word(), &name]);
        owner.signal(libc::SIGSTOP);
        assert!(!waiting.wait(Deadline::after(LONG)).expect("no signal comes"));
        assert!(waiting.is_taken() && !Owned::link(kind, &name).tries());
        owner.signal(libc::SIGCONT);
        assert!(!waiting.wait(Deadline::after(LONG / 3)).expect("no signal comes"));
        waiting.assert_told(false);
        owner.kill();
        waiting.takes();
        waiting.assert_told(true);
    }
}

/// Closes all descriptors but those of standard input, output and error, as daemons do.
fn close_descriptors() {
    // SAFETY: nothing in this role uses a descriptor that it does not make afterwards, but the handle, which
    // is what is tested.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    assert_eq!(closed, 0, "{}", io::Error::last_os_error());
}

/// L4: who closes all descriptors keeps what it has, and everything works on.
#[test]
fn all_descriptors_closed() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let waiting = Owned::create(kind, &name);
        let mut owner = Child::start("staying::close_all", &[&kind.short_word(), &name]);
        owner.expect("has it");
        assert!(!waiting.wait(Deadline::after(LONG)).expect("no signal comes"));
        assert_eq!(waiting.holder(), Some(owner.id().cast_unsigned()));
        thread::scope(|scope| {
            let waiter = Waiter::start_in(scope, libc::SYS_futex, || waiting.wait(Deadline::NEVER));
            owner.say("release");
            assert!(waiter.join().expect("no signal comes"));
        });
        owner.expect("refused");
        owner.say("wait");
        thread::sleep(Duration::from_millis(20));
        waiting.gives();
        owner.expect("has it");
        owner.say("release");
        owner.expect("gave it");
        let mut dying = Child::holding("staying::own", &[&kind.short_word(), &name]);
        owner.say("inherit");
        thread::sleep(Duration::from_millis(20));
        dying.kill();
        owner.expect("ready");
        assert!(!waiting.tries());
        waiting.assert_told(true);
        owner.kill();
        waiting.takes();
    }
}

fn close_all(arguments: &Arguments) {
    let handle = Owned::link(arguments.kind(0), arguments.text(1));
    handle.takes();
    close_descriptors();
    assert!(handle.has_it() && handle.is_taken());
    say("has it");
    assert_eq!(hear(), "release");
    handle.gives();
    while handle.tries() {
        handle.gives();
    }
    say("refused");
    assert_eq!(hear(), "wait");
    assert!(handle.wait(Deadline::NEVER).expect("no signal comes"));
    say("has it");
    assert_eq!(hear(), "release");
    handle.gives();
    say("gave it");
    assert_eq!(hear(), "inherit");
    // Its owner has to be found alive, and then dead, by a description that is opened by the name.
    assert!(handle.wait(Deadline::NEVER).expect("no signal comes"));
    handle.assert_told(true);
    // A child gets a slot of its own in the same way.
    forks::in_child(|| {
        assert!(!handle.tries());
        handle.has_nothing_to_give();
    });
    assert!(handle.has_it());
    hold();
}

/// Whose file gets the number of the handle's descriptor keeps it, whatever becomes of the handle.
#[test]
fn a_number_that_is_used_again() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        let observer = Owned::create(kind, &name);
        let directory = Directory::new();
        Child::run(
            "staying::numbers_used_again",
            &[&kind.short_word(), &name, &directory.display()],
        );
        observer.takes();
        observer.assert_told(true);
    }
}

fn numbers_used_again(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let [handle, other] = [(); 2].map(|()| Owned::link(kind, name));
    handle.takes();
    let before = numbers_of(kind, name);
    assert_eq!(before.len(), 2);
    close_descriptors();
    let path = format!("{}/file", arguments.text(2));
    let mut strangers: Vec<File> = Vec::new();
    // As many as the process had, so that one has each number of the handles.
    for _ in 0..32 {
        let mut options = File::options();
        strangers.push(options.read(true).append(true).create(true).open(&path).expect("ours"));
    }
    // Whether the owner lives is asked of the right file.
    assert!(!other.tries() && other.is_taken());
    assert!(!other.wait(Deadline::after(Duration::from_millis(30))).expect("no signal comes"));
    handle.gives();
    other.takes();
    other.gives();
    handle.takes();
    assert_eq!(Trace::of(kind, name).descriptors(), 0);
    drop((handle, other));
    for stranger in &mut strangers {
        stranger.write_all(b"x").expect("it is open still");
    }
    let mut content = String::new();
    File::open(&path).expect("it is ours").read_to_string(&mut content).expect("it is text");
    assert_eq!(content, "x".repeat(32));
    let numbers: Vec<_> = strangers.iter().map(File::as_raw_fd).collect();
    assert!(before.iter().all(|number| numbers.contains(number)), "{before:?} {numbers:?}");
}

/// The descriptors of this process that lead to an object.
fn numbers_of(kind: Kind, name: &str) -> Vec<i32> {
    let inode = fs::metadata(files::file(kind, name)).expect("it is there").ino();
    let leads_there = |number: &i32| {
        fs::metadata(format!("/proc/self/fd/{number}")).is_ok_and(|it| it.ino() == inode)
    };
    (3..64).filter(leads_there).collect()
}

/// If the name has gone as well, nothing leads to the file any more: what needs no descriptor works on, and
/// the rest says what is wrong.
#[test]
fn all_descriptors_closed_and_the_name_gone() {
    let _watchdog = watchdog();
    for kind in OWNED {
        let name = Unique::new();
        Child::run("staying::name_gone", &[&kind.short_word(), &name]);
    }
}

fn name_gone(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let [handle, other] = [Owned::create(kind, name), Owned::link(kind, name)];
    close_descriptors();
    handle.ownership().unlink().expect("it is ours");
    for replaced in [false, true] {
        let _replacement = replaced.then(|| Owned::open(kind, name, Existence::Create));
        handle.takes();
        assert!(handle.has_it());
        for deadline in [Deadline::NOW, Deadline::NEVER] {
            let error =
                other.wait(deadline).expect_err("it cannot be known whether the owner lives");
            assert_eq!(error.kind(), ErrorKind::Other, "{error}");
            assert_words(&error, &["descriptor was closed", "new handle"]);
        }
        assert!(!other.has_it());
        handle.gives();
        other.takes();
        other.gives();
    }
    assert!(!files::exists(kind, name));
}
