//! What a file tells to those who list objects. The right to read is enough.

use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::header::{FILE_SIZE, Fields, Header, SLOTS, Slot, check};
use super::image::{Image, read_first};
use super::life;
use super::word::{NOBODY, WordImage};
use crate::kind::Kind;
use crate::sys;

/// Who has a lock or permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// How many permits there are: 1 of a lock.
    pub bound: u32,
    /// The processes of the living handles that have some, one for each, as they call themselves.
    pub holders: Vec<u32>,
    /// How long a lock has been held at the least, if somebody has noted it.
    pub held_for: Option<Duration>,
    /// How often a lock was acquired.
    pub holds: u64,
    /// How many threads of living handles sleep.
    pub waiters: u32,
    /// How often a handle died with something, or gave up.
    pub deaths: u32,
    /// Whether an owner has died with a lock, and nobody has said since that all is well.
    pub owner_died: bool,
}

/// Reads a file of a kind; `None`: it is none.
pub(crate) fn read(kind: Kind, file: BorrowedFd<'_>) -> sys::Result<Option<State>> {
    // One more would be read of a file that is too long.
    let bytes = read_first(file, size_of::<Header>() + 1)?;
    if bytes.len() != size_of::<Header>() {
        return Ok(None);
    }
    let lives = |slot| life::is_alive(file, slot);
    parse(kind, &Image(&bytes), &lives).transpose()
}

/// How many threads of living handles sleep.
pub(crate) fn waiters(
    image: &Image<'_>,
    lives: &dyn Fn(u32) -> sys::Result<bool>,
) -> sys::Result<u32> {
    let mut waiters = 0_u32;
    for slot in 1..=SLOTS {
        let waiting = of_slot(image, slot, offset_of!(Slot, waiting)).unwrap_or(0);
        if waiting > 0 && lives(slot)? {
            waiters = waiters.saturating_add(waiting);
        }
    }
    Ok(waiters)
}

/// A field of a slot.
fn of_slot(image: &Image<'_>, slot: u32, field: usize) -> Option<u32> {
    image.word(offset_of!(Header, slots) + slot as usize * size_of::<Slot>() + field)
}

/// `None`: it is none.
fn parse(
    kind: Kind,
    image: &Image<'_>,
    lives: &dyn Fn(u32) -> sys::Result<bool>,
) -> Option<sys::Result<State>> {
    let permits = check(kind, FILE_SIZE, &Fields::of(image)?).ok()?;
    let word = WordImage::of(image, offset_of!(Header, lock))?;
    let deaths = image.word(offset_of!(Header, deaths))?;
    let owners: Vec<u32> = if kind == Kind::Lock {
        word.owner().into_iter().collect()
    } else {
        let cell = |index| image.word(offset_of!(Header, cells) + 4 * index as usize);
        (0..permits).filter_map(cell).filter(|&slot| slot != NOBODY).collect()
    };
    let judge = || {
        let mut holders = Vec::new();
        let mut owner_died = kind == Kind::Lock && word.is_unrepaired();
        // The file counts a death when somebody takes over.
        let mut deaths = deaths.saturating_add((kind == Kind::Lock && word.is_abandoned()).into());
        for slot in owners {
            if lives(slot)? {
                // A number out of range has no life byte that anybody locks.
                holders.extend(of_slot(image, slot, offset_of!(Slot, pid)));
            } else {
                deaths = deaths.saturating_add(1);
                owner_died |= kind == Kind::Lock;
            }
        }
        let held = kind == Kind::Lock && !holders.is_empty();
        Ok(State {
            bound: permits.max(1),
            holders,
            held_for: held.then(|| word.held_for()).flatten(),
            holds: word.fence(),
            waiters: waiters(image, lives)?,
            deaths,
            owner_died,
        })
    };
    Some(judge())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever somebody has written to the file: it is refused, or it is a state.
        #[test]
        fn anything_can_be_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            permits: u32,
            valid: bool,
            kind in prop_oneof![Just(Kind::Lock), Just(Kind::BoundedSemaphore)],
        ) {
            let mut image = vec![0xff; size_of::<Header>()];
            image[..bytes.len()].copy_from_slice(&bytes);
            if valid {
                image[..8].copy_from_slice(b"nob-ipc1");
                image[8..12].copy_from_slice(&(if kind == Kind::Lock { 1_u32 } else { 2 }).to_ne_bytes());
                image[12..16].copy_from_slice(&1_u32.to_ne_bytes());
                image[16..24].copy_from_slice(&FILE_SIZE.to_ne_bytes());
                image[24..28].copy_from_slice(&SLOTS.to_ne_bytes());
                image[28..32].copy_from_slice(&permits.to_ne_bytes());
            }
            if let Some(Ok(state)) = parse(kind, &Image(&image), &|slot| Ok(slot % 2 == 0)) {
                prop_assert!(state.holders.len() <= state.bound as usize);
            }
        }
    }
}
