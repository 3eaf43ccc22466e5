//! Where received messages are copied to.

use std::mem::MaybeUninit;

use crate::sys::ring;

/// Takes messages out of a [`Channel`](crate::Channel): says for each where it is to be copied to.
///
/// It is asked while this handle holds the receivers' lock: it must not use the channel, nor run code that
/// could.
pub trait Sink {
    /// A place for a message of this length and priority, of at least that many bytes, of which the first
    /// `length` are initialised when the call that receives returns. `None`: the message stays, and nothing
    /// more is taken.
    fn place(&mut self, length: usize, priority: u32) -> Option<&mut [MaybeUninit<u8>]>;
}

/// One message into a buffer of the caller's.
pub(super) struct Buffer<'a> {
    bytes: &'a mut [u8],
    /// The length of a message that was too long.
    pub refused: Option<usize>,
    /// Length and priority of the message.
    pub received: Option<(usize, u32)>,
}

impl<'a> Buffer<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Buffer<'a> {
        Buffer { bytes, refused: None, received: None }
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }
}

impl Sink for Buffer<'_> {
    fn place(&mut self, length: usize, priority: u32) -> Option<&mut [MaybeUninit<u8>]> {
        let Some(place) = self.bytes.get_mut(..length) else {
            self.refused = Some(length);
            return None;
        };
        self.received = Some((length, priority));
        Some(ring::to_be_read(place))
    }
}

/// Messages into vectors of their own.
#[derive(Default)]
pub(super) struct Vectors {
    pub messages: Vec<(Vec<u8>, u32)>,
    pub out_of_memory: bool,
}

impl Sink for Vectors {
    fn place(&mut self, length: usize, priority: u32) -> Option<&mut [MaybeUninit<u8>]> {
        let mut message = Vec::new();
        if message.try_reserve_exact(length).is_err() || self.messages.try_reserve(1).is_err() {
            self.out_of_memory = true;
            return None;
        }
        message.resize(length, 0);
        self.messages.push((message, priority));
        let (message, _) = self.messages.last_mut()?;
        Some(ring::to_be_read(message))
    }
}
