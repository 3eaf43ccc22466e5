//! The kernel's message queues, and the records beside them.

pub(crate) mod descriptor;
pub(crate) mod record;
pub(crate) mod registrations;

use super::interface::{Coverage, Found, Home, Marked};
use super::usage::{self, Fresh};

use crate::kind::{Kind, Place};
use crate::name::Name;
use crate::sys::mqueue_fs::QueueDirectory;
use crate::sys::{self, Errno, Identity};
use descriptor::open_to_look;

pub(crate) struct Mqueue;

impl Home for Mqueue {
    fn identity(&self, name: &Name, expected: Identity) -> sys::Result<Identity> {
        match open_to_look(name) {
            Ok(queue) => Ok(queue.identity()),
            // A file system can show what may not be opened, if it is not that of another namespace.
            Err(Errno::ACCES) => {
                let directory = QueueDirectory::open().map_err(|_| Errno::ACCES)?;
                if directory.device()? != expected.file.device {
                    return Err(Errno::ACCES);
                }
                directory.look(name.as_c_str()).map(|stat| stat.identity)
            }
            Err(errno) => Err(errno),
        }
    }

    /// The creation of a queue answers that by itself.
    fn is_taken(&self, _: &Name) -> bool {
        false
    }

    fn unlink(&self, name: &Name) -> sys::Result<()> {
        sys::mqueue::unlink(name.as_c_str())
    }

    fn mark(&self, name: &Name, identity: Identity) {
        // Nobody would remove the record of a queue that is gone.
        if has_name(name, identity) {
            record::put(name, identity);
        }
    }

    fn unmark(&self, name: &Name, identity: Identity, own: bool) {
        record::revoke(name, identity, own, has_name(name, identity));
    }

    fn forget(&self, identity: Identity, owner: u32) {
        record::forget(identity, owner);
    }

    fn open(&self, name: &Name) -> sys::Result<Fresh> {
        open_to_look(name).map(Fresh::new)
    }

    fn mark_of(&self, name: &Name, fresh: &Fresh) -> Marked {
        fresh.stat().map_or(Marked::Unreadable, |stat| record::mark_of(name, &stat))
    }

    fn find(&self, name: &Name) -> sys::Result<Option<Found>> {
        // Without a directory there is the queue itself to look at.
        let directory = QueueDirectory::open().ok();
        look(name, directory.as_ref()).map(Some)
    }

    fn list(&self, kinds: &[Kind], show: &mut dyn FnMut(Found)) -> sys::Result<Coverage> {
        let (directory, names, coverage) = match QueueDirectory::open() {
            Ok(directory) => {
                let name = |file: &Vec<u8>| {
                    let (kind, bare) = Kind::of_file(Place::Mqueue, file)?;
                    Name::new(kind, sys::records::os_str(bare)).ok()
                };
                let names = directory.names()?.iter().filter_map(name).collect();
                (Some(directory), names, Coverage::All)
            }
            Err(Errno::NOSYS) => return Err(Errno::NOSYS),
            // Not permitted, or a kernel without queues.
            Err(_) => (None, record::names(), Coverage::Recorded),
        };
        // What fails has been unlinked meanwhile, or is another user's without a directory to look at
        // it.
        let queues = names.iter().filter(|name| kinds.contains(&name.kind()));
        queues.filter_map(|name| look(name, directory.as_ref()).ok()).for_each(show);
        Ok(coverage)
    }

    fn device(&self) -> Option<u64> {
        QueueDirectory::open().and_then(|directory| directory.device()).ok()
    }

    fn forget_gone(&self) {
        record::forget_abandoned();
        record::forget_gone();
    }
}

/// Whether a queue still has its name, as far as this user may look.
fn has_name(name: &Name, identity: Identity) -> bool {
    open_to_look(name).is_ok_and(|queue| queue.identity() == identity)
}

fn look(name: &Name, directory: Option<&QueueDirectory>) -> sys::Result<Found> {
    let opened = open_to_look(name).map(Fresh::new);
    let stat = match (&opened, directory) {
        (Ok(queue), _) => queue.stat()?,
        (Err(_), Some(directory)) => directory.look(name.as_c_str())?,
        (Err(errno), None) => return Err(*errno),
    };
    let opened = opened.ok();
    let used = match &opened {
        Some(queue) => usage::is_used(queue).ok(),
        None => usage::is_listed(stat.identity.file).then_some(true),
    };
    let mark = record::mark_of(name, &stat);
    Ok(Found { name: name.clone(), stat, opened, mark, used })
}
