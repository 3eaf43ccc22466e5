//! What can be said of an object, in words for people.

use std::cmp::Ordering;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use nob_ipc::registry::{
    ChannelState, Creator, Holder, LockState, Measure, Object, PermitsState, State,
};
use nob_ipc::{Kind, Name};

use crate::people::{self, Users};
use crate::text;

/// What is to be done so that queues can be listed.
pub const CANNOT_LIST_QUEUES: &str = "not all message queues can be listed, because no mqueue file \
     system is mounted; as root: mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue";

/// The order of lists: by kind and name.
pub fn in_lists(one: &Name, other: &Name) -> Ordering {
    let by_name = || text::natural_order(one.as_bytes(), other.as_bytes());
    one.kind().cmp(&other.kind()).then_with(by_name)
}

/// `sem:/name`, safe to print.
pub fn address(name: &Name) -> String {
    format!("{}:{}", name.kind().short_word(), text::escape(name.as_bytes()))
}

/// What an object holds, in a few characters.
pub fn measure_words(object: &Object) -> String {
    match object.measure() {
        Measure::Value(Some(value)) => format!("value {value}"),
        Measure::Size { bytes, .. } => text::size(bytes),
        Measure::Depth(Some(depth)) => {
            format!("{}/{} messages", depth.messages, depth.max_messages)
        }
        Measure::Lock(Some(state)) => lock_words(state),
        Measure::Permits(Some(state)) => {
            let mut words = format!("{}/{} free", state.free, state.bound);
            add_waiters(&mut words, state.waiters.into());
            words
        }
        Measure::Channel(Some(state)) => channel_words(state),
        _ if object.is_damaged() => "damaged".into(),
        _ => "?".into(),
    }
}

fn channel_words(state: ChannelState) -> String {
    let messages = text::count(state.messages, "message", "messages");
    let mut words = format!("{messages}, {}% full", percent(state.used, state.capacity));
    add_waiters(&mut words, state.waiters.into());
    words
}

/// What is not nothing is 1 at the least, and what is not full is 99 at the most.
fn percent(part: u64, whole: u64) -> u128 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    percent.max(u128::from(part > 0))
}

fn lock_words(state: LockState) -> String {
    let mut words = match state.holder {
        Some(holder) => format!("held by {holder}"),
        None => "free".into(),
    };
    if let Some(held_for) = state.held_for {
        // Writing to a string cannot fail.
        let _ = write!(words, " {}", at_least(held_for));
    }
    add_waiters(&mut words, state.waiters.into());
    if state.owner_died {
        words.push_str(", a holder died");
    }
    words
}

/// When a hold began is not known: others have seen that it goes on.
fn at_least(held_for: Duration) -> String {
    format!("for at least {}", text::age(held_for))
}

/// Who waits, behind other words.
pub fn add_waiters(words: &mut String, waiters: u64) {
    if waiters > 0 {
        let _ = write!(words, ", {waiters} waiting");
    }
}

/// Processes, each with its pid and command; `-` for none.
pub fn holders_words(holders: &[Holder]) -> Vec<u8> {
    let mut words = Vec::new();
    for holder in holders {
        if !words.is_empty() {
            words.extend_from_slice(b", ");
        }
        words.extend_from_slice(holder.pid.to_string().as_bytes());
        words.push(b' ');
        words.extend_from_slice(&holder.command);
    }
    if words.is_empty() { b"-".to_vec() } else { words }
}

/// The word for the state of what has lost its name.
pub const UNLINKED: &str = "unlinked";

/// The word for a state, for programs.
pub fn state_word(state: State) -> &'static str {
    match state {
        State::Orphan => "orphan",
        State::InUse => "in use",
        State::Awaited => "awaited",
        State::Unused => "unused",
        _ => "unknown",
    }
}

/// Each fact with its label.
pub fn facts(object: &Object) -> Vec<(&'static str, Vec<u8>)> {
    let (device, inode) = object.identity();
    let mut facts: Vec<(&'static str, Vec<u8>)> = vec![
        ("kind", object.kind().to_string().into()),
        ("name", object.name().as_bytes().to_vec()),
    ];
    facts.extend(measure_facts(object).into_iter().map(|(label, value)| (label, value.into())));
    let owner = Users::default().name(object.owner()).to_string();
    facts.extend([
        ("owner", format!("{owner} (uid {})", object.owner()).into()),
        ("group", format!("{} (gid {})", people::group(object.group()), object.group()).into()),
        ("mode", format!("{:04o}", object.mode()).into()),
        ("created", object.created().map_or("not known".into(), when).into()),
        ("changed", when(object.changed()).into()),
        ("identity", format!("device {device:#x}, inode {inode}").into()),
        ("status", state_word(object.state()).into()),
        ("lifetime", lifetime(object).into()),
        ("creator", creator(object.creator()).into()),
    ]);
    // Not everybody who uses a lock has it.
    let held_by = match object.kind() {
        Kind::Lock | Kind::BoundedSemaphore | Kind::Channel => "used by",
        _ => "held by",
    };
    for holder in object.holders() {
        let words = [holder.pid.to_string().as_bytes(), b" ", &holder.command].concat();
        facts.push((held_by, words));
    }
    if object.holders().is_empty() {
        let words = if object.used() == Some(true) {
            "processes of another pid namespace, or that may not be looked at"
        } else {
            "nobody that is seen"
        };
        facts.push((held_by, words.into()));
    }
    if object.unseen() > 0 {
        let processes = text::count(object.unseen(), "process", "processes");
        facts.push(("not seen", format!("{processes} that could hold it").into()));
    }
    facts
}

fn measure_facts(object: &Object) -> Vec<(&'static str, String)> {
    let closed = || {
        if object.is_damaged() {
            format!("damaged, or of another version: this is no {}", object.kind())
        } else {
            "this user may not look".into()
        }
    };
    match object.measure() {
        Measure::Value(value) => vec![("value", value.map_or_else(closed, |it| it.to_string()))],
        Measure::Size { bytes, allocated } => vec![
            ("size", format!("{bytes} bytes ({})", text::size(bytes))),
            ("allocated", format!("{allocated} bytes ({})", text::size(allocated))),
        ],
        Measure::Depth(Some(depth)) => vec![
            ("messages", format!("{} of {}", depth.messages, depth.max_messages)),
            ("message size", format!("{} bytes at the most", depth.max_message_size)),
        ],
        Measure::Lock(Some(state)) => lock_facts(state),
        Measure::Permits(Some(state)) => permits_facts(state, object.owners()),
        Measure::Channel(Some(state)) => vec![
            ("messages", format!("{} of {}", state.messages, state.max_messages)),
            ("message size", format!("{} bytes at the most", state.max_message_size)),
            ("room", format!("{} of {} bytes are used", state.used, state.capacity)),
            ("priorities", state.priorities.to_string()),
            ("waiting", waiting(state.waiters)),
            ("deaths", state.deaths.to_string()),
        ],
        _ => vec![("content", closed())],
    }
}

fn lock_facts(state: LockState) -> Vec<(&'static str, String)> {
    let holder = match (state.holder, state.held_for) {
        (None, _) => "nobody".into(),
        (Some(pid), None) => format!("process {pid}"),
        (Some(pid), Some(held_for)) => format!("process {pid}, {}", at_least(held_for)),
    };
    let mut facts = vec![
        ("holder", holder),
        ("acquired", text::count(state.holds, "time", "times")),
        ("waiting", waiting(state.waiters)),
        ("deaths", state.deaths.to_string()),
    ];
    if state.owner_died {
        let why = "a holder died, and nobody has said since that all is well";
        facts.push(("not repaired", why.into()));
    }
    facts
}

fn permits_facts(state: PermitsState, owners: &[u32]) -> Vec<(&'static str, String)> {
    let mut facts = vec![("permits", format!("{} of {} free", state.free, state.bound))];
    let mut owners = owners.to_vec();
    owners.sort_unstable();
    for same in owners.chunk_by(|one, next| one == next) {
        let permits = text::count(same.len(), "permit", "permits");
        facts.push(("holder", format!("process {}, {permits}", same[0])));
    }
    facts.extend([("waiting", waiting(state.waiters)), ("deaths", state.deaths.to_string())]);
    facts
}

fn waiting(waiters: u32) -> String {
    match usize::try_from(waiters) {
        Ok(0) => "nobody".into(),
        waiters => text::count(waiters.unwrap_or(usize::MAX), "thread", "threads"),
    }
}

fn when(time: SystemTime) -> String {
    let ago = SystemTime::now().duration_since(time).unwrap_or_default();
    format!("{} ({} ago)", humantime::format_rfc3339_seconds(time), text::age(ago))
}

fn lifetime(object: &Object) -> &'static str {
    if object.is_shared() {
        return "shared: its name goes with the last who uses it";
    }
    match object.creator() {
        Creator::Unmarked => "until somebody removes it",
        Creator::Process { .. } => "its creator's",
        _ => "not known",
    }
}

fn creator(creator: Creator) -> String {
    match creator {
        Creator::Unmarked => "nobody owns its name".into(),
        Creator::Process { pid, alive } => {
            let fate = match alive {
                Some(true) => "which lives",
                Some(false) => "which is dead",
                None => "of which cannot be told whether it lives",
            };
            format!("process {pid}, {fate}")
        }
        _ => "this user may not see who made it".into(),
    }
}
