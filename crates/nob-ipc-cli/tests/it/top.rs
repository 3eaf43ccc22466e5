//! `nob-ipc top`, in a real terminal: tmux.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;
use nob_ipc_testing::{Server, Unique, output, prepare, wait_until, watchdog};

use crate::support::pty::OnTerminal;
use crate::support::{Argument, PROGRAM, address, lists_queues, nob, nob_with, start, text};

/// A terminal of its own server; gone when it is dropped.
struct Tmux(String);

impl Tmux {
    fn start(command: &str, (width, height): (u16, u16)) -> Option<Tmux> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if output(Command::new("tmux").arg("-V")).is_err() {
            eprintln!("skipped: there is no tmux");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let tmux = Tmux(format!("nob-cli-{}-{count}", std::process::id()));
        let command = format!("{command}; echo status $?; sleep 60");
        let [width, height] = [width, height].map(|size| size.to_string());
        let started = tmux.run(&["new-session", "-d", "-x", &width, "-y", &height, &command]);
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
    let top = format!("{PROGRAM} top --interval 100ms");
    let Some(tmux) = Tmux::start(&top, (140, 30)) else { return };
    tmux.wait_for("KIND▲");

    tmux.press(&["/"]);
    tmux.wait_for("filter:");
    tmux.press(&["-l", &name]);
    tmux.press(&["Enter"]);
    let screen = tmux.wait_for("\n5 of ");
    for content in ["value 2", "0/8 messages", " free ", "3/3 free", "0 messages, 0% full"] {
        assert!(screen.contains(content), "{screen}");
    }

    // It is live, and draws a curve.
    for _ in 0..8 {
        text(nob(&[&"mq", &"send", &name, &"x"]));
    }
    tmux.wait_for("8/8 messages");
    tmux.wait_for("█");

    // Nobody counts the messages of a queue; those of a channel, and acquisitions, are counted.
    let screen = tmux.screen();
    let line = |kind: &str| {
        let begin = format!("{kind} ");
        let line = screen.lines().find(|line| line.starts_with(&begin) && line.contains(&*name));
        line.unwrap_or_else(|| panic!("no {kind} in {screen}"))
    };
    for (kind, rate) in [("channel", "0/s"), ("lock", "0/s"), ("mq", " - "), ("permits", " - ")] {
        assert!(line(kind).contains(rate), "{screen}");
    }

    tmux.press(&["r"]);
    let screen = tmux.wait_for("by kind ▼");
    let (queue, semaphore) = (screen.find("mq      /"), screen.find("sem     /"));
    assert!(queue.is_some() && queue < semaphore, "{screen}");
    tmux.press(&["s", "s"]);
    tmux.wait_for("by content ▼");

    // The mark follows the object; go to the first one, the full queue.
    tmux.press(&["Home", "Enter"]);
    let screen = tmux.wait_for("nobody owns its name");
    assert!(screen.contains(&format!(" mq:{name} ")), "{screen}");
    tmux.press(&["Escape"]);

    tmux.press(&["?"]);
    tmux.wait_for("acquisitions of a lock");
    tmux.press(&["?"]);
    tmux.wait_for("Enter details");
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
    tmux.wait_for("1 message, 97% full");

    tmux.press(&["q"]);
    tmux.wait_for("status 0");
}

/// What a channel and a lock do is seen as it happens, also where there is little room.
#[test]
fn small_terminals() {
    let _watchdog = watchdog();
    let name = Unique::new();
    text(nob(&[&"channel", &"create", &name]));
    for (width, columns) in [(80, &["KIND▲", "NAME", "CONTENT", "RATE"][..]), (50, &["NAME"])] {
        let top = format!("{PROGRAM} top --interval 100ms");
        let Some(tmux) = Tmux::start(&top, (width, 24)) else { return };
        tmux.wait_for("KIND▲");
        tmux.press(&["/"]);
        tmux.wait_for("filter:");
        // The last part is what all names do not have in common.
        let part = name.rsplit('-').next().expect("it has parts");
        tmux.press(&["-l", part]);
        tmux.press(&["Enter"]);
        let screen = tmux.wait_for("\n1 of ");
        assert!(columns.iter().all(|column| screen.contains(column)), "{screen}");
        let screen = tmux.wait_for("channel /");
        assert!(width == 50 || screen.contains(&*name), "{screen}");
        for line in 0..30 {
            text(nob(&[&"channel", &"send", &name, &format!("message {line}")]));
        }
        // In the header, or in the column.
        tmux.press(&["Enter"]);
        wait_until(|| {
            text(nob(&[&"channel", &"send", &name, &"another"]));
            let screen = tmux.screen();
            screen.contains("/s sent") && !screen.contains(" 0/s sent")
        });
        tmux.press(&["q"]);
        tmux.wait_for("status 0");
    }
}

/// One that tells no size is taken for one of 80 by 24.
#[test]
fn a_terminal_that_tells_no_size() {
    let _watchdog = watchdog();
    let mut person = OnTerminal::start_in((0, 0), &[&"top"]);
    person.press(b"q");
    let (status, printed) = person.end();
    assert!(status.success(), "{status:?}");
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(printed.contains("NAME") && printed.contains("? help"), "{printed:?}");
}

#[test]
fn needs_a_terminal() {
    let _watchdog = watchdog();
    // Nobody listens there: that is not asked for first.
    let nowhere = [&"top" as Argument, &"--at", &"redis://127.0.0.1:1"];
    for (arguments, list) in [(&nowhere[..1], "`nob-ipc ls`"), (&nowhere, "`nob-ipc ls --at URL`")]
    {
        let output = nob(arguments);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).expect("it is UTF-8");
        assert!(said.starts_with("nob-ipc: top needs a terminal; "), "{said}");
        assert!(said.contains(list), "{said}");
    }
}

/// A server, as this machine is watched.
#[test]
fn a_server_is_watched() {
    let _watchdog = watchdog();
    let Some(server) = Server::start(&[]) else { return };
    let url = server.url();
    let at = |arguments: &[Argument]| nob(&[arguments, &[&"--at", &url]].concat());
    text(at(&[&"mq", &"create", &"jobs", &"--max-messages", &"8"]));
    text(at(&[&"sem", &"create", &"slots", &"--value", &"0"]));
    let top = format!("{PROGRAM} --at {url} top --interval 100ms");
    let Some(tmux) = Tmux::start(&top, (100, 24)) else { return };
    let screen = tmux.wait_for("0/8 messages");
    for piece in ["2 objects", "1 sem  1 mq", &url, "value 0", "WAITING", "LEASE"] {
        assert!(screen.contains(piece), "{piece}: {screen}");
    }

    // It is live: what it holds, who waits, how long a lease has left, and what a second brings.
    let mut waiter = start(&[&"sem", &"wait", &"slots", &"--at", &url]);
    let mut holder =
        start(&[&"lock", &"run", &"backup", &"--at", &url, &"--", &"sh", &"-c", &"echo; read x"]);
    holder.line();
    tmux.wait_for("1 lock or permit held, 1 waiting");
    wait_until(|| {
        let screen = tmux.screen();
        let lock = screen.lines().find(|line| line.contains("/backup")).unwrap_or_default();
        lock.contains("held by ") && (6..10).any(|left| lock.contains(&format!(" {left}s ")))
    });
    for round in 0.. {
        text(at(&[&"mq", &"send", &"jobs", &format!("{round}"), &"--timeout", &"0"]));
        text(at(&[&"mq", &"receive", &"jobs"]));
        let screen = tmux.screen();
        let queue = screen.lines().find(|line| line.contains("/jobs")).unwrap_or_default();
        if queue.contains("/s ") && !queue.contains(" 0/s ") {
            break;
        }
    }
    holder.close_input();
    assert!(holder.end().code().is_some());
    text(at(&[&"sem", &"post", &"slots"]));
    assert!(waiter.end().success());
    tmux.wait_for("0 locks and permits held, 0 waiting");

    // The same keys.
    tmux.press(&["/"]);
    tmux.wait_for("filter:");
    tmux.press(&["-l", "mq:"]);
    tmux.press(&["Enter"]);
    tmux.wait_for("1 of 3 objects");
    tmux.press(&["Enter"]);
    let screen = tmux.wait_for("messages so far");
    assert!(
        screen.contains(" mq:/jobs ") && screen.contains("0 to receive, 0 to send"),
        "{screen}"
    );
    tmux.press(&["Escape"]);
    tmux.press(&["d"]);
    tmux.wait_for("Remove mq:/jobs?");
    tmux.press(&["n"]);
    tmux.wait_for("Enter details");
    text(at(&[&"show", &"mq:/jobs"]));
    tmux.press(&["d"]);
    tmux.wait_for("y removes it");
    tmux.press(&["y"]);
    tmux.wait_for("mq:/jobs is removed");
    assert_eq!(at(&[&"show", &"mq:/jobs"]).status.code(), Some(3));
    tmux.wait_for("0 of 2 objects");
    tmux.press(&["q"]);
    tmux.wait_for("status 0");
}

/// It says how old is what it shows, and takes keys meanwhile; when the server is back, it goes on.
#[test]
fn a_server_that_comes_and_goes() {
    let _watchdog = watchdog();
    // What is acknowledged is there after it was killed.
    let kept = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(mut server) = Server::start(&kept) else { return };
    let url = server.url();
    text(nob(&[&"sem", &"create", &"slots", &"--at", &url]));
    let top = format!("{PROGRAM} --at {url} top --interval 100ms");
    let Some(tmux) = Tmux::start(&top, (80, 24)) else { return };
    tmux.wait_for("value 1");
    let take = || text(nob(&[&"sem", &"post", &"slots", &"--at", &url]));

    server.signal(libc::SIGSTOP);
    tmux.wait_for("no answer for 2s");
    // Keys are taken between two answers of the server, of which there is none.
    for _ in 0..3 {
        tmux.press(&["?"]);
        tmux.wait_for("HISTORY  the content");
        tmux.press(&["?"]);
        let screen = tmux.wait_for("Enter details");
        // What was seen stays.
        assert!(screen.contains("no answer for") && screen.contains("value 1"), "{screen}");
    }
    server.signal(libc::SIGCONT);
    take();
    let screen = tmux.wait_for("value 2");
    assert!(!screen.contains("no answer for"), "{screen}");

    server.kill();
    tmux.wait_for("no answer for");
    tmux.wait_for("cannot be used");
    server.restart();
    take();
    let screen = tmux.wait_for("value 3");
    assert!(!screen.contains("no answer for"), "{screen}");

    // It ends though nobody answers; what was to be removed is told.
    server.signal(libc::SIGSTOP);
    tmux.press(&["d"]);
    tmux.wait_for("Remove sem:/slots?");
    tmux.press(&["y"]);
    tmux.wait_for("removing sem:/slots");
    tmux.press(&["q"]);
    let screen = tmux.wait_for("status 1");
    assert!(screen.contains("has not said whether sem:/slots is removed"), "{screen}");
    server.signal(libc::SIGCONT);
}

#[test]
fn ends_with_its_terminal() {
    let _watchdog = watchdog();
    // Which of the two it notices first, the signal or the end of the file, is open.
    let status = OnTerminal::start(&[&"top"]).hang_up();
    assert!(matches!(status.code(), Some(1 | 129)), "{status:?}");
}
