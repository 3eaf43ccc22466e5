//! `nob-ipc channel`.

use nix::unistd::{SysconfVar, sysconf};
use nob_ipc::{Channel, Direction, Name};

use super::creation::{Differences, exactly};
use crate::args::{Channel as Command, Creation, Room};
use crate::commands::messages;
use crate::failure::Result;

pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Create { name, room, creation } => create(&name, &room, &creation),
        Command::Send { name, priority, sending } => {
            messages::send(&name, &link(&name, Direction::Send)?, priority, sending)
        }
        Command::Receive { name, receiving } => {
            messages::receive(&name, &link(&name, Direction::Receive)?, &receiving)
        }
    }
}

fn link(name: &Name, direction: Direction) -> Result<Channel> {
    Ok(Channel::options().direction(direction).open_named(name)?)
}

fn create(name: &Name, room: &Room, creation: &Creation) -> Result<()> {
    let _exactly = exactly();
    let mut options = Channel::options();
    options.mode(creation.mode()).existence(creation.existence()).unlink_on_drop(false);
    if let Some(capacity) = room.capacity {
        options.capacity(capacity);
    }
    if let Some(max_messages) = room.max_messages {
        options.max_messages(max_messages);
    }
    if let Some(max_message_size) = room.max_message_size {
        options.max_message_size(max_message_size);
    }
    if let Some(priorities) = room.priorities {
        options.priorities(priorities);
    }
    let channel = options.open_named(name)?;
    Differences::of(channel.ownership())
        .compare("capacity", room.capacity.map(rounded), channel.capacity() as u64)
        .compare(
            "limit of messages",
            room.max_messages.map(|asked| bounded(asked, &channel)),
            channel.max_messages() as u64,
        )
        .compare("largest message", room.max_message_size, channel.max_message_size() as u64)
        .compare("number of priorities", room.priorities, channel.priorities())
        .compare_mode(creation.mode)
        .tell();
    Ok(())
}

/// The capacity that a channel gets which asks for so much: a power of two, and no less than a page of memory.
fn rounded(capacity: u64) -> u64 {
    const SMALLEST: u64 = 4096;
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|page| page.try_into().ok());
    let smallest = page.map_or(SMALLEST, |page: u64| page.max(SMALLEST));
    capacity.max(smallest).checked_next_power_of_two().unwrap_or(capacity)
}

/// The limit that a channel gets which asks for so many messages: it says no more than there is room for.
fn bounded(asked: u64, channel: &Channel) -> u64 {
    /// What a message without bytes takes.
    const LEAST: u64 = 8;
    let room = channel.capacity() as u64 / LEAST * u64::from(channel.priorities());
    if channel.max_messages() as u64 == room { asked.min(room) } else { asked }
}
