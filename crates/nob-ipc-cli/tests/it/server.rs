//! `--at`: the commands on a server, each test with one of its own. Without a server program they are
//! skipped and say so.

use std::fs;
use std::process::Output;
use std::thread;
use std::time::Duration;

use nix::libc;
use nob_ipc_testing::{
    Certificates, Proxy, Running, Server, Unique, free_port, output, wait_until, watchdog,
};
use serde_json::Value;

use crate::support::{Argument, PROGRAM, command, json, nob, nob_with, shell, start, text};

/// A server and its URL, or the end of the test where there is none.
macro_rules! server {
    ($($argument:literal),*) => {
        match Server::start(&[$($argument),*]) {
            Some(server) => server,
            None => return,
        }
    };
}

/// The arguments, on a server.
#[expect(clippy::ptr_arg, reason = "an argument has a size")]
fn at<'a>(url: &'a String, arguments: &[Argument<'a>]) -> Vec<Argument<'a>> {
    [&[&"--at" as Argument, url], arguments].concat()
}

fn on(server: &Server, arguments: &[Argument]) -> Output {
    nob(&at(&server.url(), arguments))
}

#[track_caller]
fn shown(server: &Server, address: &str) -> Value {
    json(&at(&server.url(), &[&"show", &address, &"--json"]))
}

#[track_caller]
fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("it is UTF-8")
}

/// A line of shell under a lock.
fn locked(server: &Server, options: &[Argument], script: &str) -> (Option<i32>, String, String) {
    let run: [Argument; 3] = [&"lock", &"run", &"backup"];
    let script: [Argument; 4] = [&"--", &"sh", &"-c", &script];
    let output = on(server, &[&run, options, &script].concat());
    let utf8 = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
    (output.status.code(), utf8(output.stdout), utf8(output.stderr))
}

/// Starts a command that runs until it is ended, and says its pid.
fn hold(server: &Server, arguments: &[Argument]) -> (Running, i32) {
    let script: [Argument; 4] = [&"--", &"sh", &"-c", &"echo $$; exec sleep 600"];
    let mut holder = start(&at(&server.url(), &[arguments, &script].concat()));
    let pid = holder.line().parse().expect("a pid");
    (holder, pid)
}

fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie that nobody has waited for has ended.
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

#[test]
fn messages() {
    let _watchdog = watchdog();
    let server = server!();
    text(on(&server, &[&"mq", &"create", &"jobs", &"--max-messages", &"2"]));
    text(on(&server, &[&"mq", &"send", &"jobs", &"later"]));
    text(on(&server, &[&"mq", &"send", &"jobs", &"now", &"-p", &"7"]));
    let full = on(&server, &[&"mq", &"send", &"jobs", &"x", &"--timeout", &"0.1"]);
    assert_eq!((full.status.code(), &*full.stderr), (Some(124), &b""[..]));
    assert_eq!(shown(&server, "mq:/jobs")["messages"], 2);
    let lines = text(on(&server, &[&"mq", &"receive", &"jobs", &"--count", &"2", &"--json"]));
    let expected =
        "{\"message\": \"now\", \"priority\": 7}\n{\"message\": \"later\", \"priority\": 0}\n";
    assert_eq!(lines, expected);
    let empty = on(&server, &[&"mq", &"receive", &"jobs", &"--timeout", &"0"]);
    assert_eq!((empty.status.code(), &*empty.stderr), (Some(124), &b""[..]));
    let long = nob_with(&[b'x'; 8193], &at(&server.url(), &[&"mq", &"send", &"jobs"]));
    assert_eq!(long.status.code(), Some(1));
    assert!(said(&long).contains("more than the 8192 bytes"), "{long:?}");
    // What a process had received that has ended is received.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(shown(&server, "mq:/jobs")["messages"], 0);
}

#[test]
fn one_shell_follows_another() {
    let _watchdog = watchdog();
    let server = server!();
    let url = server.url();
    text(on(&server, &[&"mq", &"create", &"jobs"]));
    let mut follower = start(&at(&url, &[&"mq", &"receive", &"jobs", &"--follow"]));
    let mut sender = start(&at(&url, &[&"mq", &"send", &"jobs", &"--lines"]));
    for round in 0..20 {
        sender.say(format_args!("job {round}"));
        assert_eq!(follower.line(), format!("job {round}"));
    }
    sender.close_input();
    assert!(sender.end().success());
    follower.signal(libc::SIGINT);
    assert_eq!(follower.end().code(), Some(130));

    // Nobody reads any more: it ends, and takes no message.
    let mut follower = start(&at(&url, &[&"mq", &"receive", &"jobs", &"--follow"]));
    text(on(&server, &[&"mq", &"send", &"jobs", &"read"]));
    assert_eq!(follower.line(), "read");
    follower.close_output();
    let (status, said) = follower.end_with_errors();
    assert_eq!((status.code(), &*said), (Some(0), ""));
    text(on(&server, &[&"mq", &"send", &"jobs", &"kept"]));
    assert_eq!(shown(&server, "mq:/jobs")["messages"], 1);
}

#[test]
fn semaphores() {
    let _watchdog = watchdog();
    let server = server!();
    let value = || text(on(&server, &[&"sem", &"value", &"s"]));
    assert_eq!(text(on(&server, &[&"sem", &"create", &"s", &"--value", &"2"])), "");
    let again = on(&server, &[&"sem", &"create", &"s", &"--value", &"3"]);
    assert!(again.status.success() && said(&again).contains("its value is 2, not 3"), "{again:?}");
    let exclusive = on(&server, &[&"sem", &"create", &"s", &"--exclusive"]);
    assert_eq!(exclusive.status.code(), Some(4));
    text(on(&server, &[&"sem", &"wait", &"s"]));
    assert_eq!(value(), "1\n");
    let inner = format!("{PROGRAM} sem value s --at {}", server.url());
    assert_eq!(text(on(&server, &[&"sem", &"run", &"s", &"--", &"sh", &"-c", &inner])), "0\n");
    text(on(&server, &[&"sem", &"post", &"s", &"--count", &"2"]));
    assert_eq!(value(), "3\n");
    text(on(&server, &[&"sem", &"run", &"new", &"--create", &"1", &"--", &"true"]));
    let (mut holder, _) = hold(&server, &[&"sem", &"run", &"new"]);
    let busy = on(&server, &[&"sem", &"wait", &"new", &"--timeout", &"0"]);
    assert_eq!((busy.status.code(), &*busy.stderr), (Some(124), &b""[..]));
    // The command gets the signal, and the permit comes back.
    holder.signal(libc::SIGTERM);
    assert_eq!(holder.end().code(), Some(128 + libc::SIGTERM));
    text(on(&server, &[&"sem", &"wait", &"new", &"--timeout", &"0"]));
    // A wait ends with the signal, and has taken nothing.
    let mut waiter = start(&at(&server.url(), &[&"sem", &"wait", &"new"]));
    thread::sleep(Duration::from_millis(300));
    waiter.signal(libc::SIGTERM);
    assert_eq!(waiter.end().code(), Some(128 + libc::SIGTERM));
    text(on(&server, &[&"sem", &"post", &"new"]));
    assert_eq!(shown(&server, "sem:/new")["value"], 1);
}

#[test]
fn a_lock_tells_of_deaths() {
    let _watchdog = watchdog();
    let server = server!();
    assert_eq!(locked(&server, &[], "echo out; exit 7"), (Some(7), "out\n".into(), String::new()));
    let (mut holder, _) = hold(&server, &[&"lock", &"run", &"backup"]);
    let lock = shown(&server, "lock:/backup");
    assert!(lock["holder"].is_u64() && lock["owner_died"] == false, "{lock}");
    assert_eq!(locked(&server, &[&"--timeout", &"0.1"], "true").0, Some(124));
    holder.signal(libc::SIGTERM);
    assert_eq!(holder.end().code(), Some(128 + libc::SIGTERM));
    // It died, and the lock is free at once.
    assert_eq!(shown(&server, "lock:/backup")["owner_died"], true);
    let page = text(on(&server, &[&"lock", &"show", &"backup"]));
    assert!(page.contains("nobody has said since that all is well"), "{page}");
    let told = locked(&server, &[&"--timeout", &"0"], "echo on");
    assert_eq!((told.0, &*told.1), (Some(0), "on\n"));
    assert!(told.2.contains("a holder of the lock \"/backup\" died"), "{told:?}");
    let failed = locked(&server, &[&"--on-death", &"exit 3"], "echo on");
    assert_eq!((failed.0, &*failed.1), (Some(125), ""), "{failed:?}");
    let repaired = locked(&server, &[&"--on-death", &"echo repairs"], "echo on");
    assert_eq!((repaired.0, &*repaired.1), (Some(0), "repairs\non\n"), "{repaired:?}");
    assert_eq!(locked(&server, &[], "true"), (Some(0), String::new(), String::new()));
    assert_eq!(locked(&server, &[], "kill -9 $$").0, Some(137));
    text(on(&server, &[&"lock", &"repaired", &"backup"]));
    assert_eq!(locked(&server, &[], "true"), (Some(0), String::new(), String::new()));
}

/// The kernel kills the command with it, and the leases end what it had.
#[test]
fn one_that_is_killed() {
    let _watchdog = watchdog();
    let server = server!();
    let (mut holder, command) = hold(&server, &[&"lock", &"run", &"backup"]);
    let (mut other, another) = hold(&server, &[&"permits", &"run", &"builds"]);
    let permits = shown(&server, "permits:/builds");
    assert_eq!((&permits["free"], &permits["bound"]), (&0.into(), &1.into()), "{permits}");
    holder.kill();
    other.kill();
    wait_until(|| is_gone(command) && is_gone(another));
    let (status, _, said) = locked(&server, &[&"--timeout", &"40"], "true");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("died while it held it"), "{said}");
    let run: [Argument; 8] =
        [&"permits", &"run", &"builds", &"--timeout", &"40", &"--", &"echo", &"on"];
    assert_eq!(text(on(&server, &run)), "on\n");
    assert_eq!(
        text(on(&server, &[&"permits", &"show", &"builds"])).matches("1 of 1 free").count(),
        1
    );
}

/// What was lost while the command ran is told, whatever the command says.
#[test]
fn a_lock_that_is_lost() {
    let _watchdog = watchdog();
    let server = server!();
    let (mut holder, command) = hold(&server, &[&"lock", &"run", &"backup"]);
    server.demand(&["FLUSHALL"]);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(command), nix::sys::signal::Signal::SIGTERM)
        .expect("it runs");
    assert_eq!(holder.end().code(), Some(128 + libc::SIGTERM));
    // A command that ends well, under a lock that is none.
    let port = server.port.to_string();
    let flush =
        format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'FLUSHALL\\r\\n' >&3; read -r x <&3");
    let output = on(&server, &[&"lock", &"run", &"backup", &"--", &"bash", &"-c", &flush]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        said(&output).starts_with("nob-ipc: cannot release the lock \"/backup\": "),
        "{output:?}"
    );
}

#[test]
fn lists_shows_and_removes() {
    let _watchdog = watchdog();
    let server = server!();
    assert_eq!(json::<Vec<Value>>(&at(&server.url(), &[&"ls", &"--json"])), Vec::<Value>::new());
    for arguments in [
        &[&"mq" as Argument, &"create", &"jobs"][..],
        &[&"sem", &"create", &"s10"],
        &[&"sem", &"create", &"s9"],
        &[&"lock", &"run", &"backup", &"--", &"true"],
        &[&"permits", &"run", &"builds", &"--value", &"3", &"--", &"true"],
    ] {
        text(on(&server, arguments));
    }
    let page = text(on(&server, &[&"ls"]));
    let rows: Vec<Vec<&str>> = page.lines().map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(names, ["NAME", "/s9", "/s10", "/jobs", "/backup", "/builds"], "{page}");
    for words in ["value 1 ", "0/10 messages", "free", "3/3 free", " on "] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let listed: Vec<Value> = json(&at(&server.url(), &[&"ls", &"lock", &"mq", &"--json"]));
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["kind"], &listed[0]["max_messages"]), (&"mq".into(), &10.into()));
    assert!(listed[1]["creator"]["pid"].is_u64() && listed[1]["creator"]["host"].is_string());
    let page = text(on(&server, &[&"show", &"mq:/jobs"]));
    assert!(page.contains("8192 bytes at the most") && page.contains("creator"), "{page}");
    text(on(&server, &[&"rm", &"mq:/jobs", &"sem:/s9"]));
    let missing = on(&server, &[&"rm", &"mq:/jobs", &"sem:/s9", &"sem:/s10"]);
    assert_eq!(missing.status.code(), Some(3));
    let lists = "there is no message queue \"/jobs\"; `nob-ipc ls mq --at URL` lists what there is";
    assert_eq!(said(&missing).lines().next(), Some(&*format!("nob-ipc: {lists}")));
    assert_eq!(said(&missing).matches("--at").count(), 2, "{missing:?}");
    text(on(&server, &[&"rm", &"--force", &"mq:/jobs", &"sem:/s10"]));
    for command in [&[&"show" as Argument, &"mq:/jobs"][..], &[&"mq", &"receive", &"jobs"]] {
        let output = on(&server, command);
        assert_eq!(
            (output.status.code(), &*said(&output)),
            (Some(3), &*format!("nob-ipc: {lists}\n"))
        );
    }
    assert_eq!(text(on(&server, &[&"ls"])).lines().count(), 3);
}

#[test]
fn doctor_looks_at_the_server() {
    let _watchdog = watchdog();
    let server = server!("--appendonly", "yes");
    let doctor = |more: &[Argument]| on(&server, &[&[&"doctor" as Argument], more].concat());
    let well = doctor(&[&"--check"]);
    assert!(well.status.success(), "{well:?}");
    assert!(text(well).contains("none is likely to hurt"));
    let checks: Vec<Value> = serde_json::from_str(&text(doctor(&[&"--json"]))).expect("it is JSON");
    let names: Vec<_> = checks.iter().filter_map(|check| check["check"].as_str()).collect();
    for name in
        ["server", "version", "role", "maxmemory-policy", "appendonly", "replicas", "rights"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let page = text(doctor(&[&"--all"]));
    assert!(names.iter().all(|name| page.contains(name)), "{page}");

    // Who may not wake others is told before an object is to be made.
    let rights = "reset on nopass +@all -spublish ~nipc:{?/* &nipc:{?/*";
    let user: Vec<&str> = ["ACL", "SETUSER", "mute"].into_iter().chain(rights.split(' ')).collect();
    server.demand(&user);
    let url = format!("redis://mute:x@127.0.0.1:{}", server.port);
    let mute = nob(&[&"doctor", &"--check", &"--at", &url]);
    assert_eq!(mute.status.code(), Some(1), "{mute:?}");
    let page = String::from_utf8(mute.stdout).expect("it is UTF-8");
    assert!(page.contains("! rights") && page.contains("ACL SETUSER mute +spublish\n"), "{page}");
    server.demand(&["ACL", "SETUSER", "mute", "-info", "+spublish"]);
    let page = text(nob(&[&"doctor", &"--at", &url]));
    assert!(page.contains("! information") && page.contains("1 is likely to hurt"), "{page}");

    server.demand(&["CONFIG", "SET", "appendonly", "no"]);
    server.demand(&["CONFIG", "SET", "maxmemory", "100kb"]);
    let bad = doctor(&[&"--check"]);
    assert_eq!((bad.status.code(), &*bad.stderr), (Some(1), &b""[..]));
    let page = String::from_utf8(bad.stdout).expect("it is UTF-8");
    assert!(page.contains("! appendonly") && page.contains("set appendonly to yes"), "{page}");
    assert!(page.contains("! maxmemory") && page.contains("raise maxmemory"), "{page}");
    assert!(page.ends_with("2 are likely to hurt; --all shows all\n"), "{page}");

    server.demand(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let page = text(doctor(&[]));
    assert!(page.contains("does not suit") && page.contains("to noeviction"), "{page}");
    assert_eq!(doctor(&[&"--check"]).status.code(), Some(1));
    let refused = on(&server, &[&"ls"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("to noeviction"), "{refused:?}");
}

/// In no output, whatever goes wrong; and it need not be on the command line.
#[test]
fn the_password_stays_secret() {
    let _watchdog = watchdog();
    let server = server!("--requirepass", "hunter2");
    let port = server.port;
    let with = |variables: &[(&str, &str)], arguments: &[Argument]| {
        let mut command = command(arguments);
        command.env_remove("NOB_IPC_URL").env_remove("NOB_IPC_PASSWORD");
        command.envs(variables.iter().copied());
        output(&mut command).expect("the program runs")
    };
    let good = format!("redis://:hunter2@127.0.0.1:{port}");
    let bare = format!("redis://127.0.0.1:{port}");
    for (variables, url) in [
        (&[][..], &*good),
        (&[("NOB_IPC_URL", &*good)], "env"),
        (&[("NOB_IPC_URL", &*bare), ("NOB_IPC_PASSWORD", "hunter2")], "env"),
        (&[("NOB_IPC_PASSWORD", "hunter2")], &*bare),
    ] {
        let done = with(variables, &[&"doctor", &"--all", &"--at", &url]);
        let page = text(done);
        assert!(page.contains("redis://") && !page.contains("hunter2"), "{page}");
        assert_eq!(text(with(variables, &[&"mq", &"create", &"jobs", &"--at", &url])), "");
        let found = text(with(variables, &[&"show", &"mq:/jobs", &"--at", &url]));
        assert!(!found.contains("hunter2"), "{found}");
    }
    let wrong = format!("redis://:hunter2x@127.0.0.1:{port}");
    let closed = "redis://:hunter2@127.0.0.1:1?patience=0.1";
    for (url, status) in [
        (&*wrong, 1),
        (closed, 1),
        ("redis://:hunter2@", 1),
        ("redis://:hunter2@h:x", 1),
        ("redis://:hunter2@h?x=hunter2", 1),
        ("hunter2", 1),
        ("env", 2),
        ("", 2),
    ] {
        for arguments in [&[&"ls" as Argument][..], &[&"doctor"], &[&"sem", &"post", &"s"]] {
            let failed = with(&[], &[&[&"--at" as Argument, &url], arguments].concat());
            assert_eq!(failed.status.code(), Some(status), "{url}: {failed:?}");
            let said = said(&failed);
            assert!(!said.is_empty() && !said.contains("hunter2"), "{url}: {said}");
        }
    }
}

/// What is not there on a server says what is, and touches neither it nor this machine.
#[test]
fn what_cannot_be_on_a_server() {
    let _watchdog = watchdog();
    let name = Unique::new();
    // Nobody listens there: it is refused before.
    let url = "redis://127.0.0.1:1";
    for (arguments, instead) in [
        (&["shm", "create", "NAME", "4K"][..], "nob-ipc mq"),
        (&["channel", "create", "NAME"], "nob-ipc mq"),
        (&["ls", "shm"], "nob-ipc mq"),
        (&["ls", "mq", "channel"], "nob-ipc mq"),
        (&["reap", "--yes"], "nob-ipc rm"),
        (&["sem", "create", "NAME", "--mode", "660"], "ACL"),
        (&["mq", "create", "NAME", "--mode", "660"], "ACL"),
        (&["lock", "run", "NAME", "--mode", "660", "--", "true"], "ACL"),
        (&["permits", "run", "NAME", "--mode", "660", "--", "true"], "ACL"),
        (&["completions", "bash"], "leave out --at"),
    ] {
        let words = arguments.iter().map(|&word| if word == "NAME" { &*name } else { word });
        let words: Vec<String> = ["--at", url].into_iter().chain(words).map(Into::into).collect();
        let words: Vec<Argument> = words.iter().map(|word| word as Argument).collect();
        let refused = nob(&words);
        assert_eq!((refused.status.code(), &*refused.stdout), (Some(2), &b""[..]), "{arguments:?}");
        assert!(said(&refused).contains(instead), "{arguments:?}: {refused:?}");
    }
    for wrong in ["local", "secret@localhost:6379"] {
        let refused = nob(&[&"--at", &wrong, &"ls"]);
        assert_eq!(refused.status.code(), Some(1), "{wrong}");
        assert!(said(&refused).contains("local: is this machine"), "{refused:?}");
    }
    let server = server!();
    for address in ["shm:/x", "channel:/x"] {
        for command in ["show", "rm"] {
            let refused = on(&server, &[&command, &address]);
            assert_eq!(refused.status.code(), Some(1), "{command} {address}");
            assert!(said(&refused).contains("message queue"), "{refused:?}");
        }
    }
}

/// `local:` is this machine, as for a program that connects.
#[test]
fn this_machine_by_a_url() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"--at", &"local:", &"sem", &"create", &name, &"--mode", &"660"]));
    assert_eq!(text(nob(&[&"sem", &"value", &name, &"--at", &"local:"])), "1\n");
    assert_eq!(text(nob(&[&"sem", &"value", &name])), "1\n");
}

/// A server that goes away under a wait: the sentence says so.
#[test]
fn a_server_that_ends() {
    let _watchdog = watchdog();
    let mut server = server!();
    let url = format!("{}?patience=0.5", server.url());
    text(on(&server, &[&"mq", &"create", &"jobs"]));
    let mut receiver = start(&at(&url, &[&"mq", &"receive", &"jobs"]));
    thread::sleep(Duration::from_millis(300));
    server.kill();
    let (status, said) = receiver.end_with_errors();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("cannot receive from the message queue \"/jobs\""), "{said}");
}

/// Whenever the signal comes: a message was printed, or is in the queue.
#[test]
fn an_interrupted_wait_has_taken_nothing() {
    let _watchdog = watchdog();
    let server = server!();
    let proxy = Proxy::start(server.port);
    text(on(&server, &[&"mq", &"create", &"jobs"]));
    proxy.delay(Duration::from_millis(50));
    let url = proxy.url();
    for round in 0..10 {
        let arguments = at(&url, &[&"mq", &"receive", &"jobs", &"--count", &"1"]);
        let mut receiver = start(&arguments);
        thread::sleep(Duration::from_millis(800));
        text(on(&server, &[&"mq", &"send", &"jobs", &format!("job {round}")]));
        thread::sleep(Duration::from_millis(30 * round));
        receiver.signal(libc::SIGINT);
        let printed = receiver.next_line();
        receiver.end();
        let messages = shown(&server, "mq:/jobs")["messages"].as_u64();
        let expected = u64::from(printed.is_none());
        assert_eq!(messages, Some(expected), "round {round}: {printed:?}");
        if printed.is_none() {
            text(on(&server, &[&"mq", &"receive", &"jobs", &"--timeout", &"5"]));
        }
    }
}

/// What nobody is sure of is this process's all the same: it is printed, and the doubt is told.
#[test]
fn a_message_that_is_not_confirmed() {
    let _watchdog = watchdog();
    let server = server!();
    let url = format!("{}?durability=replica", server.url());
    text(on(&server, &[&"mq", &"create", &"jobs"]));
    text(on(&server, &[&"mq", &"send", &"jobs", &"precious"]));
    let received = nob(&at(&url, &[&"mq", &"receive", &"jobs", &"--follow"]));
    assert_eq!((received.status.code(), &*received.stdout), (Some(1), &b"precious\n"[..]));
    assert!(said(&received).contains("too few replicas"), "{received:?}");
    assert_eq!(shown(&server, "mq:/jobs")["messages"], 0);
}

/// Who listens in between reads nothing, and a certificate that does not fit is told.
#[test]
fn an_encrypted_server() {
    let _watchdog = watchdog();
    let Some(certificates) = Certificates::new() else { return };
    let port = free_port().to_string();
    let Some(_server) = Server::start(&certificates.options(&port)) else { return };
    let bare = format!("rediss://127.0.0.1:{port}");
    let url = format!("{bare}?cafile={}", certificates.authority.display());
    text(nob(&at(&url, &[&"mq", &"create", &"jobs"])));
    let mut receiver = start(&at(&url, &[&"mq", &"receive", &"jobs", &"--follow"]));
    for job in ["one", "two"] {
        text(nob(&at(&url, &[&"mq", &"send", &"jobs", &job])));
        assert_eq!(receiver.line(), job);
    }
    receiver.signal(libc::SIGINT);
    assert_eq!(receiver.end().code(), Some(130));
    assert_eq!(
        text(nob(&at(&url, &[&"lock", &"run", &"l", &"--", &"echo", &"locked"]))),
        "locked\n"
    );
    let refused = nob(&at(&bare, &[&"ls"]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).to_lowercase().contains("certificate"), "{refused:?}");
}

/// A primary dies under a command that receives and one that sends: they go on, and what was sent is there.
#[test]
fn a_failover() {
    let _watchdog = watchdog();
    let mut server = server!();
    let _replica = server.start_replica();
    let sentinel = Server::start_sentinel(&server);
    wait_until(|| sentinel.command(&["SENTINEL", "REPLICAS", "primary"]).contains("127.0.0.1"));
    let url = format!("redis+sentinel://127.0.0.1:{}/primary?patience=60", sentinel.port);
    // What it acknowledges is on the replica as well.
    let sure = format!("{url}&durability=replica");
    text(nob(&at(&sure, &[&"mq", &"create", &"jobs"])));
    text(nob(&at(&sure, &[&"mq", &"send", &"jobs", &"before"])));
    let mut holder =
        start(&at(&url, &[&"lock", &"run", &"l", &"--", &"sh", &"-c", &"echo; read x"]));
    holder.line();
    let mut receiver = start(&at(&url, &[&"mq", &"receive", &"jobs", &"--follow"]));
    assert_eq!(receiver.line(), "before");
    let mut sender = start(&at(&url, &[&"mq", &"send", &"jobs", &"--lines"]));
    sender.say("first");
    assert_eq!(receiver.line(), "first");
    server.kill();
    sender.say("second");
    sender.say("third");
    assert_eq!([receiver.line(), receiver.line()], ["second", "third"]);
    sender.close_input();
    assert!(sender.end().success());
    receiver.signal(libc::SIGINT);
    assert_eq!(receiver.end().code(), Some(130));
    // The lease goes on there: another has to wait, until it is released.
    let busy = nob(&at(&url, &[&"lock", &"run", &"l", &"--timeout", &"0", &"--", &"true"]));
    assert_eq!(busy.status.code(), Some(124), "{busy:?}");
    holder.say("x");
    assert!(holder.end().success());
    text(nob(&at(&url, &[&"lock", &"run", &"l", &"--timeout", &"0", &"--", &"true"])));
}

/// A cluster is one server, whichever node has what.
#[test]
fn a_cluster() {
    let _watchdog = watchdog();
    let Some(nodes) = Server::start_cluster(3) else { return };
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[0].port);
    for number in 0..8 {
        text(nob(&at(&url, &[&"mq", &"create", &format!("jobs{number}")])));
    }
    let keys = |node: &Server| node.command(&["DBSIZE"])[1..].parse::<u32>().expect("a number");
    assert!(nodes.iter().all(|node| keys(node) > 0), "they are on all nodes");
    text(shell(&format!(
        "seq 30 | {PROGRAM} --at {url} mq send jobs7 --lines --timeout 0 || true"
    )));
    let received = text(nob(&at(&url, &[&"mq", &"receive", &"jobs7", &"--count", &"10"])));
    assert_eq!(
        received.lines().collect::<Vec<_>>(),
        (1..11).map(|it| it.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(
        text(nob(&at(&url, &[&"lock", &"run", &"l", &"--", &"echo", &"locked"]))),
        "locked\n"
    );
    let listed: Vec<Value> = json(&at(&url, &[&"ls", &"--json"]));
    assert_eq!(listed.len(), 9);
    text(nob(&at(&url, &[&"rm", &"lock:/l", &"mq:/jobs0", &"mq:/jobs1", &"mq:/jobs2"])));
    assert_eq!(text(nob(&at(&url, &[&"ls"]))).lines().count(), 6);
}

/// A name whose data are gone is shown as that.
#[test]
fn what_is_damaged() {
    let _watchdog = watchdog();
    let server = server!();
    text(on(&server, &[&"sem", &"create", &"s"]));
    let generation = shown(&server, "sem:/s")["generation"].as_str().expect("text").to_string();
    server.demand(&["DEL", &format!("nipc:{{s/s}}:{generation}")]);
    let page = text(on(&server, &[&"show", &"sem:/s"]));
    assert!(page.contains("it is damaged or of another version"), "{page}");
    assert!(text(on(&server, &[&"ls"])).lines().any(|line| line.contains(" ? ")));
    text(on(&server, &[&"rm", &"sem:/s"]));
}

/// A worker in the shell that moves to a server by a variable.
#[test]
fn the_same_script_on_both_places() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let script = format!(
        "set -e; n() {{ {PROGRAM} --at env \"$@\"; }}\n\
         n mq create {name} --max-messages 4; printf 'a\\nb\\n' | n mq send {name} --lines\n\
         n mq receive {name} --count 2; n lock run {name} -- echo locked\n\
         n permits run {name} --value 2 -- echo permitted\n\
         n rm mq:{name} lock:{name} permits:{name}; n ls --json | grep -c '{name}' || true"
    );
    let expected = "a\nb\nlocked\npermitted\n0\n";
    assert_eq!(text(shell(&format!("export NOB_IPC_URL=local:; {script}"))), expected);
    let server = server!();
    let url = server.url();
    assert_eq!(text(shell(&format!("export NOB_IPC_URL={url}; {script}"))), expected);
}
