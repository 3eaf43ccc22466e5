//! `nob-ipc rm`.

use nob_ipc::{ErrorKind, Name};

use crate::failure::{Failure, Result};
use crate::report::report;

/// Removes all that can be removed; the last failure is the one that is reported at the end, those
/// before at once.
pub fn run(names: &[Name], force: bool) -> Result<()> {
    let mut failure = None;
    for name in names {
        match nob_ipc::unlink(name) {
            Err(error) if force && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                if let Some(earlier) = failure.replace(Failure::from(error)) {
                    report(earlier);
                }
            }
            Ok(()) => {}
        }
    }
    failure.map_or(Ok(()), Err)
}
