//! Processes that create, link, unlink and grow at the same time.

use std::ops::ControlFlow;
use std::thread;

use nob_ipc::registry::{Outcome, Reap};
use nob_ipc::{ErrorKind, Existence, Kind, Name, SharedMemory};
use nob_ipc_testing::{
    Arguments, Child, Role, Unique, files, forks, hear, marks, marks::Marking, say, watchdog,
};

use crate::support::{
    Object, can_be_marked, for_the_race, new_segment, object::MEASURED, on_your_marks, race,
    start_together,
};

pub const ROLES: &[Role] = &[
    ("races::create", create),
    ("races::link_or_create", link_or_create),
    ("races::unlink", unlink),
    ("races::unlink_each", unlink_each),
    ("races::leave_and_use", leave_and_use),
    ("races::reap", reap),
    ("races::unlink_and_create", unlink_and_create),
    ("races::appear", appear),
    ("races::attach", attach),
    ("races::grow", grow),
];

/// C16: of all that create one name, one wins, and the others are told that it is taken.
#[test]
fn one_creator_wins() {
    const NAMES: usize = 40;
    const CREATORS: usize = 4;
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        // The queues of one user are limited.
        let names: Vec<Unique> = (0..NAMES).map(|_| Unique::new()).collect();
        let joined: Vec<&str> = names.iter().map(|name| &**name).collect();
        let joined = joined.join(" ");
        let mut creators: Vec<_> = (0..CREATORS)
            .map(|_| Child::start("races::create", &[&kind.short_word(), &joined]))
            .collect();
        start_together(&mut creators);
        let mut wins = 0;
        for creator in &mut creators {
            wins += creator.hear().parse::<usize>().expect("a number");
        }
        assert_eq!(wins, NAMES);
        creators.into_iter().for_each(Child::finish);
    }
}

fn create(arguments: &Arguments) {
    let kind = arguments.kind(0);
    on_your_marks();
    let mut wins = 0;
    for name in arguments.rest(1) {
        let options = Object::options(kind).existence(Existence::Create).unlink_on_drop(false);
        match options.open(name) {
            Ok(object) => wins += u32::from(object.ownership().created()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
        }
    }
    say(wins);
}

/// C17: whoever links or creates has an object, whatever others create and unlink meanwhile.
#[test]
fn link_or_create_while_others_unlink() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        race(vec![
            Child::start("races::link_or_create", &[&kind.short_word(), &name]),
            Child::start("races::link_or_create", &[&kind.short_word(), &name]),
            Child::start("races::unlink", &[&kind.short_word(), &name]),
        ]);
    }
}

fn link_or_create(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let options = Object::options(kind).existence(Existence::LinkOrCreate).unlink_on_drop(false);
    let rounds = for_the_race(|| options.open(name).expect("an object").use_it());
    assert!(rounds > 0);
}

fn unlink(arguments: &Arguments) {
    let name = Name::new(arguments.kind(0), arguments.text(1)).expect("a legal name");
    for_the_race(|| match nob_ipc::unlink(&name) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    });
}

/// C29: of all that unlink one object, one does, and the others are told that it is gone.
#[test]
fn one_of_many_unlinks() {
    const ROUNDS: u32 = 40;
    const UNLINKERS: u32 = 4;
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let names: Vec<Unique> = (0..ROUNDS).map(|_| Unique::new()).collect();
        for name in &names {
            let options = Object::options(kind).existence(Existence::Create);
            options.unlink_on_drop(false).open(name).expect("a new object");
        }
        let joined = names.iter().map(|name| &**name).collect::<Vec<_>>().join(" ");
        let start = || Child::start("races::unlink_each", &[&kind.short_word(), &joined]);
        let mut unlinkers: Vec<_> = (0..UNLINKERS).map(|_| start()).collect();
        start_together(&mut unlinkers);
        let mut done = 0;
        for unlinker in &mut unlinkers {
            done += unlinker.hear().parse::<u32>().expect("a number");
        }
        assert_eq!(done, ROUNDS, "{kind}");
        unlinkers.into_iter().for_each(Child::finish);
    }
}

fn unlink_each(arguments: &Arguments) {
    let kind = arguments.kind(0);
    let link = |name| Object::open(kind, name, Existence::Link).expect("it is there");
    let objects: Vec<Object> = arguments.rest(1).map(link).collect();
    on_your_marks();
    let mut done = 0;
    for object in &objects {
        match object.ownership().unlink() {
            Ok(()) => done += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    say(done);
}

/// Contract 4.5: what `Reap` has found left behind is not what has the name when it is removed. Objects
/// that are in use stay, though their name was an orphan's an instant before.
#[test]
fn reaping_beside_new_objects() {
    let _watchdog = watchdog();
    for kind in Kind::ALL.into_iter().filter(|&kind| can_be_marked(kind)) {
        let names = [Unique::new(), Unique::new()];
        let mut roles = Vec::new();
        for (existence, name) in names.iter().enumerate() {
            let word = kind.short_word();
            // Of two that unlink and create, one takes the name from the other.
            for _ in existence..2 {
                roles.push(Child::start("races::leave_and_use", &[&word, name, &existence]));
            }
            roles.push(Child::start("races::reap", &[&word, name]));
        }
        race(roles);
    }
}

/// Leaves an object behind, as a process that is killed does, and uses one of the same name.
fn leave_and_use(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let existence = [Existence::LinkOrCreate, Existence::UnlinkAndCreate];
    let existence = existence[usize::try_from(arguments.number(2)).expect("an index")];
    let open = || Object::open(kind, name, existence).expect("an object");
    for_the_race(|| {
        forks::in_child(|| std::mem::forget(open()));
        let object = open();
        for _ in 0..20 {
            assert!(!object.ownership().is_stale().expect("it can be looked at"), "{kind}");
            thread::yield_now();
        }
        drop(object);
    });
}

fn reap(arguments: &Arguments) {
    let reap = Reap::new().kinds(&[arguments.kind(0)]).named(arguments.text(1));
    let rounds = for_the_race(|| {
        for finding in reap.run().expect("it can be listed").0 {
            assert!(!matches!(finding.outcome, Outcome::Failed(_)), "{finding:?}");
        }
    });
    assert!(rounds > 0);
}

/// Contract 3.2: whoever unlinks and creates has an object of its own.
#[test]
fn unlink_and_create_is_never_linked() {
    let _watchdog = watchdog();
    for kind in MEASURED {
        let name = Unique::new();
        let start =
            |own: u32| Child::start("races::unlink_and_create", &[&kind.short_word(), &name, &own]);
        race(vec![start(3), start(4), start(5)]);
        assert!(!files::exists(kind, &name), "the last one is unlinked by its creator");
        assert_eq!(marks::records_of(&name), [], "and its record is gone");
    }
}

fn unlink_and_create(arguments: &Arguments) {
    let (kind, name, own) = (arguments.kind(0), arguments.text(1), arguments.number(2));
    let options = Object::options(kind).existence(Existence::UnlinkAndCreate).measure(own);
    for_the_race(|| {
        let object = options.open(name).expect("an object");
        assert!(object.ownership().created());
        assert_eq!(object.measure(), own);
    });
}

/// H25, S26, contract 3.3, 3.9: what appears is complete: its size, its value, its mark.
#[test]
fn what_appears_is_complete() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let marked = u32::from(can_be_marked(kind));
        let mut maker = Child::start("races::appear", &[&kind.short_word(), &name]);
        maker.expect("ready");
        race(vec![Child::start("races::attach", &[&kind.short_word(), &name, &marked])]);
        maker.say("stop");
        maker.finish();
    }
}

/// A size that takes its time to reserve; within the limits of queues, bounded semaphores and small channels.
const COMPLETE: [u32; Kind::ALL.len()] = [77_777, 300_001, 5, 0, 511, 500];

fn appear(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let measure = COMPLETE[kind as usize];
    let options = Object::options(kind).existence(Existence::Create).measure(measure);
    say("ready");
    let told = thread::spawn(|| assert_eq!(hear(), "stop"));
    while !told.is_finished() {
        drop(options.open(name).expect("a new object"));
    }
    told.join().expect("told to stop");
}

fn attach(arguments: &Arguments) {
    let (kind, name) = (arguments.kind(0), arguments.text(1));
    let measure = COMPLETE[kind as usize];
    let marked = arguments.number(2) == 1;
    // Linking must not be what gives it its size.
    let options = Object::options(kind).measure(1);
    let mut seen = 0;
    let mut look = || {
        if marked && kind != Kind::MessageQueue {
            assert_ne!(marks::marking(kind, name), Marking::Unmarked);
        }
        match options.open(name) {
            Ok(object) => {
                // A lock that is not complete is refused.
                if kind != Kind::Lock {
                    assert_eq!(object.measure(), measure);
                }
                seen += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
        }
        seen
    };
    for_the_race(|| {
        look();
    });
    // On a busy machine the two may have missed each other all the time.
    while look() == 0 {
        thread::yield_now();
    }
}

/// Contract 3.4: of several that grow a segment at once none shrinks it.
#[test]
fn growing_at_once() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, 1);
    race(vec![
        Child::start("races::grow", &[&name, &1013]),
        Child::start("races::grow", &[&name, &2027]),
        Child::start("races::grow", &[&name, &509]),
    ]);
    assert_eq!(segment.size().expect("a size"), 2027 * 300);
}

fn grow(arguments: &Arguments) {
    let (name, step) = (arguments.text(0), arguments.number(1));
    on_your_marks();
    let mut last = 0;
    for round in 1..=300 {
        let wanted = u64::from(step) * round;
        let segment = SharedMemory::options().size(wanted).open(name).expect("there is room");
        let size = segment.size().expect("a size");
        assert!(size >= wanted && size >= last, "{size} after {last}, {wanted} asked for");
        last = size;
    }
}

/// Contract 3.5: of two that grow a segment at once, the one that gives up takes nothing from the
/// other.
#[test]
fn giving_up_beside_another() {
    const LARGE: u64 = 130 << 20;
    let _watchdog = watchdog();
    if files::free_in_shm() < 3 * LARGE {
        eprintln!("skipped: /dev/shm is too small");
        return;
    }
    let name = Unique::new();
    let segment = new_segment(&name, 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut patience = 1;
            let given_up = segment.resize_with(2 * LARGE, &mut || {
                patience -= 1;
                if patience < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            assert!(given_up.expect_err("it gave up").is_interrupted());
        });
        scope.spawn(|| segment.resize(LARGE).expect("there is room"));
    });
    assert_eq!(segment.size().expect("a size"), LARGE);
    let mapping = segment.map().expect("it is not empty");
    mapping.write(mapping.len() - 1, b"x").expect("it is there");
}
