//! The same objects in a C program, by the C library's own calls, in both directions.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::time::Duration;

use nob_ipc::{ErrorKind, Existence, Kind, MessageQueue, Semaphore, SharedMemory};
use nob_ipc_testing::{
    Running, Unique, Waiter, drop_alone, files, output, prepare, wait_until, watchdog,
};

use crate::support::{Object, assert_refused, new_queue, new_segment, new_semaphore};

/// The C program, compiled once; `None` where there is no compiler.
fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop/peer.c");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (program, new) =
            (directory.join("interop"), directory.join(format!("interop-{}", process::id())));
        let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
        let mut command = Command::new(&compiler);
        command.args(["-Wall", "-Werror", "-o"]).arg(&new).arg(source);
        match output(command.args(["-lrt", "-pthread"])) {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(
                    output.status.success(),
                    "{compiler} does not compile the program: {errors}"
                );
                // Another run of the tests may be using the old one.
                fs::rename(&new, &program).expect("the directory is ours");
                Some(program)
            }
            Err(error) => {
                eprintln!("skipped: no C compiler ({compiler}: {error})");
                None
            }
        }
    });
    program.as_deref()
}

/// The C program.
struct C(&'static Path);

impl C {
    fn new() -> Option<C> {
        program().map(C)
    }

    /// Runs one action to its end; returns what the program prints.
    #[track_caller]
    fn run(&self, action: &str, name: &str, argument: &str) -> String {
        let output = output(Command::new(self.0).args([action, name, argument]));
        let output = output.expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_string()
    }

    /// Starts an action that waits, and returns when it does.
    fn start(&self, action: &str, name: &str, system_call: libc::c_long) -> Running {
        let mut command = Command::new(self.0);
        let mut waiting = Running::start(prepare(command.args([action, name, ""])));
        assert_eq!(waiting.line(), "waiting");
        waiting.wait_until_in(&[system_call]);
        waiting
    }
}

#[test]
fn c_opens_our_semaphore() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 2);
    assert_eq!(c.run("sem-value", &name, ""), "2");
    c.run("sem-post", &name, "");
    assert_eq!(semaphore.value(), 3);
    for _ in 0..3 {
        assert!(semaphore.try_acquire());
    }
    let mut waiting = c.start("sem-wait", &name, libc::SYS_futex);
    semaphore.release().expect("far from the maximum");
    assert_eq!(waiting.line(), "done");
    assert_eq!(semaphore.value(), 0);
}

/// Contract 6: one step of ours wakes as many waiters of C, and those alone.
#[test]
fn many_permits_for_c() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    let semaphore = new_semaphore(&name, 0);
    let mut waiting: Vec<_> = (0..4).map(|_| c.start("sem-wait", &name, libc::SYS_futex)).collect();
    semaphore.release_many(3).expect("far from the maximum");
    // Which of them it will be is the kernel's choice.
    let running = |each: &mut Running| usize::from(each.is_running());
    wait_until(|| waiting.iter_mut().map(running).sum::<usize>() == 1);
    assert_eq!(semaphore.value(), 0);
    semaphore.release_many(1).expect("far from the maximum");
    for each in &mut waiting {
        assert_eq!(each.line(), "done");
    }
    assert_eq!(c.run("sem-value", &name, ""), "0");
}

#[test]
fn we_open_a_semaphore_of_c() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    c.run("sem-create", &name, "1");
    let semaphore = Semaphore::options().open(&*name).expect("C has made it");
    assert!(semaphore.try_acquire());
    assert_eq!(c.run("sem-value", &name, ""), "0");
    std::thread::scope(|scope| {
        let waiter = Waiter::start_in(scope, libc::SYS_futex, || {
            semaphore.acquire_timeout(Duration::from_secs(50))
        });
        c.run("sem-post", &name, "");
        assert!(waiter.join().expect("a permit"));
    });
    let taken = Object::open(Kind::Semaphore, &name, Existence::Create);
    assert_refused(taken, &name, ErrorKind::AlreadyExists, Some(libc::EEXIST));
}

#[test]
fn c_opens_our_segment() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    let mapping = new_segment(&name, 3333).map().expect("it is not empty");
    mapping.write(0, b"from Rust\0").expect("it is writable");
    assert_eq!(c.run("shm-read", &name, ""), "3333 from Rust");
    c.run("shm-write", &name, "from C");
    let mut bytes = [0; 7];
    mapping.read(0, &mut bytes).expect("seven bytes");
    assert_eq!(&bytes, b"from C\0");
}

#[test]
fn we_open_a_segment_of_c() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    c.run("shm-create", &name, "from C");
    let segment = SharedMemory::options().open(&*name).expect("C has made it");
    assert_eq!(segment.size().expect("a size"), 5000);
    let mapping = segment.map().expect("it is not empty");
    let mut bytes = [0; 7];
    mapping.read(0, &mut bytes).expect("seven bytes");
    assert_eq!(&bytes, b"from C\0");
    segment.resize(9000).expect("there is room");
    assert_eq!(c.run("shm-read", &name, ""), "9000 from C");
}

#[test]
fn c_opens_our_queue() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    let queue = new_queue(&name, 2, 32);
    c.run("mq-send", &name, "from C");
    assert_eq!(queue.receive().expect("a message"), (b"from C".to_vec(), 7));
    let mut waiting = c.start("mq-receive", &name, libc::SYS_mq_timedreceive);
    queue.send(b"from Rust", 3).expect("there is room");
    assert_eq!(waiting.line(), "3 from Rust");
}

#[test]
fn we_open_a_queue_of_c() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    c.run("mq-create", &name, "from C");
    let queue = MessageQueue::options().open(&*name).expect("C has made it");
    assert_eq!((queue.max_messages(), queue.max_message_size()), (3, 32));
    assert_eq!(queue.receive().expect("a message"), (b"from C".to_vec(), 7));
    queue.send(b"and back", 0).expect("there is room");
    assert_eq!(c.run("mq-receive", &name, "").lines().last(), Some("0 and back"));
}

/// Contract 3.10: a program that does not lock is no user of a shared object, and keeps what it has open.
#[test]
fn c_is_no_user() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    let mut options = Semaphore::options();
    options.initial_value(0).existence(Existence::LinkOrCreate);
    let semaphore = options.open(&*name).expect("a new semaphore");
    let other = options.open(&*name).expect("it is there");
    let mut waiting = c.start("sem-wait", &name, libc::SYS_futex);
    other.release().expect("far from the maximum");
    assert_eq!(waiting.line(), "done");
    let waiting = c.start("sem-wait", &name, libc::SYS_futex);
    drop_alone((semaphore, other));
    assert!(!files::exists(Kind::Semaphore, &name));
    drop(waiting);
}

#[test]
fn c_unlinks_what_is_ours() {
    let _watchdog = watchdog();
    let Some(c) = C::new() else { return };
    let name = Unique::new();
    let kinds = [Kind::Semaphore, Kind::SharedMemory, Kind::MessageQueue];
    let objects = kinds.map(|kind| Object::create(kind, &name));
    c.run("unlink", &name, "");
    for (object, kind) in objects.iter().zip(kinds) {
        assert!(!files::exists(kind, &name));
        object.use_it();
        object.ownership().delete().expect("gone is as good as deleted");
    }
}
