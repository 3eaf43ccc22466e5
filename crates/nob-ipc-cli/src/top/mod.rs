//! `nob-ipc top`: the list of objects, live.
//!
//! `model` is what is shown and what keys do to it, `view` draws it in the columns that `columns` chooses,
//! and here both meet the terminal.

mod columns;
mod history;
mod model;
mod row;
mod sort;
mod source;
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
use nob_ipc_redis::Connection;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, size};
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, TerminalOptions, Viewport};

use crate::failure::{Failure, Result, cannot};
use crate::signals;
use model::{Model, Wish};
use source::{Next, Source};

/// More looks than that show nothing more.
const SHORTEST: Duration = Duration::from_millis(50);

/// How long a signal may wait.
const ATTENTION: Duration = Duration::from_millis(250);

/// How long a server is left in peace at the most that could not be looked at.
const RETRY: Duration = Duration::from_secs(1);

/// How long a removal may take that was asked for before the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Fails where there is no terminal. `at`: what the list is to be asked for with.
pub fn check_terminal(at: &str) -> Result<()> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    let why = format!("top needs a terminal; `nob-ipc ls{at}` prints the same list once");
    Err(Failure::because(why))
}

pub fn run(interval: Duration, server: Option<&Connection>) -> Result<()> {
    check_terminal("")?;
    let mut source = Source::new(server)?;
    let model = Model::new(server.map(Connection::url));
    let interval = interval.max(SHORTEST);
    let _deferred = signals::defer();
    let mut terminal = init().map_err(|error| cannot("use the terminal", error))?;
    let done = watch(&mut terminal, interval, model, &mut source);
    if terminal.show_cursor().is_err() {
        // Its destructor would try again, and panic as nobody is left to be told.
        mem::forget(terminal);
    }
    let restored = ratatui::try_restore();
    done?;
    restored.map_err(|error| cannot("restore the terminal", error))?;
    source.finish(FAREWELL)
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

/// Waits until there may be an event, or something from the source. crossterm reads a terminal that is gone for
/// ever, so it is not asked to wait, nor to read one: SIGHUP may be ignored.
fn wait_for_input(source: &Source, timeout: Duration) -> Result<()> {
    let stdin = io::stdin();
    let mut entries = vec![PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    entries.extend(source.wakeup().map(|wakeup| PollFd::new(wakeup, PollFlags::POLLIN)));
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

fn watch(
    terminal: &mut DefaultTerminal,
    interval: Duration,
    mut model: Model,
    source: &mut Source,
) -> Result<()> {
    let mut next_look = Instant::now();
    loop {
        signals::check()?;
        match source.take(&mut model) {
            Next::AsEver => {}
            Next::AtOnce => next_look = Instant::now(),
            Next::Soon => next_look = next_look.min(Instant::now() + RETRY),
        }
        if Instant::now() >= next_look && source.look(&mut model) {
            // An interval beyond the clock's reach is for ever.
            let now = Instant::now();
            next_look = now.checked_add(interval).unwrap_or(now + Duration::from_secs(1 << 30));
        }
        let fail = |error| cannot("use the terminal", error);
        terminal.draw(|frame| view::draw(frame, &mut model)).map_err(fail)?;
        let timeout = next_look.saturating_duration_since(Instant::now()).min(ATTENTION);
        wait_for_input(source, Duration::ZERO)?;
        if !event::poll(Duration::ZERO).map_err(fail)? {
            wait_for_input(source, timeout)?;
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
            Wish::Unlink(row) => source.remove(&row, &mut model),
        }
    }
}
