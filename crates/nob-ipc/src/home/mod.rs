//! Where named objects live.

pub(crate) mod record;
