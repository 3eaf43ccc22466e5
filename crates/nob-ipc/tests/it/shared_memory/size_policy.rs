//! Shrinking a segment on linking to it: only where nobody could touch what goes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nob_ipc::{Access, Existence, Kind, SharedMemory, SizePolicy};
use nob_ipc_testing::{Child, Role, Unique, files, hear, say, users, watchdog};

use crate::support::new_segment;

pub const ROLES: &[Role] = &[
    ("size_policy::hold", |arguments| {
        let segment = SharedMemory::options().open(arguments.text(0)).expect("it is there");
        let mapping = segment.map().expect("it is not empty");
        drop(segment);
        say("mapped");
        hear();
        mapping.write(LARGE_LENGTH - 1, b"x").expect("the last byte is there still");
    }),
    ("size_policy::shrink_as_stranger", |arguments| {
        users::become_user(users::NOBODY);
        say(link(arguments.text(0), 1, SizePolicy::Exact));
    }),
];

const LARGE: u64 = 8192;
const LARGE_LENGTH: usize = 8192;

/// The size after linking.
fn link(name: &str, size: u64, fit: SizePolicy) -> u64 {
    let mut options = SharedMemory::options();
    let segment = options.size(size).size_policy(fit).open(name).expect("it is there");
    segment.size().expect("a size")
}

#[test]
fn an_idle_segment_is_shrunk_only_if_asked_for() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, LARGE);
    segment.map().expect("it is not empty").write(0, b"stays").expect("there is room");
    assert_eq!(link(&name, 100, SizePolicy::Grow), LARGE);
    assert_eq!(link(&name, 100, SizePolicy::Exact), 100);
    let mut bytes = [0; 5];
    segment.map().expect("it is not empty").read(0, &mut bytes).expect("all of it");
    assert_eq!(&bytes, b"stays");
    assert_eq!(link(&name, LARGE, SizePolicy::Exact), LARGE);
    assert_eq!(link(&name, LARGE, SizePolicy::Truncate), LARGE);
    segment.map().expect("it is not empty").read(0, &mut bytes).expect("all of it");
    assert_eq!(bytes, [0; 5]);
    assert_eq!(link(&name, 0, SizePolicy::Truncate), 0);
}

#[test]
fn a_segment_that_this_process_has_mapped_stays() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let mapping = create_mapped(&name);
    for fit in [SizePolicy::Exact, SizePolicy::Truncate] {
        assert_eq!(link(&name, 1, fit), LARGE);
        mapping.write(LARGE_LENGTH - 1, b"x").expect("the last byte is there still");
    }
    // Growing hurts nobody, but what is there stays.
    let mut options = SharedMemory::options();
    let grown = options
        .size(2 * LARGE)
        .size_policy(SizePolicy::Truncate)
        .open(&*name)
        .expect("it is there");
    assert_eq!(grown.size().expect("a size"), 2 * LARGE);
    assert!(
        grown.kept_larger()
            && !options.size_policy(SizePolicy::Grow).open(&*name).unwrap().kept_larger()
    );
}

fn create_mapped(name: &str) -> nob_ipc::Mapping {
    let mut options = SharedMemory::options();
    options.size(LARGE).existence(Existence::Create).unlink_on_drop(false);
    options.open(name).expect("a new segment").map().expect("it is not empty")
}

#[test]
fn a_segment_that_another_process_holds_stays() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let _segment = new_segment(&name, LARGE);
    let mut holder = Child::start("size_policy::hold", &[&name]);
    holder.expect("mapped");
    assert_eq!(link(&name, 1, SizePolicy::Exact), LARGE);
    assert_eq!(link(&name, 0, SizePolicy::Truncate), LARGE);
    holder.say("go on");
    holder.finish();
    assert_eq!(link(&name, 1, SizePolicy::Exact), 1);
}

#[test]
fn a_segment_of_another_user_stays() {
    let _watchdog = watchdog();
    if !users::is_root("become another user") {
        return;
    }
    let name = Unique::new();
    let segment = new_segment(&name, LARGE);
    let open_to_all = Permissions::from_mode(0o666);
    let path = files::file(Kind::SharedMemory, &name);
    fs::set_permissions(path, open_to_all).expect("it is ours");
    let mut stranger = Child::start("size_policy::shrink_as_stranger", &[&name]);
    stranger.expect(&LARGE.to_string());
    stranger.finish();
    assert_eq!(segment.size().expect("a size"), LARGE);
}

#[test]
fn a_handle_for_reading_shrinks_nothing() {
    let _watchdog = watchdog();
    let name = Unique::new();
    let segment = new_segment(&name, LARGE);
    let mut options = SharedMemory::options();
    options.size(1).size_policy(SizePolicy::Exact).access(Access::ReadOnly);
    drop(options.open(&*name).expect("it is there"));
    assert_eq!(segment.size().expect("a size"), LARGE);
}
