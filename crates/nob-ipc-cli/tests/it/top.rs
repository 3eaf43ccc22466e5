//! `nob-ipc top`, in a real terminal: tmux.

use std::process::{Command, Output};

use nob_ipc_testing::{Unique, output, prepare, wait_until, watchdog};

use crate::support::pty::OnTerminal;
use crate::support::{PROGRAM, address, lists_queues, nob, nob_with, text};

/// A terminal of its own server; gone when it is dropped.
struct Tmux(String);

impl Tmux {
    fn start(command: &str) -> Option<Tmux> {
        if output(Command::new("tmux").arg("-V")).is_err() {
            eprintln!("skipped: there is no tmux");
            return None;
        }
        let tmux = Tmux(format!("nob-cli-{}", std::process::id()));
        let command = format!("{command}; echo status $?; sleep 60");
        let started = tmux.run(&["new-session", "-d", "-x", "140", "-y", "30", &command]);
        assert!(started.status.success(), "{started:?}");
        Some(tmux)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-f", "/dev/null", "-L", &self.0]).args(arguments);
        output(prepare(&mut command)).expect("tmux runs")
    }

    fn screen(&self) -> String {
        String::from_utf8(self.run(&["capture-pane", "-p"]).stdout).expect("it is UTF-8")
    }

    fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen shows something.
    fn wait_for(&self, what: &str) -> String {
        let mut screen = String::new();
        wait_until(|| {
            screen = self.screen();
            screen.contains(what)
        });
        screen
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn watch_filter_look_and_remove() {
    let _watchdog = watchdog();
    if !lists_queues() {
        return;
    }
    let name = Unique::new();
    text(nob(&[&"sem", &"create", &name, &"--value", &"2"]));
    text(nob(&[&"mq", &"create", &name, &"--max-messages", &"8", &"--max-message-size", &"8"]));
    text(nob(&[&"lock", &"run", &name, &"--", &"true"]));
    text(nob(&[&"permits", &"run", &name, &"--value", &"3", &"--", &"true"]));
    text(nob(&[&"channel", &"create", &name, &"--capacity", &"4K"]));
    let Some(tmux) = Tmux::start(&format!("{PROGRAM} top --interval 0.1")) else { return };
    tmux.wait_for("KIND    NAME");

    tmux.press(&["/"]);
    tmux.wait_for("filter:");
    tmux.press(&["-l", &name]);
    tmux.press(&["Enter"]);
    let screen = tmux.wait_for(" 5 of ");
    for content in ["value 2", "0/8 messages", " free ", "3/3 free", "0 messages, 0% full"] {
        assert!(screen.contains(content), "{screen}");
    }

    // It is live, and draws a curve.
    for _ in 0..8 {
        text(nob(&[&"mq", &"send", &name, &"x"]));
    }
    tmux.wait_for("8/8 messages");
    tmux.wait_for("█");

    tmux.press(&["r"]);
    let screen = tmux.wait_for("reversed");
    let (queue, semaphore) = (screen.find("mq      /"), screen.find("sem     /"));
    assert!(queue.is_some() && queue < semaphore, "{screen}");
    tmux.press(&["r", "s"]);
    tmux.wait_for("by content");

    // The mark follows the object; go to the last one, the full queue.
    tmux.press(&["End", "Enter"]);
    let screen = tmux.wait_for("nobody owns its name");
    assert!(screen.contains(&format!(" mq:{name} ")), "{screen}");
    tmux.press(&["Escape"]);

    tmux.press(&["d"]);
    tmux.wait_for(&format!("Remove mq:{name}?"));
    tmux.press(&["n"]);
    tmux.wait_for("Enter details");
    assert!(nob(&[&"show", &address("mq", &name)]).status.success(), "it was not confirmed");
    tmux.press(&["d"]);
    tmux.wait_for("y removes it");
    tmux.press(&["y"]);
    tmux.wait_for("is removed");
    assert_eq!(nob(&[&"show", &address("mq", &name)]).status.code(), Some(3));

    // A channel is shown as how full its bytes are.
    text(nob_with(&[b'x'; 4000], &[&"channel", &"send", &name]));
    tmux.wait_for("1 messages, 98% full");

    tmux.press(&["q"]);
    tmux.wait_for("status 0");
}

#[test]
fn needs_a_terminal() {
    let _watchdog = watchdog();
    let output = nob(&[&"top"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.starts_with(b"nob-ipc: top needs a terminal"));
}

#[test]
fn ends_with_its_terminal() {
    let _watchdog = watchdog();
    // Which of the two it notices first, the signal or the end of the file, is open.
    let status = OnTerminal::start(&[&"top"]).hang_up();
    assert!(matches!(status.code(), Some(1 | 129)), "{status:?}");
}
