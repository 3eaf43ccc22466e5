//! Sizes, memory and mappings of segments (contract 3.4, 3.5, 6).

pub mod segments;
pub mod size_policy;
