//! `nob-ipc ls`, `show` and `rm`.

use nob_ipc::{Existence, Kind, MessageQueue, Semaphore, SharedMemory};
use nob_ipc_testing::{Arguments, Child, Machine, Role, Unique, hold, watchdog};
use serde_json::Value;

use crate::support::pty::OnTerminal;
use crate::support::{Argument, address, json, lists_queues, nob, text, words};

pub const ROLES: &[Role] = &[("objects::hold", hold_linked), ("objects::thousand", |_| thousand())];

/// Uses an object of each kind.
fn hold_linked(arguments: &Arguments) {
    let name = arguments.text(0);
    let semaphore = Semaphore::options().open(name).expect("it is there");
    let segment = SharedMemory::options().open(name).expect("it is there");
    // The mapping alone holds it.
    let mapping = segment.map().expect("it has a size");
    drop(segment);
    let queue = MessageQueue::options().open(name).expect("it is there");
    let _held = (semaphore, mapping, queue);
    hold();
}

fn create_all(name: &str) {
    text(nob(&[&"sem", &"create", &name, &"--value", &"3"]));
    text(nob(&[&"shm", &"create", &name, &"64K", &"--mode", &"640"]));
    text(nob(&[&"mq", &"create", &name, &"--max-messages", &"4", &"--max-message-size", &"32"]));
    text(nob(&[&"mq", &"send", &name, &"x"]));
}

fn listed(name: &str, kinds: &[&str]) -> Vec<Value> {
    let mut arguments: Vec<Argument> = vec![&"ls", &"--json"];
    arguments.extend(words(kinds));
    let mut all: Vec<Value> = json(&arguments);
    all.retain(|object| object["name"] == name);
    let shown = nob(&[&"show", &format!("mq:{name}"), &"--json"]);
    if shown.status.success() && !lists_queues() {
        all.push(serde_json::from_str(&text(shown)).expect("it is JSON"));
    }
    all
}

/// What has lost its name, and what holds it.
#[test]
fn what_is_unlinked_and_still_held() {
    let _watchdog = watchdog();
    let name = Unique::new();
    create_all(&name);
    let holder = Child::holding("objects::hold", &[&name]);
    text(nob(&[&"rm", &address("sem", &name), &address("shm", &name), &address("mq", &name)]));
    let objects = listed(&name, &[]);
    let expected = if lists_queues() { &["sem", "shm", "mq"][..] } else { &["sem", "shm"] };
    let kinds: Vec<_> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, expected);
    for object in &objects {
        assert_eq!(object["state"], "unlinked");
        assert_eq!(object["holders"][0]["pid"], holder.id());
    }
    let page = text(nob(&[&"ls", &"shm"]));
    let line = page.lines().find(|line| line.contains(&*name)).expect("it is listed");
    assert!(line.contains("unlinked"), "{page}");
    drop(holder);
    assert!(listed(&name, &[]).is_empty(), "nobody holds them any more");
}

#[test]
fn json_has_all_that_is_promised() {
    let _watchdog = watchdog();
    let name = Unique::new();
    create_all(&name);
    let holder = Child::holding("objects::hold", &[&name]);
    let objects = listed(&name, &[]);
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("sem"), Some("shm"), Some("mq")]);
    for object in &objects {
        assert_eq!(object["uid"], nix::unistd::geteuid().as_raw());
        assert_eq!(object["orphan"], false);
        let holders = object["holders"].as_array().expect("a list");
        let held = holders.iter().any(|it| {
            it["pid"] == holder.id() && it["command"].as_str().is_some_and(|it| !it.is_empty())
        });
        assert!(held, "{object}");
    }
    assert_eq!(objects[0]["value"], 3);
    assert_eq!((&objects[1]["size"], &objects[1]["mode"]), (&Value::from(65_536), &"0640".into()));
    let queue = &objects[2];
    assert_eq!(queue["messages"], 1);
    assert_eq!((&queue["max_messages"], &queue["max_message_size"]), (&4.into(), &32.into()));
    assert_eq!(listed(&name, &["sem", "mq"]).len(), 2);

    drop(holder);
    for object in listed(&name, &[]) {
        assert_eq!(object["holders"], Value::Array(Vec::new()), "{object}");
        assert_eq!(object["state"], "unused");
        let address = address(object["kind"].as_str().expect("a word"), &name);
        assert_eq!(json::<Value>(&[&"show", &address, &"--json"]), object);
    }
}

/// In a pipe, a line is an object, with its name in full however long.
#[test]
fn a_table_in_a_pipe_is_never_cut() {
    let _watchdog = watchdog();
    let name = Unique::with(&"x".repeat(180));
    create_all(&name);
    let table = text(nob(&[&"ls"]));
    let header = table.lines().next().expect("there is a header");
    assert!(header.starts_with("KIND") && header.ends_with("HOLDERS"), "{header}");
    for (kind, content) in [("sem", "value 3"), ("shm", "64 KiB"), ("mq", "1/4 messages")] {
        if kind == "mq" && !lists_queues() {
            continue;
        }
        let line = table.lines().find(|line| line.split_whitespace().take(2).eq([kind, &*name]));
        let line = line.unwrap_or_else(|| panic!("no {kind} in {table}"));
        assert!(line.contains(content), "{line}");
    }
    let shown = text(nob(&[&"show", &address("shm", &name)]));
    assert!(shown.contains(&*name) && shown.contains("65536 bytes (64 KiB)"), "{shown}");
}

#[test]
fn rm_removes_what_is_named() {
    let _watchdog = watchdog();
    let name = Unique::new();
    create_all(&name);
    text(nob(&[&"rm", &address("shm", &name)]));
    assert_eq!(listed(&name, &[]).len(), 2);
    // The missing one is reported; the others go all the same.
    let output =
        nob(&[&"rm", &address("sem", &name), &address("shm", &name), &address("mq", &name)]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stderr.starts_with(b"nob-ipc: there is no shared memory"));
    assert!(listed(&name, &[]).is_empty());
    text(nob(&[&"rm", &"--force", &address("mq", &name)]));
    for kind in ["sem", "shm", "mq"] {
        assert_eq!(nob(&[&"show", &address(kind, &name)]).status.code(), Some(3), "{kind}");
    }
}

/// On a terminal no name is broken, whatever its width; one that does not tell its width is not one without
/// any.
#[test]
fn a_table_on_a_terminal() {
    let _watchdog = watchdog();
    let name = Unique::with(&"x".repeat(60));
    create_all(&name);
    for columns in [0, 20, 80, 150] {
        let (status, printed) = OnTerminal::start_in((columns, 24), &[&"ls", &"sem"]).end();
        assert!(status.success());
        let printed = String::from_utf8(printed).expect("it is UTF-8");
        let line = printed.lines().find(|line| line.contains(&*name)).expect("it is whole");
        assert!(line.contains("value 3") && line.contains("0600"), "{columns}: {printed}");
    }
    let (status, printed) = OnTerminal::start_in((0, 0), &[&"--help"]).end();
    assert!(status.success());
    let help = String::from_utf8(printed).expect("it is UTF-8");
    assert!(help.contains("See, use, repair and watch named POSIX IPC"), "{help}");
}

/// Names with numbers are listed as people count.
#[test]
fn a_list_in_natural_order() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let names: Vec<String> = ["2", "10", "1"].iter().map(|end| format!("{name}-a{end}")).collect();
    let options = |name: &String| {
        let mut options = Semaphore::options();
        options.existence(Existence::Create).open(name).expect("a new semaphore")
    };
    let _held: Vec<Semaphore> = names.iter().map(options).collect();
    let expected: Vec<String> = ["1", "2", "10"].map(|end| format!("{name}-a{end}")).into();
    let page = text(nob(&[&"ls", &"sem"]));
    let words = page.lines().filter_map(|line| line.split_whitespace().nth(1));
    let listed: Vec<&str> = words.filter(|it| it.starts_with(&*name)).collect();
    assert_eq!(listed, expected);
    let all: Vec<Value> = json(&[&"ls", &"sem", &"--json"]);
    let listed = all.iter().filter_map(|object| object["name"].as_str());
    let listed: Vec<&str> = listed.filter(|it| it.starts_with(&*name)).collect();
    assert_eq!(listed, expected);
}

/// A name without its kind: what has that name is told, and nothing is removed.
#[test]
fn an_address_without_a_kind() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let said = |address: &str| {
        let output = nob(&[&"rm", &address]);
        assert_eq!(output.status.code(), Some(2));
        let shown = nob(&[&"show", &address]);
        assert_eq!(shown.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("it is UTF-8")
    };
    assert!(said(&name).contains("begins with one of sem: shm: mq:"), "{}", said(&name));
    text(nob(&[&"lock", &"run", &name, &"--", &"true"]));
    assert!(said(&name).contains(&format!("there is lock:{name}\n")), "{}", said(&name));
    create_all(&name);
    let expected = format!("there are sem:{name}, shm:{name}, mq:{name} and lock:{name}\n");
    for address in [&*name, &name[1..], &format!("queue:{}", &name[1..])] {
        let said = said(address);
        assert_eq!(said.contains(&expected), !address.contains(':'), "{said}");
    }
    assert_eq!(listed(&name, &[]).len(), 4);
}

/// What is no object is not listed, and says so when it is looked at.
#[test]
fn strangers_in_the_directory() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let path = format!("/dev/shm{name}");
    std::fs::create_dir(&path).expect("the name is free");
    let listed = listed(&name, &[]);
    let shown = nob(&[&"show", &address("shm", &name)]);
    let created = nob(&[&"shm", &"create", &name, &"1"]);
    std::fs::remove_dir(&path).expect("it is empty");
    assert!(listed.is_empty());
    assert_eq!((shown.status.code(), created.status.code()), (Some(1), Some(1)));
    assert!(String::from_utf8_lossy(&created.stderr).contains("a directory"));
}

/// 1,000 idle objects take less than 0.3 s; the bound is many times that, for a busy machine.
#[test]
fn a_thousand_objects() {
    Machine::new("size=64m").run("objects::thousand", &[]);
}

fn thousand() {
    const COUNT: usize = 1000;
    for number in 0..COUNT {
        let name = format!("/thousand-{number}");
        let mut options = Semaphore::options();
        let options = options.existence(Existence::Create).unlink_on_drop(false);
        options.open(name).expect("a new semaphore");
    }
    let begin = std::time::Instant::now();
    let table = text(nob(&[&"ls"]));
    let taken = begin.elapsed();
    println!("{COUNT} objects are listed in {taken:?}");
    assert!(table.lines().count() > COUNT);
    assert!(taken < std::time::Duration::from_secs(3), "{taken:?}");
    let listing = nob_ipc::registry::list(&[Kind::Semaphore]).expect("it can be listed");
    assert_eq!(listing.objects.len(), COUNT);
}
