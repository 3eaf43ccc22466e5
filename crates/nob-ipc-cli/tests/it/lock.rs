//! `nob-ipc lock`: one at a time, and whoever follows a death is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nob_ipc::Kind;
use nob_ipc_testing::{Directory, Running, Unique, files, wait_until, watchdog};
use serde_json::Value;

use crate::support::{Argument, PROGRAM, address, json, nob, shell, start, text};

/// `nob-ipc lock run NAME` with options and a line of shell.
fn run(name: Argument, options: &[Argument], script: &str) -> (Option<i32>, String, String) {
    let mut arguments: Vec<Argument> = vec![&"lock", &"run", name];
    arguments.extend(options);
    arguments.extend([&"--" as Argument, &"sh", &"-c", &script]);
    let output = nob(&arguments);
    let utf8 = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    (output.status.code(), utf8(output.stdout), utf8(output.stderr))
}

/// Starts a command that holds the lock until it is killed, and says its pid.
fn hold(name: &str, options: &[Argument], script: &str) -> (Running, i32) {
    let mut arguments: Vec<Argument> = vec![&"lock", &"run", &name];
    arguments.extend(options);
    arguments.extend([&"--" as Argument, &"sh", &"-c", &script]);
    let mut holder = start(&arguments);
    let pid = holder.line().parse().expect("a pid");
    (holder, pid)
}

const FOR_EVER: &str = "echo $$; exec sleep 600";

/// A lock whose holder was killed.
fn after_death(name: &str) {
    let (mut holder, _) = hold(name, &[], FOR_EVER);
    holder.kill();
    while holder.next_line().is_some() {}
}

fn shown(name: &str) -> Value {
    json(&[&"lock", &"show", &name, &"--json"])
}

#[track_caller]
fn is_told(run: &(Option<i32>, String, String), name: &str) {
    let told = format!("nob-ipc: a holder of the lock \"{name}\" died while it held it; ");
    assert!(run.2.starts_with(&told) && run.2.lines().count() == 1, "{run:?}");
}

#[track_caller]
fn is_silent(run: &(Option<i32>, String, String)) {
    assert_eq!((run.0, &*run.2), (Some(0), ""), "{run:?}");
}

#[test]
fn statuses() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for command in ["show", "repaired"] {
        let output = nob(&[&"lock", &command, &name]);
        assert_eq!(output.status.code(), Some(3), "{command}");
        assert!(output.stderr.starts_with(b"nob-ipc: there is no lock"), "{output:?}");
    }
    assert_eq!(run(&&*name, &[], "echo out; exit 7"), (Some(7), "out\n".into(), String::new()));
    for (program, status) in [("/no/such/command", 127), ("/", 126), ("/etc/passwd", 126)] {
        let output = nob(&[&"lock", &"run", &name, &"--", &program]);
        assert_eq!(output.status.code(), Some(status), "{program}");
        let said = format!("nob-ipc: cannot run {program}: ");
        assert!(output.stderr.starts_with(said.as_bytes()), "{output:?}");
    }
    // None of these is a death.
    let lock = shown(&name);
    assert_eq!((&lock["deaths"], &lock["owner_died"]), (&0.into(), &false.into()), "{lock}");
    assert_eq!(lock["holder"], Value::Null);
    for wrong in [&[&"lock" as Argument, &"run", &name][..], &[&"lock", &"run", &"--", &"true"]] {
        assert_eq!(nob(wrong).status.code(), Some(2));
    }
}

#[test]
fn the_mode_of_a_new_one() {
    let _watchdog = watchdog();
    let (wide, narrow) = (Unique::new(), Unique::new());
    text(shell(&format!("umask 0; {PROGRAM} lock run {wide} --mode 660 -- true")));
    text(shell(&format!("umask 0; {PROGRAM} lock run {narrow} -- true")));
    for (name, expected) in [(&wide, 0o660), (&narrow, 0o600)] {
        let metadata = fs::metadata(files::file(Kind::Lock, &**name)).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, expected);
    }
}

#[test]
fn no_lock_in_time() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (holder, _) = hold(&name, &[], FOR_EVER);
    for timeout in ["0", "0.1"] {
        let late = run(&&*name, &[&"--timeout", &timeout], "echo ran");
        assert_eq!(late, (Some(124), String::new(), String::new()));
        let late = nob(&[&"lock", &"repaired", &name, &"--timeout", &timeout]);
        assert_eq!(late.status.code(), Some(124));
    }
    assert_eq!(shown(&name)["holder"], holder.id());
}

#[test]
fn one_at_a_time() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let script = format!(
        "for i in 1 2 3 4 5 6; do {PROGRAM} lock run {name} -- \
         sh -c 'echo in; sleep 0.02; echo out' & done; wait"
    );
    assert_eq!(text(shell(&script)), "in\nout\n".repeat(6));
}

#[test]
fn an_interrupted_wait_takes_nothing() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (mut holder, worker) =
        hold(&name, &[], "trap 'exit 0' TERM; echo $$; while :; do sleep 0.05; done");
    let mut waiter = start(&[&"lock", &"run", &name, &"--", &"echo", &"ran"]);
    waiter.wait_until_in(&[libc::SYS_futex]);
    waiter.signal(libc::SIGTERM);
    assert_eq!((waiter.next_line(), waiter.end().code()), (None, Some(143)));
    kill(Pid::from_raw(worker), Signal::SIGTERM).expect("it is there");
    assert_eq!(holder.end().code(), Some(0));
    is_silent(&run(&&*name, &[], "true"));
}

/// With `nob-ipc` its command is killed. All who follow are told, until somebody says that all is well.
#[test]
fn the_death_of_the_holder() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (mut holder, _) = hold(&name, &[], FOR_EVER);
    holder.kill();
    // The command had the other end of this pipe open.
    assert_eq!(holder.next_line(), None, "the command ends with it");
    let lock = shown(&name);
    assert_eq!((&lock["holder"], &lock["owner_died"]), (&Value::Null, &true.into()), "{lock}");
    assert_eq!(lock["deaths"], 1, "before somebody takes over");
    for _ in 0..2 {
        let next = run(&&*name, &[], "echo ran");
        is_told(&next, &name);
        assert_eq!((next.0, &*next.1), (Some(0), "ran\n"));
    }
    let page = text(nob(&[&"lock", &"show", &name]));
    assert!(
        page.contains("\ndeaths        1\n") && page.contains("\nnot repaired  a holder"),
        "{page}"
    );
    let listed = text(nob(&[&"ls", &"lock"]));
    let line = listed.lines().find(|line| line.contains(&*name)).expect("it is listed");
    assert!(line.contains("  free, a holder died "), "{line}");

    assert_eq!(text(nob(&[&"lock", &"repaired", &name])), "");
    is_silent(&run(&&*name, &[], "true"));
    let lock = shown(&name);
    assert_eq!((&lock["deaths"], &lock["owner_died"]), (&1.into(), &false.into()), "{lock}");
    assert!(!text(nob(&[&"lock", &"show", &name])).contains("not repaired"));
}

/// A command that a signal ended is a holder that died, whatever the signal; one that ends by itself is
/// not, whatever its status.
#[test]
fn the_death_of_the_command() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let mut deaths = 0;
    for (signal, status) in [("KILL", 137), ("TERM", 143), ("INT", 130)] {
        let killed = run(&&*name, &[], &format!("kill -{signal} $$"));
        assert_eq!(killed, (Some(status), String::new(), String::new()));
        deaths += 1;
        assert_eq!(shown(&name)["deaths"], deaths, "before somebody takes over");
        is_told(&run(&&*name, &[], "true"), &name);
        text(nob(&[&"lock", &"repaired", &name]));
    }
    assert_eq!(shown(&name)["deaths"], deaths, "those who take over count none twice");
    let (mut holder, worker) = hold(&name, &[], FOR_EVER);
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it is there");
    assert_eq!(holder.end().code(), Some(137));
    is_told(&run(&&*name, &[], "exit 1"), &name);
}

/// Who sleeps until the lock is free has it when the holder dies, and is told.
#[test]
fn a_death_wakes_who_waits() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (mut holder, _) = hold(&name, &[], FOR_EVER);
    let mut waiter = start(&[&"lock", &"run", &name, &"--", &"echo", &"ran"]);
    waiter.wait_until_in(&[libc::SYS_futex]);
    holder.kill();
    assert_eq!(waiter.line(), "ran");
    let (status, errors) = waiter.end_with_errors();
    assert!(status.success());
    is_told(&(status.code(), String::new(), errors), &name);
}

/// What repairs runs first, under the lock, and only after a death.
#[test]
fn a_repair_that_succeeds() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let repair = format!("{PROGRAM} lock run {name} --timeout 0 -- true; echo repaired, locked $?");
    let unneeded = run(&&*name, &[&"--on-death", &repair], "echo ran");
    assert_eq!(unneeded, (Some(0), "ran\n".into(), String::new()));
    after_death(&name);
    let repaired = run(&&*name, &[&"--on-death", &repair], "echo ran");
    is_told(&repaired, &name);
    assert_eq!((repaired.0, &*repaired.1), (Some(0), "repaired, locked 124\nran\n"));
    is_silent(&run(&&*name, &[], "true"));
}

/// Then the command is not run, and the next is told again.
#[test]
fn a_repair_that_fails() {
    let _watchdog = watchdog();
    let name = Unique::new();
    after_death(&name);
    for (repair, how) in
        [("exit 3", "ended with status 3"), ("kill -9 $$", "was ended by signal 9")]
    {
        let (status, printed, errors) = run(&&*name, &[&"--on-death", &repair], "echo ran");
        assert_eq!((status, &*printed), (Some(125), ""), "{errors}");
        let expected = format!("nob-ipc: the command of --on-death {how}; the command was not run");
        assert!(errors.lines().nth(1).is_some_and(|line| line.starts_with(&expected)), "{errors}");
        assert_eq!(shown(&name)["holder"], Value::Null);
    }
    is_told(&run(&&*name, &[], "true"), &name);
}

/// As the command itself, it ends with `nob-ipc`, and gets signals passed on.
#[test]
fn a_repair_that_is_interrupted() {
    let _watchdog = watchdog();
    let name = Unique::new();
    after_death(&name);
    let (mut killed, _) = hold(&name, &[&"--on-death", &FOR_EVER], "echo ran");
    killed.kill();
    assert_eq!(killed.next_line(), None, "the repair ends with it");
    let (mut ended, _) = hold(&name, &[&"--on-death", &FOR_EVER], "echo ran");
    ended.signal(libc::SIGTERM);
    assert_eq!((ended.next_line(), ended.end().code()), (None, Some(125)));
    is_told(&run(&&*name, &[], "true"), &name);
}

#[test]
fn who_holds_it_and_who_waits() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (holder, worker) = hold(&name, &[], FOR_EVER);
    let waiter = start(&[&"lock", &"run", &name, &"--", &"true"]);
    wait_until(|| shown(&name)["waiters"] == 1);
    let lock = shown(&name);
    assert_eq!((&lock["kind"], &lock["name"]), (&"lock".into(), &(*name).into()));
    assert_eq!(lock["holder"], holder.id());
    assert!(lock["held_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{lock}");
    assert_eq!((&lock["state"], &lock["mode"]), (&"in use".into(), &"0600".into()));
    let users: Vec<&Value> =
        lock["holders"].as_array().expect("a list").iter().map(|it| &it["pid"]).collect();
    for pid in [holder.id(), worker, waiter.id()] {
        assert!(users.len() == 3 && users.contains(&&pid.into()), "{lock}");
    }
    assert_eq!(
        json::<Value>(&[&"show", &address("lock", &name), &"--json"])["holder"],
        holder.id()
    );

    let page = text(nob(&[&"lock", &"show", &name]));
    let line = format!("\nholder        process {}, for at least ", holder.id());
    assert!(page.contains(&line) && page.contains("\nwaiting       1 thread\n"), "{page}");
    let table = text(nob(&[&"ls", &"lock"]));
    let line = table.lines().find(|line| line.contains(&*name)).expect("it is listed");
    assert!(line.starts_with("lock  /"), "{line}");
    assert!(line.contains(&format!("  held by {} for at least ", holder.id())), "{line}");
    assert!(line.contains(", 1 waiting  "), "{line}");
}

/// What is removed is held on by those who have it; the name is another lock's then.
#[test]
fn rm_while_it_is_held() {
    let _watchdog = watchdog();
    let name = Unique::new();
    // The file of the one who creates it has never had the name, as the system shows it.
    is_silent(&run(&&*name, &[], "true"));
    let (holder, worker) = hold(&name, &[], FOR_EVER);
    wait_until(|| fs::read(format!("/proc/{worker}/comm")).is_ok_and(|comm| comm == b"sleep\n"));
    text(nob(&[&"rm", &address("lock", &name)]));
    let table = text(nob(&[&"ls", &"lock"]));
    let line = table.lines().find(|line| line.contains(&*name)).expect("it is listed");
    let users = format!(" {} nob-ipc, {worker} sleep", holder.id());
    assert!(line.contains(" unlinked ") && line.ends_with(&users), "{line}");
    assert_eq!(nob(&[&"lock", &"show", &name]).status.code(), Some(3));
    is_silent(&run(&&*name, &[&"--timeout", &"0"], "true"));
}

/// In sentences, names are escaped; to files they are passed on as they are.
#[test]
fn hostile_names() {
    let _watchdog = watchdog();
    let unique = Unique::new();
    let name = unique.followed_by(b"\x1b[2J\n\xff' ");
    let killed = run(&name, &[], "kill -9 $$");
    assert_eq!(killed.0, Some(137));
    let (status, _, errors) = run(&name, &[], "true");
    assert_eq!((status, errors.lines().count()), (Some(0), 1), "{errors:?}");
    assert!(errors.contains(&format!("{unique}\\u{{1b}}[2J\\n\\xff' \"")), "{errors:?}");
    text(nob(&[&"lock", &"repaired", &name]));
    is_silent(&run(&name, &[], "true"));
}

/// What a command has started in the background holds on when `nob-ipc` is killed, or the command, and at
/// no other time.
#[test]
fn what_the_command_leaves_running() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let directory = Directory::new();
    let stop = directory.join("stop");
    let stay = format!(
        "(while [ ! -e {} ]; do sleep 0.02; done) > /dev/null 2>&1 & echo $$",
        stop.display()
    );
    let free = || run(&&*name, &[&"--timeout", &"0"], "true");
    let stopped = || {
        fs::write(&stop, "").expect("there is room");
        let next = run(&&*name, &[], "true");
        fs::remove_file(&stop).expect("it is there");
        next
    };
    is_silent(&(run(&&*name, &[], &stay).0, String::new(), String::new()));
    is_silent(&free());
    is_silent(&stopped());

    let killed = run(&&*name, &[], &format!("{stay}; kill -9 $$"));
    assert_eq!((killed.0, free().0), (Some(137), Some(124)));
    assert_eq!(shown(&name)["state"], "in use");
    is_told(&stopped(), &name);
    text(nob(&[&"lock", &"repaired", &name]));

    let (mut holder, _) = hold(&name, &[], &format!("{stay}; exec sleep 600"));
    holder.kill();
    assert_eq!(
        (holder.next_line(), free().0),
        (None, Some(124)),
        "the command ends, the other not"
    );
    is_told(&stopped(), &name);
}
