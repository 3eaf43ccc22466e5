//! What is shown, and what keys do to it.

use std::time::{Instant, SystemTime};

use nob_ipc::registry::{Coverage, Listing, Object};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;

use super::history::{History, amount};
use super::totals::Totals;
use crate::describe::{CANNOT_LIST_QUEUES, address, in_lists, state_word};
use crate::people::Users;
use crate::room::Room;
use crate::text::{self, natural_order};

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

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Kind,
    Name,
    Content,
    Rate,
    Owner,
    Mode,
    Age,
    Status,
    Holders,
}

impl Sort {
    const ALL: [Sort; 9] = [
        Sort::Kind,
        Sort::Name,
        Sort::Content,
        Sort::Rate,
        Sort::Owner,
        Sort::Mode,
        Sort::Age,
        Sort::Status,
        Sort::Holders,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Sort::Kind => "kind",
            Sort::Name => "name",
            Sort::Content => "content",
            Sort::Rate => "rate",
            Sort::Owner => "owner",
            Sort::Mode => "mode",
            Sort::Age => "age",
            Sort::Status => "status",
            Sort::Holders => "holders",
        }
    }

    /// The one so many places to the right.
    fn step(self, by: usize) -> Sort {
        let place = Sort::ALL.iter().position(|&sort| sort == self).unwrap_or(0);
        Sort::ALL[(place + by) % Sort::ALL.len()]
    }

    /// Whether the largest comes first, unless it is reversed.
    fn descends(self) -> bool {
        matches!(self, Sort::Content | Sort::Rate | Sort::Age | Sort::Holders)
    }
}

/// What a key asks of the program.
#[derive(Debug)]
pub enum Wish {
    Nothing,
    Quit,
    Interrupt,
    Unlink(Box<Object>),
}

/// One look at the machine.
pub struct Look {
    pub listing: Listing,
    pub room: Option<Room>,
    pub at: Instant,
}

#[derive(Default)]
pub struct Model {
    /// By kind and name.
    all: Vec<Object>,
    /// Those that pass the filter, in order.
    pub shown: Vec<Object>,
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
    marked: Option<(u64, u64)>,
    /// The object whose removal is being asked for: no other takes its place under the finger.
    pub asked: Option<Object>,
    /// Something to tell, until the next key.
    pub message: Option<String>,
}

impl Model {
    /// Takes a new look over.
    pub fn update(&mut self, look: Look) {
        let Look { listing, room, at } = look;
        self.history.record(&listing.objects, at);
        self.totals = Totals::new(&listing, &self.history, &mut self.users, room);
        if listing.queues != Coverage::All && self.message.is_none() {
            self.say(CANNOT_LIST_QUEUES.into());
        }
        self.all = listing.objects;
        self.all.sort_by(|one, other| in_lists(one.name(), other.name()));
        self.arrange();
    }

    pub fn say(&mut self, message: String) {
        self.message = Some(message);
    }

    pub fn marked(&self) -> Option<&Object> {
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
        self.shown = self.all.iter().filter(|object| matches(object, &filter)).cloned().collect();
        let descends = self.descends();
        let (sort, history, users) = (self.sort, &self.history, &mut self.users);
        let mut compare = |one: &Object, other: &Object| match sort {
            // They come like that, and sorting keeps that order among equals.
            Sort::Kind => in_lists(one.name(), other.name()),
            Sort::Name => natural_order(one.name().as_bytes(), other.name().as_bytes()),
            Sort::Content => amount(one.measure()).cmp(&amount(other.measure())),
            Sort::Rate => {
                // What is not known is less than nothing.
                let rate = |object| history.rates(object).into.unwrap_or(-1.0);
                rate(one).total_cmp(&rate(other))
            }
            Sort::Owner => {
                users.name(one.owner()).to_string().as_str().cmp(users.name(other.owner()))
            }
            Sort::Mode => one.mode().cmp(&other.mode()),
            // Not by the ages, which grow meanwhile.
            Sort::Age => born(other).cmp(&born(one)),
            Sort::Status => state_word(one.state()).cmp(state_word(other.state())),
            Sort::Holders => one.holders().len().cmp(&other.holders().len()),
        };
        self.shown.sort_by(|one, other| {
            let order = compare(one, other);
            if descends { order.reverse() } else { order }
        });
        let place =
            self.marked.and_then(|marked| self.shown.iter().position(|it| it.identity() == marked));
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
        self.marked = self.marked().map(Object::identity);
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
                    (KeyCode::Char('y' | 'Y'), Some(object)) => Wish::Unlink(Box::new(object)),
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
            KeyCode::Char('S' | '<') | KeyCode::Left => self.sort_by(Sort::ALL.len() - 1),
            KeyCode::Char('r') => {
                self.reversed = !self.reversed;
                self.arrange();
            }
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('d') | KeyCode::Delete => {
                if let Some(object) = self.marked().cloned() {
                    self.asked = Some(object);
                    self.mode = Mode::Confirm;
                }
            }
            _ => {}
        }
        Wish::Nothing
    }

    fn sort_by(&mut self, by: usize) {
        self.sort = self.sort.step(by);
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

fn born(object: &Object) -> SystemTime {
    object.created().unwrap_or(object.changed())
}

/// Whether the address, the status or a holder has the text in it.
fn matches(object: &Object, filter: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(filter);
    has(&address(object))
        || has(state_word(object.state()))
        || object
            .holders()
            .iter()
            .any(|holder| has(&text::escape(&holder.command)) || holder.pid.to_string() == filter)
}
