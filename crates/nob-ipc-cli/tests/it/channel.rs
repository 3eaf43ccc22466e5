//! `nob-ipc channel`.

use nob_ipc_testing::{Unique, wait_until, watchdog};
use serde_json::Value;

use crate::support::{Argument, address, json, nob, nob_with, start, text, words};

fn channel() -> Unique {
    let name = Unique::new();
    text(nob(&[&"channel", &"create", &name, &"--capacity", &"4K", &"--priorities", &"3"]));
    name
}

fn shown(name: &str) -> Value {
    json(&[&"show", &address("channel", name), &"--json"])
}

#[test]
fn send_and_receive() {
    let _watchdog = watchdog();
    let name = channel();
    text(nob(&[&"channel", &"send", &name, &"later"]));
    text(nob(&[&"channel", &"send", &name, &"now", &"--priority", &"2"]));
    text(nob_with(b"from\na pipe\n", &[&"channel", &"send", &name]));
    // As it is, without a newline.
    assert_eq!(text(nob(&[&"channel", &"receive", &name])), "now");
    assert_eq!(text(nob(&[&"channel", &"receive", &name, &"--count", &"1"])), "later\n");
    assert_eq!(text(nob(&[&"channel", &"receive", &name])), "from\na pipe\n");
}

/// Nothing on standard input is no message, unless that is asked for.
#[test]
fn an_empty_standard_input() {
    let _watchdog = watchdog();
    let name = channel();
    let output = nob_with(b"", &[&"channel", &"send", &name]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was sent; --empty"));
    assert_eq!(shown(&name)["messages"], 0);
    text(nob_with(b"", &[&"channel", &"send", &name, &"--empty"]));
    assert_eq!(shown(&name)["messages"], 1);
}

/// One that exists is left as it is, and what it has other than was asked for is told.
#[test]
fn one_that_exists() {
    let _watchdog = watchdog();
    let name = channel();
    let said = |arguments: &[&str]| {
        let mut all: Vec<Argument> = vec![&"channel", &"create", &name];
        all.extend(words(arguments));
        let output = nob(&all);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("it is UTF-8")
    };
    assert_eq!(said(&[]), "");
    // Rounded up, it is what was asked for.
    assert_eq!(said(&["--capacity", "3000", "--priorities", "3"]), "");
    // So is a limit that is more than there is room for.
    assert_eq!(said(&["--capacity", "4K", "--priorities", "3", "--max-messages", "2000"]), "");
    assert!(said(&["--max-messages", "1535"]).contains("its limit of messages is 1536, not 1535"));
    let said = said(&["--capacity", "5000", "--priorities", "2", "--max-message-size", "10"]);
    for difference in [
        "its capacity is 4096, not 8192",
        "its largest message is 4080, not 10",
        "its number of priorities is 3, not 2",
    ] {
        assert!(said.contains(difference), "{said}");
    }
}

#[test]
fn large_messages() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"channel", &"create", &name, &"--capacity", &"4M"]));
    let large = vec![b'x'; 3_000_000];
    text(nob_with(&large, &[&"channel", &"send", &name]));
    text(nob(&[&"channel", &"send", &name, &"a little one"]));
    assert_eq!(text(nob(&[&"channel", &"receive", &name])).len(), large.len());
    assert_eq!(text(nob(&[&"channel", &"receive", &name])), "a little one");
    let too_large = nob_with(&vec![b'x'; 5_000_000], &[&"channel", &"send", &name]);
    assert_eq!(too_large.status.code(), Some(1));
    let errors = String::from_utf8(too_large.stderr).expect("text");
    assert!(errors.contains("standard input has more than the 4194288 bytes"), "{errors}");
}

#[test]
fn lines_and_json() {
    let _watchdog = watchdog();
    let name = channel();
    text(nob_with(b"one\n\n\xff", &[&"channel", &"send", &name, &"--lines", &"-p", &"1"]));
    let lines = text(nob(&[&"channel", &"receive", &name, &"--count", &"3", &"--json"]));
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let expected = [
        serde_json::json!({"message": "one", "priority": 1}),
        serde_json::json!({"message": "", "priority": 1}),
        serde_json::json!({"message_base64": "/w==", "priority": 1}),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn follow() {
    let _watchdog = watchdog();
    let name = channel();
    let mut receiver = start(&[&"channel", &"receive", &name, &"--follow"]);
    for word in ["one", "two"] {
        text(nob(&[&"channel", &"send", &name, &word]));
        assert_eq!(receiver.line(), word);
    }
    assert_eq!(shown(&name)["messages"], 0);
    receiver.kill();
}

#[test]
fn statuses() {
    let _watchdog = watchdog();
    let name = Unique::new();
    for verb in ["send", "receive"] {
        let missing = nob(&[&"channel", &verb, &name]);
        assert_eq!(missing.status.code(), Some(3), "{verb}");
        assert!(missing.stderr.starts_with(b"nob-ipc: there is no channel"), "{missing:?}");
    }
    for wrong in [["--priorities", "9"], ["--priorities", "0"], ["--capacity", "many"]] {
        let output = nob(&[&"channel", &"create", &name, &wrong[0], &wrong[1]]);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    let too_much = nob(&[&"channel", &"create", &name, &"--capacity", &"2048G"]);
    assert_eq!(too_much.status.code(), Some(1));
    let name = channel();
    let again = nob(&[&"channel", &"create", &name, &"--exclusive"]);
    assert_eq!(again.status.code(), Some(4));
    let empty = nob(&[&"channel", &"receive", &name, &"--timeout", &"0.05"]);
    assert_eq!(empty.status.code(), Some(124));
    let full = ["x".repeat(4000), "y".repeat(200)];
    text(nob(&[&"channel", &"send", &name, &full[0]]));
    let output = nob(&[&"channel", &"send", &name, &full[1], &"--timeout", &"0"]);
    assert_eq!(output.status.code(), Some(124));
    let output = nob(&[&"channel", &"send", &name, &"x", &"--priority", &"3"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_shown() {
    let _watchdog = watchdog();
    let name = channel();
    text(nob(&[&"channel", &"send", &name, &"hello"]));
    let object = shown(&name);
    for (field, value) in [
        ("messages", 1),
        ("max_messages", 3 * 512),
        ("max_message_size", 4080),
        ("used_bytes", 16),
        ("capacity", 3 * 4096),
        ("priorities", 3),
        ("waiters", 0),
        ("deaths", 0),
    ] {
        assert_eq!(object[field], value, "{field}");
    }
    let page = text(nob(&[&"show", &address("channel", &name)]));
    assert!(page.contains("1 of 1536") && page.contains("16 of 12288 bytes"), "{page}");
    let list = text(nob(&[&"ls", &"channel"]));
    assert!(list.contains("1 message, 1% full"), "{list}");
    // What is not full is not said to be.
    for priority in ["0", "1", "2"] {
        let message = "x".repeat(if priority == "0" { 4056 } else { 4080 });
        text(nob(&[&"channel", &"send", &name, &message, &"--priority", &priority]));
    }
    assert_eq!(shown(&name)["used_bytes"], 3 * 4096 - 32);
    let list = text(nob(&[&"ls", &"channel"]));
    assert!(list.contains("4 messages, 99% full"), "{list}");
    text(nob(&[&"rm", &address("channel", &name)]));
}

/// Who waits is counted, and an unlinked channel is listed while somebody uses it.
#[test]
fn waiters_and_holders() {
    let _watchdog = watchdog();
    let name = channel();
    let receiver = start(&[&"channel", &"receive", &name, &"--follow"]);
    wait_until(|| shown(&name)["waiters"] == 1);
    let list = text(nob(&[&"ls", &"channel"]));
    let line = list.lines().find(|line| line.contains(&*name)).expect("it is listed");
    assert!(line.contains("0% full, 1 waiting"), "{line}");
    let page = text(nob(&[&"show", &address("channel", &name)]));
    assert!(page.contains("1 thread"), "{page}");

    text(nob(&[&"rm", &address("channel", &name)]));
    let mut unlinked: Vec<Value> = json(&[&"ls", &"channel", &"--json"]);
    unlinked.retain(|object| object["name"] == *name);
    assert_eq!(unlinked.len(), 1);
    assert_eq!(unlinked[0]["state"], "unlinked");
    assert_eq!(unlinked[0]["holders"][0]["pid"], receiver.id());
}
