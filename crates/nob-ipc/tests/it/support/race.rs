//! Races: roles that begin at the same moment.

use std::time::{Duration, Instant};

use nob_ipc_testing::{Child, hear, say};

/// How long the processes of a race run against each other.
const RACE: Duration = Duration::from_millis(500);

/// In a role of a race: calls `round` again and again until the time is over; returns how often.
pub fn for_the_race(mut round: impl FnMut()) -> u32 {
    on_your_marks();
    let end = Instant::now() + RACE;
    let mut rounds = 0;
    while Instant::now() < end {
        round();
        rounds += 1;
    }
    rounds
}

/// In a role of a race: says that it is ready, and returns when the race begins.
pub fn on_your_marks() {
    say("ready");
    assert_eq!(hear(), "go");
}

/// Lets the roles go at the same moment.
pub fn start_together(roles: &mut [Child]) {
    for role in &mut *roles {
        role.expect("ready");
    }
    for role in roles {
        role.say("go");
    }
}

/// Lets the roles go at the same moment, and waits until all have done their part.
pub fn race(mut roles: Vec<Child>) {
    start_together(&mut roles);
    roles.into_iter().for_each(Child::finish);
}
