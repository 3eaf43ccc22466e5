//! The recipes in `docs/command.md` work as they stand.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{PROGRAM, watchdog};

/// The blocks of shell in the page, each with the number of its first line.
fn blocks() -> Vec<(usize, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command.md");
    let page = fs::read_to_string(path).expect("the page is there");
    let mut blocks = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match (line, &mut block) {
            ("```sh", None) => block = Some((number + 2, String::new())),
            ("```", Some(_)) => blocks.extend(block.take()),
            (line, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

/// Each block runs by itself in a shell that stops at the first error. With `# prints: TEXT` it has to
/// print that. All run one after the other in namespaces of their own, since they reap.
#[test]
fn every_block_runs() {
    let _watchdog = watchdog();
    let isolated = ["--mount", "--ipc"];
    let permitted = Command::new("unshare").args(isolated).arg("true").output();
    let isolate = permitted.is_ok_and(|output| output.status.success());
    let blocks = blocks();
    assert!(blocks.len() >= 4, "the page has recipes");
    let directory = std::env::temp_dir().join(format!("nob-cli-recipes-{}", std::process::id()));
    fs::create_dir(&directory).expect("the name is free");
    let bin = Path::new(PROGRAM).parent().expect("it is in a directory");
    let path = std::env::var("PATH").expect("there is a PATH");
    for (line, block) in blocks {
        if !isolate && (block.contains("reap") || block.contains("mount")) {
            eprintln!("skipped: line {line} needs namespaces of its own");
            continue;
        }
        let mut command = if isolate {
            let mut command = Command::new("unshare");
            let script = "mount -t tmpfs tmpfs /dev/shm && exec sh -eu -c \"$1\"";
            command.args(isolated).args(["sh", "-c", script, "sh"]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-eu", "-c"]);
            command
        };
        let command = command.arg(&block).current_dir(&directory).stdin(Stdio::null());
        let command = command.env("PATH", format!("{}:{path}", bin.display()));
        let output = command.output().expect("sh runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "line {line}: {printed}{errors}");
        for expected in block.lines().filter_map(|it| it.split_once("# prints: ")) {
            assert!(printed.contains(expected.1), "line {line} prints {printed:?}");
        }
    }
    fs::remove_dir_all(&directory).expect("it is there");
}
