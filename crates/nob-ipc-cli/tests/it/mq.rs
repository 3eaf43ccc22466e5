//! `nob-ipc mq`.

use std::time::{Duration, Instant};

use nob_ipc_testing::{Unique, watchdog};
use serde_json::Value;

use crate::support::pty::OnTerminal;
use crate::support::{PROGRAM, address, json, nob, nob_with, shell, start, text};

fn queue() -> Unique {
    let name = Unique::new();
    let size = ["--max-messages", "5", "--max-message-size", "64"];
    text(nob(&[&"mq", &"create", &name, &size[0], &size[1], &size[2], &size[3]]));
    name
}

fn messages(name: &str) -> u64 {
    let object: Value = json(&[&"show", &address("mq", name), &"--json"]);
    object["messages"].as_u64().expect("a number")
}

#[test]
fn send_and_receive() {
    let _watchdog = watchdog();
    let name = queue();
    text(nob(&[&"mq", &"send", &name, &"later"]));
    text(nob(&[&"mq", &"send", &name, &"now", &"--priority", &"7"]));
    text(nob_with(b"from\na pipe\n", &[&"mq", &"send", &name]));
    // As it is, without a newline.
    assert_eq!(text(nob(&[&"mq", &"receive", &name])), "now");
    assert_eq!(text(nob(&[&"mq", &"receive", &name, &"--count", &"1"])), "later\n");
    assert_eq!(text(nob(&[&"mq", &"receive", &name])), "from\na pipe\n");
    text(nob(&[&"mq", &"send", &name, &""]));
    assert_eq!(text(nob(&[&"mq", &"receive", &name, &"--count", &"1"])), "\n");
}

/// Nothing on standard input is no message, unless that is asked for; lines of nothing are none.
#[test]
fn an_empty_standard_input() {
    let _watchdog = watchdog();
    let name = queue();
    let output = shell(&format!("{PROGRAM} mq send {name} < /dev/null"));
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("it is UTF-8");
    assert_eq!(
        said,
        "nob-ipc: standard input is empty, and nothing was sent; --empty sends a message without bytes\n"
    );
    text(nob_with(b"", &[&"mq", &"send", &name, &"--lines"]));
    assert_eq!(messages(&name), 0);
    text(nob_with(b"", &[&"mq", &"send", &name, &"--empty"]));
    text(nob_with(b"not empty", &[&"mq", &"send", &name, &"--empty"]));
    assert_eq!(text(nob(&[&"mq", &"receive", &name, &"--count", &"2"])), "\nnot empty\n");
    for wrong in ["--lines", "x"] {
        let output = nob(&[&"mq", &"send", &name, &"--empty", &wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}

/// One that exists is left as it is, and what it has other than was asked for is told.
#[test]
fn one_that_exists() {
    let _watchdog = watchdog();
    let name = queue();
    assert_eq!(nob(&[&"mq", &"create", &name]).stderr, b"");
    let again =
        nob(&[&"mq", &"create", &name, &"--max-messages", &"9", &"--max-message-size", &"1K"]);
    let said = String::from_utf8(again.stderr).expect("it is UTF-8");
    assert!(again.status.success());
    assert!(said.contains("limit of messages is 5, not 9"), "{said}");
    assert!(said.contains("its largest message is 64, not 1024"), "{said}");
}

#[test]
fn lines_and_json() {
    let _watchdog = watchdog();
    let name = queue();
    text(nob_with(
        b"one\n\ntwo \"quoted\"\n\xff",
        &[&"mq", &"send", &name, &"--lines", &"-p", &"3"],
    ));
    let lines = text(nob(&[&"mq", &"receive", &name, &"--count", &"4", &"--json"]));
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    let expected = [
        serde_json::json!({"message": "one", "priority": 3}),
        serde_json::json!({"message": "", "priority": 3}),
        serde_json::json!({"message": "two \"quoted\"", "priority": 3}),
        serde_json::json!({"message_base64": "/w==", "priority": 3}),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn statuses() {
    let _watchdog = watchdog();
    let name = queue();
    let begin = Instant::now();
    let late = nob(&[&"mq", &"receive", &name, &"--timeout", &"0.2"]);
    assert_eq!((late.status.code(), late.stdout.len(), late.stderr.len()), (Some(124), 0, 0));
    assert!(begin.elapsed() >= Duration::from_millis(200));
    for _ in 0..5 {
        text(nob(&[&"mq", &"send", &name, &"x"]));
    }
    let full = nob(&[&"mq", &"send", &name, &"x", &"--timeout", &"0"]);
    assert_eq!(full.status.code(), Some(124));
    text(nob(&[&"mq", &"receive", &name]));

    for long in [
        nob(&[&"mq", &"send", &name, &"x".repeat(65)]),
        nob_with(&[b'x'; 65], &[&"mq", &"send", &name]),
        nob_with(&vec![b'x'; 1 << 20], &[&"mq", &"send", &name, &"--lines"]),
    ] {
        assert_eq!(long.status.code(), Some(1));
        assert!(long.stderr.starts_with(b"nob-ipc: "));
        assert!(String::from_utf8_lossy(&long.stderr).contains("64"));
    }
    // A line of exactly the size, with its newline.
    let line = [&[b'y'; 64][..], b"\n"].concat();
    text(nob_with(&line, &[&"mq", &"send", &name, &"--lines"]));

    assert_eq!(nob(&[&"mq", &"create", &name, &"--exclusive"]).status.code(), Some(4));
    assert_eq!(text(nob(&[&"mq", &"create", &name])), "");
    let missing = Unique::new();
    assert_eq!(nob(&[&"mq", &"receive", &missing]).status.code(), Some(3));
    assert_eq!(nob(&[&"mq", &"send", &missing, &"x"]).status.code(), Some(3));
    assert_eq!(nob(&[&"mq", &"send", &name, &"x", &"-p", &"32768"]).status.code(), Some(2));
}

#[test]
fn one_shell_follows_another() {
    let _watchdog = watchdog();
    let name = queue();
    let mut follower = start(&[&"mq", &"receive", &name, &"--follow"]);
    let mut sender = start(&[&"mq", &"send", &name, &"--lines"]);
    for round in 0..20 {
        // Each line is sent when it is there.
        sender.say(format_args!("job {round}"));
        assert_eq!(follower.line(), format!("job {round}"));
    }
    sender.close_input();
    assert!(sender.end().success());
    follower.signal(nix::libc::SIGINT);
    assert_eq!(follower.end().code(), Some(130));
    assert_eq!(messages(&name), 0);
}

#[test]
fn on_a_terminal_a_newline_follows() {
    let _watchdog = watchdog();
    let name = queue();
    text(nob(&[&"mq", &"send", &name, &"hello"]));
    let (status, printed) = OnTerminal::start(&[&"mq", &"receive", &name]).end();
    assert!(status.success());
    assert_eq!(printed, b"hello\r\n");
    let mut person = OnTerminal::start(&[&"mq", &"receive", &name]);
    person.wait_until_in(&[nix::libc::SYS_mq_timedreceive]);
    person.press(b"\x03");
    assert_eq!(person.end().0.code(), Some(130));
}

/// Nobody reads any more: nothing is taken, and that is no error.
#[test]
fn a_closed_pipe_takes_no_message() {
    let _watchdog = watchdog();
    let name = queue();
    text(nob(&[&"mq", &"send", &name, &"kept"]));
    let mut receiver = start(&[&"mq", &"receive", &name, &"--follow"]);
    assert_eq!(receiver.line(), "kept");
    receiver.close_output();
    let (status, said) = receiver.end_with_errors();
    assert_eq!((status.code(), &*said), (Some(0), ""), "it ends by itself");

    text(nob(&[&"mq", &"send", &name, &"still here"]));
    let script = format!("{{ sleep 0.3; {PROGRAM} mq receive {name}; echo $? >&2; }} | true");
    let output = shell(&script);
    assert_eq!(output.stderr, b"0\n");
    assert_eq!(messages(&name), 1);
    let head = format!("{PROGRAM} mq receive {name} --follow | head -n 1");
    assert_eq!(text(shell(&head)), "still here\n");
}

/// What was taken and cannot be written is not lost: it is printed, escaped.
#[test]
fn a_message_that_cannot_be_delivered() {
    let _watchdog = watchdog();
    let name = queue();
    text(nob_with(b"lost \x1b[31m\\\n\xff", &[&"mq", &"send", &name]));
    let script = format!("{PROGRAM} mq receive {name} > /dev/full");
    let output = shell(&script);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("it is escaped");
    assert!(said.contains(r"lost \u{1b}[31m\\\n\xff"), "{said}");
    assert!(said.lines().all(|line| line.starts_with("nob-ipc: ")), "{said}");
    assert_eq!(messages(&name), 0);
}

/// Its reader sleeps and the pipe is full: messages stay in the queue.
#[test]
fn a_full_pipe_takes_no_message() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"mq", &"create", &name, &"--max-messages", &"8", &"--max-message-size", &"8K"]));
    let mut receiver = start(&[&"mq", &"receive", &name, &"--follow"]);
    let message = "m".repeat(8000);
    // 64 KiB fit into the pipe, and one message may be on its way.
    let mut sent = 0;
    while nob(&[&"mq", &"send", &name, &message, &"--timeout", &"1"]).status.success() {
        sent += 1;
    }
    assert!(messages(&name) >= 7, "{} of {sent} are left", messages(&name));
    for _ in 0..sent {
        assert_eq!(receiver.line(), message);
    }
}
