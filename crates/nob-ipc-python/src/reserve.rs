//! Blocks of memory that are set aside for when the system has none.
//!
//! Rust ends the process when there is no memory for the text of an error, or for a place in a list. What is
//! large is asked for in ways that may fail, and a call says so. What is small comes from these blocks then, so
//! that the call gets as far as its error.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

#[global_allocator]
static MEMORY: Memory =
    Memory { blocks: UnsafeCell::new([[0; BLOCK]; COUNT]), taken: AtomicU64::new(0) };

/// The bytes of a block, and what it is aligned to.
const BLOCK: usize = 1024;
const ALIGNMENT: usize = 64;

/// As many as [`Memory::taken`] has bits.
const COUNT: usize = 64;

/// The system's memory, and the blocks.
#[repr(C, align(64))]
struct Memory {
    blocks: UnsafeCell<[[u8; BLOCK]; COUNT]>,
    /// A bit for each block that somebody has. There is no lock, which a forked child could inherit.
    taken: AtomicU64,
}

const _: () = assert!(align_of::<Memory>() == ALIGNMENT && BLOCK.is_multiple_of(ALIGNMENT));

// SAFETY: nothing refers to the bytes of a block but who has set its bit.
unsafe impl Sync for Memory {}

impl Memory {
    fn first(&self) -> *mut u8 {
        self.blocks.get().cast()
    }

    /// A block, if what is wanted fits into one, and one is free; else null.
    #[cold]
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() > BLOCK || layout.align() > ALIGNMENT {
            return ptr::null_mut();
        }
        let lowest = |free: u64| free & free.wrapping_neg();
        let taken = self.taken.fetch_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
            (taken != u64::MAX).then(|| taken | lowest(!taken))
        });
        taken.map_or(ptr::null_mut(), |before| {
            self.first().wrapping_add((!before).trailing_zeros() as usize * BLOCK)
        })
    }

    /// The bit of the block that this is the beginning of, if it is one.
    #[inline]
    fn bit_of(&self, memory: *mut u8) -> Option<u64> {
        let offset = memory.addr().wrapping_sub(self.first().addr());
        (offset < BLOCK * COUNT).then(|| 1 << (offset / BLOCK))
    }
}

// SAFETY: memory is the system's, or a block that nobody else has as long as its bit is set. Which of the two
// the address tells. Nothing here panics.
unsafe impl GlobalAlloc for Memory {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { self.take(layout) } else { memory }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let mut memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() {
            memory = self.take(layout);
            if !memory.is_null() {
                // SAFETY: a block is as large as was asked for, and nobody else has it.
                unsafe { memory.write_bytes(0, layout.size()) };
            }
        }
        memory
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match self.bit_of(memory) {
            // SAFETY: it is none of the blocks, so it came from the system's allocator, with this layout.
            None => unsafe { System.dealloc(memory, layout) },
            Some(bit) => {
                self.taken.fetch_and(!bit, Ordering::Release);
            }
        }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if self.bit_of(memory).is_none() {
            // SAFETY: as in `dealloc`.
            let moved = unsafe { System.realloc(memory, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that the size is not 0, and not too large for the alignment.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both are at least as large as the smaller size, and apart; the old one was the caller's.
            unsafe {
                ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        moved
    }
}
