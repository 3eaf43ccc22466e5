//! What is shown, and what keys do to it.

use nob_ipc::registry::{Coverage, Listing, Object};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;

use super::history::{History, amount};
use crate::describe::{CANNOT_LIST_QUEUES, address, state_word};
use crate::text;

/// What is in front.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    List,
    /// The filter is being typed.
    Filter,
    Details,
    /// Whether to remove the object is being asked.
    Confirm,
}

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    #[default]
    Name,
    Content,
    Age,
    Status,
    Holders,
}

impl Sort {
    pub fn word(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Content => "content",
            Sort::Age => "age",
            Sort::Status => "status",
            Sort::Holders => "holders",
        }
    }

    fn next(self) -> Sort {
        match self {
            Sort::Name => Sort::Content,
            Sort::Content => Sort::Age,
            Sort::Age => Sort::Status,
            Sort::Status => Sort::Holders,
            Sort::Holders => Sort::Name,
        }
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

#[derive(Default)]
pub struct Model {
    all: Vec<Object>,
    /// Those that pass the filter, in order.
    pub shown: Vec<Object>,
    pub history: History,
    pub mode: Mode,
    pub sort: Sort,
    pub reversed: bool,
    pub filter: String,
    /// The row that is marked, and how far the list is scrolled.
    pub table: TableState,
    /// The object that is marked: it stays marked wherever it moves.
    marked: Option<(u64, u64)>,
    /// Something to tell, until the next key.
    pub message: Option<String>,
}

impl Model {
    /// Takes a new look over.
    pub fn update(&mut self, listing: Listing) {
        self.history.record(&listing.objects);
        self.all = listing.objects;
        if listing.queues != Coverage::All && self.message.is_none() {
            self.say(CANNOT_LIST_QUEUES.into());
        }
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

    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        self.shown = self.all.iter().filter(|object| matches(object, &filter)).cloned().collect();
        let holders = |object: &Object| object.holders().len();
        match self.sort {
            // They come by kind and name, and sorting keeps that order among equals.
            Sort::Name => {}
            Sort::Content => self.shown.sort_by_key(|object| amount(object.measure())),
            Sort::Age => self.shown.sort_by_key(Object::age),
            Sort::Status => self.shown.sort_by_key(|object| state_word(object.state())),
            Sort::Holders => self.shown.sort_by_key(holders),
        }
        if self.reversed {
            self.shown.reverse();
        }
        let place =
            self.marked.and_then(|marked| self.shown.iter().position(|it| it.identity() == marked));
        let last = self.shown.len().checked_sub(1);
        let place = place.or(self.table.selected()).unwrap_or(0);
        self.mark(last.map(|last| place.min(last)));
        if self.marked.is_none() && matches!(self.mode, Mode::Details | Mode::Confirm) {
            self.mode = Mode::List;
        }
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
            Mode::Confirm => {
                self.mode = Mode::List;
                match (key.code, self.marked()) {
                    (KeyCode::Char('y' | 'Y'), Some(object)) => {
                        Wish::Unlink(Box::new(object.clone()))
                    }
                    _ => Wish::Nothing,
                }
            }
        }
    }

    fn press_in_list(&mut self, key: KeyCode) -> Wish {
        const PAGE: isize = 20;
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::PageDown => self.step(PAGE),
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
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.arrange();
            }
            KeyCode::Char('r') => {
                self.reversed = !self.reversed;
                self.arrange();
            }
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('d') | KeyCode::Delete if self.marked.is_some() => {
                self.mode = Mode::Confirm;
            }
            _ => {}
        }
        Wish::Nothing
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
