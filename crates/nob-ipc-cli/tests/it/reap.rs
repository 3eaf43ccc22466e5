//! `nob-ipc reap`: what a process that was killed leaves is found, and only that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use nob_ipc::Kind;
use nob_ipc_testing::{Child, Directory, Machine, Role, Running, marks, output, prepare, users};
use serde_json::Value;

use crate::support::each::KINDS;
use crate::support::{Argument, PROGRAM, json, nob, shell, text, words};

pub const ROLES: &[Role] = &[
    ("reap::alone", |_| alone()),
    ("reap::in_doubt", |_| in_doubt()),
    ("reap::ordinary_user", |_| ordinary_user()),
];

fn reap(arguments: &[&str]) -> Vec<String> {
    let mut all: Vec<Argument> = vec![&"reap"];
    all.extend(words(arguments));
    text(nob(&all)).lines().map(String::from).collect()
}

/// The lines that begin with `verb`, without what follows the address.
fn addresses(lines: &[String], verb: &str) -> Vec<String> {
    let rest = lines.iter().filter_map(|line| line.strip_prefix(verb)?.strip_prefix(' '));
    rest.filter_map(|rest| Some(rest.split_once(": ")?.0.to_string())).collect()
}

fn removed(lines: &[String]) -> Vec<String> {
    addresses(lines, "removed")
}

fn exist(name: &str) -> Vec<bool> {
    KINDS.map(|kind| nob(&[&"show", &format!("{kind}:{name}")]).status.success()).to_vec()
}

#[test]
fn what_a_killed_process_leaves() {
    Machine::new("size=16m").run("reap::alone", &[]);
}

fn alone() {
    // A process that lives, one that leaves objects on purpose, and one that is killed.
    let living = Child::holding("each::create", &[&"/living"]);
    text(nob(&[&"sem", &"create", &"kept"]));
    text(nob(&[&"shm", &"create", &"kept", &"1K"]));
    text(nob(&[&"mq", &"create", &"kept"]));
    text(nob(&[&"lock", &"run", &"kept", &"--", &"true"]));
    text(nob(&[&"permits", &"run", &"kept", &"--", &"true"]));
    text(nob(&[&"channel", &"create", &"kept", &"--capacity", &"4096"]));
    assert!(removed(&reap(&["--yes"])).is_empty(), "nothing is left behind yet");

    let killed = Child::holding("each::create", &[&"/killed"]);
    let pid = killed.id();
    let listed = text(nob(&[&"ls"]));
    assert!(!listed.contains("orphan"), "{listed}");
    // In a user namespace the directory of root's records may be somebody else's.
    let queue: Value = json(&[&"show", &"mq:/killed", &"--json"]);
    let recorded = !queue["creator"].is_null();
    assert!(recorded || !is_initial_root(), "{queue}");
    drop(killed);

    // Marks on files need Linux 6.6.
    let marked = nob_ipc::registry::marks_are_kept();
    let provable = KINDS.into_iter().filter(|&kind| if kind == "mq" { recorded } else { marked });
    let expected: Vec<String> = provable.map(|kind| format!("{kind}:/killed")).collect();
    let lines = reap(&[]);
    assert_eq!(addresses(&lines, "would remove"), expected, "{lines:?}");
    let dead = format!("process {pid}, is dead");
    assert!(
        lines.iter().all(|line| line.starts_with("left mq:") || line.contains(&dead)),
        "{lines:?}"
    );
    assert_eq!(exist("/killed"), [true; KINDS.len()], "it only said what it would do");
    assert!(text(nob(&[&"ls"])).contains("orphan"));
    assert!(removed(&reap(&["--older-than", "1h", "--yes"])).is_empty(), "they are young");

    // Somebody holds them: they stay.
    let holder = Child::holding("each::link", &[&"/killed"]);
    let mut lines = reap(&["--yes"]);
    // Where no records can be kept, nobody knows who made the other queues.
    lines.retain(|line| recorded || !line.starts_with("left mq:"));
    assert_eq!(addresses(&lines, "left"), expected, "{lines:?}");
    let held = format!("held by {}", holder.id());
    assert!(lines.iter().all(|line| line.contains(&held)), "{lines:?}");
    drop(holder);

    // It prints as it goes: what cannot be told of ends it.
    let full = shell(&format!("{PROGRAM} reap --yes > /dev/full"));
    assert_eq!(full.status.code(), Some(1));
    let lines = reap(&["--yes"]);
    assert_eq!(addresses(&lines, "removed"), expected[1..], "{lines:?}");
    let all = vec![true; KINDS.len()];
    assert_eq!(exist("/killed")[2], !recorded);
    assert!(removed(&reap(&["--yes"])).is_empty(), "they are gone");
    assert_eq!((exist("/living"), exist("/kept")), (all.clone(), all.clone()));

    text(nob(&[&"rm", &"--force", &"mq:/killed"]));

    // A lock that has a death to tell of tells it, however long that takes.
    let killed = nob(&[&"lock", &"run", &"half", &"--", &"sh", &"-c", &"kill -9 $$"]);
    assert_eq!(killed.status.code(), Some(137));
    let unused = ["lock", "--name", "half", "--unused", "--older-than", "0s", "--yes"];
    assert!(reap(&unused).is_empty());
    text(nob(&[&"lock", &"repaired", &"half"]));
    assert_eq!(removed(&reap(&unused)), ["lock:/half"]);

    // What nobody is due to remove goes only when that is asked for, and never what is held.
    let holder = Child::holding("each::link", &[&"/kept"]);
    assert!(removed(&reap(&["--unused", "--older-than", "0s", "--yes"])).is_empty());
    drop(holder);
    assert!(removed(&reap(&["--unused", "--older-than", "1h", "--yes"])).is_empty());
    let lines = reap(&["--unused", "--older-than", "0s", "--yes"]);
    for kind in KINDS.into_iter().filter(|&kind| kind != "mq" || recorded) {
        assert!(removed(&lines).contains(&format!("{kind}:/kept")), "{lines:?}");
    }
    assert_eq!(exist("/living"), all);
    drop(living);
    reap(&["--yes"]);
}

/// Root, and not one of a user namespace.
fn is_initial_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("Linux has it");
    nix::unistd::geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Marks that prove nothing: of another pid namespace, another boot, a pid that is used again.
#[test]
fn in_doubt_it_is_left() {
    Machine::new("size=16m").run("reap::in_doubt", &[]);
}

fn in_doubt() {
    if !nob_ipc::registry::marks_are_kept() {
        println!("skipped: no marks are kept here");
        return;
    }
    let killed = Child::holding("each::create", &[&"/x"]);
    let pid = killed.id();
    drop(killed);
    reap(&["--yes"]);

    let dead = marks::changed(&marks::mark_of_the_dead(), 1, &pid.to_string());
    let with = |field, text| marks::changed(&dead, field, text);
    let marks = [
        ("another-namespace", with(3, "1"), "left"),
        ("another-time-namespace", with(4, "1"), "left"),
        ("another-boot", with(5, "x-y"), "left"),
        ("garbage", String::from("\u{1b}]0;2 what is this"), "left"),
        // The pid lives, but is another process: it started at another time.
        ("pid-used-again", marks::mark_of_the_dead(), "removed"),
        ("dead", dead.clone(), "removed"),
    ];
    for (name, mark, _) in &marks {
        text(nob(&[&"shm", &"create", name, &"10"]));
        marks::set_mark(Kind::SharedMemory, name, mark);
    }
    let orphans: Vec<Value> = json(&[&"ls", &"shm", &"--json"]);
    for object in orphans {
        let name = object["name"].as_str().expect("a name");
        let (_, _, verb) = marks.iter().find(|(it, _, _)| *it == &name[1..]).expect("ours");
        let expected = if *verb == "left" { Value::Null } else { true.into() };
        assert_eq!(object["orphan"], expected, "{name}");
    }
    let lines = reap(&["--yes"]);
    for verb in ["left", "removed"] {
        let mut expected: Vec<String> = marks
            .iter()
            .filter(|(_, _, it)| *it == verb)
            .map(|(name, _, _)| format!("shm:/{name}"))
            .collect();
        expected.sort();
        assert_eq!(addresses(&lines, verb), expected, "{lines:?}");
    }
}

/// What a user sees who is not root.
#[test]
fn as_an_ordinary_user() {
    Machine::with_users("size=16m").run("reap::ordinary_user", &[]);
}

/// Programs that another user may run, in a directory of their own.
struct Programs(Directory);

impl Programs {
    fn new() -> Programs {
        let directory = Directory::new();
        fs::copy(PROGRAM, directory.join("nob-ipc")).expect("there is room");
        // Who may run a program but not read it may not look at its process either.
        fs::copy("/bin/sleep", directory.join("sleep")).expect("there is room");
        let mode = fs::Permissions::from_mode(0o711);
        fs::set_permissions(directory.join("sleep"), mode).expect("it is ours");
        Programs(directory)
    }

    fn as_nobody(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.0.join(program));
        command.args(arguments).uid(users::NOBODY).gid(users::NOBODY).current_dir("/");
        prepare(&mut command);
        command
    }

    fn nob(&self, arguments: &[&str]) -> Output {
        output(&mut self.as_nobody("nob-ipc", arguments)).expect("it runs")
    }
}

fn ordinary_user() {
    let programs = Programs::new();
    text(programs.nob(&["mq", "create", "of-nobody"]));
    text(nob(&[&"mq", &"create", &"of-root"]));
    text(programs.nob(&["shm", "create", "of-nobody", "10"]));
    text(nob(&[&"shm", &"create", &"of-root", &"10"]));
    let ls = programs.nob(&["ls"]);
    let errors = String::from_utf8_lossy(&ls.stderr).into_owned();
    let listed = text(ls);
    assert!(listed.contains("shm   /of-nobody") && listed.contains("/of-root"), "{listed}");
    if !nob_ipc::registry::queues_are_mounted() {
        assert!(errors.contains("mount -t mqueue"), "{errors}");
        let listed: Vec<Value> =
            serde_json::from_str(&String::from_utf8_lossy(&programs.nob(&["ls", "--json"]).stdout))
                .expect("JSON");
        let is_queue = |object: &&Value| object["kind"] == "mq";
        let queues: Vec<&Value> = listed.iter().filter(is_queue).collect();
        assert_eq!(queues.len(), 1, "root's cannot be listed: {queues:?}");
        assert_eq!(
            (&queues[0]["name"], &queues[0]["orphan"]),
            (&"/of-nobody".into(), &false.into())
        );
    }
    // By its name a queue is seen all the same, and root sees all.
    assert!(text(programs.nob(&["show", "mq:/of-nobody"])).contains("0 of"));
    assert!(text(nob(&[&"ls", &"mq"])).contains("/of-nobody"));
    // What belongs to others is not this user's to look into or to remove.
    let root: Value =
        serde_json::from_str(&text(programs.nob(&["show", "shm:/of-root", "--json"])))
            .expect("JSON");
    assert_eq!((&root["orphan"], &root["state"]), (&Value::Null, &"unknown".into()));
    let page = text(programs.nob(&["show", "shm:/of-root"]));
    assert!(
        page.contains("\nlifetime      not known\n"),
        "whoever made it may have kept it: {page}"
    );
    text(nob(&[&"lock", &"run", &"of-root", &"--", &"true"]));
    text(nob(&[&"permits", &"run", &"of-root", &"--", &"true"]));
    for (address, fields) in [
        (
            "lock:/of-root",
            &["holder", "held_seconds", "acquisitions", "waiters", "deaths", "owner_died"][..],
        ),
        ("permits:/of-root", &["free", "bound", "owners", "waiters", "deaths"]),
    ] {
        let shown = text(programs.nob(&["show", address, "--json"]));
        let object: Value = serde_json::from_str(&shown).expect("JSON");
        for &field in fields {
            assert_eq!(object.get(field), Some(&Value::Null), "{field} of {object}");
        }
        assert!(text(programs.nob(&["show", address])).contains("this user may not look"));
        let run = [&address[..address.len() - "of-root".len() - 2], "run", "of-root", "--", "true"];
        assert_eq!(programs.nob(&run).status.code(), Some(1));
    }
    let refused = programs.nob(&["rm", "shm:/of-root"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("belongs to another user"));

    if !nob_ipc::registry::marks_are_kept() {
        println!("skipped: no marks are kept here");
        return;
    }
    let killed = Child::holding("each::create", &[&"/x"]);
    let mark = marks::mark(Kind::SharedMemory, "/x").expect("it has a mark");
    drop(killed);
    // Orphans now.
    marks::set_mark(Kind::SharedMemory, "of-nobody", &mark);
    marks::set_mark(Kind::SharedMemory, "of-root", &mark);
    // A /proc that hides processes: who could hold it is not known.
    let hide = "mount -t proc -o hidepid=2 proc /proc && \
                exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
                \"$0\" reap --yes";
    let mut hiding = Command::new("unshare");
    hiding.args(["--mount", "sh", "-c", hide]).arg(programs.0.join("nob-ipc"));
    let lines = text(output(&mut hiding).expect("unshare runs"));
    assert!(lines.starts_with("left shm:/of-nobody: 1 process that could hold it"), "{lines}");

    // A process of this user that may not be looked at could hold it.
    let mut hidden = Running::start(&mut programs.as_nobody("sleep", &["60"]));
    let lines = text(programs.nob(&["reap", "--yes"]));
    let lines: Vec<String> = lines.lines().map(String::from).collect();
    assert_eq!(addresses(&lines, "left"), ["shm:/of-nobody"], "{lines:?}");
    assert!(lines[0].ends_with("1 process that could hold it may not be looked at"), "{lines:?}");
    assert_eq!(lines.len(), 1, "root's are no concern of this user: {lines:?}");
    hidden.kill();
    let lines = text(programs.nob(&["reap", "--yes"]));
    assert_eq!(lines.lines().count(), 1);
    assert!(lines.starts_with("removed shm:/of-nobody: "), "{lines}");
}
