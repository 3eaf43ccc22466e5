//! `nob-ipc channel`.

use nob_ipc::{Channel, Direction, Existence, Name};

use crate::args::{Channel as Command, Creation, Room};
use crate::commands::messages;
use crate::failure::Result;

pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Create { name, room, creation } => create(&name, &room, &creation),
        Command::Send { name, priority, sending } => {
            messages::send(link(&name, Direction::Send)?, priority, sending)
        }
        Command::Receive { name, receiving } => {
            messages::receive(link(&name, Direction::Receive)?, &receiving)
        }
    }
}

fn link(name: &Name, direction: Direction) -> Result<Channel> {
    Ok(Channel::options().direction(direction).open_named(name)?)
}

fn create(name: &Name, room: &Room, creation: &Creation) -> Result<()> {
    let existence = if creation.exclusive { Existence::Create } else { Existence::LinkOrCreate };
    let mut options = Channel::options();
    options.mode(creation.mode).existence(existence).unlink_on_drop(false);
    if let Some(capacity) = room.capacity {
        options.capacity(capacity);
    }
    if let Some(max_messages) = room.max_messages {
        options.max_messages(max_messages);
    }
    if let Some(max_message_size) = room.max_message_size {
        options.max_message_size(max_message_size);
    }
    options.priorities(room.priorities).open_named(name)?;
    Ok(())
}
