//! Tables for people: aligned columns, numbers to the right.

/// A column: its head, and whether its cells are numbers.
pub(crate) type Column = (&'static str, Align);

/// To which side the cells of a column go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Names and words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under heads.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it on standard output.
    pub(crate) fn print(&self) {
        super::say_text(self.text());
    }

    fn text(&self) -> String {
        let heads: Vec<String> = self.columns.iter().map(|(head, _)| (*head).to_owned()).collect();
        let lines = || std::iter::once(&heads).chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| lines().filter_map(|cells| cells.get(at)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for cells in lines() {
            let mut line = String::new();
            for ((cell, (_, align)), wide) in cells.iter().zip(&self.columns).zip(&widths) {
                let gap = " ".repeat(wide.saturating_sub(width(cell)));
                match align {
                    Align::Left => line.extend([cell, gap.as_str()]),
                    Align::Right => line.extend([gap.as_str(), cell]),
                }
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A column of names.
pub(crate) fn left(head: &'static str) -> Column {
    (head, Align::Left)
}

/// A column of numbers.
pub(crate) fn right(head: &'static str) -> Column {
    (head, Align::Right)
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_left_and_numbers_right_under_their_heads() {
        let mut table = Table::new([left("TOPIC"), right("LAG"), left("NOTE")]);
        table.row(["größe".to_owned(), "7".to_owned(), String::new()]);
        table.row(["a-long-name".to_owned(), "1234".to_owned(), "late".to_owned()]);
        let expected = "TOPIC         LAG  NOTE\n\
                        größe           7\n\
                        a-long-name  1234  late\n";
        assert_eq!(table.text(), expected);
    }
}
