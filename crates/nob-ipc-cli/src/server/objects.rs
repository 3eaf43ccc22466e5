//! What is on a server, and what it holds.

use nob_ipc::{ErrorKind, Kind, Name};
use nob_ipc_redis::{BoundedSemaphore, Connection, Lock, MessageQueue, ObjectInfo, Semaphore};

use crate::describe::in_lists;
use crate::failure::Result;

/// An object on a server.
pub struct Found {
    pub info: ObjectInfo,
    /// `None`: this user may not look, or it is of another version.
    pub content: Option<Content>,
}

/// What an object holds. Processes are those of their own machines.
pub enum Content {
    Value(u32),
    Messages { messages: u64, max_messages: u64, max_message_size: u64 },
    Lock { holder: Option<u32>, held: bool, owner_died: bool },
    Permits { free: u32, bound: u32, owners: Vec<u32> },
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
    match content(server, &info.name) {
        Ok(content) => Ok(Some(Found { info, content })),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::StaleHandle => Ok(None),
            ErrorKind::WrongType | ErrorKind::PermissionDenied => {
                Ok(Some(Found { info, content: None }))
            }
            _ => Err(error),
        },
    }
}

fn content(server: &Connection, name: &Name) -> nob_ipc::Result<Option<Content>> {
    let content = match name.kind() {
        Kind::Semaphore => Content::Value(Semaphore::options(server).open_named(name)?.value()?),
        Kind::BoundedSemaphore => {
            let permits = BoundedSemaphore::options(server).open_named(name)?;
            let (owners, bound) = (permits.holders()?, permits.bound());
            let held = u32::try_from(owners.len()).unwrap_or(u32::MAX);
            Content::Permits { free: bound.saturating_sub(held), bound, owners }
        }
        Kind::Lock => {
            let lock = Lock::options(server).open_named(name)?;
            let (holder, held) = (lock.owner()?, lock.is_locked()?);
            Content::Lock { holder, held, owner_died: lock.owner_died()? }
        }
        Kind::MessageQueue => {
            let queue = MessageQueue::options(server).open_named(name)?;
            Content::Messages {
                messages: queue.current_messages()?,
                max_messages: queue.max_messages(),
                max_message_size: queue.max_message_size() as u64,
            }
        }
        _ => return Ok(None),
    };
    Ok(Some(content))
}

impl Found {
    /// What it holds, in a few characters.
    pub fn words(&self) -> String {
        match &self.content {
            None => "?".into(),
            Some(Content::Value(value)) => format!("value {value}"),
            Some(Content::Messages { messages, max_messages, .. }) => {
                format!("{messages}/{max_messages} messages")
            }
            Some(Content::Permits { free, bound, .. }) => format!("{free}/{bound} free"),
            Some(Content::Lock { holder, held, owner_died }) => {
                let holder = match holder {
                    Some(pid) => format!("held by {pid}"),
                    None if *held => "held".into(),
                    None => "free".into(),
                };
                let died = if *owner_died { ", a holder died" } else { "" };
                format!("{holder}{died}")
            }
        }
    }

    /// `12 on host`: the process that has created it.
    pub fn creator(&self) -> String {
        match self.info.creator_pid {
            Some(pid) => format!("{pid} on {}", self.info.creator_host),
            None => "?".into(),
        }
    }

    /// Each fact with its label.
    pub fn facts(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut facts: Vec<(&'static str, Vec<u8>)> = vec![
            ("kind", self.info.name.kind().to_string().into()),
            ("name", self.info.name.as_bytes().to_vec()),
        ];
        facts.extend(self.content_facts().into_iter().map(|(label, fact)| (label, fact.into())));
        facts.extend([
            ("generation", self.info.generation.clone().into()),
            ("creator", self.creator().into()),
        ]);
        facts
    }

    fn content_facts(&self) -> Vec<(&'static str, String)> {
        match &self.content {
            None => {
                let why = "this user may not look, or it is of another version of nob-ipc";
                vec![("content", why.into())]
            }
            Some(Content::Value(value)) => vec![("value", value.to_string())],
            Some(Content::Messages { messages, max_messages, max_message_size }) => vec![
                ("messages", format!("{messages} of {max_messages}")),
                ("message size", format!("{max_message_size} bytes at the most")),
            ],
            Some(Content::Permits { free, bound, owners }) => {
                let holder = |pid| ("holder", format!("process {pid} of its machine, 1 permit"));
                let permits = ("permits", format!("{free} of {bound} free"));
                [permits].into_iter().chain(owners.iter().map(holder)).collect()
            }
            Some(Content::Lock { holder, held, owner_died }) => {
                let holder = match holder {
                    Some(pid) => format!("process {pid} of its machine"),
                    None if *held => "somebody".into(),
                    None => "nobody".into(),
                };
                let mut facts = vec![("holder", holder)];
                if *owner_died {
                    let why = "a holder died or fell silent, and nobody has said since that all is \
                               well";
                    facts.push(("not repaired", why.into()));
                }
                facts
            }
        }
    }
}
