//! Python values into the core's and back.

mod arguments;
pub(crate) mod buffer;
pub(crate) mod error;
pub(crate) mod message;

pub(crate) use arguments::{
    Arg, bounded, capacity, direction, durability, existence, given_name, lease, mode, name,
    narrow, optional_count, optional_switch, optional_text, patience, priority, signal, switch,
    timeout,
};
