//! The creator's mark, on files and beside queues.

use std::fs;

use nob_ipc::{Existence, Kind, unlink};
use nob_ipc_testing::{Unique, drop_alone, files, marks, watchdog};

use crate::support::{Object, can_be_marked};

/// Contract 3.9: who is due to unlink is marked, from creation to the end.
#[test]
fn of_the_creator() {
    let _watchdog = watchdog();
    for kind in Kind::ALL.into_iter().filter(|&kind| can_be_marked(kind)) {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        assert_eq!(marks::mark(kind, &name), Some(marks::own_mark()), "{kind}");
        object.ownership().set_unlink_on_drop(false).expect("it is ours");
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
        object.ownership().set_unlink_on_drop(true).expect("it is ours");
        object.ownership().set_unlink_on_drop(true).expect("it is ours");
        assert_eq!(marks::mark(kind, &name), Some(marks::own_mark()), "{kind}");
        drop(object);
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
    }
}

/// What is meant to stay has no mark.
#[test]
fn none_without_duty() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let options = Object::options(kind).existence(Existence::Create).unlink_on_drop(false);
        let created = options.open(&name).expect("a new object");
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
        let linked = Object::open(kind, &name, Existence::Link).expect("it is there");
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
        drop((created, linked));
    }
}

/// A handle that links and is due marks what nobody has marked.
#[test]
fn of_who_takes_the_duty() {
    let _watchdog = watchdog();
    for kind in Kind::ALL.into_iter().filter(|&kind| can_be_marked(kind)) {
        let name = Unique::new();
        let options = Object::options(kind).existence(Existence::Create).unlink_on_drop(false);
        let _created = options.open(&name).expect("a new object");
        let linked = Object::options(kind).unlink_on_drop(true).open(&name).expect("it is there");
        assert_eq!(marks::mark(kind, &name), Some(marks::own_mark()), "{kind}");
        linked.ownership().unlink().expect("it is ours");
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
    }
}

/// What a dead creator left and somebody takes over is no orphan any more, nor is what somebody
/// decides to keep.
#[test]
fn of_a_dead_creator_is_replaced() {
    let _watchdog = watchdog();
    for kind in files::KINDS.into_iter().filter(|&kind| can_be_marked(kind)) {
        for keeps in [false, true] {
            let name = Unique::new();
            let options = Object::options(kind).existence(Existence::Create).unlink_on_drop(keeps);
            let object = options.open(&name).expect("a new object");
            marks::set_mark(kind, &name, &marks::mark_of_the_dead());
            object.ownership().set_unlink_on_drop(!keeps).expect("it is ours");
            assert_eq!(marks::mark(kind, &name), (!keeps).then(marks::own_mark), "{kind}");
            object.ownership().unlink().expect("it is ours");
        }
    }
}

/// What somebody keeps who has linked to it is no orphan either; what another handle owns stays its own.
#[test]
fn of_a_dead_creator_goes_from_what_is_kept() {
    let _watchdog = watchdog();
    for kind in Kind::ALL.into_iter().filter(|&kind| can_be_marked(kind)) {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        let linked = Object::open(kind, &name, Existence::Link).expect("it is there");
        linked.ownership().set_unlink_on_drop(false).expect("nothing to change");
        assert_eq!(marks::mark(kind, &name), Some(marks::own_mark()), "{kind}");
        marks::set_mark(kind, &name, &marks::mark_of_the_dead());
        linked.ownership().set_unlink_on_drop(false).expect("it is ours");
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
        drop(object);
    }
}

/// Contract 3.9, 4.4: a shared object has its first creator's mark, which that one takes back when its
/// handle goes and the object stays; those who link to it put none on it.
#[test]
fn of_a_shared_object() {
    let _watchdog = watchdog();
    for kind in Kind::ALL.into_iter().filter(|&kind| can_be_marked(kind)) {
        let name = Unique::new();
        let share =
            || Object::open(kind, &name, Existence::LinkOrCreate).expect("it is there, or new");
        let creator = share();
        let other = share();
        assert_eq!(marks::mark(kind, &name), Some(marks::own_mark()), "{kind}");
        drop(creator);
        assert_eq!(marks::mark(kind, &name), None, "{kind}: others have it now");
        let third = share();
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
        drop_alone((other, third));
        assert!(!files::exists(kind, &name), "{kind}");
    }
}

/// A handle whose name is gone marks nothing.
#[test]
fn none_after_unlinking() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        object.ownership().unlink().expect("it is ours");
        object.ownership().set_unlink_on_drop(false).expect("it is ours");
        object.ownership().set_unlink_on_drop(true).expect("it is ours");
        assert_eq!(marks::mark(kind, &name), None, "{kind}");
    }
}

/// Nor does one whose name somebody else has removed, or given to another object.
#[test]
fn none_for_what_another_has_unlinked() {
    let _watchdog = watchdog();
    for kind in Kind::ALL {
        let name = Unique::new();
        let object = Object::create(kind, &name);
        unlink(object.ownership().name()).expect("it is ours");
        for replaced in [false, true] {
            let options = Object::options(kind).existence(Existence::Create).unlink_on_drop(false);
            let _other = replaced.then(|| options.open(&name).expect("the name is free"));
            object.ownership().set_unlink_on_drop(false).expect("it is ours");
            object.ownership().set_unlink_on_drop(true).expect("it is ours");
            assert_eq!(marks::mark(kind, &name), None, "{kind}");
        }
    }
}

/// Another's mark is neither overwritten nor removed.
#[test]
fn of_another_process() {
    let _watchdog = watchdog();
    let others = "1 1 1 1 another boot";
    for kind in files::KINDS.into_iter().filter(|&kind| can_be_marked(kind)) {
        let name = Unique::new();
        let options = Object::options(kind).existence(Existence::Create).unlink_on_drop(false);
        let object = options.open(&name).expect("a new object");
        marks::set_mark(kind, &name, others);
        object.ownership().set_unlink_on_drop(true).expect("it is ours");
        assert_eq!(marks::mark(kind, &name).as_deref(), Some(others));
        object.ownership().set_unlink_on_drop(false).expect("it is ours");
        assert_eq!(marks::mark(kind, &name).as_deref(), Some(others));
    }
    let name = Unique::new();
    let queue = Object::create(Kind::MessageQueue, &name);
    let [(path, _)] = marks::records_of(&name).try_into().expect("one record");
    fs::write(&path, format!("{others}\n{}", &*name)).expect("it is ours");
    queue.ownership().set_unlink_on_drop(false).expect("it is ours");
    assert_eq!(marks::mark(Kind::MessageQueue, &name).as_deref(), Some(others));
    fs::remove_file(path).expect("it is ours");
}

/// A queue that is removed by name takes its record along, whoever made it.
#[test]
fn gone_with_the_name() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let queue = Object::create(Kind::MessageQueue, &name);
    unlink(queue.ownership().name()).expect("it is ours");
    assert_eq!(marks::records_of(&name), []);

    let queue = Object::create(Kind::MessageQueue, &name);
    let [(replaced, _)] = marks::records_of(&name).try_into().expect("one record");
    let newer = Object::open(Kind::MessageQueue, &name, Existence::UnlinkAndCreate);
    let [(left, _)] = marks::records_of(&name).try_into().expect("one record");
    assert_ne!(left, replaced);
    drop((queue, newer.expect("a new queue")));
    assert_eq!(marks::records_of(&name), []);
}

/// A creation that fails leaves no record behind.
#[test]
fn none_of_what_was_not_made() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let _taken = Object::options(Kind::MessageQueue)
        .existence(Existence::Create)
        .unlink_on_drop(false)
        .open(&name)
        .expect("a new queue");
    for existence in [Existence::Create, Existence::UnlinkAndCreate] {
        let too_much = Object::options(Kind::MessageQueue).measure(70_000).existence(existence);
        too_much.open(&name).expect_err("taken, or too much");
        // At the most that of the queue that was there, which nobody owns.
        assert!(marks::records_of(&name).len() <= 1);
        assert_eq!(marks::mark(Kind::MessageQueue, &name), None);
    }
}

/// Others can neither read a record nor write one.
#[test]
fn a_record_is_the_owners_alone() {
    use std::os::unix::fs::MetadataExt;
    let _watchdog = watchdog();
    let name = Unique::new();
    let _queue = Object::create(Kind::MessageQueue, &name);
    let [(path, _)] = marks::records_of(&name).try_into().expect("one record");
    let directory = fs::metadata(path.parent().expect("it is in a directory")).expect("it is");
    assert_eq!(directory.mode() & 0o077, 0);
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o077, 0);
}
