//! What is listed, and what `Reap` removes: only what is proven to be left behind. Each test has a machine
//! of its own, on which nothing else can be found.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nob_ipc::registry::{self, Coverage, Creator, Finding, Measure, Outcome, Reap, State};
use nob_ipc::{Existence, Kind, Name};
use nob_ipc_testing::{Child, Machine, Role, files, hold, marks, users};

use crate::support::{Object, can_be_marked, new_queue, new_segment, new_semaphore};

pub const ROLES: &[Role] = &[
    ("list_and_reap::create", |arguments| {
        let _created = Object::create(arguments.kind(0), arguments.text(1));
        hold();
    }),
    ("list_and_reap::each_object", |_| each_object()),
    ("list_and_reap::without_a_name", |_| without_a_name()),
    ("list_and_reap::strangers", |_| strangers()),
    ("list_and_reap::creators", |_| creators()),
    ("list_and_reap::held", |_| held()),
    ("list_and_reap::narrowed", |_| narrowed()),
    ("list_and_reap::unused", |_| unused()),
    ("list_and_reap::of_another_user", |_| of_another_user()),
];

fn own_pid() -> u32 {
    std::process::id()
}

/// An object that no handle owns, with a mark or without.
fn leave(kind: Kind, name: &str, mark: Option<&str>) {
    let options = Object::options(kind).existence(Existence::Create);
    let object = options.unlink_on_drop(mark.is_some()).open(name).expect("a new object");
    if let Some(mark) = mark {
        marks::set_mark(kind, name, mark);
    }
    std::mem::forget(object.ownership().clone());
}

/// An object whose creator is dead.
fn orphan(kind: Kind, name: &str) {
    leave(kind, name, Some(&marks::mark_of_the_dead()));
}

fn names(findings: &[Finding]) -> Vec<String> {
    let line = |finding: &Finding| {
        format!("{}:{}", finding.object.kind().short_word(), finding.object.name())
    };
    findings.iter().map(line).collect()
}

/// What a run removes. A dry run before it says the same, and removes nothing.
#[track_caller]
fn removed(reap: &Reap) -> Vec<String> {
    let would = |finding: &Finding| matches!(finding.outcome, Outcome::WouldRemove);
    let mut dry = reap.dry_run().expect("it can be listed").0;
    dry.retain(would);
    let mut done = reap.run().expect("it can be listed").0;
    assert!(!done.iter().any(would));
    done.retain(|finding| matches!(finding.outcome, Outcome::Removed));
    assert_eq!(names(&done), names(&dry));
    for finding in &done {
        let name = finding.object.name().to_string();
        assert!(!files::exists(finding.object.kind(), &name), "{name} is there still");
    }
    names(&done)
}

#[test]
fn each_object_is_listed() {
    Machine::new("size=1m").run("list_and_reap::each_object", &[]);
}

fn each_object() {
    let semaphore = new_semaphore("/x", 3);
    let segment = new_segment("/x", 5000);
    let queue = new_queue("/x", 2, 16);
    queue.send(b"one", 0).expect("there is room");
    let path = files::file(Kind::Semaphore, "/x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");

    let listing = registry::list(&Kind::ALL).expect("it can be listed");
    assert_eq!(listing.queues, Coverage::All);
    let [sem, shm, mq] = &listing.objects[..] else { panic!("{listing:?}") };
    for (object, kind) in [sem, shm, mq].into_iter().zip(Kind::ALL) {
        assert_eq!((object.kind(), &*object.name().to_string()), (kind, "/x"));
        assert_eq!(object.owner(), users::effective());
        assert_eq!(object.mode(), if kind == Kind::Semaphore { 0o640 } else { 0o600 });
        let holders: Vec<u32> = object.holders().iter().map(|holder| holder.pid).collect();
        assert_eq!(holders, [own_pid()], "{kind}");
        assert_eq!((object.used(), object.unseen()), (Some(true), 0), "{kind}");
        assert_eq!((object.orphan(), object.state()), (Some(false), State::InUse), "{kind}");
        assert!(!object.is_shared());
        if can_be_marked(kind) {
            let creator = object.creator();
            let ours = matches!(creator, Creator::Process { pid, alive: Some(true), .. }
                if pid == own_pid());
            assert!(ours, "{kind}: {creator:?}");
        }
        let found = registry::find(object.name()).expect("it is there");
        assert_eq!(found.identity(), object.identity());
    }
    assert_eq!(sem.measure(), Measure::Value(Some(3)));
    let Measure::Size { bytes, allocated } = shm.measure() else { panic!("{shm:?}") };
    assert!(bytes == 5000 && allocated >= 5000, "{bytes} {allocated}");
    let Measure::Depth(Some(depth)) = mq.measure() else { panic!("{mq:?}") };
    assert_eq!((depth.messages, depth.max_messages, depth.max_message_size), (1, 2, 16));

    let listing = registry::list(&[Kind::SharedMemory]).expect("it can be listed");
    assert_eq!(listing.objects.len(), 1);
    drop((semaphore, segment, queue));
    assert!(registry::list(&Kind::ALL).expect("it can be listed").objects.is_empty());
}

/// What has lost its name is listed as long as somebody holds it.
#[test]
fn what_has_lost_its_name() {
    Machine::new("size=1m").run("list_and_reap::without_a_name", &[]);
}

fn without_a_name() {
    // Of its creator alone /proc does not tell what a file was called that was made without a name.
    let objects = Kind::ALL.map(|kind| {
        leave(kind, "/x", None);
        let linked = Object::open(kind, "/x", Existence::Link).expect("it is there");
        linked.ownership().unlink().expect("it is ours");
        linked
    });
    let listing = registry::list(&Kind::ALL).expect("it can be listed");
    assert!(listing.objects.is_empty());
    let kinds: Vec<Kind> = listing.unlinked.iter().map(|lost| lost.name.kind()).collect();
    assert_eq!(kinds, Kind::ALL);
    for lost in &listing.unlinked {
        assert_eq!(lost.name.to_string(), "/x");
        assert_eq!(lost.holders.len(), 1, "{lost:?}");
        assert_eq!(lost.holders[0].pid, own_pid());
    }
    let of_segments = registry::list(&[Kind::SharedMemory]).expect("it can be listed").unlinked;
    assert_eq!(of_segments.len(), 1);
    drop(objects);
    assert!(registry::list(&Kind::ALL).expect("it can be listed").unlinked.is_empty());
}

/// What is no object is not listed, and does not keep the rest from being listed.
#[test]
fn one_bad_entry_spoils_no_list() {
    Machine::new("size=1m").run("list_and_reap::strangers", &[]);
}

fn strangers() {
    let _kept = Kind::ALL.map(|kind| Object::create(kind, "/x"));
    let place = |name: &str| files::file(Kind::SharedMemory, name);
    fs::create_dir(place("directory")).expect("it is free");
    symlink("/nowhere", place("dangling")).expect("it is free");
    symlink(place("x"), place("link")).expect("it is free");
    let _socket = UnixListener::bind(place("socket")).expect("it is free");
    files::make_node(Kind::SharedMemory, "fifo", libc::S_IFIFO, 0);
    let before = fs::read_dir("/dev/shm").expect("it is there").count();
    let listing = registry::list(&Kind::ALL).expect("it can be listed");
    let names: Vec<_> = listing.objects.iter().map(|it| it.name().to_string()).collect();
    assert_eq!(names, ["/x"; Kind::ALL.len()]);
    assert!(Reap::new().unused_for(Duration::ZERO).run().expect("it can be listed").0.is_empty());
    assert_eq!(fs::read_dir("/dev/shm").expect("it is there").count(), before);
}

/// Contract 3.9: a mark proves that the creator is dead, or it proves nothing, and then the object is left.
#[test]
fn what_a_mark_proves() {
    Machine::new("size=1m").run("list_and_reap::creators", &[]);
}

fn creators() {
    let living = Child::holding("list_and_reap::create", &[&"shm", &"/living"]);
    let of_the_living = marks::mark_of(living.id());
    let dead = marks::mark_of_the_dead();
    let with = |field, text| Some(marks::changed(&dead, field, text));
    for kind in Kind::ALL.into_iter().filter(|&kind| can_be_marked(kind)) {
        let in_a_file = || (kind != Kind::MessageQueue).then_some(Outcome::UnknownCreator);
        let cases = [
            ("/pid-used-again", Some(dead.clone()), Some(Outcome::WouldRemove)),
            ("/no-such-process", with(1, "99999999"), Some(Outcome::WouldRemove)),
            ("/alive", Some(of_the_living.clone()), None),
            ("/other-pid-namespace", with(3, "1"), Some(Outcome::UnknownCreator)),
            ("/other-time-namespace", with(4, "1"), Some(Outcome::UnknownCreator)),
            // No queue outlives its boot: the record is of another queue. So is one that is none.
            ("/other-boot", with(5, "another-boot"), in_a_file()),
            ("/garbage", Some("\u{1b}]0;2 what?".to_string()), in_a_file()),
            ("/empty", Some(String::new()), in_a_file()),
            ("/unmarked", None, None),
        ];
        for (name, mark, _) in &cases {
            leave(kind, name, mark.as_deref());
        }
        let reap = Reap::new().kinds(&[kind]);
        let found = reap.dry_run().expect("it can be listed").0;
        for (name, mark, expected) in &cases {
            let found = found.iter().find(|it| it.object.name().as_bytes() == name.as_bytes());
            let outcome = found.map(|finding| format!("{:?}", finding.outcome));
            let expected = expected.as_ref().map(|outcome| format!("{outcome:?}"));
            assert_eq!(outcome, expected, "{kind} {name} {mark:?}");
        }
        let word = kind.short_word();
        let gone = [format!("{word}:/no-such-process"), format!("{word}:/pid-used-again")];
        assert_eq!(removed(&reap), gone);
        assert_eq!(removed(&reap), [""; 0], "once");
        for (name, _, expected) in cases {
            let removed = matches!(expected, Some(Outcome::WouldRemove));
            assert_eq!(files::exists(kind, name), !removed, "{kind} {name}");
        }
    }
}

/// What somebody holds is left, whoever made it.
#[test]
fn what_is_held_stays() {
    Machine::new("size=1m").run("list_and_reap::held", &[]);
}

fn held() {
    for kind in Kind::ALL.into_iter().filter(|&kind| can_be_marked(kind)) {
        orphan(kind, "/x");
        let holder = Object::open(kind, "/x", Existence::Link).expect("it is there");
        let reap = Reap::new().kinds(&[kind]);
        let [finding] = reap.run().expect("it can be listed").0.try_into().expect("one");
        assert!(matches!(finding.outcome, Outcome::Held), "{kind}: {:?}", finding.outcome);
        let holders: Vec<u32> = finding.object.holders().iter().map(|it| it.pid).collect();
        assert_eq!(holders, [own_pid()], "{kind}");
        holder.use_it();
        // A program that does not lock counts here, though not for the last user.
        drop(holder);
        if let Some(path) = files::path(kind, "/x") {
            let open = fs::File::open(path).expect("it is there");
            let [finding] = reap.run().expect("it can be listed").0.try_into().expect("one");
            assert!(matches!(finding.outcome, Outcome::Held), "{kind}: {:?}", finding.outcome);
            drop(open);
        }
        assert_eq!(removed(&reap).len(), 1, "{kind}");
    }
}

/// Kinds, names, users and ages narrow a run.
#[test]
fn a_run_can_be_narrowed() {
    Machine::new("size=1m").run("list_and_reap::narrowed", &[]);
}

fn narrowed() {
    if !can_be_marked(Kind::Semaphore) {
        return;
    }
    for name in ["/jobs-1", "/jobs-2", "/other"] {
        orphan(Kind::Semaphore, name);
        orphan(Kind::SharedMemory, name);
    }
    let reap = Reap::new();
    // It tells as it goes, and ends where it is told to.
    let mut told = Vec::new();
    reap.clone()
        .named("jobs-*")
        .kinds(&[Kind::SharedMemory])
        .run_with(|finding| {
            told.push(files::exists(Kind::SharedMemory, "/jobs-1"));
            told.push(files::exists(Kind::SharedMemory, "/jobs-2"));
            assert!(matches!(finding.outcome, Outcome::Removed), "{:?}", finding.outcome);
            ControlFlow::Break(())
        })
        .expect("it can be listed");
    assert_eq!(told, [false, true]);
    assert!(files::exists(Kind::SharedMemory, "/jobs-2"));
    orphan(Kind::SharedMemory, "/jobs-1");
    assert_eq!(removed(&reap.clone().older_than(Duration::from_secs(3600))), [""; 0]);
    assert_eq!(removed(&reap.clone().of_user(users::effective() + 1)), [""; 0]);
    assert_eq!(removed(&reap.clone().named("job")), [""; 0]);
    assert_eq!(removed(&reap.clone().kinds(&[Kind::MessageQueue])), [""; 0]);
    let one = reap.clone().named("jobs-?").kinds(&[Kind::Semaphore]);
    assert_eq!(removed(&one), ["sem:/jobs-1", "sem:/jobs-2"]);
    assert_eq!(removed(&reap.clone().named("/oth*")), ["sem:/other", "shm:/other"]);
    let rest = reap.of_user(users::effective()).older_than(Duration::ZERO);
    assert_eq!(removed(&rest), ["shm:/jobs-1", "shm:/jobs-2"]);
}

/// What nobody owns is taken only when that is asked for, and a semaphore only when nobody can have a
/// permit.
#[test]
fn what_nobody_owns() {
    Machine::new("size=1m").run("list_and_reap::unused", &[]);
}

fn unused() {
    for kind in Kind::ALL {
        leave(kind, "/x", None);
        let reap = Reap::new().kinds(&[kind]);
        assert_eq!(removed(&reap), [""; 0], "{kind}");
        let old = reap.clone().unused_for(Duration::from_secs(3600));
        assert_eq!(removed(&old), [""; 0], "{kind}");
        let reap = reap.unused_for(Duration::ZERO);
        let link = || Object::open(kind, "/x", Existence::Link).expect("it is there");
        let object = link();
        assert_eq!(removed(&reap), [""; 0], "{kind}: it is held");
        if let Object::Semaphore(semaphore) = &object {
            assert!(semaphore.try_acquire());
        }
        drop(object);
        if kind == Kind::Semaphore {
            assert_eq!(removed(&reap), [""; 0], "who has the permit will give it back");
            let Object::Semaphore(semaphore) = link() else { panic!("a semaphore was asked for") };
            semaphore.release().expect("far from the maximum");
        }
        let name = format!("{}:/x", kind.short_word());
        // Where the first value could not be noted, nobody knows whether a permit is out.
        let known = kind != Kind::Semaphore || can_be_marked(kind);
        assert_eq!(removed(&reap), if known { vec![name] } else { vec![] }, "{kind}");
    }
}

/// Contract 3.10, 4.5: what belongs to another user is neither removed nor believed to be in use.
#[test]
fn what_belongs_to_another_user() {
    Machine::with_users("size=1m").run("list_and_reap::of_another_user", &[]);
}

fn of_another_user() {
    if !can_be_marked(Kind::SharedMemory) {
        return;
    }
    for (name, mode) in [("/private", 0o600), ("/readable", 0o644)] {
        orphan(Kind::SharedMemory, name);
        let path = files::file(Kind::SharedMemory, name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        assert_eq!(fs::metadata(path).expect("it is there").uid(), 0);
    }
    users::as_user(users::NOBODY, || {
        let found = registry::list(&[Kind::SharedMemory]).expect("it can be listed").objects;
        let orphans: Vec<_> = found.iter().map(registry::Object::orphan).collect();
        assert_eq!(orphans, [None, Some(true)], "one mark can be read");
        let findings = Reap::new().run().expect("it can be listed").0;
        assert_eq!(names(&findings), ["shm:/readable"]);
        let [finding] = &findings[..] else { panic!("{findings:?}") };
        assert!(matches!(finding.outcome, Outcome::NotPermitted), "{finding:?}");
        let name = Name::new(Kind::SharedMemory, "/readable").expect("a legal name");
        registry::find(&name).expect("it is there").unlink().expect_err("it is root's");
    });
    assert_eq!(removed(&Reap::new()), ["shm:/private", "shm:/readable"]);
}
