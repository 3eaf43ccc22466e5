//! Sending and receiving, through a queue or a channel.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use nix::poll::PollTimeout;
use nob_ipc::{Deadline, Error, ErrorKind, Messages, Name, Received};
use nob_ipc_redis::Outcome;

use crate::args::{Receiving, Sending};
use crate::failure::{Failure, Result, cannot};
use crate::json::{self, MessageJson};
use crate::output::{Output, complain};
use crate::signals;
use crate::text;
use crate::waiting::{deadline, wait};

/// Sends what the command line says.
pub fn send(name: &Name, messages: &dyn Messages, priority: u32, sending: Sending) -> Result<()> {
    let sender = Sender { name, messages, priority, timeout: sending.timeout };
    match sending.message {
        Some(message) => sender.send(message.as_encoded_bytes()),
        None if sending.lines => sender.send_lines(),
        None => sender.send_input(sending.empty),
    }
}

/// Receives what the command line asks for.
pub fn receive(name: &Name, messages: &dyn Messages, receiving: &Receiving) -> Result<()> {
    let &Receiving { timeout, count, follow, json } = receiving;
    let output = Output::new();
    let newline = count.is_some() || follow || output.is_terminal();
    let limit = if follow { u64::MAX } else { count.unwrap_or(1) };
    let form = match (json, newline) {
        (true, _) => Form::Json,
        (false, true) => Form::Line,
        (false, false) => Form::Bare,
    };
    Receiver { name, messages, output, timeout, form }.receive(limit)
}

struct Sender<'a> {
    name: &'a Name,
    messages: &'a dyn Messages,
    priority: u32,
    timeout: Option<Duration>,
}

impl Sender<'_> {
    fn send(&self, message: &[u8]) -> Result<()> {
        let deadline = deadline(self.timeout);
        let _deferred = signals::defer();
        // One that came during an earlier message.
        signals::check()?;
        let (messages, priority) = (self.messages, self.priority);
        let send = |deadline| messages.send_until(message, priority, deadline);
        if wait(deadline, send, || Ok(()))? { Ok(()) } else { Err(Failure::TimeOver) }
    }

    /// Sends standard input. That it is empty is more often an accident than a message.
    fn send_input(&self, may_be_empty: bool) -> Result<()> {
        let mut message = Vec::new();
        let read = io::stdin().lock().take(self.enough()).read_to_end(&mut message);
        read.map_err(|error| cannot("read standard input", error))?;
        if message.is_empty() && !may_be_empty {
            return Err(Failure::because(
                "standard input is empty, and nothing was sent; --empty sends a message without bytes",
            ));
        }
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
        (self.messages.max_message_size() as u64).saturating_add(1)
    }

    fn check_length(&self, length: usize, what: &str) -> Result<()> {
        let limit = self.messages.max_message_size();
        if length <= limit {
            return Ok(());
        }
        Err(Failure::because(format!(
            "{what} has more than the {limit} bytes that a message in \"{}\" may have",
            self.name
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

/// All queues have smaller messages. A channel may have larger ones; memory for them is taken when one
/// comes.
const ENOUGH: usize = 64 << 20;

/// Receives into a buffer, which is made as long as it has to be. With a message may come that too few
/// replicas or disks know that it is taken: it is this one's all the same.
fn receive_into(
    messages: &dyn Messages,
    buffer: &mut Vec<u8>,
    deadline: Deadline,
) -> nob_ipc::Result<Option<(Received, Option<Error>)>> {
    let limit = messages.max_message_size();
    if buffer.is_empty() {
        *buffer = vec![0; limit.min(ENOUGH)];
    }
    loop {
        match messages.receive_until(buffer, deadline) {
            Err(error) if error.kind() == ErrorKind::TooLong && buffer.len() < limit => {
                *buffer = vec![0; buffer.len().saturating_mul(2).min(limit)];
            }
            Err(error) => match error.detail::<Outcome>().as_deref() {
                Some(Outcome::Messages(messages)) if !messages.is_empty() => {
                    let (message, priority) = &messages[0];
                    let length = message.len();
                    message.clone_into(buffer);
                    return Ok(Some((Received { length, priority: *priority }, Some(error))));
                }
                _ => return Err(error),
            },
            Ok(received) => return Ok(received.map(|received| (received, None))),
        }
    }
}

struct Receiver<'a> {
    name: &'a Name,
    messages: &'a dyn Messages,
    output: Output,
    timeout: Option<Duration>,
    form: Form,
}

impl Receiver<'_> {
    fn receive(&self, limit: u64) -> Result<()> {
        let mut buffer = Vec::new();
        let _deferred = signals::defer();
        for _ in 0..limit {
            let deadline = deadline(self.timeout);
            self.wait_for_output(deadline)?;
            let receive = |deadline| receive_into(self.messages, &mut buffer, deadline);
            let received = wait(deadline, receive, || self.look_at_output())?;
            let Some((received, doubt)) = received else { return Err(Failure::TimeOver) };
            self.deliver(&buffer[..received.length], received.priority)?;
            if let Some(doubt) = doubt {
                return Err(doubt.into());
            }
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
        let name = self.name;
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
