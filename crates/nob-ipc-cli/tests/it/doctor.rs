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
    let page = text(nob(&[&"doctor", &"--all"]));
    let short = text(nob(&[&"doctor"]));
    let is_in = |page: &str, name: &str| {
        page.lines().any(|line| line.get(2..).is_some_and(|it| it.starts_with(name)))
    };
    for check in &checks {
        let name = check["check"].as_str().expect("a word");
        assert!(is_in(&page, name), "{page}");
        // What is as it should be is left out, if it is not all that there is of that name.
        let hurts = checks.iter().any(|it| it["check"] == name && it["hurts"] == true);
        let another = checks.iter().any(|it| {
            it["hurts"] == true && it["check"].as_str().is_some_and(|it| it.starts_with(name))
        });
        assert!(is_in(&short, name) == hurts || another, "{name}: {short}");
    }
    let hurting = checks.iter().filter(|check| check["hurts"] == true).count();
    let summary = short.lines().last().expect("there is one");
    assert!(summary.starts_with(&format!("{} checks, ", checks.len())), "{summary}");
    let counted = match hurting {
        0 => "none is likely to hurt".into(),
        1 => "1 is likely to hurt".into(),
        more => format!("{more} are likely to hurt"),
    };
    assert!(summary.contains(&counted), "{summary}");
    assert_eq!(page.lines().last(), summary.strip_suffix("; --all shows all"));
    // The numbers may be others by now.
    assert_eq!(text(nob(&[&"doctor", &"-v"])).lines().count(), page.lines().count());
    let status = nob(&[&"doctor", &"--check"]).status.code();
    assert_eq!(status, Some(i32::from(hurting > 0)));
    assert_eq!(nob(&[&"doctor", &"--check", &"--json"]).status.code(), status);
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
    assert!(page.lines().last().is_some_and(|line| line.contains("likely to hurt")), "{page}");
    let check = command(&[&"doctor", &"--check"]);
    let Some(mut doctor) = Machine::new("size=1m").command(&check) else { return };
    let checked = output(&mut doctor).expect("unshare runs");
    assert_eq!((checked.status.code(), &*checked.stderr), (Some(1), &b""[..]));
}
