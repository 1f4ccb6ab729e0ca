//! Light tables that fit: idle columns stay away, spare ones go when it is narrow, the rest continues below.

use comfy_table::{CellAlignment, presets};

use super::Style;
use super::paint::{Tone, shortened};

/// One cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in a tone of its own.
    pub(super) fn toned(text: String, tone: Tone) -> Self {
        Self { text, tone }
    }

    /// Whether it says something: not empty, not nothing, not zero.
    fn speaks(&self) -> bool {
        !matches!(self.text.as_str(), "" | "-" | "0" | "0s" | "0%" | "0/s")
    }
}

impl From<String> for Cell {
    /// What says nothing is quiet.
    fn from(text: String) -> Self {
        let plain = Self { text, tone: Tone::Plain };
        if plain.speaks() { plain } else { Self { tone: Tone::Quiet, ..plain } }
    }
}

/// When a column may stay away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Never.
    Always,
    /// When no cell says anything.
    IfAny,
    /// When it is too narrow; of several the earlier one goes first.
    IfRoom,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    title: &'a str,
    keep: Keep,
    left: bool,
}

/// A column of numbers that is always shown.
pub(super) fn always(title: &str) -> Column<'_> {
    Column { title, keep: Keep::Always, left: false }
}

/// A column of numbers that is shown where one of them is not zero.
pub(super) fn if_any(title: &str) -> Column<'_> {
    Column { title, keep: Keep::IfAny, left: false }
}

/// A column of numbers that is shown where there is room.
pub(super) fn if_room(title: &str) -> Column<'_> {
    Column { title, keep: Keep::IfRoom, left: false }
}

/// A column of text at its left edge, always shown.
pub(super) fn text(title: &str) -> Column<'_> {
    Column { title, keep: Keep::Always, left: true }
}

/// A column of text at its left edge, shown where there is room.
pub(super) fn text_if_room(title: &str) -> Column<'_> {
    Column { title, keep: Keep::IfRoom, left: true }
}

/// A table: a name and its cells in each row.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    columns: Vec<Column<'a>>,
    rows: Vec<(String, Vec<Cell>)>,
}

impl<'a> Table<'a> {
    /// An empty table.
    pub(super) fn new(columns: impl IntoIterator<Item = Column<'a>>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row: one cell for each column.
    pub(super) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push((name.to_owned(), cells.into_iter().collect()));
        debug_assert_eq!(self.rows.last().map(|row| row.1.len()), Some(self.columns.len()));
    }

    /// Whether any column is left to be shown.
    pub(super) fn speaks(&self) -> bool {
        !self.rows.is_empty() && !self.shown(usize::MAX).is_empty()
    }

    /// The table, or nothing where it would say nothing.
    pub(super) fn content(&self, style: Style) -> String {
        if self.speaks() { self.render(style) } else { String::new() }
    }

    /// The lines of the table, each at most `style.width` wide.
    pub(super) fn render(&self, style: Style) -> String {
        let mut blocks: Vec<Vec<usize>> = vec![Vec::new()];
        let mut used = 0;
        for column in self.shown(style.width) {
            let block = blocks.last_mut().expect("begins with one block");
            let width = self.width(column);
            if !block.is_empty() && self.name_width(style) + used + width > style.width {
                blocks.push(vec![column]);
                used = width;
            } else {
                block.push(column);
                used += width;
            }
        }
        blocks.iter().filter(|block| !block.is_empty()).map(|block| self.block(block, style)).collect()
    }

    /// The columns to show, those for which there is no room left out.
    fn shown(&self, width: usize) -> Vec<usize> {
        let speaks = |column: usize| self.rows.iter().any(|row| row.1[column].speaks());
        let mut shown: Vec<usize> =
            (0..self.columns.len()).filter(|&c| self.columns[c].keep != Keep::IfAny || speaks(c)).collect();
        let name = self.name_width(Style { color: false, width });
        while shown.iter().fold(name, |sum, &column| sum.saturating_add(self.width(column))) > width {
            let Some(spare) = shown.iter().position(|&column| self.columns[column].keep == Keep::IfRoom) else {
                break;
            };
            shown.remove(spare);
        }
        shown
    }

    /// Width of the names with their indentation; at most a third of the line.
    fn name_width(&self, style: Style) -> usize {
        let longest = self.rows.iter().map(|row| row.0.chars().count()).max().unwrap_or(0);
        2 + longest.min((style.width / 3).max(8))
    }

    /// Width of a column with the two spaces before it.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row.1[column].text.chars().count());
        2 + cells.chain([self.columns[column].title.chars().count()]).max().unwrap_or(0)
    }

    /// Some columns as a table of their own.
    fn block(&self, columns: &[usize], style: Style) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        if style.color {
            table.enforce_styling();
        }
        let titles = columns.iter().map(|&c| Tone::Quiet.cell(comfy_table::Cell::new(self.columns[c].title)));
        table.set_header([comfy_table::Cell::new("")].into_iter().chain(titles));
        for (name, cells) in &self.rows {
            let name = comfy_table::Cell::new(shortened(name, self.name_width(style) - 2));
            let cells = columns.iter().map(|&c| cells[c].tone.cell(comfy_table::Cell::new(&cells[c].text)));
            table.add_row([name].into_iter().chain(cells));
        }
        for (i, column) in table.column_iter_mut().enumerate() {
            column.set_padding((2, 0));
            let left = i == 0 || self.columns[columns[i - 1]].left;
            column.set_cell_alignment(if left { CellAlignment::Left } else { CellAlignment::Right });
        }
        let mut text = table.trim_fmt();
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table<'static> {
        let mut table = Table::new([always("first"), if_any("idle"), if_room("spare"), always("last")]);
        table.row("a", ["10", "0", "20", "30"].map(|text| Cell::from(text.to_owned())));
        table.row("bb", ["1", "-", "2", "3"].map(|text| Cell::from(text.to_owned())));
        table
    }

    #[test]
    fn idle_columns_stay_away() {
        let text = sample().render(Style { color: false, width: 80 });
        assert_eq!(text, "      first  spare  last\n  a      10     20    30\n  bb      1      2     3\n");
    }

    #[test]
    fn spare_columns_go_first_then_the_table_continues_below() {
        let text = sample().render(Style { color: false, width: 18 });
        assert_eq!(text, "      first  last\n  a      10    30\n  bb      1     3\n");
        let text = sample().render(Style { color: false, width: 12 });
        assert_eq!(text, "      first\n  a      10\n  bb      1\n      last\n  a     30\n  bb     3\n");
    }
}
