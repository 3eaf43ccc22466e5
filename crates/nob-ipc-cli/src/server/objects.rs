//! What is on a server, and what it holds.

use nob_ipc::{ErrorKind, Kind, Name};
use nob_ipc_redis::{Connection, Content, ObjectInfo, ObjectState};

use crate::describe::{add_waiters, in_lists};
use crate::failure::Result;
use crate::text;

/// An object on a server.
pub struct Found {
    pub info: ObjectInfo,
    /// `None`: this user may not look, or it is damaged or of another version.
    pub state: Option<ObjectState>,
}

/// All objects of these kinds, in the order of lists; without kinds, all.
pub fn list(server: &Connection, kinds: &[Kind]) -> Result<Vec<Found>> {
    let mut objects = Vec::new();
    for info in server.list_objects()? {
        if !kinds.is_empty() && !kinds.contains(&info.name.kind()) {
            continue;
        }
        // What is gone meanwhile is not listed.
        objects.extend(look(server, info)?);
    }
    objects.sort_by(|one, other| in_lists(&one.info.name, &other.info.name));
    Ok(objects)
}

/// One object.
pub fn find(server: &Connection, name: &Name) -> Result<Found> {
    loop {
        let info = server.find_object(name)?;
        // If it is gone, the next look says so, or finds the one that has its name now.
        if let Some(found) = look(server, info)? {
            return Ok(found);
        }
    }
}

fn look(server: &Connection, info: ObjectInfo) -> nob_ipc::Result<Option<Found>> {
    match server.look_at(&info) {
        Ok(state) => Ok(state.map(|state| Found { info, state: Some(state) })),
        Err(error) => match error.kind() {
            ErrorKind::WrongType | ErrorKind::PermissionDenied => {
                Ok(Some(Found { info, state: None }))
            }
            _ => Err(error),
        },
    }
}

/// How many permits are free, and how many there are.
pub fn permits(info: &ObjectInfo, held: u32) -> (u32, u32) {
    let bound = info.bound.and_then(|bound| u32::try_from(bound).ok()).unwrap_or(held);
    (bound.saturating_sub(held), bound)
}

/// How many wait for it, in whichever line.
pub fn waiters(state: &ObjectState) -> u64 {
    state.waiters.saturating_add(state.senders)
}

/// What it holds, in a few characters, without who waits.
pub fn content_words(info: &ObjectInfo, state: Option<&ObjectState>) -> String {
    match state.map(|state| &state.content) {
        Some(Content::Value(value)) => format!("value {value}"),
        Some(Content::Messages { messages, .. }) => {
            format!("{messages}/{} messages", info.bound.unwrap_or(0))
        }
        Some(&Content::Permits { held, .. }) => {
            let (free, bound) = permits(info, held);
            format!("{free}/{bound} free")
        }
        Some(Content::Lock { owner, held, owner_died }) => {
            let holder = match owner {
                Some(pid) => format!("held by {pid}"),
                None if *held => "held".into(),
                None => "free".into(),
            };
            let died = if *owner_died { ", a holder died" } else { "" };
            format!("{holder}{died}")
        }
        _ => "?".into(),
    }
}

/// `12 on host`: the process that has created it.
pub fn creator(info: &ObjectInfo) -> String {
    match info.creator_pid {
        Some(pid) => format!("{pid} on {}", info.creator_host),
        None => "?".into(),
    }
}

/// The processes that hold it, each as its own machine calls it.
pub fn holders(state: Option<&ObjectState>) -> Vec<u32> {
    match state.map(|state| &state.content) {
        Some(Content::Lock { owner, .. }) => owner.iter().copied().collect(),
        Some(Content::Permits { holders, .. }) => holders.clone(),
        _ => Vec::new(),
    }
}

/// Each fact with its label.
pub fn facts(info: &ObjectInfo, state: Option<&ObjectState>) -> Vec<(&'static str, Vec<u8>)> {
    let mut facts: Vec<(&'static str, Vec<u8>)> = vec![
        ("kind", info.name.kind().to_string().into()),
        ("name", info.name.as_bytes().to_vec()),
    ];
    let told = state.map_or_else(
        || {
            let why = "this user may not look, or it is damaged or of another version of nob-ipc";
            vec![("content", why.into())]
        },
        |state| state_facts(info, state),
    );
    facts.extend(told.into_iter().map(|(label, fact)| (label, fact.into())));
    facts.extend([
        ("generation", info.generation.clone().into()),
        ("creator", creator(info).into()),
    ]);
    facts
}

fn state_facts(info: &ObjectInfo, state: &ObjectState) -> Vec<(&'static str, String)> {
    let mut facts = content_facts(info, &state.content);
    if let Some(left) = state.lease_left {
        let words = format!("{} left, unless it is renewed", text::age(left));
        facts.push(("lease", words));
    }
    facts.push(match info.name.kind() {
        Kind::MessageQueue => {
            ("waiting", format!("{} to receive, {} to send", state.waiters, state.senders))
        }
        _ => (
            "waiting",
            if state.waiters == 0 { "nobody".into() } else { state.waiters.to_string() },
        ),
    });
    facts
}

fn content_facts(info: &ObjectInfo, content: &Content) -> Vec<(&'static str, String)> {
    match content {
        Content::Value(value) => vec![("value", value.to_string())],
        Content::Messages { messages, sent } => vec![
            ("messages", format!("{messages} of {}", info.bound.unwrap_or(0))),
            ("message size", format!("{} bytes at the most", info.max_message_size.unwrap_or(0))),
            ("sent", format!("{sent} messages so far")),
        ],
        Content::Permits { held, holders } => {
            let (free, bound) = permits(info, *held);
            let holder = |&pid: &u32| ("holder", format!("process {pid} of its machine, 1 permit"));
            let free = ("permits", format!("{free} of {bound} free"));
            [free].into_iter().chain(holders.iter().map(holder)).collect()
        }
        Content::Lock { owner, held, owner_died } => {
            let holder = match owner {
                Some(pid) => format!("process {pid} of its machine"),
                None if *held => "somebody".into(),
                None => "nobody".into(),
            };
            let mut facts = vec![("holder", holder)];
            if *owner_died {
                let why =
                    "a holder died or fell silent, and nobody has said since that all is well";
                facts.push(("not repaired", why.into()));
            }
            facts
        }
        _ => Vec::new(),
    }
}

impl Found {
    /// What it holds, in a few characters.
    pub fn words(&self) -> String {
        let mut words = content_words(&self.info, self.state.as_ref());
        add_waiters(&mut words, self.state.as_ref().map_or(0, waiters));
        words
    }
}
