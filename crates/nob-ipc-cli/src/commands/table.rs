//! Tables: for a terminal fitted to its width, as far as that can be done without breaking names, for
//! anything else in plain aligned columns that are never cut or wrapped.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

use crate::failure::Result;
use crate::output::Output;
use crate::text;

/// Rows of cells, which may hold any bytes.
pub struct Rows {
    header: &'static [&'static str],
    /// The columns whose cells may be broken into lines.
    prose: &'static [&'static str],
    cells: Vec<Vec<Vec<u8>>>,
}

/// How wide a column of prose is at the least, and what lies between two columns.
const PROSE: u16 = 10;
const BETWEEN: u16 = 2;

impl Rows {
    pub fn new(header: &'static [&'static str], prose: &'static [&'static str]) -> Rows {
        Rows { header, prose, cells: Vec::new() }
    }

    pub fn push(&mut self, row: Vec<Vec<u8>>) {
        self.cells.push(row);
    }

    pub fn print(&self, output: &Output) -> Result<()> {
        if output.is_terminal() {
            return output.line(&self.fitted());
        }
        output.write(&self.plain())
    }

    fn fitted(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(self.header);
        for row in &self.cells {
            table.add_row(row.iter().map(|cell| text::escape(cell)));
        }
        let widths = table.column_max_content_widths();
        let is_prose = |column: usize| self.prose.contains(&self.header[column]);
        let least = |(column, &width): (usize, &u16)| {
            let width = if is_prose(column) { width.min(PROSE) } else { width };
            width.saturating_add(BETWEEN)
        };
        let least = widths.iter().enumerate().map(least).fold(0, u16::saturating_add);
        // Where there is no room for a whole name, and on a terminal that does not tell its width, the
        // terminal breaks the lines.
        let arrangement = match table.width() {
            Some(width) if least <= width => ContentArrangement::Dynamic,
            _ => ContentArrangement::Disabled,
        };
        table.set_content_arrangement(arrangement);
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_constraint(if is_prose(index) {
                ColumnConstraint::LowerBoundary(Width::Fixed(PROSE.min(widths[index]) + BETWEEN))
            } else {
                ColumnConstraint::ContentWidth
            });
        }
        table.trim_fmt()
    }

    fn plain(&self) -> Vec<u8> {
        let header: Vec<Vec<u8>> =
            self.header.iter().map(|cell| cell.as_bytes().to_vec()).collect();
        let all = || std::iter::once(&header).chain(&self.cells);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|cell| characters(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let mut text = Vec::new();
        for row in all() {
            let last = row.len().saturating_sub(1);
            for (column, cell) in row.iter().enumerate() {
                text.extend_from_slice(cell);
                if column < last {
                    let space = widths[column] - characters(cell) + 2;
                    text.extend(std::iter::repeat_n(b' ', space));
                }
            }
            text.push(b'\n');
        }
        text
    }
}

fn characters(bytes: &[u8]) -> usize {
    String::from_utf8_lossy(bytes).chars().count()
}
