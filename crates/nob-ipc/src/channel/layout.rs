//! The format of a channel's file: the header of all robust files, a page of its own, and the rings of its
//! lanes.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::robust::header::{Content, Header, Unfit};
use crate::robust::image::Image;
use crate::robust::{Event, OwnedWord};
use crate::sys::mman::Shared;
use crate::sys::ring::Ring;
use crate::sys::{self, Errno, Stat};

/// How many priorities a channel may have.
pub(crate) const MAX_LANES: u32 = 8;

/// The unit of positions in a ring: each message begins at a multiple of it.
pub(crate) const UNIT: u64 = 8;

/// What is written before each message: its length.
pub(crate) const PREFIX: usize = 8;

/// What a message is shorter than the ring by, at the least.
pub(crate) const OVERHEAD: u64 = 16;

/// The largest ring of a lane.
pub(crate) const MAX_CAPACITY: u64 = 1 << 40;

/// How many messages may be in a lane: a cursor counts no further.
pub(crate) const MAX_MESSAGES: u64 = Cursor::MESSAGES;

/// An empty lane that has come so far, or half of its ring, goes back to the start: those bytes are still
/// in the processor's cache, and what lies ahead of it is not.
const WALKED: usize = 256 << 10;

/// How much of a new mapping is made present at once.
const POPULATED: usize = 4 << 20;

/// Where the rings begin. A ring is mapped by itself, so it begins at a page of memory: of 64 KiB with some
/// kernels of aarch64. All processes of a machine have pages of one size.
pub(crate) const fn rings(page_size: u64) -> u64 {
    let page = size_of::<Page>() as u64;
    if page > page_size { page } else { page_size }
}

/// The smallest ring of a lane: a page of memory.
pub(crate) const fn min_capacity(page_size: u64) -> u64 {
    if page_size > 4096 { page_size } else { 4096 }
}

/// The file of a channel, up to the rings.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Page {
    header: Header,
    capacity: AtomicU64,
    max_message_size: AtomicU64,
    max_messages: AtomicU64,
    lanes: AtomicU64,
    _line_1: [AtomicU64; 4],
    /// Who sends.
    pub senders: OwnedWord,
    _line_2: [AtomicU64; 4],
    /// Who receives.
    pub receivers: OwnedWord,
    _line_3: [AtomicU64; 4],
    /// There is a message.
    pub sent: Event,
    /// There is room.
    pub taken: Event,
    _reserved: [AtomicU64; 24],
    pub lane: [Lane; MAX_LANES as usize],
    _rest: [AtomicU64; 320],
}

/// Where the messages of a priority begin and end.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Lane {
    /// All that was ever sent: one store commits a message, or a batch.
    pub sent: AtomicU64,
    /// What leads from a position to the place in the ring. Only a sender changes it, in his turn, and only
    /// while the lane is empty: whoever has seen a message has seen where it is.
    origin: AtomicU64,
    _line_1: [AtomicU64; 6],
    /// All that was ever taken.
    pub taken: AtomicU64,
    _line_2: [AtomicU64; 7],
}

const _: () = {
    assert!(offset_of!(Page, capacity) == 12288);
    assert!(offset_of!(Page, senders) == 12288 + 64);
    assert!(offset_of!(Page, receivers) == 12288 + 128);
    assert!(offset_of!(Page, sent) == 12288 + 192);
    assert!(offset_of!(Page, lane) == 12288 + 512);
    assert!(size_of::<Page>() == 4 * 4096);
};

// SAFETY: the structure and its parts are made of atomics, whose offsets leave no padding: the assertions
// above add up.
unsafe impl Shared for Page {}

impl Content for Page {
    type Rest = Rings;

    fn header(&self) -> &Header {
        &self.header
    }

    fn map_rest(&self, file: BorrowedFd<'_>, stat: &Stat) -> Result<Rings, Unfit> {
        let limits = self.limits();
        limits.check(stat.size).map_err(Unfit::Content)?;
        let too_much = |_| Unfit::System(Errno::NOMEM);
        let capacity = usize::try_from(limits.capacity).map_err(too_much)?;
        let max_message_size = usize::try_from(limits.max_message_size).map_err(too_much)?;
        let rings = rings(sys::mman::page_size());
        let ring = |lane: u64| {
            let ring = Ring::new(file, rings + lane * limits.capacity, capacity)?;
            // Where there are holes, this would ask for the memory that whoever made the file did not want
            // to take.
            if stat.allocated >= stat.size {
                ring.populate(POPULATED);
            }
            Ok(ring)
        };
        let lanes = (0..limits.lanes).map(ring).collect::<sys::Result<_>>();
        let max_messages = limits.max_messages;
        let lanes = lanes.map_err(Unfit::System)?;
        let walked = WALKED.min(capacity / 2);
        Ok(Rings { lanes, capacity, walked, max_message_size, max_messages })
    }

    fn give_up(&self, slot: u32) {
        self.senders.abandon(slot);
        self.receivers.abandon(slot);
    }
}

/// The rings of a channel, and what it takes.
#[derive(Debug)]
pub(crate) struct Rings {
    /// One for each priority, the lowest first.
    pub lanes: Vec<Ring>,
    /// The bytes of each ring.
    pub capacity: usize,
    /// From where on an empty lane goes back to the start of its ring.
    pub walked: usize,
    pub max_message_size: usize,
    pub max_messages: u64,
}

/// What a channel takes, as its file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The bytes of the ring of each lane.
    pub capacity: u64,
    pub max_message_size: u64,
    pub max_messages: u64,
    pub lanes: u64,
}

impl Lane {
    /// Where a cursor points to in the ring.
    #[inline]
    pub(crate) fn place(&self, cursor: Cursor, capacity: usize) -> usize {
        let bytes = cursor.bytes().wrapping_add(self.origin.load(Ordering::Relaxed));
        // The capacity is a power of two, so what is cut off does not count; nor does what somebody has
        // written that is no multiple of the unit.
        #[expect(clippy::cast_possible_truncation, reason = "the system has 64 bits")]
        let bytes = (bytes / UNIT * UNIT) as usize;
        bytes & (capacity - 1)
    }

    /// Has an empty lane go on at the start of its ring.
    pub(crate) fn rewind(&self, end: Cursor) {
        self.origin.store(end.bytes().wrapping_neg(), Ordering::Relaxed);
    }
}

impl Limits {
    /// The size of the file.
    pub(crate) fn file_size(self) -> Option<u64> {
        self.capacity.checked_mul(self.lanes)?.checked_add(rings(sys::mman::page_size()))
    }

    /// Why these cannot be the limits of a file, if they cannot.
    pub(crate) fn check(self, file_size: u64) -> Result<(), Cow<'static, str>> {
        let least = min_capacity(sys::mman::page_size());
        let good = (least..=MAX_CAPACITY).contains(&self.capacity)
            && self.capacity.is_power_of_two()
            && (1..=MAX_LANES.into()).contains(&self.lanes)
            && self.max_message_size <= self.capacity - OVERHEAD
            && (1..=MAX_MESSAGES).contains(&self.max_messages)
            && self.file_size() == Some(file_size);
        if good { Ok(()) } else { Err("the numbers in its file are out of range".into()) }
    }
}

impl Limits {
    /// Out of a copy of the file.
    pub(crate) fn of(image: &Image<'_>) -> Option<Limits> {
        Some(Limits {
            capacity: image.long(offset_of!(Page, capacity))?,
            max_message_size: image.long(offset_of!(Page, max_message_size))?,
            max_messages: image.long(offset_of!(Page, max_messages))?,
            lanes: image.long(offset_of!(Page, lanes))?,
        })
    }
}

impl Page {
    fn limits(&self) -> Limits {
        let [capacity, max_message_size, max_messages, lanes] =
            [&self.capacity, &self.max_message_size, &self.max_messages, &self.lanes]
                .map(|field| field.load(Ordering::Relaxed));
        Limits { capacity, max_message_size, max_messages, lanes }
    }

    /// Writes the limits of a new channel.
    pub(crate) fn fill(&self, limits: Limits) {
        let Limits { capacity, max_message_size, max_messages, lanes } = limits;
        self.capacity.store(capacity, Ordering::Relaxed);
        self.max_message_size.store(max_message_size, Ordering::Relaxed);
        self.max_messages.store(max_messages, Ordering::Relaxed);
        self.lanes.store(lanes, Ordering::Relaxed);
    }
}

/// Where a lane begins or ends: a position and a number of messages, so that one store changes both. They
/// count for ever, and wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub u64);

/// What lies between two cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Distance {
    pub bytes: u64,
    pub messages: u64,
}

impl Cursor {
    /// The low bits: the position, in units. It wraps far beyond the largest ring.
    const POSITION: u32 = 40;
    const UNITS: u64 = (1 << Cursor::POSITION) - 1;
    pub(super) const MESSAGES: u64 = (1 << (64 - Cursor::POSITION)) - 1;

    /// How many messages were ever counted; it wraps.
    pub(crate) fn messages(self) -> u64 {
        self.0 >> Cursor::POSITION
    }

    fn units(self) -> u64 {
        self.0 & Cursor::UNITS
    }

    /// The position; it wraps at a multiple of every capacity.
    fn bytes(self) -> u64 {
        self.units() * UNIT
    }

    /// Behind a message that takes so many bytes, or behind what is no message.
    #[inline]
    pub(crate) fn after(self, bytes: u64, messages: u64) -> Cursor {
        let units = self.units().wrapping_add(bytes / UNIT) & Cursor::UNITS;
        let messages = self.messages().wrapping_add(messages) & Cursor::MESSAGES;
        Cursor(messages << Cursor::POSITION | units)
    }

    /// What lies between this one and a later one; `None`: more than the ring has, so somebody has written
    /// rubbish.
    #[inline]
    pub(crate) fn until(self, later: Cursor, capacity: usize) -> Option<Distance> {
        let bytes = (later.units().wrapping_sub(self.units()) & Cursor::UNITS) * UNIT;
        let messages = later.messages().wrapping_sub(self.messages()) & Cursor::MESSAGES;
        let whole =
            bytes <= capacity as u64 && messages <= bytes / UNIT && (messages == 0) == (bytes == 0);
        whole.then_some(Distance { bytes, messages })
    }
}

/// How many bytes of a ring a message takes.
#[inline]
pub(crate) fn room_for(length: usize) -> u64 {
    PREFIX as u64 + (length as u64).next_multiple_of(UNIT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lane(origin: u64) -> Lane {
        Lane {
            sent: AtomicU64::new(0),
            origin: AtomicU64::new(origin),
            _line_1: [const { AtomicU64::new(0) }; 6],
            taken: AtomicU64::new(0),
            _line_2: [const { AtomicU64::new(0) }; 7],
        }
    }

    #[test]
    fn rings_begin_at_pages_of_memory() {
        // Files of systems with the usual pages stay what they are.
        assert_eq!((rings(4096), min_capacity(4096)), (16384, 4096));
        assert_eq!((rings(16384), min_capacity(16384)), (16384, 16384));
        assert_eq!((rings(65536), min_capacity(65536)), (65536, 65536));
        let page = sys::mman::page_size();
        let limits = |capacity| Limits { capacity, max_message_size: 8, max_messages: 1, lanes: 1 };
        let check = |limits: Limits| limits.check(limits.file_size().expect("it is small"));
        assert_eq!(check(limits(page.max(4096))), Ok(()));
        check(limits(page / 2)).expect_err("a ring is not part of a page");
    }

    proptest! {
        #[test]
        fn a_cursor_counts_bytes_and_messages(
            start: u64,
            steps in proptest::collection::vec(0_usize..3000, 0..20),
        ) {
            let start = Cursor(start);
            let capacity = 1 << 16;
            let mut end = start;
            let mut bytes = 0;
            for &length in &steps {
                end = end.after(room_for(length), 1);
                bytes += room_for(length);
            }
            prop_assume!(bytes <= capacity as u64);
            let distance = Distance { bytes, messages: steps.len() as u64 };
            prop_assert_eq!(start.until(end, capacity), Some(distance));
        }

        /// Whatever somebody has written: a place is one of the ring's, where a word may be.
        #[test]
        fn any_cursor_has_a_place(origin: u64, cursor: u64, shift in 12_u32..=40) {
            let lane = lane(origin);
            let capacity = 1 << shift;
            let place = lane.place(Cursor(cursor), capacity);
            prop_assert!(place < capacity && place.is_multiple_of(8));
        }

        /// Wherever a lane goes back, also where positions wrap: it goes on from the start, in a row.
        #[test]
        fn a_lane_goes_back(
            cursor: u64,
            shift in 12_u32..=40,
            lengths in proptest::collection::vec(0_usize..3000, 0..20),
        ) {
            let (lane, mut end, capacity) = (lane(0), Cursor(cursor), 1 << shift);
            lane.rewind(end);
            let mut place = 0;
            for length in lengths {
                prop_assert_eq!(lane.place(end, capacity), place);
                end = end.after(room_for(length), 1);
                place = (place + usize::try_from(room_for(length)).expect("small")) % capacity;
            }
        }

        /// Whatever somebody has written: what lies between two cursors fits into the ring, or is nothing.
        #[test]
        fn any_two_cursors_are_measured(a: u64, b: u64) {
            if let Some(distance) = Cursor(a).until(Cursor(b), 4096) {
                prop_assert!(distance.bytes <= 4096 && distance.messages <= 512);
            }
        }
    }
}
