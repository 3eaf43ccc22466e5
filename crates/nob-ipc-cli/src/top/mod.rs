//! `nob-ipc top`: the list of objects, live.
//!
//! `model` is what is shown and what keys do to it, `view` draws it in the columns that `columns` chooses,
//! and here both meet the terminal.

mod columns;
mod history;
mod model;
#[cfg(test)]
mod tests;
mod totals;
mod view;

use std::io::{self, IsTerminal};
use std::mem;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nob_ipc::Kind;
use nob_ipc::registry;
use nob_ipc_redis::Connection;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, size};
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, TerminalOptions, Viewport};

use crate::describe::address;
use crate::failure::{Failure, Result, cannot};
use crate::room::Room;
use crate::signals;
use model::{Look, Model, Wish};

/// More looks than that show nothing more.
const SHORTEST: Duration = Duration::from_millis(50);

/// How long a signal may wait.
const ATTENTION: Duration = Duration::from_millis(250);

pub fn run(interval: Duration, server: Option<&Connection>) -> Result<()> {
    if server.is_some() {
        let why = "top shows this machine only; `watch nob-ipc ls --at URL` looks at a server";
        return Err(Failure::because(why));
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        let why = "top needs a terminal; `nob-ipc ls` prints the same list once";
        return Err(Failure::because(why));
    }
    let interval = interval.max(SHORTEST);
    let _deferred = signals::defer();
    let mut terminal = init().map_err(|error| cannot("use the terminal", error))?;
    let done = watch(&mut terminal, interval);
    if terminal.show_cursor().is_err() {
        // Its destructor would try again, and panic as nobody is left to be told.
        mem::forget(terminal);
    }
    let restored = ratatui::try_restore();
    done?;
    restored.map_err(|error| cannot("restore the terminal", error))
}

/// Takes the terminal over. One that does not tell its size is taken for one of the customary size.
fn init() -> io::Result<DefaultTerminal> {
    const CUSTOMARY: Rect = Rect { x: 0, y: 0, width: 80, height: 24 };
    if let Ok((1.., 1..)) = size() {
        return ratatui::try_init();
    }
    let viewport = Viewport::Fixed(CUSTOMARY);
    let terminal = ratatui::try_init_with_options(TerminalOptions { viewport })?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    Ok(terminal)
}

/// Waits until there may be an event. crossterm reads a terminal that is gone for ever, so it is not
/// asked to wait, nor to read one: SIGHUP may be ignored.
fn wait_for_input(timeout: Duration) -> Result<()> {
    let stdin = io::stdin();
    let mut entries = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut entries, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(cannot("look at the terminal", errno.desc())),
    }
    let events = entries[0].revents().unwrap_or(PollFlags::empty());
    if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
        return Err(Failure::because("the terminal is gone"));
    }
    Ok(())
}

fn watch(terminal: &mut DefaultTerminal, interval: Duration) -> Result<()> {
    let mut model = Model::default();
    let mut next_look = Instant::now();
    loop {
        signals::check()?;
        if Instant::now() >= next_look {
            look(&mut model);
            // An interval beyond the clock's reach is for ever.
            let now = Instant::now();
            next_look = now.checked_add(interval).unwrap_or(now + Duration::from_secs(1 << 30));
        }
        let fail = |error| cannot("use the terminal", error);
        terminal.draw(|frame| view::draw(frame, &mut model)).map_err(fail)?;
        let timeout = next_look.saturating_duration_since(Instant::now()).min(ATTENTION);
        wait_for_input(Duration::ZERO)?;
        if !event::poll(Duration::ZERO).map_err(fail)? {
            wait_for_input(timeout)?;
            continue;
        }
        let Event::Key(key) = event::read().map_err(fail)? else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match model.press(key) {
            Wish::Nothing => {}
            Wish::Quit => return Ok(()),
            Wish::Interrupt => return Err(Failure::Signalled(nix::libc::SIGINT)),
            Wish::Unlink(object) => {
                let said = match object.unlink() {
                    Ok(()) => format!("{} is removed", address(&object)),
                    Err(error) => error.to_string(),
                };
                look(&mut model);
                model.say(said);
            }
        }
    }
}

fn look(model: &mut Model) {
    match registry::list(&Kind::ALL) {
        Ok(listing) => {
            model.update(Look { listing, room: Room::of_shm(), at: Instant::now() });
        }
        // The list stays as it was.
        Err(error) => model.say(error.to_string()),
    }
}
