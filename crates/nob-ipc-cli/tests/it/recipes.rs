//! The recipes in `docs/command.md` work as they stand.

use std::fs;
use std::path::Path;
use std::process::Command;

use nob_ipc_testing::{Directory, Machine, output, prepare, watchdog};

use crate::support::PROGRAM;

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

/// Each block runs by itself in a shell that stops at the first error, on a machine of its own. With
/// `# prints: TEXT` it has to print that. Where no such machine can be made, those run that do no harm
/// to others.
#[test]
fn every_block_runs() {
    let _watchdog = watchdog();
    let blocks = blocks();
    assert!(blocks.len() >= 4, "the page has recipes");
    let directory = Directory::new();
    let bin = Path::new(PROGRAM).parent().expect("it is in a directory");
    let path = std::env::var("PATH").expect("there is a PATH");
    for (line, block) in blocks {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &block]).current_dir(&*directory);
        shell.env("PATH", format!("{}:{path}", bin.display()));
        let harmful = block.contains("reap") || block.contains("mount");
        let mut command = match Machine::new("size=16m").command(&shell) {
            Some(command) => command,
            None if harmful => continue,
            None => {
                prepare(&mut shell);
                shell
            }
        };
        let output = output(&mut command).expect("sh runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "line {line}: {printed}{errors}");
        for expected in block.lines().filter_map(|it| it.split_once("# prints: ")) {
            assert!(printed.contains(expected.1), "line {line} prints {printed:?}");
        }
    }
}
