//! Objects on a server, behind the same classes: what the calls of a handle do whose object is there.
//!
//! A class has a [`There`] beside the slot of an object on this machine. The slot of a handle whose object
//! is on a server is never opened: so the fast paths find nothing in it, and leave the call to the method,
//! which looks here.

pub(crate) mod error;
mod messages;
mod object;
mod permits;

pub(crate) use messages::{receive, receive_many, send, send_many};
pub(crate) use object::{Object, There, there_is_open};
pub(crate) use permits::{Permits, acquire, leave, release};
