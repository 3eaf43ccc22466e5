//! `nob-ipc rm`.

use nob_ipc::{ErrorKind, Name};
use nob_ipc_redis::Connection;

use crate::failure::{Failure, Result};
use crate::report::report;

/// Removes all that can be removed; the last failure is the one that is reported at the end, those
/// before at once.
pub fn run(names: &[Name], force: bool, server: Option<&Connection>) -> Result<()> {
    let mut failure = None;
    for name in names {
        let unlinked = match server {
            Some(server) => server.unlink(name),
            None => nob_ipc::unlink(name),
        };
        match unlinked {
            Err(error) if force && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                if let Some(earlier) = failure.replace(Failure::from(error)) {
                    report(if server.is_some() { earlier.on_server() } else { earlier });
                }
            }
            Ok(()) => {}
        }
    }
    failure.map_or(Ok(()), Err)
}
