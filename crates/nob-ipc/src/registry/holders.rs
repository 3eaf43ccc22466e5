//! Who holds which object, found in one look at all processes.

use std::collections::{HashMap, HashSet};

use super::object::{Holder, Object, Unlinked};
use crate::home;
use crate::kind::Place;
use crate::sys::{self, Credentials};

/// What one look at all processes has shown beside the holders of objects.
pub(super) struct Look {
    /// What has lost its name.
    pub unlinked: Vec<Unlinked>,
    /// How many processes may not be looked at.
    pub unseen: usize,
}

/// Enters the holders of all objects. `places`: where to look for what has lost its name.
pub(super) fn find(objects: &mut [Object], places: &[Place]) -> Look {
    let wanted: HashSet<_> = objects.iter().map(|object| object.system_identity().file).collect();
    let devices: Vec<(Place, u64)> =
        places.iter().filter_map(|&place| Some((place, home::at(place).device()?))).collect();
    if wanted.is_empty() && devices.is_empty() {
        return Look { unlinked: Vec::new(), unseen: 0 };
    }
    let numbers: Vec<u64> = devices.iter().map(|&(_, device)| device).collect();
    let processes = sys::process::scan(&wanted, &numbers);
    let mut holders: HashMap<_, Vec<Holder>> = HashMap::new();
    let mut unlinked: HashMap<_, Unlinked> = HashMap::new();
    for process in processes.holding {
        let holder = || Holder::new(process.pid, process.command.clone());
        for file in process.held {
            holders.entry(file).or_default().push(holder());
        }
        for lost in process.unlinked {
            let place = devices.iter().find(|(_, device)| *device == lost.file.device);
            let place = place.map(|&(place, _)| place);
            let known = place.and_then(|place| Unlinked::new(place, &lost));
            if let Some(known) = known {
                let entry = unlinked.entry(lost.file).or_insert(known);
                entry.size = entry.size.or(lost.size);
                entry.holders.push(holder());
            }
        }
    }
    for object in objects {
        object.holders = holders.remove(&object.system_identity().file).unwrap_or_default();
        object.holders.sort_by_key(|holder| holder.pid);
        object.unseen = processes.hidden.iter().filter(|hidden| could_hold(hidden, object)).count();
        // How many processes are hidden altogether cannot be told: at least one counts.
        object.unseen += usize::from(processes.incomplete);
    }
    let mut unlinked: Vec<_> = unlinked.into_values().collect();
    unlinked.sort_by_cached_key(|it| (it.name.kind(), it.name.as_bytes().to_vec()));
    Look { unlinked, unseen: processes.hidden.len() + usize::from(processes.incomplete) }
}

/// Whether a process that may not be looked at could have opened an object. Root could open any, and
/// is not suspected.
fn could_hold(process: &Credentials, object: &Object) -> bool {
    const GROUP: u32 = 0o060;
    const OTHERS: u32 = 0o006;
    if process.effective_user == 0 {
        return false;
    }
    process.users.contains(&object.owner())
        || object.mode() & OTHERS != 0
        || (object.mode() & GROUP != 0 && process.groups.contains(&object.group()))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::home::{Found, Marked};
    use crate::kind::Kind;
    use crate::name::Name;
    use crate::sys::{FileId, FileType, Identity, Stat};

    const OWNER: u32 = 1000;
    const GROUP: u32 = 2000;

    fn object(permissions: u32) -> Object {
        let file = FileId { device: 1, inode: 1 };
        let stat = Stat {
            identity: Identity { file, created: None },
            file_type: FileType::Regular,
            size: 0,
            allocated: 0,
            names: 1,
            permissions,
            owner: OWNER,
            group: GROUP,
            modified: SystemTime::UNIX_EPOCH,
            changed: SystemTime::UNIX_EPOCH,
            accessed: SystemTime::UNIX_EPOCH,
        };
        let name = Name::new(Kind::Semaphore, "/x").unwrap();
        Object::new(Found { name, stat, opened: None, mark: Marked::Unmarked, used: None })
    }

    fn process(users: [u32; 4], groups: &[u32]) -> Credentials {
        Credentials { effective_user: users[1], users: users.into(), groups: groups.into() }
    }

    #[test]
    fn those_whom_the_mode_admits_are_suspected() {
        let owner = process([OWNER; 4], &[]);
        // The effective user may change back.
        let once_owner = process([OWNER, 7, 7, 7], &[]);
        let member = process([7; 4], &[3, GROUP]);
        let stranger = process([7; 4], &[3]);
        let root = process([0; 4], &[0, GROUP]);
        let privileged = process([OWNER, 0, 0, 0], &[GROUP]);
        for (mode, suspected) in [
            (0o600, [true, true, false, false]),
            (0o660, [true, true, true, false]),
            (0o640, [true, true, true, false]),
            (0o606, [true, true, true, true]),
            (0o604, [true, true, true, true]),
            (0o000, [true, true, false, false]),
        ] {
            let object = object(mode);
            let could = [&owner, &once_owner, &member, &stranger].map(|it| could_hold(it, &object));
            assert_eq!(could, suspected, "{mode:o}");
            assert!(!could_hold(&root, &object) && !could_hold(&privileged, &object));
        }
    }
}
