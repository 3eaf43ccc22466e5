//! `nob-ipc permits`: a number at once, and permits that come back by themselves.

use nix::libc;
use nob_ipc::BoundedSemaphore;
use nob_ipc_testing::{Running, Unique, wait_until, watchdog};
use serde_json::Value;

use crate::support::{Argument, PROGRAM, address, json, nob, shell, start, text};

fn shown(name: &str) -> Value {
    json(&[&"permits", &"show", &name, &"--json"])
}

/// Starts a command that has a permit until it is killed.
fn hold(name: &str) -> Running {
    let mut arguments: Vec<Argument> = vec![&"permits", &"run", &name, &"--value", &"2", &"--"];
    arguments.extend([&"sh" as Argument, &"-c", &"echo $$; exec sleep 600"]);
    let mut holder = start(&arguments);
    holder.line();
    holder
}

#[test]
fn statuses() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let output = nob(&[&"permits", &"show", &name]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stderr.starts_with(b"nob-ipc: there is no bounded semaphore"), "{output:?}");
    let beyond = (BoundedSemaphore::MAX_BOUND + 1).to_string();
    for value in ["0", "-1", &beyond] {
        let output = nob(&[&"permits", &"run", &name, &"--value", &value, &"--", &"true"]);
        assert_eq!(output.status.code(), Some(2), "{value}");
    }
    assert_eq!(nob(&[&"permits", &"show", &name]).status.code(), Some(3), "nothing was created");
    let run = |program: &[Argument]| {
        nob(&[&[&"permits" as Argument, &"run", &name, &"--"], program].concat())
    };
    assert_eq!(text(run(&[&"echo", &"--flag", &"a b"])), "--flag a b\n");
    assert_eq!(run(&[&"sh", &"-c", &"exit 7"]).status.code(), Some(7));
    assert_eq!(run(&[&"sh", &"-c", &"kill -9 $$"]).status.code(), Some(137));
    assert_eq!(run(&[&"/no/such/command"]).status.code(), Some(127));
    assert_eq!(run(&[&"/etc/passwd"]).status.code(), Some(126));
    // They keep their number, and that is told.
    let other = nob(&[&"permits", &"run", &name, &"--value", &"3", &"--", &"true"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.success() && said.contains("its number of permits is 1, not 3"), "{said}");
    let permits = shown(&name);
    assert_eq!((&permits["free"], &permits["bound"]), (&1.into(), &1.into()), "{permits}");
    assert_eq!(permits["deaths"], 0, "this program has given them back");
}

/// At most two at once, and those that exist keep their number.
#[test]
fn a_limit_holds() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"permits", &"run", &name, &"--value", &"2", &"--", &"true"]));
    let script = format!(
        "for i in 1 2 3 4 5 6; do {PROGRAM} permits run {name} --value 6 -- \
         sh -c 'echo in; sleep 0.05; echo out' & done; wait"
    );
    let (mut inside, mut most) = (0, 0);
    for line in text(shell(&script)).lines() {
        inside += if line == "in" { 1 } else { -1 };
        most = most.max(inside);
    }
    assert_eq!(inside, 0);
    assert!((1..=2).contains(&most), "{most} at once");
    assert_eq!(shown(&name)["free"], 2);
}

/// The command is killed with `nob-ipc`, and the permit is free, for one who waits as well.
#[test]
fn the_death_of_a_holder() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let (mut one, two) = (hold(&name), hold(&name));
    let late = nob(&[&"permits", &"run", &name, &"--timeout", &"0.1", &"--", &"echo", &"ran"]);
    assert_eq!((late.status.code(), late.stdout.len()), (Some(124), 0));
    let mut waiter = start(&[&"permits", &"run", &name, &"--", &"echo", &"ran"]);
    waiter.wait_until_in(&[libc::SYS_futex]);
    one.kill();
    assert_eq!(one.next_line(), None, "the command ends with it");
    assert_eq!(waiter.line(), "ran");
    let (status, errors) = waiter.end_with_errors();
    assert!(status.success() && errors.is_empty(), "{status}: {errors}");
    let permits = shown(&name);
    assert_eq!((&permits["free"], &permits["deaths"]), (&1.into(), &1.into()), "{permits}");
    assert_eq!(permits["owners"], Value::from(vec![two.id()]));
}

#[test]
fn who_has_them_and_who_waits() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let mut holders = [hold(&name), hold(&name)];
    let _waiter = start(&[&"permits", &"run", &name, &"--", &"true"]);
    wait_until(|| shown(&name)["waiters"] == 1);
    let permits = shown(&name);
    assert_eq!((&permits["kind"], &permits["free"]), (&"permits".into(), &0.into()), "{permits}");
    let mut pids = holders.each_ref().map(Running::id);
    pids.sort_unstable();
    let mut owners: Vec<i32> =
        serde_json::from_value(permits["owners"].clone()).expect("a list of numbers");
    owners.sort_unstable();
    assert_eq!(owners, pids);
    let page = text(nob(&[&"show", &address("permits", &name)]));
    assert!(page.contains("\npermits       0 of 2 free\n"), "{page}");
    for pid in pids {
        assert!(page.contains(&format!("\nholder        process {pid}, 1 permit\n")), "{page}");
    }
    assert!(page.contains("\nwaiting       1 thread\n"), "{page}");
    let table = text(nob(&[&"ls", &"permits"]));
    let line = table.lines().find(|line| line.contains(&*name)).expect("it is listed");
    assert!(line.starts_with("permits  /") && line.contains("  0/2 free, 1 waiting  "), "{line}");

    text(nob(&[&"rm", &address("permits", &name)]));
    assert_eq!(nob(&[&"permits", &"show", &name]).status.code(), Some(3));
    assert!(holders.iter_mut().all(Running::is_running), "they go on");
}
