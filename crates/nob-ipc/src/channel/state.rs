//! What a channel's file tells to those who list objects: read without a mapping, as of the other robust
//! files.

use std::mem::offset_of;
use std::os::fd::BorrowedFd;

use super::layout::{Cursor, Lane, Limits, Page};
use crate::kind::Kind;
use crate::robust::header::{self, Fields, Header};
use crate::robust::image::{Image, read_first};
use crate::robust::life;
use crate::robust::state::waiters;
use crate::sys;

/// How full a channel is, at the moment when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelState {
    /// How many messages are in it.
    pub messages: u64,
    /// How many it takes at the most.
    pub max_messages: u64,
    /// How many bytes a message may have.
    pub max_message_size: u64,
    /// How many bytes of its room are taken, of all priorities.
    pub used: u64,
    /// How many bytes of room there are, of all priorities.
    pub capacity: u64,
    /// How many priorities there are.
    pub priorities: u64,
    /// How many threads sleep until there is a message or room, or their turn to copy.
    pub waiters: u32,
    /// How often a turn to copy was taken over from a handle that had died.
    pub deaths: u32,
    /// How many messages were ever sent, of all priorities, modulo [`COUNTED`](ChannelState::COUNTED).
    pub sent: u64,
    /// How many messages were ever received, counted in the same way.
    pub received: u64,
}

impl ChannelState {
    /// Messages are counted up to this number, and begin at 0 again.
    pub const COUNTED: u64 = Cursor::MESSAGES + 1;

    /// How many messages were sent and received since an earlier look at the same channel, if that was less
    /// than [`COUNTED`](ChannelState::COUNTED) messages ago; else so many more.
    #[must_use]
    pub fn since(&self, earlier: &ChannelState) -> (u64, u64) {
        let passed = |now: u64, then: u64| now.wrapping_sub(then) % ChannelState::COUNTED;
        (passed(self.sent, earlier.sent), passed(self.received, earlier.received))
    }
}

/// How often a file is read that looks damaged: it may have been written to meanwhile.
const LOOKS: usize = 16;

/// Reads a file; `None`: it is no channel.
pub(crate) fn read(file: BorrowedFd<'_>) -> sys::Result<Option<ChannelState>> {
    let size = sys::stat::of(file)?.size;
    let lives = |slot| life::is_alive(file, slot);
    for _ in 0..LOOKS {
        let bytes = read_first(file, size_of::<Page>())?;
        if let Some(state) = parse(&Image(&bytes), size, &lives) {
            return state.map(Some);
        }
    }
    Ok(None)
}

fn parse(
    image: &Image<'_>,
    size: u64,
    lives: &dyn Fn(u32) -> sys::Result<bool>,
) -> Option<sys::Result<ChannelState>> {
    header::check(Kind::Channel, size, &Fields::of(image)?).ok()?;
    let limits = Limits::of(image)?;
    limits.check(size).ok()?;
    let (mut messages, mut used) = (0, 0);
    let (mut all_sent, mut all_taken) = (0, 0);
    for lane in 0..usize::try_from(limits.lanes).ok()? {
        let lane = offset_of!(Page, lane) + lane * size_of::<Lane>();
        let taken = Cursor(image.long(lane + offset_of!(Lane, taken))?);
        let sent = Cursor(image.long(lane + offset_of!(Lane, sent))?);
        let distance = taken.until(sent, usize::try_from(limits.capacity).ok()?)?;
        messages += distance.messages;
        used += distance.bytes;
        all_sent += sent.messages();
        all_taken += taken.messages();
    }
    let deaths = image.word(offset_of!(Header, deaths))?;
    let state = |waiters| ChannelState {
        messages,
        max_messages: limits.max_messages,
        max_message_size: limits.max_message_size,
        used,
        capacity: limits.capacity * limits.lanes,
        priorities: limits.lanes,
        waiters,
        deaths,
        sent: all_sent % ChannelState::COUNTED,
        received: all_taken % ChannelState::COUNTED,
    };
    Some(waiters(image, lives).map(state))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever somebody has written to the file: it is refused, or it is a state.
        #[test]
        fn anything_can_be_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            start in 0_usize..16_384,
            length in 0_usize..20_000,
        ) {
            let mut image = vec![0; length];
            for (target, byte) in image.iter_mut().skip(start).zip(&bytes) {
                *target = *byte;
            }
            if let Some(Ok(state)) = parse(&Image(&image), length as u64, &|_| Ok(true)) {
                prop_assert!(state.used <= state.capacity);
                prop_assert!(state.sent < ChannelState::COUNTED);
                prop_assert_eq!(
                    state.sent.wrapping_sub(state.received) % ChannelState::COUNTED,
                    state.messages % ChannelState::COUNTED
                );
            }
        }
    }
}
