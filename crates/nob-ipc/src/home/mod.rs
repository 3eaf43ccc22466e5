//! Where named objects live: one file or folder for each place, behind one trait.

mod interface;
pub(crate) mod mark;
pub(crate) mod mqueue;
pub(crate) mod reserve;
pub(crate) mod shm;
pub(crate) mod usage;

use crate::kind::Place;
use crate::name::Name;

pub use interface::Coverage;
pub(crate) use interface::{Found, Home, Marked, Removal};

/// The home of a place.
pub(crate) fn at(place: Place) -> &'static dyn Home {
    match place {
        Place::Shm => &shm::Shm,
        Place::Mqueue => &mqueue::Mqueue,
    }
}

/// The home of what a name names.
pub(crate) fn of(name: &Name) -> &'static dyn Home {
    at(name.kind().place())
}
