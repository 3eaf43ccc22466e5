//! Creators whose time since boot counts in another time namespace: their start time is another number to
//! each reader.

use std::time::Duration;

use nob_ipc::{Existence, Kind, Name, registry};
use nob_ipc_testing::{Child, Role, Unique, files, forks, marks, unshare, users};

use crate::support::{Object, can_be_marked};

pub const ROLES: &[Role] = &[("time_namespace::creators", |_| creators())];

/// Neither who creates in another time namespace counts as dead, nor who seems to have begun later since
/// he was restored from a checkpoint, in such a namespace; a pid that was used again does.
#[test]
fn a_start_time_is_no_identity_across_namespaces() {
    if users::is_root("make a time namespace") {
        Child::run("time_namespace::creators", &[]);
    }
}

fn lives(object: &str) -> Option<bool> {
    let name = Name::new(Kind::Semaphore, object).expect("a legal name");
    registry::find(&name).expect("it is there").orphan().map(|orphan| !orphan)
}

/// Whether the creator of a semaphore counts as alive that bears this mark.
fn lives_by(mark: &str) -> Option<bool> {
    let name = Unique::new();
    let options = Object::options(Kind::Semaphore).existence(Existence::Create);
    let _semaphore = options.unlink_on_drop(false).open(&name).expect("a new one");
    marks::set_mark(Kind::Semaphore, &name, mark);
    lives(&name)
}

fn sleep() {
    std::thread::sleep(Duration::from_secs(60));
}

fn creators() {
    if !can_be_marked(Kind::Semaphore) {
        return;
    }
    // The mark of a process that began here, long ago.
    let earlier = |pid: i32| marks::changed(&marks::mark_of_the_dead(), 1, &pid.to_string());
    let here = forks::fork(sleep);
    assert_eq!(lives_by(&marks::mark_of(here)), Some(true));
    assert_eq!(lives_by(&earlier(here)), Some(false), "its pid is another's now");
    forks::kill(here);
    assert_eq!(lives_by(&earlier(here)), Some(false), "nobody has the pid");

    // It is that of the children that are forked from now on.
    if !unshare(libc::CLONE_NEWTIME) {
        return;
    }
    let name = Unique::new();
    let elsewhere = forks::fork(|| {
        let semaphore = Object::create(Kind::Semaphore, &name);
        std::mem::forget(semaphore);
        sleep();
    });
    while !files::exists(Kind::Semaphore, &name) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(lives(&name), None);
    assert_eq!(lives_by(&earlier(elsewhere)), None, "it may have been restored from a checkpoint");
    forks::kill(elsewhere);
}
