//! Help, version, completions, manual pages.

use std::fs;
use std::process::Command;

use nob_ipc_testing::{Directory, output, watchdog};

use crate::support::{Argument, nob, nob_with, text, words};

/// All commands, by their words.
fn commands() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, words: &[String], all: &mut Vec<Vec<String>>) {
        all.push(words.to_vec());
        for subcommand in command.get_subcommands() {
            let words = [words, &[subcommand.get_name().to_string()]].concat();
            collect(subcommand, &words, all);
        }
    }
    let mut all = Vec::new();
    collect(&nob_ipc_cli::definition(), &[], &mut all);
    all
}

/// The help of every command is the committed one. `NOB_IPC_UPDATE=1` commits what it is now.
#[test]
fn help_is_as_committed() {
    let _watchdog = watchdog();
    let mut all = String::new();
    for words in commands() {
        let mut arguments: Vec<Argument> = words.iter().map(|word| word as Argument).collect();
        arguments.push(&"--help");
        let help = text(nob(&arguments));
        assert!(help.contains("Example"), "{words:?} has no example");
        let line = [&["nob-ipc".to_string()], &*words, &["--help".to_string()]].concat().join(" ");
        all.extend(["$ ", &line, "\n", &help, "\n"]);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt");
    if std::env::var_os("NOB_IPC_UPDATE").is_some() {
        fs::write(path, &all).expect("the file can be written");
    }
    let committed = fs::read_to_string(path).expect("the file is there");
    assert!(all == committed, "the help has changed; look at it, and set NOB_IPC_UPDATE=1:\n{all}");
}

#[test]
fn version_and_usage() {
    let _watchdog = watchdog();
    let version = text(nob(&[&"--version"]));
    assert_eq!(version, format!("nob-ipc {}\n", env!("CARGO_PKG_VERSION")));
    for wrong in [
        &["no-such-command"][..],
        &["show", "name-without-kind"],
        &["sem", "value"],
        &["sem", "value", "a/b"],
        &["shm", "create", "x", "many"],
        &["reap", "--unused"],
        &[],
    ] {
        let output = nob(&words(wrong));
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
}

/// A shell takes the completions, where it is there.
#[test]
fn completions_are_scripts() {
    let _watchdog = watchdog();
    let directory = Directory::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = text(nob(&[&"completions", &shell]));
        assert!(script.contains("nob-ipc"), "{shell}");
        if output(Command::new(shell).arg("-n")).is_err() {
            eprintln!("skipped: there is no {shell} to check its completions");
            continue;
        }
        let file = directory.join(shell);
        fs::write(&file, script).expect("the file can be written");
        let checked = output(Command::new(shell).arg("-n").arg(&file));
        assert!(checked.expect("it ran before").status.success(), "{shell}");
    }
    assert_eq!(nob_with(b"", &[&"completions", &"tcsh-2000"]).status.code(), Some(2));
}

/// Behind a subcommand, too, which no shell checks in a script.
#[test]
fn bash_completes() {
    let _watchdog = watchdog();
    let directory = Directory::new();
    let script = directory.join("script");
    fs::write(&script, text(nob(&[&"completions", &"bash"]))).expect("the file can be written");
    // As bash calls the function when Tab is pressed behind the last word.
    let press = r#"
        source "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        words=$(complete -p nob-ipc)
        [[ $words =~ -F\ ([^ ]+) ]]
        "${BASH_REMATCH[1]}" nob-ipc "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    for (line, expected) in [
        (&["l"][..], &["ls", "lock"][..]),
        (&["sem", ""], &["create", "wait", "post", "value", "run"]),
        (&["sem", "run", "--"], &["--create", "--timeout"]),
        (&["mq", "send", "jobs", "--p"], &["--priority"]),
        (&["ls", ""], &["sem", "permits", "channel"]),
        (&["completions", "f"], &["fish"]),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", press]).arg(&script).arg("nob-ipc").args(line);
        let Ok(pressed) = output(&mut bash) else {
            eprintln!("skipped: there is no bash to complete with");
            return;
        };
        let offered = String::from_utf8_lossy(&pressed.stdout);
        let offered: Vec<&str> = offered.lines().collect();
        for word in expected {
            assert!(offered.contains(word), "{line:?}: {offered:?} {pressed:?}");
        }
    }
}

/// Each argument says what it is, no paragraph is broken before a terminal's width is known, and each number
/// that is too small is refused as that.
#[test]
fn arguments_are_explained() {
    fn arguments(command: &clap::Command, words: &str) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<&str> = after.lines().collect();
        for pair in lines.windows(2) {
            let begins = ["  ", "Example"].iter().any(|start| pair[1].starts_with(start));
            assert!(begins || pair.contains(&""), "{words}: {pair:?} is one paragraph");
        }
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{words} {argument}");
        }
        for subcommand in command.get_subcommands() {
            arguments(subcommand, &format!("{words} {}", subcommand.get_name()));
        }
    }
    let _watchdog = watchdog();
    arguments(&nob_ipc_cli::definition(), "nob-ipc");
    for wrong in [
        &["sem", "create", "x", "--value", "-1"][..],
        &["sem", "create", "x", "--value", "2147483648"],
        &["sem", "post", "x", "--count", "-1"],
        &["sem", "wait", "x", "--timeout", "-1"],
        &["mq", "send", "x", "y", "--priority", "-1"],
        &["channel", "receive", "x", "--count", "-2"],
        &["shm", "read", "x", "--offset", "-4"],
        &["top", "--interval", "-0.5"],
    ] {
        let refused = nob(&words(wrong));
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        let value = wrong.last().expect("it has words");
        assert!(said.contains(&format!("invalid value '{value}' for '--")), "{said}");
    }
}

#[test]
fn manual_pages_are_made_of_the_definition() {
    let _watchdog = watchdog();
    let mut page = Vec::new();
    clap_mangen::Man::new(nob_ipc_cli::definition()).render(&mut page).expect("memory suffices");
    let page = String::from_utf8(page).expect("it is UTF-8");
    assert!(page.contains(".TH nob\\-ipc") || page.contains(".TH nob-ipc"), "{page}");
    for command in ["ls", "reap", "doctor", "mq"] {
        assert!(page.contains(&format!("nob\\-ipc\\-{command}(1)")), "{command}: {page}");
    }
}
