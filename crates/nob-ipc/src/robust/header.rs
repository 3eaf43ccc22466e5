//! The format of the files: three pages, native byte order, every field an atomic.
//!
//! Any of them may hold anything: whoever may write to the file may have written it. So each is read once,
//! and used only where no value does harm.

#![allow(unsafe_code)]

use std::borrow::Cow;
use std::fmt::Debug;
use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::event::Event;
use super::image::Image;
use super::word::{NOBODY, OwnedWord};
use crate::kind::Kind;
use crate::sys::mman::Shared;
use crate::sys::{Errno, Stat};

/// `nob-ipc1`, in the byte order of the machine.
const MAGIC: u64 = u64::from_ne_bytes(*b"nob-ipc1");

/// The version of the format: another one of the first number is another format.
const MAJOR: u32 = 1;
const MINOR: u32 = 0;

/// How many handles a file has room for.
pub(crate) const SLOTS: u32 = 1023;

/// How many permits a bounded semaphore may have.
pub(crate) const MAX_PERMITS: u32 = 512;

/// The file of a lock or of a bounded semaphore, and the beginning of that of a channel.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    magic: AtomicU64,
    /// Which kind it is: what [`code`] says.
    kind: AtomicU32,
    /// The minor number in the high half.
    version: AtomicU32,
    size: AtomicU64,
    slot_count: AtomicU32,
    /// How many of the cells are permits.
    cell_count: AtomicU32,
    /// The slot after the last one that was given out.
    pub slot_hint: AtomicU32,
    /// How often what a handle had was taken from it since it died, or gave up.
    pub deaths: AtomicU32,
    /// Each line of the processor's cache from here on has one user.
    _line_1: [AtomicU64; 3],
    pub lock: OwnedWord,
    _line_2: [AtomicU64; 4],
    /// A permit has been given back.
    pub freed: Event,
    _page_0: [AtomicU64; 104],
    /// The slot that has each permit.
    pub cells: [AtomicU32; MAX_PERMITS as usize],
    _page_1: [AtomicU64; 128],
    /// What each slot tells of its handle.
    pub slots: [Slot; SLOTS as usize + 1],
}

/// What a handle tells of itself, for people.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Slot {
    /// How many of its threads sleep.
    pub waiting: AtomicU32,
    /// Its process, as that calls itself.
    pub pid: AtomicU32,
}

/// How long a file is.
pub(crate) const FILE_SIZE: u64 = size_of::<Header>() as u64;

const _: () = {
    assert!(offset_of!(Header, lock) == 64);
    assert!(offset_of!(Header, freed) == 128);
    assert!(offset_of!(Header, cells) == 1024);
    assert!(offset_of!(Header, slots) == 4096);
    assert!(FILE_SIZE == 3 * 4096);
};

/// Why the rest of a file cannot be mapped.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// It is not what it should be.
    Content(Cow<'static, str>),
    System(Errno),
}

/// What the files of this format begin with, and what handles have in them.
pub(crate) trait Content: Shared {
    /// What a handle has mapped besides.
    type Rest: Debug + Send + Sync;

    fn header(&self) -> &Header;

    /// Maps the rest of a file, if it is whole. What the file says is read once, here.
    fn map_rest(&self, file: BorrowedFd<'_>, stat: &Stat) -> Result<Self::Rest, Unfit>;

    /// Leaves to others whatever carries the number of a slot, by whoever has that slot.
    fn give_up(&self, slot: u32);
}

impl Content for Header {
    type Rest = ();

    fn header(&self) -> &Header {
        self
    }

    fn map_rest(&self, _: BorrowedFd<'_>, _: &Stat) -> Result<(), Unfit> {
        Ok(())
    }

    fn give_up(&self, slot: u32) {
        self.lock.abandon(slot);
        let mut freed = 0;
        for cell in &self.cells {
            if cell.load(Ordering::Relaxed) == slot
                && cell.compare_exchange(slot, NOBODY, Ordering::SeqCst, Ordering::Relaxed).is_ok()
            {
                freed += 1;
            }
        }
        if freed > 0 {
            self.deaths.fetch_add(freed, Ordering::Relaxed);
            self.freed.notify(freed);
        }
    }
}

// SAFETY: the structure and its parts are made of atomics, whose offsets leave no padding: the assertions
// above add up.
unsafe impl Shared for Header {}

/// What is written in the field `kind`.
fn code(kind: Kind) -> u32 {
    match kind {
        Kind::Lock => 1,
        Kind::BoundedSemaphore => 2,
        Kind::Channel => 4,
        // What there is of these has another format.
        Kind::Semaphore | Kind::SharedMemory | Kind::MessageQueue => 0,
    }
}

fn word_of(code: u32) -> Option<&'static str> {
    match code {
        1 => Some("a lock"),
        2 => Some("a bounded semaphore"),
        4 => Some("a channel"),
        _ => None,
    }
}

impl Header {
    /// Makes an object of a file that is all zeros.
    pub(super) fn fill(&self, kind: Kind, size: u64, permits: u32) {
        self.kind.store(code(kind), Ordering::Relaxed);
        self.version.store(MAJOR | MINOR << 16, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
        self.slot_count.store(SLOTS, Ordering::Relaxed);
        self.cell_count.store(permits, Ordering::Relaxed);
        self.magic.store(MAGIC, Ordering::Release);
    }

    /// How many permits a file of this kind and size has, or why it is none.
    pub(super) fn check(&self, kind: Kind, file_size: u64) -> Result<u32, Cow<'static, str>> {
        let [magic, size] = [&self.magic, &self.size].map(|field| field.load(Ordering::Acquire));
        let [code, version, slots, permits] =
            [&self.kind, &self.version, &self.slot_count, &self.cell_count]
                .map(|field| field.load(Ordering::Relaxed));
        check(kind, file_size, &Fields { magic, size, code, version, slots, permits })
    }
}

/// What tells whether a file is of a kind, as it was read.
#[derive(Debug)]
pub(crate) struct Fields {
    pub magic: u64,
    pub size: u64,
    pub code: u32,
    pub version: u32,
    pub slots: u32,
    pub permits: u32,
}

impl Fields {
    /// Out of a copy of the file.
    pub(crate) fn of(image: &Image<'_>) -> Option<Fields> {
        Some(Fields {
            magic: image.long(offset_of!(Header, magic))?,
            size: image.long(offset_of!(Header, size))?,
            code: image.word(offset_of!(Header, kind))?,
            version: image.word(offset_of!(Header, version))?,
            slots: image.word(offset_of!(Header, slot_count))?,
            permits: image.word(offset_of!(Header, cell_count))?,
        })
    }
}

/// How many permits there are, or why the file is none of the kind.
pub(crate) fn check(kind: Kind, file_size: u64, fields: &Fields) -> Result<u32, Cow<'static, str>> {
    let (major, minor) = (fields.version & 0xffff, fields.version >> 16);
    // A channel is as long as it says.
    let size = if kind == Kind::Channel { fields.size } else { FILE_SIZE };
    let permits = if kind == Kind::BoundedSemaphore { 1..=MAX_PERMITS } else { 0..=0 };
    if kind != Kind::Channel && file_size != size {
        Err(bad_size(file_size, size))
    } else if fields.magic != MAGIC {
        Err("its file does not begin as that of one".into())
    } else if major != MAJOR {
        Err(format!(
            "its file has version {major}.{minor} of the format, and this library has {MAJOR}.{MINOR}; \
             use the version of the library that made it"
        )
        .into())
    } else if fields.code != code(kind) {
        let found = word_of(fields.code).unwrap_or("of a kind that is not known here");
        Err(format!("its file is {found}").into())
    } else if file_size != size {
        Err(bad_size(file_size, size))
    } else if (fields.size, fields.slots) != (size, SLOTS) || !permits.contains(&fields.permits) {
        Err("the numbers in its file are out of range".into())
    } else {
        Ok(fields.permits)
    }
}

fn bad_size(found: u64, needed: u64) -> Cow<'static, str> {
    format!("its file has {found} bytes, and {needed} are needed").into()
}
