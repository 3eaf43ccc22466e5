//! What a handle holds on the server under a lease: a lock, or permits.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::object::Object;
use crate::sync::lock;
use crate::sys::boot_time;
use crate::unanswered::Unanswered;

/// One lock or permit.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub token: String,
    pub fence: u64,
    /// Until when one may count on it, on this machine's clock. A tenth of the lease is left for
    /// the way and for clocks.
    good_until: Duration,
    /// It was to be released, and the server could not be told: its lease is not renewed.
    pub leaving: bool,
    /// The release, if it may have been done.
    unanswered: Option<Arc<Unanswered>>,
}

impl Held {
    /// Whether one may count on it.
    pub(crate) fn is_good(&self) -> bool {
        boot_time() < self.good_until && !self.may_be_released()
    }

    /// Whether it was released, as far as anybody knows, or not.
    pub(crate) fn may_be_released(&self) -> bool {
        self.unanswered.is_some()
    }

    fn is_renewed(&self) -> bool {
        self.is_good() && !self.leaving
    }
}

#[derive(Debug, Default)]
struct State {
    held: Vec<Held>,
    /// When the next renewal is due.
    next: Duration,
    /// A renewal is under way.
    renewing: bool,
}

#[derive(Debug)]
pub(crate) struct Hold {
    pub object: Arc<Object>,
    pub lease: Duration,
    state: Mutex<State>,
}

impl Hold {
    pub(crate) fn new(object: Arc<Object>, lease: Duration) -> Hold {
        Hold { object, lease, state: Mutex::default() }
    }

    /// Between renewals. They also keep an unlinked object, which ends an hour after its last use.
    fn pause(&self) -> Duration {
        (self.lease / 3).min(Duration::from_secs(1200))
    }

    fn good(&self, sent: Duration) -> Duration {
        sent + self.lease.mul_f64(0.9)
    }

    /// Something was taken, by a request that was sent then. When a renewal is due.
    pub(crate) fn add(&self, token: String, fence: u64, sent: Duration) -> Duration {
        let mut state = lock(&self.state);
        let next = sent + self.pause();
        state.next = if state.held.is_empty() { next } else { state.next.min(next) };
        let good_until = self.good(sent);
        state.held.push(Held { token, fence, good_until, leaving: false, unanswered: None });
        state.next
    }

    /// What is held, the lost included.
    pub(crate) fn held(&self) -> Vec<Held> {
        lock(&self.state).held.clone()
    }

    /// Whether this is held, and may be counted on.
    pub(crate) fn has(&self, token: &str) -> bool {
        lock(&self.state).held.iter().any(|held| held.token == token && held.is_good())
    }

    /// The last of them.
    pub(crate) fn last(&self) -> Option<Held> {
        lock(&self.state).held.last().cloned()
    }

    /// Takes out all of it.
    pub(crate) fn take_all(&self) -> Vec<Held> {
        std::mem::take(&mut lock(&self.state).held)
    }

    /// Puts back what was taken out to be released, since the server has not said that it is. The lease
    /// ends it, if the release was not done; where it may have been, it is the one to be repeated.
    pub(crate) fn put_back(&self, held: &[Held], unanswered: Option<&Arc<Unanswered>>) {
        let unanswered = unanswered.cloned();
        let left =
            |held: &Held| Held { leaving: true, unanswered: unanswered.clone(), ..held.clone() };
        lock(&self.state).held.extend(held.iter().map(left));
    }

    /// Takes out what is to be given back together, next to what else is: a release that was not
    /// answered, if nothing was taken since then or `count` is more than there is besides; else up to
    /// `count`, those that are good first. Also the unanswered release.
    pub(crate) fn take_to_release(&self, count: usize) -> (Vec<Held>, Option<Arc<Unanswered>>) {
        let mut state = lock(&self.state);
        let besides = state.held.iter().filter(|held| !held.may_be_released()).count();
        let last = match state.held.last() {
            Some(held) if held.may_be_released() => held.unanswered.clone(),
            _ if count <= besides => None,
            _ => state.held.iter().rev().find_map(|held| held.unanswered.clone()),
        };
        if let Some(release) = last {
            let of_it =
                |held: &Held| held.unanswered.as_ref().is_some_and(|it| Arc::ptr_eq(it, &release));
            let (taken, rest) = state.held.drain(..).partition(of_it);
            state.held = rest;
            return (taken, Some(release));
        }
        // Those whose release was not answered come first, and are left alone.
        state.held.sort_by_key(|held| (!held.may_be_released(), held.is_good()));
        let rest = state.held.len().saturating_sub(count);
        (state.held.split_off(rest), None)
    }

    /// What may have been released is over.
    pub(crate) fn forget_unanswered(&self) {
        lock(&self.state).held.retain(|held| !held.may_be_released());
    }

    /// Whether it was there.
    pub(crate) fn remove(&self, token: &str) -> bool {
        let mut state = lock(&self.state);
        let before = state.held.len();
        state.held.retain(|held| held.token != token);
        state.held.len() < before
    }

    /// Takes out the last that one may count on.
    pub(crate) fn take_newest(&self) -> Option<Held> {
        let mut state = lock(&self.state);
        let place = state.held.iter().rposition(Held::is_renewed)?;
        Some(state.held.remove(place))
    }

    /// When a renewal is due; `None`: there is nothing to renew.
    pub(crate) fn due(&self) -> Option<Duration> {
        let state = lock(&self.state);
        let something = state.held.iter().any(Held::is_renewed);
        (something && !state.renewing).then_some(state.next)
    }

    /// Begins a renewal: the tokens to renew.
    pub(crate) fn begin(&self) -> Vec<String> {
        let mut state = lock(&self.state);
        state.renewing = true;
        state.held.iter().filter(|held| held.is_renewed()).map(|held| held.token.clone()).collect()
    }

    /// The server has answered a renewal that was sent then; `there` says for each token whether it
    /// has it.
    pub(crate) fn renewed(&self, tokens: &[String], there: &[bool], sent: Duration) {
        let mut state = lock(&self.state);
        state.renewing = false;
        state.next = sent + self.pause();
        let good = self.good(sent);
        for held in &mut state.held {
            let Some(place) = tokens.iter().position(|token| *token == held.token) else {
                continue;
            };
            // What was lost for a moment was lost: its owner may have seen it.
            held.good_until = match there.get(place) {
                Some(true) if held.is_good() => good,
                // It may be released by now.
                _ if held.leaving => held.good_until,
                _ => Duration::ZERO,
            };
        }
    }

    /// A renewal came to nothing; the next follows soon.
    pub(crate) fn not_renewed(&self) {
        let mut state = lock(&self.state);
        state.renewing = false;
        state.next = boot_time() + Duration::from_millis(50);
    }
}

#[cfg(test)]
mod tests {
    use nob_ipc::{Kind, Name};

    use super::*;

    fn hold(lease: Duration) -> Hold {
        let name = Name::new(Kind::Lock, "/x").unwrap();
        Hold::new(Arc::new(Object::new("n", &name, "l", "g")), lease)
    }

    #[test]
    fn what_is_not_renewed_is_lost_for_good() {
        let hold = hold(Duration::from_secs(10));
        let now = boot_time();
        hold.add("old".into(), 1, now.saturating_sub(Duration::from_secs(9)));
        hold.add("new".into(), 2, now);
        let good = |token| hold.held().iter().any(|held| held.token == token && held.is_good());
        assert!(!good("old") && good("new"));
        // The server had it still.
        hold.renewed(&["old".into(), "new".into()], &[true, true], boot_time());
        assert!(!good("old") && good("new"));
        hold.renewed(&["new".into()], &[false], boot_time());
        assert!(!good("new"));
        hold.renewed(&["new".into()], &[true], boot_time());
        assert!(!good("new") && hold.due().is_none());
    }

    #[test]
    fn good_ones_are_given_back_first() {
        let hold = hold(Duration::from_secs(10));
        hold.add("good".into(), 1, boot_time());
        hold.add("lost".into(), 1, Duration::ZERO);
        assert_eq!(hold.take_to_release(1).0[0].token, "good");
        assert_eq!(hold.take_to_release(5).0.len(), 1);
    }

    #[test]
    fn a_renewal_is_due_after_a_third() {
        let hold = hold(Duration::from_secs(9));
        assert_eq!(hold.due(), None);
        let sent = boot_time();
        hold.add("a".into(), 1, sent);
        assert_eq!(hold.due(), Some(sent + Duration::from_secs(3)));
        assert_eq!(hold.begin(), ["a"]);
        assert_eq!(hold.due(), None);
        hold.not_renewed();
        assert!(hold.due().is_some());
        let long = self::hold(Duration::from_secs(86_400));
        long.add("a".into(), 1, sent);
        assert_eq!(long.due(), Some(sent + Duration::from_secs(1200)));
    }
}
