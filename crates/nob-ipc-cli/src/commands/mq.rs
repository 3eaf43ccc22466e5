//! `nob-ipc mq`.

use nob_ipc::{Direction, MessageQueue, Name};

use super::creation::{Differences, exactly};
use crate::args::{Creation, Mq};
use crate::commands::messages;
use crate::failure::Result;

pub fn run(command: Mq) -> Result<()> {
    match command {
        Mq::Create { name, max_messages, max_message_size, creation } => {
            create(&name, max_messages, max_message_size, &creation)
        }
        Mq::Send { name, priority, sending } => {
            messages::send(link(&name, Direction::Send)?, priority, sending)
        }
        Mq::Receive { name, receiving } => {
            messages::receive(link(&name, Direction::Receive)?, &receiving)
        }
    }
}

fn link(name: &Name, direction: Direction) -> Result<MessageQueue> {
    Ok(MessageQueue::options().direction(direction).open_named(name)?)
}

fn create(
    name: &Name,
    max_messages: Option<u64>,
    max_message_size: Option<u64>,
    creation: &Creation,
) -> Result<()> {
    let _exactly = exactly();
    let mut options = MessageQueue::options();
    options.mode(creation.mode()).existence(creation.existence()).unlink_on_drop(false);
    if let Some(max_messages) = max_messages {
        options.max_messages(max_messages);
    }
    if let Some(max_message_size) = max_message_size {
        options.max_message_size(max_message_size);
    }
    let queue = options.open_named(name)?;
    Differences::of(queue.ownership())
        .compare("limit of messages", max_messages, queue.max_messages() as u64)
        .compare("largest message", max_message_size, queue.max_message_size() as u64)
        .compare_mode(creation.mode)
        .tell();
    Ok(())
}
