//! The last calls of what is closed: they do not wait for a server that is out of reach.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nob_ipc::{Kind, Operation, Result};

use crate::client::Client;
use crate::fault::Fault;
use crate::hold::Hold;
use crate::request::{Failure, Request};
use crate::scripts::Script;

/// How long dropping a handle tries to reach the server.
const FAREWELL: Duration = Duration::from_secs(1);

/// How many permits one request gives back.
const PERMITS: usize = 1000;

/// Gives up all that was held by a handle that is closed.
pub(crate) fn let_go(client: &Client, hold: &Hold) -> Result<()> {
    let name = &hold.object.name;
    let is_lock = name.kind() == Kind::Lock;
    let all = hold.take_all();
    let mut result = Ok(());
    for part in all.chunks(if is_lock { 1 } else { PERMITS }) {
        let tokens = part.iter().map(|held| held.token.as_bytes());
        let (script, arguments): (_, Vec<&[u8]>) = if is_lock {
            // One that was to be released leaves nothing half done.
            let how: &[u8] = if part[0].leaving { b"release" } else { b"abandon" };
            (Script::Unlock, tokens.chain([how]).collect())
        } else {
            (Script::Give, [&b"release"[..]].into_iter().chain(tokens).collect())
        };
        let mut request = Request::new(script, &hold.object, &arguments);
        request.token = part[0].token.as_bytes();
        let done = farewell(client, &request);
        result = result.and(done);
    }
    result.map_err(|failure| failure.unavailable(Some((Operation::Release, name))))
}

/// A call of a handle that goes. After the first that finds no server, there is none any more.
pub(crate) fn farewell(client: &Client, request: &Request<'_>) -> std::result::Result<(), Failure> {
    if client.gave_up.load(Ordering::SeqCst) {
        let (fault, server) = (Fault::Silence, client.settings.url.to_string());
        return Err(Failure { fault, server, unanswered: None, unconfirmed: None });
    }
    match client.call(request, Some(Instant::now() + FAREWELL), &mut || Ok(())) {
        Ok(_) => Ok(()),
        Err(failure) => {
            if failure.unconfirmed.is_none() {
                client.gave_up.store(true, Ordering::SeqCst);
            }
            Err(failure)
        }
    }
}
