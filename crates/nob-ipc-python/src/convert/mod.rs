//! Python values into the core's and back.

mod arguments;
pub(crate) mod error;
pub(crate) mod message;
pub(crate) mod pickle;

pub(crate) use arguments::{
    Arg, bounded, capacity, direction, existence, given_name, mode, name, narrow, optional_switch,
    priority, signal, switch, timeout,
};
