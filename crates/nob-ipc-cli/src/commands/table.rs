//! Tables: for a terminal fitted to its width, for anything else in plain aligned columns that are
//! never cut or wrapped.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::failure::Result;
use crate::output::Output;
use crate::text;

/// Rows of cells, which may hold any bytes.
pub struct Rows {
    header: &'static [&'static str],
    rows: Vec<Vec<Vec<u8>>>,
}

impl Rows {
    pub fn new(header: &'static [&'static str]) -> Rows {
        Rows { header, rows: Vec::new() }
    }

    pub fn push(&mut self, row: Vec<Vec<u8>>) {
        self.rows.push(row);
    }

    pub fn print(&self, output: &Output) -> Result<()> {
        if output.is_terminal() {
            return output.line(&self.fitted());
        }
        output.write(&self.plain())
    }

    fn fitted(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        // A terminal that does not tell its width is not taken for one without any.
        if table.width().is_none_or(|width| width == 0) {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(self.header);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| text::escape(cell)));
        }
        table.trim_fmt()
    }

    fn plain(&self) -> Vec<u8> {
        let header: Vec<Vec<u8>> =
            self.header.iter().map(|cell| cell.as_bytes().to_vec()).collect();
        let all = || std::iter::once(&header).chain(&self.rows);
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
