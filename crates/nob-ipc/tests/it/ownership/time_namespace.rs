//! Creators whose time since boot counts in another time namespace: their start time is another number to
//! each reader.

use std::io;
use std::time::Duration;

use nob_ipc::{Existence, Kind, Name, registry};

use crate::faults::limits::with_root;
use crate::ownership::marks;
use crate::support::{Object, Role, Unique, files, process};

pub const ROLES: &[Role] = &[("time_namespace::creators", |_| creators())];

/// Neither who creates in another time namespace counts as dead, nor who seems to have begun later since
/// he was restored from a checkpoint, in such a namespace; a pid that was used again does.
#[test]
fn a_start_time_is_no_identity_across_namespaces() {
    with_root("time_namespace::creators");
}

/// Gives the children that are forked from now on a time namespace of their own; `false` where that is
/// not permitted.
fn children_count_elsewhere() -> bool {
    // SAFETY: takes a number only.
    let done = unsafe { libc::unshare(libc::CLONE_NEWTIME) } == 0;
    if !done {
        eprintln!("skipped: no time namespace ({})", io::Error::last_os_error());
    }
    done
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
    files::set_mark(Kind::Semaphore, &name, mark);
    lives(&name)
}

fn sleep() {
    std::thread::sleep(Duration::from_secs(60));
}

fn creators() {
    if !marks::can_be_marked(Kind::Semaphore) {
        return;
    }
    let own = files::mark_of(i32::try_from(std::process::id()).expect("a pid"));
    // The mark of a process that began here, long ago.
    let earlier = |pid: i32| {
        let mut fields: Vec<String> = own.split(' ').map(str::to_string).collect();
        fields[1] = pid.to_string();
        fields[2] = "1".to_string();
        fields.join(" ")
    };
    let here = process::fork(sleep);
    assert_eq!(lives_by(&files::mark_of(here)), Some(true));
    assert_eq!(lives_by(&earlier(here)), Some(false), "its pid is another's now");
    process::kill(here);
    assert_eq!(lives_by(&earlier(here)), Some(false), "nobody has the pid");

    if !children_count_elsewhere() {
        return;
    }
    let name = Unique::new();
    let elsewhere = process::fork(|| {
        let semaphore = Object::create(Kind::Semaphore, &name);
        std::mem::forget(semaphore);
        sleep();
    });
    while !files::exists(Kind::Semaphore, &name) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(lives(&name), None);
    assert_eq!(lives_by(&earlier(elsewhere)), None, "it may have been restored from a checkpoint");
    process::kill(elsewhere);
}
