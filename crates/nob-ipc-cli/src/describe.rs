//! What can be said of an object, in words for people.

use std::time::SystemTime;

use nob_ipc::registry::{Creator, Holder, Measure, Object, State};

use crate::people::{self, Users};
use crate::text;

/// What is to be done so that queues can be listed.
pub const CANNOT_LIST_QUEUES: &str = "not all message queues can be listed, because no mqueue file \
     system is mounted; as root: mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue";

/// `sem:/name`, safe to print.
pub fn address(object: &Object) -> String {
    format!("{}:{}", object.kind().short_word(), text::escape(object.name().as_bytes()))
}

/// What an object holds, in a few characters.
pub fn measure_words(measure: Measure) -> String {
    match measure {
        Measure::Value(Some(value)) => format!("value {value}"),
        Measure::Size { bytes, .. } => text::size(bytes),
        Measure::Depth(Some(depth)) => {
            format!("{}/{} messages", depth.messages, depth.max_messages)
        }
        _ => "?".into(),
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
    facts.extend(
        measure_facts(object.measure()).into_iter().map(|(label, value)| (label, value.into())),
    );
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
    for holder in object.holders() {
        let words = [holder.pid.to_string().as_bytes(), b" ", &holder.command].concat();
        facts.push(("held by", words));
    }
    if object.holders().is_empty() {
        let words = if object.used() == Some(true) {
            "processes of another pid namespace, or that may not be looked at"
        } else {
            "nobody that is seen"
        };
        facts.push(("held by", words.into()));
    }
    if object.unseen() > 0 {
        let processes = text::count(object.unseen(), "process", "processes");
        facts.push(("not seen", format!("{processes} that could hold it").into()));
    }
    facts
}

fn measure_facts(measure: Measure) -> Vec<(&'static str, String)> {
    let closed = || String::from("this user may not look");
    match measure {
        Measure::Value(value) => vec![("value", value.map_or_else(closed, |it| it.to_string()))],
        Measure::Size { bytes, allocated } => vec![
            ("size", format!("{bytes} bytes ({})", text::size(bytes))),
            ("allocated", format!("{allocated} bytes ({})", text::size(allocated))),
        ],
        Measure::Depth(Some(depth)) => vec![
            ("messages", format!("{} of {}", depth.messages, depth.max_messages)),
            ("message size", format!("{} bytes at the most", depth.max_message_size)),
        ],
        _ => vec![("content", closed())],
    }
}

fn when(time: SystemTime) -> String {
    let ago = SystemTime::now().duration_since(time).unwrap_or_default();
    format!("{} ({} ago)", humantime::format_rfc3339_seconds(time), text::age(ago))
}

fn lifetime(object: &Object) -> &'static str {
    if object.is_shared() {
        "shared: its name goes with the last who uses it"
    } else if object.creator() == Creator::Unmarked {
        "until somebody removes it"
    } else {
        "its creator's"
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
