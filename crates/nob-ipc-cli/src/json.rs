//! Objects as JSON, for programs.

use std::fmt::Write;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nob_ipc::Name;
use nob_ipc::registry::{Creator, Holder, Listing, Measure, Object, Unlinked};
use nob_ipc_redis::Content;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::server::objects::{self, Found};
use crate::text::is_unprintable;

/// The kind and the name of an object.
#[derive(Serialize)]
struct NameJson {
    kind: &'static str,
    name: String,
    /// The name's bytes, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
}

impl NameJson {
    fn new(name: &Name) -> NameJson {
        let bytes = name.as_bytes();
        NameJson {
            kind: name.kind().short_word(),
            name: String::from_utf8_lossy(bytes).into_owned(),
            name_base64: std::str::from_utf8(bytes).is_err().then(|| STANDARD.encode(bytes)),
        }
    }
}

/// One object.
#[derive(Serialize)]
pub struct ObjectJson {
    #[serde(flatten)]
    name: NameJson,
    #[serde(flatten)]
    measure: MeasureJson,
    uid: u32,
    gid: u32,
    mode: String,
    /// Seconds since 1970; `null` where the system does not keep it.
    created: Option<f64>,
    changed: f64,
    state: &'static str,
    shared: bool,
    used: Option<bool>,
    orphan: Option<bool>,
    creator: Option<CreatorJson>,
    holders: Vec<HolderJson>,
    /// How many processes could hold it but may not be looked at.
    unseen: usize,
}

/// `null` is what this user may not see.
#[derive(Serialize)]
#[serde(untagged)]
enum MeasureJson {
    Semaphore {
        value: Option<u32>,
    },
    Segment {
        size: u64,
        allocated: u64,
    },
    Queue {
        messages: Option<u64>,
        max_messages: Option<u64>,
        max_message_size: Option<u64>,
    },
    Lock {
        holder: Option<u32>,
        /// At the least, and `null` where nobody has noted it.
        held_seconds: Option<f64>,
        /// How often it was ever acquired.
        acquisitions: Option<u64>,
        waiters: Option<u32>,
        deaths: Option<u32>,
        owner_died: Option<bool>,
    },
    Permits {
        free: Option<u32>,
        bound: Option<u32>,
        /// The process of each permit that is held.
        owners: Option<Vec<u32>>,
        waiters: Option<u32>,
        deaths: Option<u32>,
    },
    Channel {
        messages: Option<u64>,
        max_messages: Option<u64>,
        max_message_size: Option<u64>,
        /// Bytes, of all priorities.
        used_bytes: Option<u64>,
        capacity: Option<u64>,
        priorities: Option<u64>,
        waiters: Option<u32>,
        deaths: Option<u32>,
    },
    Unknown {},
}

#[derive(Serialize)]
struct CreatorJson {
    pid: u32,
    alive: Option<bool>,
}

#[derive(Serialize)]
struct HolderJson {
    pid: u32,
    command: String,
}

impl HolderJson {
    fn new(holder: &Holder) -> HolderJson {
        let command = String::from_utf8_lossy(&holder.command).into_owned();
        HolderJson { pid: holder.pid, command }
    }
}

/// What has lost its name and is still held.
#[derive(Serialize)]
pub struct UnlinkedJson {
    #[serde(flatten)]
    name: NameJson,
    size: Option<u64>,
    state: &'static str,
    holders: Vec<HolderJson>,
}

/// One object on a server. `null` is also what nobody counts there.
#[derive(Serialize)]
pub struct RemoteJson<'a> {
    #[serde(flatten)]
    name: NameJson,
    #[serde(flatten)]
    measure: MeasureJson,
    generation: &'a str,
    creator: RemoteCreatorJson<'a>,
}

#[derive(Serialize)]
struct RemoteCreatorJson<'a> {
    pid: Option<u32>,
    host: &'a str,
}

impl RemoteJson<'_> {
    pub fn new(found: &Found) -> RemoteJson<'_> {
        let info = &found.info;
        RemoteJson {
            name: NameJson::new(&info.name),
            measure: MeasureJson::remote(found),
            generation: &info.generation,
            creator: RemoteCreatorJson { pid: info.creator_pid, host: &info.creator_host },
        }
    }
}

/// All objects of a list, in one array.
#[derive(Serialize)]
#[serde(untagged)]
pub enum ListedJson {
    Object(Box<ObjectJson>),
    Unlinked(UnlinkedJson),
}

/// All objects of a list.
pub fn listing(listing: &Listing) -> Vec<ListedJson> {
    let object = |object| ListedJson::Object(Box::new(ObjectJson::new(object)));
    let unlinked = |unlinked| ListedJson::Unlinked(UnlinkedJson::new(unlinked));
    let objects = listing.objects.iter().map(object);
    objects.chain(listing.unlinked.iter().map(unlinked)).collect()
}

impl UnlinkedJson {
    fn new(unlinked: &Unlinked) -> UnlinkedJson {
        UnlinkedJson {
            name: NameJson::new(&unlinked.name),
            size: unlinked.size,
            state: crate::describe::UNLINKED,
            holders: unlinked.holders.iter().map(HolderJson::new).collect(),
        }
    }
}

impl ObjectJson {
    pub fn new(object: &Object) -> ObjectJson {
        let seconds =
            |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        ObjectJson {
            name: NameJson::new(object.name()),
            measure: MeasureJson::new(object),
            uid: object.owner(),
            gid: object.group(),
            mode: format!("{:04o}", object.mode()),
            created: object.created().map(seconds),
            changed: seconds(object.changed()),
            state: crate::describe::state_word(object.state()),
            shared: object.is_shared(),
            used: object.used(),
            orphan: object.orphan(),
            creator: match object.creator() {
                Creator::Process { pid, alive } => Some(CreatorJson { pid, alive }),
                _ => None,
            },
            holders: object.holders().iter().map(HolderJson::new).collect(),
            unseen: object.unseen(),
        }
    }
}

impl MeasureJson {
    fn remote(found: &Found) -> MeasureJson {
        let Found { info, state: Some(state) } = found else { return MeasureJson::Unknown {} };
        let waiters = Some(u32::try_from(state.waiters).unwrap_or(u32::MAX));
        match &state.content {
            &Content::Value(value) => MeasureJson::Semaphore { value: Some(value) },
            &Content::Messages { messages, .. } => MeasureJson::Queue {
                messages: Some(messages),
                max_messages: info.bound,
                max_message_size: info.max_message_size,
            },
            &Content::Lock { owner, owner_died, .. } => MeasureJson::Lock {
                holder: owner,
                held_seconds: None,
                acquisitions: None,
                waiters,
                deaths: None,
                owner_died: Some(owner_died),
            },
            Content::Permits { held, holders } => {
                let (free, bound) = objects::permits(info, *held);
                MeasureJson::Permits {
                    free: Some(free),
                    bound: Some(bound),
                    owners: Some(holders.clone()),
                    waiters,
                    deaths: None,
                }
            }
            _ => MeasureJson::Unknown {},
        }
    }

    fn new(object: &Object) -> MeasureJson {
        match object.measure() {
            Measure::Value(value) => MeasureJson::Semaphore { value },
            Measure::Size { bytes, allocated } => MeasureJson::Segment { size: bytes, allocated },
            Measure::Depth(depth) => MeasureJson::Queue {
                messages: depth.map(|depth| depth.messages),
                max_messages: depth.map(|depth| depth.max_messages),
                max_message_size: depth.map(|depth| depth.max_message_size),
            },
            Measure::Lock(state) => MeasureJson::Lock {
                holder: state.and_then(|state| state.holder),
                held_seconds: state.and_then(|state| state.held_for).map(|time| time.as_secs_f64()),
                acquisitions: state.map(|state| state.holds),
                waiters: state.map(|state| state.waiters),
                deaths: state.map(|state| state.deaths),
                owner_died: state.map(|state| state.owner_died),
            },
            Measure::Permits(state) => MeasureJson::Permits {
                free: state.map(|state| state.free),
                bound: state.map(|state| state.bound),
                owners: state.map(|_| object.owners().to_vec()),
                waiters: state.map(|state| state.waiters),
                deaths: state.map(|state| state.deaths),
            },
            Measure::Channel(state) => MeasureJson::Channel {
                messages: state.map(|state| state.messages),
                max_messages: state.map(|state| state.max_messages),
                max_message_size: state.map(|state| state.max_message_size),
                used_bytes: state.map(|state| state.used),
                capacity: state.map(|state| state.capacity),
                priorities: state.map(|state| state.priorities),
                waiters: state.map(|state| state.waiters),
                deaths: state.map(|state| state.deaths),
            },
            _ => MeasureJson::Unknown {},
        }
    }
}

/// A received message.
#[derive(Serialize)]
#[serde(untagged)]
pub enum MessageJson<'a> {
    Text { message: &'a str, priority: u32 },
    Bytes { message_base64: String, priority: u32 },
}

impl MessageJson<'_> {
    pub fn new(message: &[u8], priority: u32) -> MessageJson<'_> {
        match std::str::from_utf8(message) {
            Ok(message) => MessageJson::Text { message, priority },
            Err(_) => MessageJson::Bytes { message_base64: STANDARD.encode(message), priority },
        }
    }
}

/// One line of JSON, with a space after each colon and comma. No terminal takes anything in it for an
/// order.
pub fn line(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let done = value.serialize(&mut Serializer::with_formatter(&mut text, Spaced));
    finish(done.map(|()| String::from_utf8_lossy(&text).into_owned()))
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// JSON to read: in lines, indented.
pub fn pretty(value: &impl Serialize) -> String {
    finish(serde_json::to_string_pretty(value))
}

fn finish(text: serde_json::Result<String>) -> String {
    let text = text.expect("what is printed has text for keys and no failing serialiser");
    let mut safe = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        // The newlines between values are the only control characters that serde_json leaves outside
        // strings; inside, any character may be written as its number.
        if character != '\n' && is_unprintable(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(character);
        }
    }
    safe.push('\n');
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unprintable_is_written_as_its_number() {
        let message = MessageJson::new("\u{9b}\u{1b}\u{e0001}\n".as_bytes(), 3);
        let text = line(&message);
        let expected = r#"{"message": "\u009b\u001b\udb40\udc01\n", "priority": 3}"#;
        assert_eq!(text, format!("{expected}\n"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["message"], "\u{9b}\u{1b}\u{e0001}\n");
    }
}
