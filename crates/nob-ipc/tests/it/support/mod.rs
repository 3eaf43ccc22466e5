//! What the tests share: names that are theirs alone, watchdogs, child processes, and the few
//! calls of the system that neither the crate nor std has.

pub mod child;
pub mod files;
pub mod object;
pub mod process;
pub mod signal;
pub mod unique;
pub mod waiter;
pub mod watchdog;

pub use child::{Arguments, Child, Role};
pub use object::{EXISTENCES, KINDS, Object};
pub use unique::Unique;
pub use waiter::Waiter;
pub use watchdog::watchdog;

/// What a refusal has to look like: its kind, its errno, and a text that names the object.
#[track_caller]
pub fn assert_refused<T>(
    result: nob_ipc::Result<T>,
    name: &str,
    kind: nob_ipc::ErrorKind,
    errno: Option<i32>,
) -> nob_ipc::Error {
    let Err(error) = result else { panic!("{name}: not refused, though {kind:?} was expected") };
    assert_eq!((error.kind(), error.raw_os_error()), (kind, errno), "{error}");
    assert!(error.to_string().contains(name), "{error} does not name {name}");
    error
}
