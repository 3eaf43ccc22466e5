//! The screen, as it is drawn, at several sizes.

use std::time::{Duration, Instant};

use nob_ipc::registry;
use nob_ipc::{Channel, Existence, Kind, Lock, Semaphore, SharedMemory};
use nob_ipc_redis::{BoundedSemaphore, Connection, MessageQueue};
use nob_ipc_testing::Unique;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Look, Mode, Model, Wish};
use super::row::Row;
use super::view;
use crate::room::Room;

/// The objects that the screens show, and their common beginning.
struct Objects {
    begin: String,
    semaphores: Vec<Semaphore>,
    lock: Lock,
    channel: Channel,
    segment: SharedMemory,
    now: Instant,
}

impl Objects {
    fn new() -> Objects {
        let begin = Unique::new().to_string();
        let existence = Existence::Create;
        let semaphore = |number: u32| {
            let name = format!("{begin}-a{number}");
            let mut options = Semaphore::options();
            options.existence(existence).initial_value(number).open(name).expect("a new one")
        };
        let channel = Channel::options().existence(existence).open(format!("{begin}-pages"));
        let segment = SharedMemory::options()
            .existence(existence)
            .size(65_536)
            .open(format!("{begin}-frame"));
        Objects {
            semaphores: [1, 2, 10].map(semaphore).into(),
            lock: Lock::options()
                .existence(existence)
                .open(format!("{begin}-backup"))
                .expect("a new one"),
            channel: channel.expect("a new one"),
            segment: segment.expect("a new one"),
            now: Instant::now(),
            begin,
        }
    }

    /// One look at these objects alone, a second after the last.
    fn look(&mut self, model: &mut Model) {
        let mut listing = registry::list(&Kind::ALL).expect("it can be listed");
        let begin = self.begin.as_bytes();
        listing.objects.retain(|object| object.name().as_bytes().starts_with(begin));
        listing.unlinked.clear();
        listing.queues = registry::Coverage::All;
        listing.unseen_processes = 0;
        let room = Room { total: 64 << 20, free: 16 << 20, files: 100, free_files: 90 };
        self.now += Duration::from_secs(1);
        model.update(Look::Machine { listing, room: Some(room), at: self.now });
    }

    /// A model that has looked twice; in between, a second was busy.
    fn model(&mut self) -> Model {
        let mut model = Model::default();
        self.look(&mut model);
        for _ in 0..20 {
            drop(self.lock.acquire().expect("it is free"));
        }
        for _ in 0..1500 {
            self.channel.send(b"message", 0).expect("there is room");
        }
        self.look(&mut model);
        model
    }

    fn name(&self, end: &str) -> String {
        format!("{}-{end}", self.begin)
    }
}

/// The lines of the screen, without spaces at the end.
fn screen(model: &mut Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is memory");
    terminal.draw(|frame| view::draw(frame, model)).expect("it is memory");
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_string()).collect()
}

fn press(model: &mut Model, keys: &str) -> Wish {
    let mut wish = Wish::Nothing;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        wish = model.press(KeyEvent::new(code, KeyModifiers::NONE));
    }
    wish
}

/// What remains of a line when the names are as short as can be.
fn shortened(objects: &Objects, lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.replace(&objects.begin, "/n")).collect()
}

#[track_caller]
fn line_with<'a>(lines: &'a [String], what: &str) -> &'a str {
    let found = lines.iter().find(|line| line.contains(what));
    found.unwrap_or_else(|| panic!("no {what:?} in {lines:#?}"))
}

#[test]
fn eighty_by_twenty_four() {
    let _watchdog = nob_ipc_testing::watchdog();
    let mut objects = Objects::new();
    let mut model = objects.model();
    let lines = screen(&mut model, 80, 24);
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
    assert_eq!(lines[0], "nob-ipc  6 objects  3 sem  1 shm  1 lock  1 channel");
    let room = "48 MiB used, 16 MiB of 64 MiB free";
    assert_eq!(lines[1], format!("/dev/shm [{}{}] {room}", "|".repeat(25), " ".repeat(9)));
    assert!(lines[2].starts_with("used by 1 process, owned by "), "{}", lines[2]);
    assert!(lines[2].ends_with("messages 1.5k/s, acquisitions 20/s"), "{}", lines[2]);
    assert_eq!(lines[3], "6 of 6 objects, by kind ▲");
    let titles: Vec<_> = lines[4].split_whitespace().collect();
    assert_eq!(titles[..4], ["KIND▲", "NAME", "CONTENT", "RATE"], "{titles:?}");
    // Names are whole, and in their natural order.
    let names: Vec<_> = lines[5..11].iter().map(|line| line.split_whitespace().nth(1)).collect();
    let expected = ["a1", "a2", "a10", "frame", "backup", "pages"].map(|end| objects.name(end));
    assert_eq!(names, expected.each_ref().map(|name| Some(&**name)));
    let lines = shortened(&objects, &lines);
    for (name, pieces) in [
        ("a10", &["sem", "value 10", " - "][..]),
        ("frame", &["shm", "64 KiB", " - "]),
        ("backup", &["lock", "free", "20/s"]),
        ("pages", &["channel", "1500 mess", "1.5k/s"]),
    ] {
        let line = line_with(&lines, &format!("/n-{name}"));
        assert!(pieces.iter().all(|piece| line.contains(piece)), "{line}");
    }
    assert_eq!(
        lines[23],
        "? help  q quit  Enter details  s sort  / filter  d remove  r reverse  ↑↓ move"
    );
}

#[test]
fn other_sizes() {
    let _watchdog = nob_ipc_testing::watchdog();
    let mut objects = Objects::new();
    let mut model = objects.model();
    let wide = screen(&mut model, 160, 24);
    let titles: Vec<_> = wide[4].split_whitespace().collect();
    assert_eq!(
        titles,
        [
            "KIND▲", "NAME", "CONTENT", "RATE", "HISTORY", "OWNER", "MODE", "AGE", "STATUS",
            "HOLDERS"
        ]
    );
    let line = line_with(&wide, &objects.name("pages"));
    let pieces = ["1500 messages, 2% full", "▁", "0600", "in use", &std::process::id().to_string()];
    assert!(pieces.iter().all(|piece| line.contains(piece)), "{line}");
    for (width, height) in [(120, 40), (50, 24), (40, 10), (30, 6), (12, 4)] {
        let lines = screen(&mut model, width, height);
        assert!(line_with(&lines, "NAME").starts_with(if width < 30 { "NAME" } else { "KIND" }));
        // Both ends of a name are there, if it is not whole.
        let begin = &objects.begin[..4];
        let is_name = |line: &&String| line.contains(begin) && line.contains("-a1");
        assert!(lines.iter().any(|line| is_name(&line)), "{lines:#?}");
    }
    // One that is narrow: all of a name but what all have in common.
    let narrow = screen(&mut model, 50, 24);
    for end in ["-a1", "-a10", "-frame", "-pages"] {
        let line = line_with(&narrow, end);
        assert!(line.contains("/nob-rust-") && line.len() > 45, "{line}");
    }
    // Whatever the size is, it is drawn.
    for (width, height) in [(1, 1), (0, 0), (3, 2), (300, 3), (2, 100)] {
        for mode in [Mode::List, Mode::Filter, Mode::Details, Mode::Confirm, Mode::Help] {
            model.mode = mode;
            model.asked = model.shown.first().cloned();
            screen(&mut model, width, height);
        }
    }
}

#[test]
fn the_question_and_the_help_are_whole() {
    let _watchdog = nob_ipc_testing::watchdog();
    let mut objects = Objects::new();
    let mut model = objects.model();
    for (width, height) in [(80, 24), (50, 24)] {
        press(&mut model, "Gd");
        let lines = screen(&mut model, width, height);
        // The lines of the box, without its frame, as one.
        let text: String =
            lines.iter().filter_map(|line| Some(line.split('│').nth(1)?.trim())).collect();
        let question = format!("channel:{}?", objects.name("pages"));
        assert!(text.contains(&question), "{lines:#?}");
        assert!(text.contains("Used by 1 process, which can go on: "), "{text}");
        assert!(text.contains("y removes it, any other key leaves it"), "{lines:#?}");
        assert!(matches!(press(&mut model, "n"), Wish::Nothing));

        press(&mut model, "?");
        let lines = screen(&mut model, width, height);
        for key in ["move", "filter", "sort by", "reverse", "remove it", "quit", "the processes"] {
            line_with(&lines, key);
        }
        press(&mut model, " ");
        assert_eq!(model.mode, Mode::List);
    }
    // A long word of the system is broken into lines.
    model.say("it failed: ".repeat(12));
    let lines = screen(&mut model, 50, 24);
    assert_eq!(lines.join(" ").matches("failed").count(), 12, "{lines:#?}");
}

/// It is asked for one object; another that takes its place is not removed.
#[test]
fn what_vanishes_while_it_is_asked_for() {
    let _watchdog = nob_ipc_testing::watchdog();
    let mut objects = Objects::new();
    let mut model = objects.model();
    press(&mut model, "gd");
    let name = objects.name("a1");
    objects.semaphores.remove(0);
    objects.look(&mut model);
    let lines = screen(&mut model, 100, 24);
    line_with(&lines, &name);
    let Wish::Unlink(Row::Here(object)) = press(&mut model, "y") else { panic!("confirmed") };
    assert_eq!(object.name().as_bytes(), name.as_bytes());
    object.unlink().expect_err("it is gone");
    // Details are of what was marked, and go with it.
    press(&mut model, "g\n");
    assert_eq!(model.mode, Mode::Details);
    objects.semaphores.remove(0);
    objects.look(&mut model);
    assert_eq!(model.mode, Mode::List);
}

#[test]
fn sorted_by_each_column() {
    let _watchdog = nob_ipc_testing::watchdog();
    let mut objects = Objects::new();
    let mut model = objects.model();
    let mut seen = Vec::new();
    for _ in 0..9 {
        seen.push(model.sort.word());
        let wide = screen(&mut model, 200, 24);
        let arrow = if model.descends() { '▼' } else { '▲' };
        let title = model.sort.word().to_uppercase();
        assert!(wide[4].contains(&format!("{title}{arrow}")), "{}", wide[4]);
        press(&mut model, "s");
    }
    assert_eq!(
        seen,
        ["kind", "name", "content", "rate", "owner", "mode", "age", "status", "holders"]
    );
    assert_eq!(model.sort.word(), "kind");
    let ends = |model: &Model| -> Vec<String> {
        let end = |row: &Row| {
            let name = String::from_utf8_lossy(row.name().as_bytes()).into_owned();
            name.trim_start_matches(&objects.begin).to_string()
        };
        model.shown.iter().map(end).collect()
    };
    press(&mut model, "s");
    assert_eq!(ends(&model), ["-a1", "-a2", "-a10", "-backup", "-frame", "-pages"]);
    press(&mut model, "r");
    assert_eq!(ends(&model)[..2], ["-pages", "-frame"]);
    press(&mut model, "ss");
    assert_eq!(ends(&model)[..2], ["-pages", "-backup"], "by rate, the largest first");
    press(&mut model, "S");
    assert_eq!((model.sort.word(), &*ends(&model)[0]), ("content", "-frame"));
    press(&mut model, "/channel\n");
    assert_eq!(ends(&model), ["-pages"]);
    line_with(&screen(&mut model, 80, 24), "1 of 6 objects, by content ▼, with \"channel\"");
    press(&mut model, "\u{1b}");
    assert_eq!(model.shown.len(), 6);
    assert!(objects.segment.size().is_ok());
}

#[test]
fn details_tell_the_rates_and_are_not_cut() {
    let _watchdog = nob_ipc_testing::watchdog();
    let mut objects = Objects::new();
    let mut model = objects.model();
    press(&mut model, "G\n");
    let lines = screen(&mut model, 80, 40);
    line_with(&lines, "rate          1.5k/s sent, 0/s received");
    line_with(&lines, "messages      1500 of ");
    press(&mut model, "k");
    let lines = screen(&mut model, 40, 12);
    line_with(&lines, "more; show prints all");
    let lines = screen(&mut model, 50, 40);
    line_with(&lines, "rate          20/s acquisitions");
    line_with(&lines, "acquired      20 times");
}

/// A model of a server that was looked at twice, with a busy time in between.
fn of_server(connection: &Connection, change: impl FnOnce()) -> Model {
    let mut model = Model::new(Some(connection.url()));
    let mut watch = connection.watch();
    let mut look = |model: &mut Model| {
        let failure = watch.step(&model.on_screen()).err();
        let objects = watch.objects().cloned().collect();
        let (whole, overflows) = (watch.is_whole(), watch.overflows());
        model.update(Look::Server { objects, whole, overflows, failure, at: Instant::now() });
    };
    look(&mut model);
    change();
    // Two looks that are closer tell nothing of a second.
    std::thread::sleep(Duration::from_millis(60));
    look(&mut model);
    model
}

#[test]
fn a_server_at_several_sizes() {
    let _watchdog = nob_ipc_testing::watchdog();
    let Some(server) = nob_ipc_testing::Server::start(&[]) else { return };
    let connection = Connection::open(&server.url()).expect("it answers");
    let created = Existence::Create;
    let queue = MessageQueue::options(&connection).max_messages(100).existence(created).open("/q");
    let queue = queue.expect("a new one");
    let lock = nob_ipc_redis::Lock::options(&connection).existence(created).open("/backup");
    let lock = lock.expect("a new one");
    let permits = BoundedSemaphore::options(&connection).bound(3).existence(created).open("/p");
    let permits = permits.expect("a new one");
    let mut model = of_server(&connection, || {
        for _ in 0..30 {
            queue.send(b"x", 0).expect("there is room");
        }
        lock.acquire().expect("it is free");
        permits.acquire().expect("one is free");
    });
    let pid = std::process::id();
    let lines = screen(&mut model, 80, 24);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    assert_eq!(lines[0], "nob-ipc  3 objects  1 mq  1 lock  1 permits");
    assert_eq!(lines[1], server.url());
    assert!(lines[2].starts_with("2 locks and permits held, 0 waiting, messages "), "{}", lines[2]);
    assert_eq!(lines[3], "3 of 3 objects, by kind ▲");
    // What else has room, and how much, depends on how long the number of this process is.
    let titles: Vec<_> = lines[4].split_whitespace().collect();
    assert_eq!(titles[..3], ["KIND▲", "NAME", "CONTENT"]);
    assert!(
        ["RATE", "WAITING", "LEASE", "HOLDERS"].iter().all(|it| titles.contains(it)),
        "{titles:?}"
    );
    assert!(line_with(&lines, "mq      /q").contains("30/100 m"));
    let lines = screen(&mut model, 200, 24);
    let queue_line = line_with(&lines, "mq      /q");
    assert!(queue_line.contains("30/100 messages") && queue_line.contains("/s"), "{queue_line}");
    let lock_line = line_with(&lines, "/backup");
    for piece in [&format!("held by {pid}"), " - ", &format!("s {pid}")] {
        assert!(lock_line.contains(piece), "{lock_line}");
    }
    assert!(line_with(&lines, "/p ").contains("2/3 free"));
    for (width, height) in [(200, 24), (50, 24), (30, 6), (12, 4), (1, 1), (0, 0)] {
        for mode in [Mode::Filter, Mode::Details, Mode::Confirm, Mode::Help, Mode::List] {
            model.mode = mode;
            model.asked = model.shown.first().cloned();
            let lines = screen(&mut model, width, height);
            assert!(mode != Mode::List || width < 12 || lines.iter().any(|it| it.contains("/q")));
        }
    }
    let titles = screen(&mut model, 200, 24).swap_remove(4);
    let all =
        ["KIND▲", "NAME", "CONTENT", "RATE", "HISTORY", "WAITING", "LEASE", "HOLDERS", "CREATOR"];
    assert_eq!(titles.split_whitespace().collect::<Vec<_>>(), all);

    // Each column sorts, and there are no others.
    for title in all.iter().skip(1).chain(["KIND"].iter()) {
        let word = title.trim_end_matches('▲').to_lowercase();
        if word != "history" {
            press(&mut model, "s");
            assert_eq!(model.sort.word(), word);
        }
    }
    press(&mut model, "sss");
    assert_eq!(model.shown[0].address(), "mq:/q", "by rate");

    press(&mut model, "r/backup\n\n");
    let lines = screen(&mut model, 80, 24);
    line_with(&lines, &format!("holder        process {pid} of its machine"));
    line_with(&lines, "waiting       nobody");
    line_with(&lines, "left, unless it is renewed");
    press(&mut model, "\u{1b}d");
    let lines = screen(&mut model, 80, 24);
    line_with(&lines, "Remove lock:/backup?");
    line_with(&lines, &format!("Held by {pid}. Whoever has it open can go on."));
    let Wish::Unlink(Row::There(found)) = press(&mut model, "y") else { panic!("confirmed") };
    assert_eq!(found.info.name.as_bytes(), b"/backup");
    press(&mut model, "?");
    for (width, height) in [(80, 24), (50, 24)] {
        let lines = screen(&mut model, width, height);
        for word in ["WAITING", "LEASE", "CREATOR", "Rows that are not seen"] {
            line_with(&lines, word);
        }
    }
}

/// What is shown is old then, and says so at any size.
#[test]
fn a_server_that_has_gone() {
    let _watchdog = nob_ipc_testing::watchdog();
    let Some(mut server) = nob_ipc_testing::Server::start(&[]) else { return };
    let connection = Connection::open(&server.url()).expect("it answers");
    let options = &mut nob_ipc_redis::Semaphore::options(&connection);
    options.existence(Existence::LinkOrCreate).open("/s").expect("a new one");
    let mut model = of_server(&connection, || server.kill());
    let lines = screen(&mut model, 80, 24);
    assert_eq!(lines[1], format!("{}  no answer for 0s", connection.url()));
    assert!(lines[2].contains("cannot be used"), "{}", lines[2]);
    line_with(&lines, "sem   /s ");
    let lines = screen(&mut model, 40, 10);
    assert!(lines[0].starts_with("no answer for 0s; 1 of 1 object, by "), "{}", lines[0]);
    let lines = screen(&mut model, 16, 24);
    assert_eq!(lines[1], "no answer for 0s");
}
