//! Where the rows come from: this machine, which is looked at on the spot, or a server, which a thread asks, so
//! that one that does not answer holds nothing up.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nob_ipc::{ErrorKind, Kind, Name, registry};
use nob_ipc_redis::{Connection, ObjectInfo, Watched};

use super::model::{Look, Model};
use super::row::Row;
use crate::failure::{Failure, Result, cannot};
use crate::room::Room;

/// A look that takes longer is told.
const LONG: Duration = Duration::from_secs(1);

pub enum Source {
    Machine,
    Server(Looker),
}

/// What the thread is to do.
enum Request {
    /// Looks, at these objects before others.
    Look(Vec<Name>),
    Remove(Box<ObjectInfo>),
}

enum Answer {
    Looked {
        objects: Vec<Arc<Watched>>,
        whole: bool,
        overflows: bool,
        failure: Option<nob_ipc::Error>,
    },
    Removed(nob_ipc::Result<()>),
}

/// The thread that asks a server, as seen by the one that draws.
pub struct Looker {
    requests: Sender<Request>,
    answers: Receiver<Answer>,
    /// Readable when there may be an answer.
    wakeup: UnixStream,
    /// Since when a look is under way.
    looking: Option<Instant>,
    /// What is being removed.
    removing: Option<String>,
}

impl Source {
    pub fn new(server: Option<&Connection>) -> Result<Source> {
        let Some(server) = server else { return Ok(Source::Machine) };
        Ok(Source::Server(Looker::start(server.clone())?))
    }

    /// Begins a look. `false`: one is still under way.
    pub fn look(&mut self, model: &mut Model) -> bool {
        match self {
            Source::Machine => {
                look_here(model);
                true
            }
            Source::Server(looker) if looker.looking.is_some() => false,
            Source::Server(looker) => {
                looker.looking = Some(Instant::now());
                looker.ask(Request::Look(model.on_screen()))
            }
        }
    }

    /// Takes what has come meanwhile, and says whether a look is to follow soon.
    pub fn take(&mut self, model: &mut Model) -> Next {
        match self {
            Source::Machine => Next::AsEver,
            Source::Server(looker) => looker.take(model),
        }
    }

    /// Removes an object; what comes of it is said.
    pub fn remove(&mut self, row: &Row, model: &mut Model) {
        match (self, row) {
            (Source::Machine, Row::Here(object)) => {
                let said = said(&row.address(), object.unlink());
                look_here(model);
                model.say(said);
            }
            (Source::Server(looker), Row::There(watched)) => {
                if let Some(other) = &looker.removing {
                    return model.say(format!("{other} is still being removed"));
                }
                looker.ask(Request::Remove(Box::new(watched.info.clone())));
                looker.removing = Some(row.address());
                model.say(format!("removing {}", row.address()));
            }
            // Rows come from their source.
            _ => {}
        }
    }

    /// What is readable when [`take`](Source::take) may have something.
    pub fn wakeup(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Source::Machine => None,
            Source::Server(looker) => Some(looker.wakeup.as_fd()),
        }
    }

    /// Waits for a removal that was asked for.
    pub fn finish(&mut self, within: Duration) -> Result<()> {
        let Source::Server(looker) = self else { return Ok(()) };
        let end = Instant::now() + within;
        while let Some(address) = &looker.removing {
            match looker.answers.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Answer::Removed(done)) => return Ok(done?),
                Ok(Answer::Looked { .. }) => {}
                Err(_) => {
                    let why = format!(
                        "the server has not said whether {address} is removed; look at it with \
                         `nob-ipc show {address} --at URL`"
                    );
                    return Err(Failure::because(why));
                }
            }
        }
        Ok(())
    }
}

/// When the next look is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    AsEver,
    AtOnce,
    /// The server is away: soon, however long the interval is.
    Soon,
}

impl Looker {
    fn start(server: Connection) -> Result<Looker> {
        let fail = |error| cannot("start to watch the server", error);
        let (wakeup, waker) = UnixStream::pair().map_err(fail)?;
        wakeup.set_nonblocking(true).map_err(fail)?;
        waker.set_nonblocking(true).map_err(fail)?;
        let (requests, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        // It ends when nobody asks any more; a request that is under way ends with the connection. Nobody waits
        // for that.
        thread::Builder::new()
            .name("nob-ipc-top".into())
            .spawn(move || serve(&server, &asked, &answer, waker))
            .map_err(fail)?;
        Ok(Looker { requests, answers, wakeup, looking: None, removing: None })
    }

    fn ask(&self, request: Request) -> bool {
        self.requests.send(request).is_ok()
    }

    fn take(&mut self, model: &mut Model) -> Next {
        let mut bytes = [0; 64];
        while matches!(self.wakeup.read(&mut bytes), Ok(1..)) {}
        let mut next = Next::AsEver;
        while let Ok(answer) = self.answers.try_recv() {
            match answer {
                Answer::Looked { objects, whole, overflows, failure } => {
                    self.looking = None;
                    let at = Instant::now();
                    if failure.is_some() {
                        next = Next::Soon;
                    }
                    model.update(Look::Server { objects, whole, overflows, failure, at });
                }
                Answer::Removed(done) => {
                    let address = self.removing.take().unwrap_or_default();
                    model.say(said(&address, done));
                    next = Next::AtOnce;
                }
            }
        }
        let long = self.looking.is_some_and(|began| began.elapsed() > LONG);
        model.server_is_late(long);
        next
    }
}

fn said(address: &str, done: nob_ipc::Result<()>) -> String {
    match done {
        Ok(()) => format!("{address} is removed"),
        Err(error) => error.to_string(),
    }
}

/// The thread's own part.
fn serve(
    server: &Connection,
    asked: &Receiver<Request>,
    answer: &Sender<Answer>,
    mut waker: UnixStream,
) {
    let mut watch = server.watch();
    while let Ok(request) = asked.recv() {
        let done = match request {
            Request::Look(first) => {
                let failure = watch.step(&first).err();
                if failure.as_ref().is_some_and(|error| error.kind() == ErrorKind::Closed) {
                    return;
                }
                Answer::Looked {
                    objects: watch.objects().cloned().collect(),
                    whole: watch.is_whole(),
                    overflows: watch.overflows(),
                    failure,
                }
            }
            Request::Remove(info) => Answer::Removed(server.unlink_object(&info)),
        };
        if answer.send(done).is_err() {
            return;
        }
        // One that is full is readable.
        let _ = waker.write(&[1]);
    }
}

fn look_here(model: &mut Model) {
    match registry::list(&Kind::ALL) {
        Ok(listing) => {
            model.update(Look::Machine { listing, room: Room::of_shm(), at: Instant::now() });
        }
        // The list stays as it was.
        Err(error) => model.say(error.to_string()),
    }
}
