//! Drawing.

use nob_ipc::registry::{Object, State};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table};

use super::history::{curve, scale};
use super::model::{Mode, Model};
use crate::describe::{address, facts, holders_words, measure_words, state_word};
use crate::people::Users;
use crate::text;

/// How many characters wide the curve in the list is.
const CURVE: u16 = 16;

/// How many characters wide the column of contents is, at the least and at the most.
const CONTENT: (u16, u16) = (15, 40);

pub fn draw(frame: &mut Frame, model: &mut Model) {
    let rows = [Constraint::Length(1), Constraint::Min(3), Constraint::Length(1)];
    let [title, list, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(title_line(model), title);
    draw_list(frame, list, model);
    if matches!(model.mode, Mode::Details)
        && let Some(object) = model.marked()
    {
        draw_details(frame, list, object, &model.history.of(object));
    }
    frame.render_widget(foot_line(model), foot);
}

fn title_line(model: &Model) -> Line<'static> {
    let reversed = if model.reversed { ", reversed" } else { "" };
    let filter = match &*model.filter {
        "" => String::new(),
        filter => format!(", with \"{filter}\""),
    };
    let all = text::count(model.count(), "object", "objects");
    let title = format!(
        "nob-ipc  {} of {all}, by {}{reversed}{filter}",
        model.shown.len(),
        model.sort.word()
    );
    Line::from(title).bold()
}

fn foot_line(model: &Model) -> Line<'static> {
    match (model.mode, model.marked()) {
        (Mode::Confirm, Some(object)) => {
            let holders = match object.holders().len() {
                0 => String::new(),
                number => format!(" {} hold it.", text::count(number, "process", "processes")),
            };
            Line::from(format!("Remove {}?{holders} y removes it", address(object))).bold()
        }
        (Mode::Filter, _) => {
            Line::from(format!("filter: {}█  Enter keeps it, Esc clears it", model.filter))
        }
        _ => match &model.message {
            Some(message) => Line::from(text::escape_str(message)).bold(),
            None => {
                Line::from("↑↓ move  Enter details  s sort  r reverse  / filter  d remove  q quit")
                    .dim()
            }
        },
    }
}

fn draw_list(frame: &mut Frame, area: Rect, model: &mut Model) {
    let mut users = Users::default();
    let history = &model.history;
    let contents = model.shown.iter().map(|object| measure_words(object.measure()).chars().count());
    let content = u16::try_from(contents.max().unwrap_or(0)).unwrap_or(u16::MAX);
    let rows: Vec<Row> = model
        .shown
        .iter()
        .map(|object| {
            let measures = history.of(object);
            let top = scale(object.measure(), &measures);
            Row::new([
                Cell::from(object.kind().short_word()),
                Cell::from(text::escape(object.name().as_bytes())),
                Cell::from(measure_words(object.measure())),
                Cell::from(curve(&measures, top, CURVE.into())).cyan(),
                Cell::from(text::escape_str(users.name(object.owner()))),
                Cell::from(format!("{:04o}", object.mode())),
                Cell::from(text::age(object.age())),
                Cell::from(state_word(object.state())).style(style_of(object.state())),
                Cell::from(text::escape(&holders_words(object.holders()))),
            ])
        })
        .collect();
    let widths = [
        Constraint::Length(7),
        Constraint::Fill(2),
        Constraint::Length(content.clamp(CONTENT.0, CONTENT.1)),
        Constraint::Length(CURVE),
        Constraint::Length(8),
        Constraint::Length(4),
        Constraint::Length(4),
        Constraint::Length(7),
        Constraint::Fill(2),
    ];
    let header =
        ["KIND", "NAME", "CONTENT", "HISTORY", "OWNER", "MODE", "AGE", "STATUS", "HOLDERS"];
    let table = Table::new(rows, widths)
        .header(Row::new(header).style(Style::new().add_modifier(Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, area, &mut model.table);
}

fn style_of(state: State) -> Style {
    match state {
        State::Orphan => Style::new().red(),
        State::InUse => Style::new().green(),
        _ => Style::new(),
    }
}

/// Everything about the marked object, and a larger curve, over the lower part of the list.
fn draw_details(frame: &mut Frame, list: Rect, object: &Object, measures: &[u64]) {
    const CURVE_HEIGHT: u16 = 4;
    let facts: Vec<Line> = facts(object)
        .into_iter()
        .map(|(label, value)| Line::from(format!("{label:<14}{}", text::escape(&value))))
        .collect();
    let wanted = u16::try_from(facts.len()).unwrap_or(u16::MAX).saturating_add(CURVE_HEIGHT + 2);
    let height = wanted.min(list.height);
    let area = Rect { y: list.bottom() - height, height, ..list };
    let block = Block::bordered().title(format!(" {} ", address(object)));
    let inner = block.inner(area);
    let [text_area, curve_area] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(CURVE_HEIGHT)]).areas(inner);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(facts), text_area);
    let shown = measures.len().saturating_sub(curve_area.width.into());
    let sparkline =
        Sparkline::default().data(&measures[shown..]).max(scale(object.measure(), measures).max(1));
    frame.render_widget(sparkline.cyan(), curve_area);
}
