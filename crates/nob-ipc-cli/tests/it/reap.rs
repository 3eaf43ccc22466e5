//! `nob-ipc reap`: what a process that was killed leaves is found, and only that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use nob_ipc::{Existence, MessageQueue, Semaphore, SharedMemory};

use crate::support::role::{self, Role};
use crate::support::{Running, namespace, nob, text, watchdog};

pub const ROLES: &[Role] = &[
    ("reap::create", create),
    ("reap::hold", hold),
    ("reap::alone", alone),
    ("reap::in_doubt", in_doubt),
    ("reap::ordinary_user", ordinary_user),
];

/// Creates one object of each kind and is due to unlink it.
fn create(name: &str) {
    let existence = Existence::Create;
    let semaphore = Semaphore::options().existence(existence).open(name).expect("a new one");
    let segment = SharedMemory::options().existence(existence).size(100).open(name);
    let queue = MessageQueue::options().existence(existence).max_messages(1).open(name);
    let _held = (semaphore, segment.expect("a new one"), queue.expect("a new one"));
    role::ready();
}

fn hold(name: &str) {
    let semaphore = Semaphore::options().open(name).expect("it is there");
    let segment = SharedMemory::options().open(name).expect("it is there");
    let queue = MessageQueue::options().open(name).expect("it is there");
    let _held = (semaphore, segment, queue);
    role::ready();
}

fn reap(arguments: &[&str]) -> Vec<String> {
    let mut all: Vec<&(dyn AsRef<std::ffi::OsStr> + Sync)> = vec![&"reap"];
    all.extend(arguments.iter().map(|it| it as &(dyn AsRef<std::ffi::OsStr> + Sync)));
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
    ["sem", "shm", "mq"]
        .map(|kind| nob(&[&"show", &format!("{kind}:{name}")]).status.success())
        .to_vec()
}

#[test]
fn what_a_killed_process_leaves() {
    let _watchdog = watchdog();
    namespace::play("reap::alone", "", "16M");
}

fn alone(_: &str) {
    // A process that lives, one that leaves objects on purpose, and one that is killed.
    let living = role::start("reap::create", "/living");
    text(nob(&[&"sem", &"create", &"kept"]));
    text(nob(&[&"shm", &"create", &"kept", &"1K"]));
    text(nob(&[&"mq", &"create", &"kept"]));
    assert!(removed(&reap(&["--yes"])).is_empty(), "nothing is left behind yet");

    let killed = role::start("reap::create", "/killed");
    let pid = killed.child.id();
    let all = ["sem:/killed", "shm:/killed", "mq:/killed"];
    let listed = text(nob(&[&"ls"]));
    assert!(!listed.contains("orphan"), "{listed}");
    // In a user namespace the directory of root's records may be somebody else's.
    let queue = text(nob(&[&"show", &"mq:/killed", &"--json"]));
    let queue: serde_json::Value = serde_json::from_str(&queue).expect("it is JSON");
    let recorded = !queue["creator"].is_null();
    assert!(recorded || !is_initial_root(), "{queue}");
    drop(killed);

    // Marks on files need Linux 6.6.
    let files = if nob_ipc::registry::marks_are_kept() { 0 } else { 2 };
    let expected = &all[files..if recorded { 3 } else { 2 }];
    let lines = reap(&[]);
    assert_eq!(addresses(&lines, "would remove"), expected, "{lines:?}");
    let dead = format!("process {pid}, is dead");
    assert!(
        lines.iter().all(|line| line.starts_with("left mq:") || line.contains(&dead)),
        "{lines:?}"
    );
    assert_eq!(exist("/killed"), [true; 3], "it only said what it would do");
    assert!(text(nob(&[&"ls"])).contains("orphan"));
    assert!(removed(&reap(&["--older-than", "1h", "--yes"])).is_empty(), "they are young");

    // Somebody holds them: they stay.
    let holder = role::start("reap::hold", "/killed");
    let mut lines = reap(&["--yes"]);
    // Where no records can be kept, nobody knows who made the other queues.
    lines.retain(|line| recorded || !line.starts_with("left mq:"));
    assert_eq!(addresses(&lines, "left"), expected, "{lines:?}");
    let held = format!("held by {}", holder.child.id());
    assert!(lines.iter().all(|line| line.contains(&held)), "{lines:?}");
    drop(holder);

    let lines = reap(&["--yes"]);
    assert_eq!(addresses(&lines, "removed"), expected, "{lines:?}");
    assert_eq!(exist("/killed")[2], !recorded);
    assert!(removed(&reap(&["--yes"])).is_empty(), "they are gone");
    assert_eq!((exist("/living"), exist("/kept")), (vec![true; 3], vec![true; 3]));

    text(nob(&[&"rm", &"--force", &"mq:/killed"]));

    // What nobody is due to remove goes only when that is asked for, and never what is held.
    let holder = role::start("reap::hold", "/kept");
    assert!(removed(&reap(&["--unused", "--older-than", "0s", "--yes"])).is_empty());
    drop(holder);
    assert!(removed(&reap(&["--unused", "--older-than", "1h", "--yes"])).is_empty());
    let lines = reap(&["--unused", "--older-than", "0s", "--yes"]);
    for address in &["sem:/kept", "shm:/kept", "mq:/kept"][..if recorded { 3 } else { 2 }] {
        assert!(removed(&lines).iter().any(|it| it == address), "{lines:?}");
    }
    assert_eq!(exist("/living"), [true; 3]);
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
    let _watchdog = watchdog();
    namespace::play("reap::in_doubt", "", "16M");
}

fn in_doubt(_: &str) {
    if !nob_ipc::registry::marks_are_kept() {
        println!("skipped: no marks are kept here");
        return;
    }
    let killed = role::start("reap::create", "/x");
    let pid = killed.child.id();
    drop(killed);
    reap(&["--yes"]);

    let namespace = |kind| {
        let link = fs::metadata(format!("/proc/self/ns/{kind}")).expect("it is there");
        std::os::unix::fs::MetadataExt::ino(&link)
    };
    let (pids, times) = (namespace("pid"), namespace("time"));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("it is there");
    let boot = boot.trim();
    let own = std::process::id();
    let marks = [
        ("another-namespace", format!("2 {pid} 1 1 {times} {boot}"), "left"),
        ("another-time-namespace", format!("2 {pid} 1 {pids} 1 {boot}"), "left"),
        ("another-boot", format!("2 {pid} 1 {pids} {times} x-{boot}"), "left"),
        ("garbage", String::from("\u{1b}]0;2 what is this"), "left"),
        // The pid lives, but is another process: it started at another time.
        ("pid-used-again", format!("2 {own} 1 {pids} {times} {boot}"), "removed"),
        ("dead", format!("2 {pid} 1 {pids} {times} {boot}"), "removed"),
    ];
    for (name, mark, _) in &marks {
        text(nob(&[&"shm", &"create", name, &"10"]));
        set_mark(&format!("/dev/shm/{name}"), mark);
    }
    let orphans = text(nob(&[&"ls", &"shm", &"--json"]));
    let orphans: Vec<serde_json::Value> = serde_json::from_str(&orphans).expect("it is JSON");
    for object in orphans {
        let name = object["name"].as_str().expect("a name");
        let (_, _, verb) = marks.iter().find(|(it, _, _)| *it == &name[1..]).expect("ours");
        let expected = if *verb == "left" { serde_json::Value::Null } else { true.into() };
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

fn set_mark(path: &str, mark: &str) {
    let path = std::ffi::CString::new(path).expect("it has no NUL");
    // SAFETY: both strings are NUL-terminated, and the mark is readable for its length.
    let done = unsafe {
        nix::libc::setxattr(
            path.as_ptr(),
            c"user.nob-ipc".as_ptr(),
            mark.as_ptr().cast(),
            mark.len(),
            0,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// What a user sees who is not root.
#[test]
fn as_an_ordinary_user() {
    let _watchdog = watchdog();
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    namespace::play("reap::ordinary_user", "", "16M");
}

/// Programs that another user may run, in a directory of their own.
struct Programs(PathBuf);

impl Programs {
    fn new() -> Programs {
        let directory = std::env::temp_dir().join(format!("nob-cli-bin-{}", std::process::id()));
        fs::create_dir(&directory).expect("the name is free");
        fs::copy(crate::support::PROGRAM, directory.join("nob-ipc")).expect("there is room");
        // Who may run a program but not read it may not look at its process either.
        fs::copy("/bin/sleep", directory.join("sleep")).expect("there is room");
        let mode = fs::Permissions::from_mode(0o711);
        fs::set_permissions(directory.join("sleep"), mode).expect("it is ours");
        Programs(directory)
    }

    fn as_nobody(&self, program: &str, arguments: &[&str]) -> Command {
        const NOBODY: u32 = 65_534;
        let mut command = Command::new(self.0.join(program));
        command.args(arguments).uid(NOBODY).gid(NOBODY).current_dir("/");
        command
    }

    fn nob(&self, arguments: &[&str]) -> Output {
        self.as_nobody("nob-ipc", arguments).output().expect("it runs")
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it is there");
    }
}

fn ordinary_user(_: &str) {
    let programs = Programs::new();
    text(programs.nob(&["mq", "create", "of-nobody"]));
    text(programs.nob(&["shm", "create", "of-nobody", "10"]));
    text(nob(&[&"shm", &"create", &"of-root", &"10"]));
    let output = programs.nob(&["ls"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let listed = text(output);
    assert!(listed.contains("shm   /of-nobody") && listed.contains("/of-root"), "{listed}");
    if !nob_ipc::registry::queues_are_mounted() {
        assert!(errors.contains("mount -t mqueue"), "{errors}");
        assert!(!listed.contains("mq    /of-nobody"), "it has no record: {listed}");
    }
    // By its name a queue is seen all the same, and root sees all.
    assert!(text(programs.nob(&["show", "mq:/of-nobody"])).contains("0 of"));
    assert!(text(nob(&[&"ls", &"mq"])).contains("/of-nobody"));
    // What belongs to others is not this user's to look into or to remove.
    let root: serde_json::Value =
        serde_json::from_str(&text(programs.nob(&["show", "shm:/of-root", "--json"])))
            .expect("JSON");
    assert_eq!((&root["orphan"], &root["state"]), (&serde_json::Value::Null, &"unknown".into()));
    let refused = programs.nob(&["rm", "shm:/of-root"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("belongs to another user"));

    if !nob_ipc::registry::marks_are_kept() {
        println!("skipped: no marks are kept here");
        return;
    }
    let killed = role::start("reap::create", "/x");
    let mark = get_mark("/dev/shm/x");
    drop(killed);
    // Orphans now.
    set_mark("/dev/shm/of-nobody", &mark);
    set_mark("/dev/shm/of-root", &mark);
    // A /proc that hides processes: who could hold it is not known.
    let hide = "mount -t proc -o hidepid=2 proc /proc && \
                exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
                \"$0\" reap --yes";
    let hiding = Command::new("unshare")
        .args(["--mount", "sh", "-c", hide])
        .arg(programs.0.join("nob-ipc"))
        .output()
        .expect("unshare runs");
    let lines = text(hiding);
    assert!(lines.starts_with("left shm:/of-nobody: 1 process that could hold it"), "{lines}");

    // A process of this user that may not be looked at could hold it.
    let mut hidden = Running::new(&mut programs.as_nobody("sleep", &["60"]));
    let lines = text(programs.nob(&["reap", "--yes"]));
    let lines: Vec<String> = lines.lines().map(String::from).collect();
    assert_eq!(addresses(&lines, "left"), ["shm:/of-nobody"], "{lines:?}");
    assert!(lines[0].ends_with("1 process that could hold it may not be looked at"), "{lines:?}");
    assert_eq!(lines.len(), 1, "root's are no concern of this user: {lines:?}");
    hidden.child.kill().expect("it is ours");
    hidden.end();
    let lines = text(programs.nob(&["reap", "--yes"]));
    assert_eq!(lines.lines().count(), 1);
    assert!(lines.starts_with("removed shm:/of-nobody: "), "{lines}");
}

fn get_mark(path: &str) -> String {
    let path = std::ffi::CString::new(path).expect("it has no NUL");
    let mut mark = vec![0_u8; 256];
    // SAFETY: both strings are NUL-terminated, and the buffer is writable for its length.
    let length = unsafe {
        nix::libc::getxattr(
            path.as_ptr(),
            c"user.nob-ipc".as_ptr(),
            mark.as_mut_ptr().cast(),
            mark.len(),
        )
    };
    mark.truncate(usize::try_from(length).expect("it has a mark"));
    String::from_utf8(mark).expect("it is text")
}
