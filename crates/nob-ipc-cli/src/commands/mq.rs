//! `nob-ipc mq`.

use nob_ipc::{Direction, MessageQueue, Messages, Name};
use nob_ipc_redis::{self as redis, Connection};

use super::creation::{Differences, exactly};
use crate::args::{Creation, Mq};
use crate::commands::messages;
use crate::failure::Result;

pub fn run(command: Mq, server: Option<&Connection>) -> Result<()> {
    match command {
        Mq::Create { name, max_messages, max_message_size, creation } => match server {
            Some(server) => create_at(server, &name, max_messages, max_message_size, &creation),
            None => create(&name, max_messages, max_message_size, &creation),
        },
        Mq::Send { name, priority, sending } => {
            let queue = link(&name, Direction::Send, server)?;
            messages::send(&name, &*queue, priority, sending)
        }
        Mq::Receive { name, receiving } => {
            let queue = link(&name, Direction::Receive, server)?;
            messages::receive(&name, &*queue, &receiving)
        }
    }
}

fn link(
    name: &Name,
    direction: Direction,
    server: Option<&Connection>,
) -> Result<Box<dyn Messages>> {
    Ok(match server {
        Some(server) => {
            let mut options = redis::MessageQueue::options(server);
            Box::new(options.direction(direction).open_named(name)?)
        }
        None => Box::new(MessageQueue::options().direction(direction).open_named(name)?),
    })
}

const LIMIT: &str = "limit of messages";
const LARGEST: &str = "largest message";

fn create_at(
    server: &Connection,
    name: &Name,
    max_messages: Option<u64>,
    max_message_size: Option<u64>,
    creation: &Creation,
) -> Result<()> {
    let mut options = redis::MessageQueue::options(server);
    options.existence(creation.existence()).unlink_on_drop(false);
    if let Some(max_messages) = max_messages {
        options.max_messages(max_messages);
    }
    if let Some(max_message_size) = max_message_size {
        options.max_message_size(max_message_size);
    }
    let queue = options.open_named(name)?;
    Differences::of_remote(queue.handle())
        .compare(LIMIT, max_messages, queue.max_messages())
        .compare(LARGEST, max_message_size, queue.max_message_size() as u64)
        .tell();
    Ok(())
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
        .compare(LIMIT, max_messages, queue.max_messages() as u64)
        .compare(LARGEST, max_message_size, queue.max_message_size() as u64)
        .compare_mode(creation.mode)
        .tell();
    Ok(())
}
