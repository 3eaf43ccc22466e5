//! Drawing.

use nob_ipc::registry::State;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{self, Block, Cell, Clear, Paragraph, Sparkline, Table};

use super::columns::{self, Column, Needs};
use super::history::{Rates, curve, scale};
use super::model::{Mode, Model, Server};
use super::row::{Place, Row};
use crate::describe::state_word;
use crate::room::Room;
use crate::text::{self, cut, cut_in_the_middle, join_fitting, wrap};

/// How many lines of the screen the header needs beside it to be shown whole.
const ROOMY: u16 = 12;

pub fn draw(frame: &mut Frame, model: &mut Model) {
    let area = frame.area();
    let columns = usize::from(area.width);
    let foot = foot_lines(model, columns);
    let header = header_lines(model, columns, area.height);
    let height = |lines: &[Line]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(0));
    let rows = [height(&header), Constraint::Min(2), height(&foot)];
    let [header_area, list, foot_area] = Layout::vertical(rows).areas(area);
    frame.render_widget(Paragraph::new(header), header_area);
    draw_list(frame, list, model);
    match (model.mode, model.marked(), &model.asked) {
        (Mode::Details, Some(row), _) => {
            let (measures, rates) = (model.history.of(row), model.history.rates(row));
            let above = Rect { height: area.height.saturating_sub(foot_area.height), ..area };
            draw_details(frame, above, row, &measures, rates);
        }
        (Mode::Confirm, _, Some(row)) => draw_question(frame, area, row),
        (Mode::Help, ..) => draw_help(frame, area, model.place()),
        _ => {}
    }
    frame.render_widget(Paragraph::new(foot), foot_area);
}

/// Totals, and what the list shows of them.
fn header_lines(model: &Model, columns: usize, height: u16) -> Vec<Line<'static>> {
    let totals = &model.totals;
    let mut lines = Vec::new();
    if height >= ROOMY {
        let objects = join_fitting(&totals.objects(), "  ", columns.saturating_sub(9));
        lines.push(Line::from(vec!["nob-ipc  ".bold().cyan(), objects.bold()]));
        lines.push(match &model.server {
            None => room_line(totals.room(), columns),
            Some(server) => server_line(server, columns),
        });
        let users = join_fitting(&totals.users(), ", ", columns);
        lines.push(match model.server.as_ref().and_then(Server::why) {
            Some(why) => Line::from(cut(&why, columns)).red(),
            None if totals.orphans() > 0 => Line::from(users).red(),
            None => Line::from(users),
        });
    }
    let all = text::count(model.count(), "object", "objects");
    let arrow = if model.descends() { "▼" } else { "▲" };
    let filter = match &*model.filter {
        "" => String::new(),
        filter => format!(", with \"{filter}\""),
    };
    let mut shown =
        format!("{} of {all}, by {} {arrow}{filter}", model.shown.len(), model.sort.word());
    // Where there is no room for a line of its own.
    let trouble = model.server.as_ref().and_then(Server::trouble).filter(|_| height < ROOMY);
    if let Some(trouble) = trouble {
        shown = format!("{trouble}; {shown}");
        lines.push(Line::from(cut(&shown, columns)).red());
    } else {
        lines.push(Line::from(cut(&shown, columns)).dim());
    }
    lines
}

/// Which server it is, and whether it can be looked at. Both ends of a URL tell more than its middle.
fn server_line(server: &Server, columns: usize) -> Line<'static> {
    let (words, is_bad) = match server.trouble() {
        Some(trouble) => (trouble, true),
        None if server.overflows => ("more objects than can be shown".into(), true),
        None if !server.whole => ("listing its objects".into(), false),
        None => (String::new(), false),
    };
    let room = columns.saturating_sub(text::width(&words) + 2);
    let url = cut_in_the_middle(&text::escape_str(&server.url), room);
    let words = Span::from(cut(&words, columns));
    let words = if is_bad { words.red().bold() } else { words };
    // What is wrong comes first where there is no room for both.
    if room < 8 { Line::from(words) } else { Line::from(vec![url.into(), "  ".into(), words]) }
}

/// How full `/dev/shm` is, with a bar if there is room for it.
fn room_line(room: Option<Room>, columns: usize) -> Line<'static> {
    const PLACE: &str = "/dev/shm ";
    let Some(room) = room else { return Line::from("/dev/shm cannot be looked at").red() };
    if room.total == 0 {
        return Line::from("/dev/shm has no bound");
    }
    let (used, free, total) =
        (text::size(room.used()), text::size(room.free), text::size(room.total));
    let words = format!("{used} used, {free} of {total} free");
    let percent = u128::from(room.used()) * 100 / u128::from(room.total);
    let color = match percent {
        0..70 => Color::Green,
        70..90 => Color::Yellow,
        _ => Color::Red,
    };
    let width = columns.saturating_sub(text::width(PLACE) + text::width(&words) + 3).min(40);
    if width < 5 {
        return Line::from(cut(&format!("{PLACE}{words}"), columns));
    }
    let full = usize::try_from(percent).unwrap_or(100) * width / 100;
    // What is not nothing is seen.
    let full = full.max(usize::from(room.used() > 0)).min(width);
    let bar = Span::styled("|".repeat(full), Style::new().fg(color));
    let rest = " ".repeat(width - full);
    Line::from(vec![PLACE.into(), "[".into(), bar, rest.into(), "] ".into(), words.into()])
}

/// The keys, or something to tell, in as many lines as it takes.
fn foot_lines(model: &Model, columns: usize) -> Vec<Line<'static>> {
    match (model.mode, &model.message) {
        (Mode::Confirm, _) => vec![Line::from("y removes it, any other key leaves it").bold()],
        (Mode::Help, _) => vec![Line::from("any key goes back").dim()],
        (Mode::Filter, _) => {
            let keys = "  Enter keeps it, Esc clears it";
            let typed = columns.saturating_sub(10);
            // The end is where it is typed.
            let skipped = model.filter.chars().count().saturating_sub(typed);
            let filter: String = model.filter.chars().skip(skipped).collect();
            let line = format!("filter: {filter}█");
            let room = text::width(&line) + text::width(keys) <= columns;
            vec![Line::from(if room { line + keys } else { line })]
        }
        (_, Some(message)) => {
            let lines = wrap(&text::escape_str(message), columns);
            lines.into_iter().map(|line| Line::from(line).bold()).collect()
        }
        _ => {
            let keys = ["? help", "q quit", "Enter details", "s sort", "/ filter", "d remove"]
                .map(String::from);
            let more = ["r reverse", "↑↓ move"].map(String::from);
            vec![Line::from(join_fitting(&[&keys[..], &more].concat(), "  ", columns)).dim()]
        }
    }
}

/// The cells of one object, whole.
struct Cells {
    name: String,
    content: String,
    owner: String,
    holders: String,
    creator: String,
}

fn draw_list(frame: &mut Frame, area: Rect, model: &mut Model) {
    model.page = area.height.saturating_sub(1);
    let users = &mut model.users;
    let all: Vec<Cells> = model
        .shown
        .iter()
        .map(|row| Cells {
            name: text::escape(row.name().as_bytes()),
            content: row.content(),
            owner: row.owner(users),
            holders: row.holders(),
            creator: row.creator(),
        })
        .collect();
    let widest = |cell: fn(&Cells) -> &str| all.iter().map(|it| text::width(cell(it))).max();
    let kinds = model.shown.iter().map(|row| row.kind().short_word().len());
    let needs = Needs {
        kind: kinds.max().unwrap_or(0),
        name: widest(|cells| &cells.name).unwrap_or(0),
        content: widest(|cells| &cells.content).unwrap_or(0),
        owner: widest(|cells| &cells.owner).unwrap_or(0),
        holders: widest(|cells| &cells.holders).unwrap_or(0),
        creator: widest(|cells| &cells.creator).unwrap_or(0),
    };
    let columns = columns::choose(model.place(), area.width, needs);
    let history = &model.history;
    let line = |(row, cells): (&Row, &Cells)| {
        widgets::Row::new(columns.iter().map(|&(column, width)| {
            let columns = usize::from(width);
            match column {
                Column::Kind => Cell::from(row.kind().short_word()),
                Column::Name => Cell::from(cut_in_the_middle(&cells.name, columns)),
                Column::Content => Cell::from(cut(&cells.content, columns)),
                Column::Rate => {
                    let rate = history.rates(row).into;
                    let words = rate.map_or("-".into(), text::rate);
                    let cell = Cell::from(Line::from(words).right_aligned());
                    if rate.is_some_and(|rate| rate > 0.0) { cell.bold() } else { cell }
                }
                Column::History => {
                    let measures = history.of(row);
                    let top = scale(row.most(), &measures);
                    Cell::from(curve(&measures, top, columns)).cyan()
                }
                Column::Owner => Cell::from(cut(&cells.owner, columns)),
                Column::Mode => Cell::from(format!("{:04o}", row.mode())),
                Column::Age => Cell::from(Line::from(text::age(row.age())).right_aligned()),
                Column::Status => Cell::from(state_word(row.state())).style(style_of(row.state())),
                Column::Waiting => match row.waiters() {
                    0 => Cell::from(Line::from("-").right_aligned()),
                    waiters => Cell::from(Line::from(waiters.to_string()).right_aligned()).bold(),
                },
                Column::Lease => {
                    let left = row.lease().map_or("-".into(), text::age);
                    Cell::from(Line::from(left).right_aligned())
                }
                Column::Holders => Cell::from(cut(&cells.holders, columns)),
                Column::Creator => Cell::from(cut(&cells.creator, columns)),
            }
        }))
    };
    let rows: Vec<widgets::Row> = model.shown.iter().zip(&all).map(line).collect();
    let arrow = if model.descends() { "▼" } else { "▲" };
    let header = columns.iter().map(|&(column, width)| {
        let is_sorted = column.sort() == Some(model.sort);
        let title = format!("{}{}", column.title(), if is_sorted { arrow } else { "" });
        let line = Line::from(cut(&title, width.into()));
        let line = if is_sorted { line.bold() } else { line };
        let right = matches!(column, Column::Rate | Column::Age | Column::Waiting | Column::Lease);
        Cell::from(if right { line.right_aligned() } else { line })
    });
    let header = widgets::Row::new(header).style(Style::new().add_modifier(Modifier::UNDERLINED));
    let widths = columns.iter().map(|&(_, width)| Constraint::Length(width));
    let table = Table::new(rows, widths)
        .header(header)
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

/// Everything about the marked object, and a larger curve, over the lower part of what is above the foot.
fn draw_details(frame: &mut Frame, above: Rect, row: &Row, measures: &[u64], rates: Rates) {
    const LABEL: usize = 14;
    const CURVE_HEIGHT: u16 = 4;
    let columns = usize::from(above.width).saturating_sub(2);
    let mut lines = Vec::new();
    let mut add = |label: &str, value: &str| {
        for (number, part) in wrap(value, columns.saturating_sub(LABEL)).into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            lines.push(Line::from(format!("{label:<LABEL$}{part}")));
        }
    };
    let mut facts = row.facts().into_iter();
    // What is not told elsewhere comes after the kind and the name.
    for (label, value) in facts.by_ref().take(2) {
        add(label, &text::escape(&value));
    }
    match rates {
        Rates { into: Some(sent), out: Some(received) } => {
            add("rate", &format!("{} sent, {} received", text::rate(sent), text::rate(received)));
        }
        Rates { into: Some(acquired), out: None } => {
            add("rate", &format!("{} acquisitions", text::rate(acquired)));
        }
        _ => {}
    }
    for (label, value) in facts {
        add(label, &text::escape(&value));
    }
    let wanted = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(CURVE_HEIGHT + 2);
    let height = wanted.min(above.height);
    let area = Rect { y: above.bottom() - height, height, ..above };
    let title = cut_in_the_middle(&row.address(), columns.saturating_sub(2));
    let block = Block::bordered().title(format!(" {title} "));
    let inner = block.inner(area);
    // The words come first.
    let curve_height = if wanted <= above.height { CURVE_HEIGHT } else { 0 };
    let room = usize::from(inner.height);
    if lines.len() > room {
        let more = lines.len() - room.saturating_sub(1);
        lines.truncate(room.saturating_sub(1));
        let show = format!("… {more} more; show prints all");
        lines.push(Line::from(cut(&show, columns)).dim());
    }
    let [text_area, curve_area] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(curve_height)]).areas(inner);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines), text_area);
    let shown = measures.len().saturating_sub(curve_area.width.into());
    let sparkline =
        Sparkline::default().data(&measures[shown..]).max(scale(row.most(), measures).max(1));
    frame.render_widget(sparkline.cyan(), curve_area);
}

/// A box in the middle with a title and some lines; what does not fit is cut off below.
fn draw_box(frame: &mut Frame, area: Rect, title: &str, lines: Vec<Line<'static>>) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len() + 2);
    let size = |wanted: usize| u16::try_from(wanted + 2).unwrap_or(u16::MAX);
    let (width, height) = (size(widest).min(area.width), size(lines.len()).min(area.height));
    let area = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(format!(" {title} "))),
        area,
    );
}

/// Whether to remove an object: its address is never cut.
fn draw_question(frame: &mut Frame, area: Rect, row: &Row) {
    let columns = usize::from(area.width).saturating_sub(4).min(76);
    let words = [
        format!("Remove {}?", row.address()),
        row.concerned(),
        "y removes it, any other key leaves it".into(),
    ];
    let lines = words.iter().flat_map(|words| wrap(words, columns)).map(Line::from).collect();
    draw_box(frame, area, "remove", lines);
}

fn draw_help(frame: &mut Frame, area: Rect, place: Place) {
    const KEYS: [&str; 9] = [
        "↑ ↓ j k       move; PgUp PgDn Home End, too",
        "Enter         all about the marked object",
        "/             filter: name, kind, status, pid",
        "Esc           close, or clear the filter",
        "s S  ← →      sort by the next, last column",
        "r             reverse the order",
        "d Delete      remove it, after a question",
        "q Ctrl-C      quit",
        "",
    ];
    const MACHINE: [&str; 11] = [
        "RATE     what a second brings: messages",
        "         sent through a channel, or",
        "         acquisitions of a lock;",
        "         - where nobody counts",
        "HISTORY  the content of the last looks",
        "STATUS   in use, unused (nobody uses it),",
        "         orphan (left by dead processes),",
        "         awaited (its creator lives, and",
        "         will remove it), unknown (this",
        "         user may not see who uses it)",
        "HOLDERS  the processes that use it",
    ];
    const SERVER: [&str; 11] = [
        "RATE     the messages that a second brings",
        "         to a queue; - where nobody counts",
        "HISTORY  the content of the last looks",
        "WAITING  how many stand in line",
        "LEASE    when a lock or permit ends that is",
        "         held, unless its holder renews it",
        "HOLDERS  the processes that hold it, by",
        "         their pids on their machines",
        "CREATOR  the process that has created it,",
        "         and its machine",
        "Rows that are not seen are older.",
    ];
    let columns = match place {
        Place::Machine => MACHINE,
        Place::Server => SERVER,
    };
    let lines = KEYS.into_iter().chain(columns).map(Line::from).collect();
    draw_box(frame, area, "help", lines);
}
