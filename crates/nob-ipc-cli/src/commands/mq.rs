//! `nob-ipc mq`.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use nix::poll::PollTimeout;
use nob_ipc::{Deadline, Direction, Existence, MessageQueue, Name};

use crate::args::{Creation, Mq};
use crate::failure::{Failure, Result, cannot};
use crate::json::{self, MessageJson};
use crate::output::{Output, complain};
use crate::signals;
use crate::text;
use crate::waiting::{deadline, wait};

pub fn run(command: Mq) -> Result<()> {
    match command {
        Mq::Create { name, max_messages, max_message_size, creation } => {
            create(&name, max_messages, max_message_size, &creation)
        }
        Mq::Send { name, message, priority, timeout, lines } => {
            let queue = link(&name, Direction::Send)?;
            let sender = Sender { queue, priority, timeout };
            match message {
                Some(message) => sender.send(message.as_encoded_bytes()),
                None if lines => sender.send_lines(),
                None => sender.send_input(),
            }
        }
        Mq::Receive { name, timeout, count, follow, json } => {
            let queue = link(&name, Direction::Receive)?;
            let output = Output::new();
            let newline = count.is_some() || follow || output.is_terminal();
            let limit = if follow { u64::MAX } else { count.unwrap_or(1) };
            let form = match (json, newline) {
                (true, _) => Form::Json,
                (false, true) => Form::Line,
                (false, false) => Form::Bare,
            };
            Receiver { queue, output, timeout, form }.receive(limit)
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
    let existence = if creation.exclusive { Existence::Create } else { Existence::LinkOrCreate };
    let mut options = MessageQueue::options();
    options.mode(creation.mode).existence(existence).unlink_on_drop(false);
    if let Some(max_messages) = max_messages {
        options.max_messages(max_messages);
    }
    if let Some(max_message_size) = max_message_size {
        options.max_message_size(max_message_size);
    }
    options.open_named(name)?;
    Ok(())
}

struct Sender {
    queue: MessageQueue,
    priority: u32,
    timeout: Option<Duration>,
}

impl Sender {
    fn send(&self, message: &[u8]) -> Result<()> {
        let deadline = deadline(self.timeout);
        let _deferred = signals::defer();
        // One that came during an earlier message.
        signals::check()?;
        let send = |deadline| self.queue.send_until(message, self.priority, deadline);
        if wait(deadline, send, || Ok(()))? { Ok(()) } else { Err(Failure::TimeOver) }
    }

    fn send_input(&self) -> Result<()> {
        let mut message = Vec::new();
        let read = io::stdin().lock().take(self.enough()).read_to_end(&mut message);
        read.map_err(|error| cannot("read standard input", error))?;
        self.check_length(message.len(), "standard input")?;
        self.send(&message)
    }

    fn send_lines(&self) -> Result<()> {
        let mut input = io::stdin().lock();
        for number in 1_u64.. {
            let mut line = Vec::new();
            // The newline counts, too.
            let read = (&mut input).take(self.enough() + 1).read_until(b'\n', &mut line);
            if read.map_err(|error| cannot("read standard input", error))? == 0 {
                break;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            self.check_length(line.len(), &format!("line {number} of standard input"))?;
            self.send(&line)?;
        }
        Ok(())
    }

    /// One byte more than a message may have: with it, it is known to be too long.
    fn enough(&self) -> u64 {
        (self.queue.max_message_size() as u64).saturating_add(1)
    }

    fn check_length(&self, length: usize, what: &str) -> Result<()> {
        let limit = self.queue.max_message_size();
        if length <= limit {
            return Ok(());
        }
        Err(Failure::because(format!(
            "{what} has more than the {limit} bytes that a message in \"{}\" may have",
            self.queue.ownership().name()
        )))
    }
}

/// How a message is printed.
#[derive(Clone, Copy)]
enum Form {
    Bare,
    Line,
    Json,
}

struct Receiver {
    queue: MessageQueue,
    output: Output,
    timeout: Option<Duration>,
    form: Form,
}

impl Receiver {
    fn receive(&self, limit: u64) -> Result<()> {
        let mut buffer = vec![0; self.queue.max_message_size()];
        let _deferred = signals::defer();
        for _ in 0..limit {
            let deadline = deadline(self.timeout);
            self.wait_for_output(deadline)?;
            let receive = |deadline| self.queue.receive_until(&mut buffer, deadline);
            let received = wait(deadline, receive, || self.look_at_output())?;
            let Some(received) = received else { return Err(Failure::TimeOver) };
            self.deliver(&buffer[..received.length], received.priority)?;
            signals::check()?;
        }
        Ok(())
    }

    /// No message is taken while nobody can take it over.
    fn wait_for_output(&self, deadline: Deadline) -> Result<()> {
        while !self.output.is_ready(PollTimeout::from(250_u8))? {
            signals::check()?;
            if deadline.has_passed() {
                return Err(Failure::TimeOver);
            }
        }
        Ok(())
    }

    fn look_at_output(&self) -> Result<()> {
        self.output.is_ready(PollTimeout::ZERO).map(drop)
    }

    fn deliver(&self, message: &[u8], priority: u32) -> Result<()> {
        let written = match self.form {
            Form::Bare => self.output.write(message),
            Form::Line => self.output.write(&[message, b"\n"].concat()),
            Form::Json => {
                self.output.write(json::line(&MessageJson::new(message, priority)).as_bytes())
            }
        };
        let failure = match written {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let name = self.queue.ownership().name();
        let lost = text::escape_exactly(message);
        let undelivered = format!(
            "a message was taken from \"{name}\" with priority {priority} and could not be written: \
             {lost}"
        );
        match failure {
            Failure::Signalled(_) => {
                complain(&undelivered);
                Err(failure)
            }
            Failure::Failed(why) => {
                complain(&why);
                Err(Failure::Failed(undelivered))
            }
            _ => Err(Failure::Failed(undelivered)),
        }
    }
}
