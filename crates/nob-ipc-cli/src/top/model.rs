//! What is shown, and what keys do to it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use nob_ipc::registry::{Coverage, Listing};
use nob_ipc::{ErrorKind, Name};
use nob_ipc_redis::Watched;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;

use super::history::History;
use super::row::{Id, Place, Row};
use super::sort::Sort;
use super::totals::Totals;
use crate::describe::{CANNOT_LIST_QUEUES, in_lists};
use crate::people::Users;
use crate::room::Room;
use crate::text;

/// What is in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    List,
    /// The filter is being typed.
    Filter,
    Details,
    /// Whether to remove an object is being asked.
    Confirm,
    Help,
}

/// What a key asks of the program.
#[derive(Debug)]
pub enum Wish {
    Nothing,
    Quit,
    Interrupt,
    Unlink(Row),
}

/// One look.
pub enum Look {
    Machine {
        listing: Listing,
        room: Option<Room>,
        at: Instant,
    },
    Server {
        /// In any order.
        objects: Vec<Arc<Watched>>,
        /// Whether all keys of the server have been gone through.
        whole: bool,
        /// Whether there are more objects.
        overflows: bool,
        /// Why not all of the server could be looked at.
        failure: Option<nob_ipc::Error>,
        at: Instant,
    },
}

/// The server that is watched.
#[derive(Debug)]
pub struct Server {
    /// With the password masked.
    pub url: String,
    pub whole: bool,
    pub overflows: bool,
    /// When all of it could be looked at last.
    answered: Option<Instant>,
    /// Why that is not now.
    failure: Option<nob_ipc::Error>,
    /// A look is under way, and takes long.
    late: bool,
}

impl Server {
    fn new(url: String) -> Server {
        let (answered, failure) = (None, None);
        Server { url, whole: false, overflows: false, answered, failure, late: false }
    }

    /// How old what is shown is, where it should be newer.
    pub fn trouble(&self) -> Option<String> {
        if self.failure.is_none() && !self.late {
            return None;
        }
        let silent = self.late
            || self.failure.as_ref().is_none_or(|it| it.kind() == ErrorKind::ServerUnavailable);
        let age = |since: Instant| text::age(since.elapsed());
        Some(match (self.answered.map(age), silent) {
            (Some(age), true) => format!("no answer for {age}"),
            (Some(age), false) => format!("last seen {age} ago"),
            (None, true) => "no answer yet".into(),
            (None, false) => "not seen yet".into(),
        })
    }

    pub fn why(&self) -> Option<String> {
        self.failure.as_ref().map(|failure| text::escape_str(&failure.to_string()))
    }
}

#[derive(Default)]
pub struct Model {
    /// By kind and name.
    all: Vec<Row>,
    /// Those that pass the filter, in order.
    pub shown: Vec<Row>,
    /// `None`: it is this machine.
    pub server: Option<Server>,
    pub history: History,
    pub totals: Totals,
    pub users: Users,
    pub mode: Mode,
    pub sort: Sort,
    reversed: bool,
    pub filter: String,
    /// The row that is marked, and how far the list is scrolled.
    pub table: TableState,
    /// How many rows the list has on the screen.
    pub page: u16,
    /// The object that is marked: it stays marked wherever it moves.
    marked: Option<Id>,
    /// The object whose removal is being asked for: no other takes its place under the finger.
    pub asked: Option<Row>,
    /// Something to tell, until the next key.
    pub message: Option<String>,
}

impl Model {
    /// Of the server of a URL, whose password is masked; else of this machine.
    pub fn new(url: Option<String>) -> Model {
        Model { server: url.map(Server::new), ..Model::default() }
    }

    pub fn place(&self) -> Place {
        if self.server.is_some() { Place::Server } else { Place::Machine }
    }

    /// Takes a new look over.
    pub fn update(&mut self, look: Look) {
        match look {
            Look::Machine { mut listing, room, at } => {
                let objects = std::mem::take(&mut listing.objects);
                self.all = objects.into_iter().map(|it| Row::Here(Rc::new(it))).collect();
                self.history.record(&self.all, at);
                let users = &mut self.users;
                self.totals = Totals::of_machine(&self.all, &listing, &self.history, users, room);
                if listing.queues != Coverage::All && self.message.is_none() {
                    self.say(CANNOT_LIST_QUEUES.into());
                }
            }
            Look::Server { objects, whole, overflows, failure, at } => {
                self.all = objects.into_iter().map(Row::There).collect();
                self.history.record(&self.all, at);
                self.totals = Totals::of_server(&self.all, &self.history);
                if let Some(server) = &mut self.server {
                    if failure.is_none() {
                        server.answered = Some(at);
                    }
                    (server.whole, server.overflows, server.failure) = (whole, overflows, failure);
                }
            }
        }
        self.all.sort_by(|one, other| in_lists(one.name(), other.name()));
        self.arrange();
    }

    /// Whether a look at the server is under way that takes long.
    pub fn server_is_late(&mut self, late: bool) {
        if let Some(server) = &mut self.server {
            server.late = late;
        }
    }

    /// The names of those that are seen: the marked one, and all that have a line.
    pub fn on_screen(&self) -> Vec<Name> {
        let lines = self.shown.iter().skip(self.table.offset()).take(self.page.into());
        self.marked().into_iter().chain(lines).map(|row| row.name().clone()).collect()
    }

    pub fn say(&mut self, message: String) {
        self.message = Some(message);
    }

    pub fn marked(&self) -> Option<&Row> {
        self.shown.get(self.table.selected()?)
    }

    /// How many objects there are, filtered out or not.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether the largest comes first.
    pub fn descends(&self) -> bool {
        self.sort.descends() != self.reversed
    }

    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        self.shown = self.all.iter().filter(|row| row.matches(&filter)).cloned().collect();
        let descends = self.descends();
        let (sort, history, users) = (self.sort, &self.history, &mut self.users);
        // What is not known is less than nothing.
        let rate = |row: &Row| history.rates(row).into.unwrap_or(-1.0);
        let mut compare = |one: &Row, other: &Row| {
            let rates = if sort == Sort::Rate { (rate(one), rate(other)) } else { (0.0, 0.0) };
            sort.compare(one, other, rates, users)
        };
        self.shown.sort_by(|one, other| {
            let order = compare(one, other);
            if descends { order.reverse() } else { order }
        });
        let place = self
            .marked
            .as_ref()
            .and_then(|marked| self.shown.iter().position(|it| it.id() == *marked));
        if place.is_none() && self.mode == Mode::Details {
            // They would be another object's.
            self.mode = Mode::List;
        }
        let last = self.shown.len().checked_sub(1);
        let place = place.or(self.table.selected()).unwrap_or(0);
        self.mark(last.map(|last| place.min(last)));
    }

    fn mark(&mut self, row: Option<usize>) {
        self.table.select(row);
        self.marked = self.marked().map(Row::id);
    }

    fn step(&mut self, by: isize) {
        let last = self.shown.len().checked_sub(1);
        let row = self.table.selected().unwrap_or(0).saturating_add_signed(by);
        self.mark(last.map(|last| row.min(last)));
    }

    pub fn press(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Wish::Interrupt;
        }
        self.message = None;
        match self.mode {
            Mode::List | Mode::Details => self.press_in_list(key.code),
            Mode::Filter => {
                self.press_in_filter(key.code);
                Wish::Nothing
            }
            Mode::Help => {
                self.mode = Mode::List;
                Wish::Nothing
            }
            Mode::Confirm => {
                self.mode = Mode::List;
                match (key.code, self.asked.take()) {
                    (KeyCode::Char('y' | 'Y'), Some(row)) => Wish::Unlink(row),
                    _ => Wish::Nothing,
                }
            }
        }
    }

    fn press_in_list(&mut self, key: KeyCode) -> Wish {
        let page = isize::try_from(self.page.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Help,
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.step(page),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            KeyCode::Enter if self.marked.is_some() => {
                let details = self.mode == Mode::Details;
                self.mode = if details { Mode::List } else { Mode::Details };
            }
            KeyCode::Esc if self.mode == Mode::Details => self.mode = Mode::List,
            KeyCode::Esc => {
                self.filter.clear();
                self.arrange();
            }
            KeyCode::Char('s' | '>') | KeyCode::Right => self.sort_by(1),
            KeyCode::Char('S' | '<') | KeyCode::Left => self.sort_by(-1),
            KeyCode::Char('r') => {
                self.reversed = !self.reversed;
                self.arrange();
            }
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('d') | KeyCode::Delete => {
                if let Some(row) = self.marked().cloned() {
                    self.asked = Some(row);
                    self.mode = Mode::Confirm;
                }
            }
            _ => {}
        }
        Wish::Nothing
    }

    /// Sorts by the column so many places to the right.
    fn sort_by(&mut self, by: isize) {
        let sorts = self.place().sorts();
        let place = sorts.iter().position(|&sort| sort == self.sort).unwrap_or(0);
        let place = place.wrapping_add_signed(by + sorts.len().cast_signed());
        self.sort = sorts[place % sorts.len()];
        self.reversed = false;
        self.arrange();
    }

    fn press_in_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::List,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(character) if !text::is_unprintable(character) => {
                self.filter.push(character);
            }
            _ => {}
        }
        self.arrange();
    }
}
