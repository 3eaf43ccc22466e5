//! `nob-ipc doctor`.

use nob_ipc_testing::{Machine, output, watchdog};
use serde_json::Value;

use crate::support::{command, json, nob, text};

#[test]
fn says_what_it_looked_at() {
    let _watchdog = watchdog();
    let checks: Vec<Value> = json(&[&"doctor", &"--json"]);
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
    let Some(mut doctor) = Machine::new("size=1m").command(&command(&[&"doctor"])) else { return };
    let page = text(output(&mut doctor).expect("unshare runs"));
    let line = page.lines().find(|line| line.contains("/dev/shm room")).expect("a line");
    assert!(line.starts_with("! "), "{page}");
    assert!(page.contains("mend it: mount -o remount"), "{page}");
}
