//! The orders of the list.

use std::cmp::Ordering;
use std::time::Duration;

use super::row::Row;
use crate::describe::{in_lists, state_word};
use crate::people::Users;
use crate::text::natural_order;

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Kind,
    Name,
    Content,
    Rate,
    Owner,
    Mode,
    Age,
    Status,
    Waiting,
    Lease,
    Holders,
    Creator,
}

impl Sort {
    pub fn word(self) -> &'static str {
        match self {
            Sort::Kind => "kind",
            Sort::Name => "name",
            Sort::Content => "content",
            Sort::Rate => "rate",
            Sort::Owner => "owner",
            Sort::Mode => "mode",
            Sort::Age => "age",
            Sort::Status => "status",
            Sort::Waiting => "waiting",
            Sort::Lease => "lease",
            Sort::Holders => "holders",
            Sort::Creator => "creator",
        }
    }

    /// Whether the largest comes first, unless it is reversed.
    pub fn descends(self) -> bool {
        matches!(self, Sort::Content | Sort::Rate | Sort::Age | Sort::Holders | Sort::Waiting)
    }

    /// Which comes first; the rates are those of the two.
    pub fn compare(self, one: &Row, other: &Row, rates: (f64, f64), users: &mut Users) -> Ordering {
        match self {
            Sort::Kind => in_lists(one.name(), other.name()),
            Sort::Name => natural_order(one.name().as_bytes(), other.name().as_bytes()),
            Sort::Content => one.amount().cmp(&other.amount()),
            Sort::Rate => rates.0.total_cmp(&rates.1),
            Sort::Owner => one.owner(users).cmp(&other.owner(users)),
            Sort::Mode => one.mode().cmp(&other.mode()),
            // Not by the ages, which grow meanwhile.
            Sort::Age => other.born().cmp(&one.born()),
            Sort::Status => state_word(one.state()).cmp(state_word(other.state())),
            Sort::Holders => one.holder_count().cmp(&other.holder_count()),
            Sort::Waiting => one.waiters().cmp(&other.waiters()),
            // Who holds nothing comes last.
            Sort::Lease => {
                let left = |row: &Row| row.lease().unwrap_or(Duration::MAX);
                left(one).cmp(&left(other))
            }
            Sort::Creator => natural_order(one.creator().as_bytes(), other.creator().as_bytes()),
        }
    }
}
