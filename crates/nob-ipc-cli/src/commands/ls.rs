//! `nob-ipc ls`.

use nob_ipc::Kind;
use nob_ipc::registry::{self, Coverage, Holder, Listing, Measure, Object, State};

use super::table::Rows;
use crate::failure::Result;
use crate::json;
use crate::output::{Output, complain};
use crate::people::Users;
use crate::text;

/// What is to be done so that queues can be listed.
pub const CANNOT_LIST_QUEUES: &str = "not all message queues can be listed, because no mqueue file \
     system is mounted; as root: mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue";

pub fn run(kinds: &[Kind], json: bool) -> Result<()> {
    let listing = registry::list(if kinds.is_empty() { &Kind::ALL } else { kinds })?;
    let output = Output::new();
    if json {
        let listed = json::listing(&listing);
        output.write(json::pretty(&listed).as_bytes())?;
    } else {
        table(&listing).print(&output)?;
    }
    if listing.queues != Coverage::All {
        complain(CANNOT_LIST_QUEUES);
    }
    let unseen = listing.objects.iter().map(Object::unseen).max().unwrap_or(0);
    if unseen > 0 {
        let processes = text::count(unseen, "process", "processes");
        complain(&format!(
            "{processes} that could hold some of these may not be looked at by this user"
        ));
    }
    Ok(())
}

fn table(listing: &Listing) -> Rows {
    let mut users = Users::default();
    let mut rows =
        Rows::new(&["KIND", "NAME", "CONTENT", "OWNER", "MODE", "AGE", "STATUS", "HOLDERS"]);
    for object in &listing.objects {
        rows.push(vec![
            object.kind().short_word().into(),
            object.name().as_bytes().to_vec(),
            measure_words(object.measure()).into(),
            users.name(object.owner()).into(),
            format!("{:04o}", object.mode()).into(),
            text::age(object.age()).into(),
            state_cell(object.state()).into(),
            holders_words(object.holders()),
        ]);
    }
    for unlinked in &listing.unlinked {
        let unknown = || b"-".to_vec();
        rows.push(vec![
            unlinked.name.kind().short_word().into(),
            unlinked.name.as_bytes().to_vec(),
            unlinked.size.map_or_else(unknown, |size| text::size(size).into()),
            unknown(),
            unknown(),
            unknown(),
            UNLINKED.into(),
            holders_words(&unlinked.holders),
        ]);
    }
    rows
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

fn state_cell(state: State) -> &'static str {
    match state_word(state) {
        "unknown" => "?",
        word => word,
    }
}
