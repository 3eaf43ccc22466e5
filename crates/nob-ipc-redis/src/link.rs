//! One connection to one server.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::sys::NotInherited;
use crate::transport::{Pause, SILENCE, SLICE, Transport};
use crate::url::{Address, Topology, Url};
use crate::wire::{Parser, Value, encode};

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// How much must come or go for a server to count as one that is not silent.
const HEARD: usize = 4 << 10;

/// How long a megabyte may be on its way to the server.
const MEGABYTE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Link {
    /// Above the transport, since fields are dropped in their order.
    _not_inherited: NotInherited,
    transport: Transport,
    pub address: Address,
    parser: Parser,
    input: Vec<u8>,
    /// How much of the input the parser has had.
    parsed: usize,
    out: Vec<u8>,
    /// How much of the output has been written.
    written: usize,
    /// Encrypted output may be waiting although all of ours has been written.
    flushed: bool,
    /// When something was last heard of the other side, or taken by it.
    heard: Instant,
    /// How much has moved since then.
    moved: usize,
}

impl Link {
    /// Connects and logs in: for requests and answers in turn.
    pub(crate) fn open(url: &Url, address: &Address, pause: Pause<'_>) -> Result<Link, Fault> {
        let mut link = Link::connect(url, address, pause)?;
        login(url, |command| link.demand(command, pause).map(drop))?;
        Ok(link)
    }

    /// Begins to connect and to log in, for listening: nothing blocks, and messages of subscriptions
    /// come between answers. Also how many answers are due before it is known who is there.
    pub(crate) fn begin(
        url: &Url,
        address: &Address,
        found: &[SocketAddr],
        turn: usize,
    ) -> Result<(Link, usize), Fault> {
        let mut link = Link::new(Transport::begin(url, address, found, turn)?, address);
        let mut count = 1;
        login(url, |command| {
            encode(link.out(), command.iter().copied());
            count += 1;
            Ok(())
        })?;
        encode(link.out(), [&b"HELLO"[..], b"3"]);
        Ok((link, count))
    }

    fn connect(url: &Url, address: &Address, pause: Pause<'_>) -> Result<Link, Fault> {
        Ok(Link::new(Transport::connect(url, address, pause)?, address))
    }

    fn new(transport: Transport, address: &Address) -> Link {
        Link {
            _not_inherited: NotInherited::new(transport.as_fd()),
            transport,
            address: address.clone(),
            parser: Parser::new(),
            input: Vec::new(),
            parsed: 0,
            out: Vec::new(),
            written: 0,
            flushed: true,
            heard: Instant::now(),
            moved: 0,
        }
    }

    /// What is to be sent; [`flush`](Link::flush) sends it.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        self.flushed = false;
        &mut self.out
    }

    /// Whether something is still to be written.
    fn has_output(&self) -> bool {
        !self.flushed
    }

    /// Whether it is to be flushed once the socket can be written to.
    pub(crate) fn waits_to_write(&self) -> bool {
        self.has_output() && self.transport.takes_output()
    }

    /// When the server was last known to be there.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    fn note(&mut self, length: usize) {
        self.moved += length;
        if self.moved >= HEARD {
            self.moved = 0;
            self.heard = self.heard.max(Instant::now());
        }
    }

    /// Writes what there is to write; `false`: it would have to wait.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while self.has_output() {
            if !self.push()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a piece, as much as there is room for; `false`: it would have to wait.
    fn push(&mut self) -> io::Result<bool> {
        if self.written < self.out.len() {
            return match self.transport.write(&self.out[self.written..]) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    self.written += length;
                    self.note(length);
                    Ok(true)
                }
                Err(error) => waiting(error),
            };
        }
        // Buffers of the kernels have taken it, and the way to the server may be slow.
        let megabytes = u32::try_from(self.out.len() >> 20).unwrap_or(u32::MAX);
        if megabytes > 0 {
            self.heard = Instant::now() + MEGABYTE * megabytes;
        }
        self.out.clear();
        self.out.shrink_to(4 * PIECE);
        self.written = 0;
        match self.transport.flush() {
            Ok(()) => self.flushed = true,
            Err(error) => return waiting(error),
        }
        Ok(true)
    }

    /// Reads a piece; `false`: there is none yet.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        debug_assert_eq!(self.parsed, self.input.len(), "the parser takes all it gets");
        self.input.resize(PIECE, 0);
        self.parsed = 0;
        let read = self.transport.read(&mut self.input);
        self.input.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                let why = "it has closed the connection";
                Err(io::Error::new(io::ErrorKind::ConnectionReset, why))
            }
            Ok(length) => {
                self.note(length);
                Ok(true)
            }
            Err(error) => waiting(error),
        }
    }

    /// The next value of what has been read.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, Fault> {
        let mut rest = &self.input[self.parsed..];
        let value = self.parser.next(&mut rest)?;
        self.parsed = self.input.len() - rest.len();
        Ok(value)
    }

    /// Sends what there is to send, and waits for one answer, as long as the server is not silent and
    /// until then; if `patient`, also longer for what is under way.
    pub(crate) fn answer(
        &mut self,
        until: Instant,
        patient: bool,
        pause: Pause<'_>,
    ) -> Result<Value, Fault> {
        let begin = Instant::now();
        let mut paused = begin;
        self.heard = begin;
        loop {
            let moves = if self.has_output() {
                self.push()?
            } else if let Some(value) = self.next()? {
                return Ok(value);
            } else {
                self.fill()?
            };
            let now = Instant::now();
            if moves && now < paused + SLICE {
                continue;
            }
            paused = now;
            pause()?;
            let late = now >= until && !(patient && self.heard > begin);
            if late || now >= self.heard + SILENCE {
                return Err(Fault::Silence);
            }
        }
    }

    /// One command and its answer.
    pub(crate) fn ask(&mut self, command: &[&[u8]], pause: Pause<'_>) -> Result<Value, Fault> {
        encode(self.out(), command.iter().copied());
        self.answer(Instant::now() + SILENCE, false, pause)
    }

    /// One command that the server may not refuse.
    pub(crate) fn demand(&mut self, command: &[&[u8]], pause: Pause<'_>) -> Result<Value, Fault> {
        match self.ask(command, pause)? {
            Value::Error(refusal) => Err(Fault::Refused(refusal)),
            value => Ok(value),
        }
    }
}

/// The commands by which a connection becomes the user's, in the database.
fn login(url: &Url, mut command: impl FnMut(&[&[u8]]) -> Result<(), Fault>) -> Result<(), Fault> {
    if url.user.is_some() || url.password.is_some() {
        // Without a user it is the default user's. There are users who need no password.
        let user = url.user.as_deref().map(str::as_bytes);
        let password = url.password.as_deref().unwrap_or("").as_bytes();
        let words = [&b"AUTH"[..]].into_iter().chain(user).chain([password]);
        command(&words.collect::<Vec<_>>())?;
    }
    if url.database != 0 {
        command(&[b"SELECT", url.database.to_string().as_bytes()])?;
    }
    Ok(())
}

/// A read or write that would have to wait, or that a signal ended, is no failure.
fn waiting(error: io::Error) -> io::Result<bool> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
            Ok(false)
        }
        _ => Err(error),
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

/// Finds the server to ask first. `turn` counts the attempts, so that each begins with another.
/// `known`: nodes of a cluster that others have named.
pub(crate) fn discover(
    url: &Url,
    known: &[Address],
    turn: usize,
    pause: Pause<'_>,
) -> Result<Address, Fault> {
    let count = url.addresses.len();
    let Topology::Sentinel { master } = &url.topology else {
        let turn = turn % (count + known.len());
        return Ok(url.addresses.get(turn).unwrap_or_else(|| &known[turn - count]).clone());
    };
    let mut last = Fault::Silence;
    for index in 0..count {
        match primary_by(url, &url.addresses[(turn + index) % count], master, pause) {
            Ok(address) => return Ok(address),
            Err(stopped @ Fault::Stopped(_)) => return Err(stopped),
            Err(fault) => last = fault,
        }
        // That the time is over ends the search as well.
        pause()?;
    }
    Err(last)
}

/// The primary that a sentinel names, if that says itself that it is one.
fn primary_by(
    url: &Url,
    sentinel: &Address,
    master: &str,
    pause: Pause<'_>,
) -> Result<Address, Fault> {
    let mut link = Link::connect(url, sentinel, pause)?;
    let answer =
        link.demand(&[b"SENTINEL", b"get-master-addr-by-name", master.as_bytes()], pause)?;
    let [host, port] = answer.list() else {
        return Err(Fault::Protocol(format!(
            "the sentinel {sentinel} knows no primary {master:?}"
        )));
    };
    let address = match (host.text(), port.text().parse()) {
        (host, Ok(port)) => Address::Tcp { host, port },
        _ => return Err(Fault::Protocol(format!("the sentinel {sentinel} names no address"))),
    };
    let mut primary = Link::open(url, &address, pause)?;
    let role = primary.demand(&[b"ROLE"], pause)?;
    if role.word() == b"master" {
        Ok(address)
    } else {
        Err(Fault::Protocol(format!("{address} is no primary yet")))
    }
}
