//! Removing what dead processes left behind, and nothing else.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Coverage, Creator, Object, list};
use crate::error::{Error, Result};
use crate::home::{self, Removal};
use crate::kind::{Kind, Place};
use crate::sys;

/// What to remove: by default every [orphan](Object::orphan) that nobody holds.
///
/// ```
/// use std::time::Duration;
/// use nob_ipc::registry::Reap;
///
/// // Only looks.
/// let (findings, _) = Reap::new().older_than(Duration::from_secs(3600)).dry_run()?;
/// for finding in findings {
///     println!("{} {}: {:?}", finding.object.kind(), finding.object.name(), finding.outcome);
/// }
/// # Ok::<(), nob_ipc::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Reap {
    older_than: Option<Duration>,
    unused: Option<Duration>,
    kinds: Vec<Kind>,
    pattern: Option<String>,
    user: Option<u32>,
}

/// One object that is an orphan, or may be one, and what became of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The object, as it was.
    pub object: Object,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an object.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was removed.
    Removed,
    /// It would be removed: the run was dry.
    WouldRemove,
    /// Left alone: processes hold it.
    Held,
    /// Left alone: that many processes that may not be looked at could hold it.
    Unseen(usize),
    /// Left alone: whether its creator is dead cannot be told.
    UnknownCreator,
    /// Left alone: it belongs to another user.
    NotPermitted,
    /// It could not be removed.
    Failed(Error),
}

impl Reap {
    /// Every orphan.
    #[must_use]
    pub fn new() -> Reap {
        Reap::default()
    }

    /// Only what has been [idle](Object::idle) for this long.
    #[must_use]
    pub fn older_than(mut self, age: Duration) -> Reap {
        self.older_than = Some(age);
        self
    }

    /// Also what nobody owns and nobody uses, if it has been [idle](Object::idle) for this long. It may be
    /// meant to stay: choose well. A semaphore is taken only at the value that it was made with, where that
    /// was noted, and no lock whose owner died, until somebody has called
    /// [`mark_repaired`](crate::Lock::mark_repaired).
    #[must_use]
    pub fn unused_for(mut self, age: Duration) -> Reap {
        self.unused = Some(age);
        self
    }

    /// Only objects of these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: &[Kind]) -> Reap {
        self.kinds = kinds.to_vec();
        self
    }

    /// Only objects whose name, without its slash, matches a pattern: `*` stands for any characters, `?`
    /// for one, and everything else for itself.
    #[must_use]
    pub fn named(mut self, pattern: &str) -> Reap {
        self.pattern = Some(pattern.trim_start_matches('/').to_string());
        self
    }

    /// Only objects of this user.
    #[must_use]
    pub fn of_user(mut self, user: u32) -> Reap {
        self.user = Some(user);
        self
    }

    /// Says what [`run`](Reap::run) would do.
    ///
    /// # Errors
    ///
    /// As [`list`].
    pub fn dry_run(&self) -> Result<(Vec<Finding>, Coverage)> {
        let listing = list(self.listed())?;
        let coverage = listing.queues;
        Ok((self.judge(listing.objects), coverage))
    }

    /// Removes what is proven to be left behind. When in doubt it is left. Records of queues that are
    /// gone are removed, too.
    ///
    /// # Errors
    ///
    /// As [`list`]. What could not be removed is among the findings.
    pub fn run(&self) -> Result<(Vec<Finding>, Coverage)> {
        let mut findings = Vec::new();
        let coverage = self.run_with(|finding| {
            findings.push(finding);
            ControlFlow::Continue(())
        })?;
        Ok((findings, coverage))
    }

    /// As [`run`](Reap::run), and tells what became of each object at once, before the next is touched.
    /// `report` may end it there with [`ControlFlow::Break`].
    ///
    /// # Errors
    ///
    /// As [`list`].
    pub fn run_with(&self, mut report: impl FnMut(Finding) -> ControlFlow<()>) -> Result<Coverage> {
        let listing = list(self.listed())?;
        let coverage = listing.queues;
        for mut finding in self.judge(listing.objects) {
            if matches!(finding.outcome, Outcome::WouldRemove) {
                finding.outcome = match finding.object.unlink_if_left() {
                    // Gone, or another object's name now: nothing is left behind.
                    Ok(Removal::Removed | Removal::Gone | Removal::Replaced) => Outcome::Removed,
                    Ok(Removal::InUse | Removal::Locked) => Outcome::Held,
                    Ok(Removal::Unverifiable) => Outcome::NotPermitted,
                    Err(error) => Outcome::Failed(error),
                };
            }
            if report(finding).is_break() {
                return Ok(coverage);
            }
        }
        for place in Place::ALL {
            home::at(place).forget_gone();
        }
        Ok(coverage)
    }

    fn listed(&self) -> &[Kind] {
        if self.kinds.is_empty() { &Kind::ALL } else { &self.kinds }
    }

    /// Whether the object is among those that were asked for.
    fn concerns(&self, object: &Object) -> bool {
        let bare = object.name().as_bytes().get(1..).unwrap_or_default();
        self.user.is_none_or(|user| user == object.owner())
            && self.pattern.as_ref().is_none_or(|pattern| matches(pattern.as_bytes(), bare))
    }

    fn judge(&self, objects: Vec<Object>) -> Vec<Finding> {
        let judged = |object: Object| {
            let outcome = self.outcome(&object)?;
            Some(Finding { object, outcome })
        };
        objects.into_iter().filter_map(judged).collect()
    }

    /// What is to become of an object; `None` if it is no concern of this.
    fn outcome(&self, object: &Object) -> Option<Outcome> {
        if !self.concerns(object) {
            return None;
        }
        let unmarked = object.creator() == Creator::Unmarked && !object.is_shared();
        let age = if unmarked { Some(self.unused?) } else { self.older_than };
        // Who has a permit will give it back, whether he has the semaphore open or not; and who takes a
        // lock is to be told of a death.
        if age.is_some_and(|age| object.idle() < age) || (unmarked && !object.is_at_rest()) {
            return None;
        }
        let user = sys::unistd::effective_user();
        let permitted = user == 0 || user == object.owner();
        Some(match object.orphan() {
            Some(false) if !unmarked || object.is_held() => return None,
            // What may not be removed anyhow need not be understood.
            None if !permitted => return None,
            None => Outcome::UnknownCreator,
            _ if object.is_held() => Outcome::Held,
            _ if !permitted => Outcome::NotPermitted,
            _ if object.unseen() > 0 => Outcome::Unseen(object.unseen()),
            _ => Outcome::WouldRemove,
        })
    }
}

/// Whether a name matches a pattern of `*` and `?`, in time that grows with the product of their lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star is, and how far it reaches.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((place, reach)) => {
                    star = Some((place, reach + 1));
                    at = place + 1;
                    from = reach + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("jobs", "jobs", true),
            ("jobs", "jobs2", false),
            ("jobs-*", "jobs-7", true),
            ("*-7", "jobs-7", true),
            ("j?bs*", "jabs", true),
            ("*a*b*c", "xxaxxbxxbc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        let (pattern, name) = ("*a".repeat(40) + "b", "a".repeat(250));
        assert!(!matches(pattern.as_bytes(), name.as_bytes()));
    }
}
