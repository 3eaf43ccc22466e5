//! `nob-ipc doctor`.

use serde_json::Value;

use crate::support::{nob, text, watchdog};

#[test]
fn says_what_it_looked_at() {
    let _watchdog = watchdog();
    let checks: Vec<Value> =
        serde_json::from_str(&text(nob(&[&"doctor", &"--json"]))).expect("it is JSON");
    for check in &checks {
        assert!(check["hurts"].is_boolean(), "{check}");
        for field in ["check", "value", "meaning"] {
            assert!(check[field].as_str().is_some_and(|it| !it.is_empty()), "{check}");
        }
        let mendable = check["mend"].as_str().is_some_and(|mend| !mend.is_empty());
        assert!(
            mendable || check["hurts"] == false || check["check"] == "creator's marks",
            "{check}"
        );
    }
    let names: Vec<_> = checks.iter().filter_map(|check| check["check"].as_str()).collect();
    for name in
        ["/dev/shm", "/dev/shm room", "messages in a queue", "memory of queues", "descriptors"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let page = text(nob(&[&"doctor"]));
    for name in names {
        assert!(
            page.lines().any(|line| line.get(2..).is_some_and(|it| it.starts_with(name))),
            "{page}"
        );
    }
}

/// A small `/dev/shm`, as containers have it, is found.
#[test]
fn finds_what_hurts() {
    let _watchdog = watchdog();
    let script = format!(
        "mount -t tmpfs -o size=1M tmpfs /dev/shm && exec {} doctor",
        crate::support::PROGRAM
    );
    let ways = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
    for way in ways {
        let mut command = std::process::Command::new("unshare");
        let output = command.args(way).args(["sh", "-c", &script]).output().expect("unshare runs");
        if output.status.success() {
            let page = String::from_utf8(output.stdout).expect("it is UTF-8");
            let line = page.lines().find(|line| line.contains("/dev/shm room")).expect("a line");
            assert!(line.starts_with("! "), "{page}");
            assert!(page.contains("mend it: mount -o remount"), "{page}");
            return;
        }
    }
    eprintln!("skipped: this user may not make namespaces");
}
