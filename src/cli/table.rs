//! Columns that stand below each other. Pure.

/// How a column's cells stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A heading and rows of as many cells.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) const fn new(columns: Vec<(&'static str, Align)>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The heading, then the rows, without line breaks. Columns in which no row has anything are
    /// left out.
    pub(super) fn lines(&self) -> Vec<String> {
        let cell =
            |row: &'_ Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let used: Vec<usize> = (0..self.columns.len())
            .filter(|column| self.rows.iter().any(|row| !cell(row, *column).is_empty()))
            .collect();
        let heading = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let all: Vec<&Vec<String>> = std::iter::once(&heading).chain(&self.rows).collect();
        let width = |column: usize| all.iter().map(|row| cell(row, column).chars().count()).max();
        let widths: Vec<usize> = used.iter().map(|column| width(*column).unwrap_or(0)).collect();
        let line = |row: &&Vec<String>| {
            let cells = used.iter().zip(&widths).map(|(column, width)| {
                let text = cell(row, *column);
                match self.columns.get(*column) {
                    Some((_, Align::Right)) => format!("{text:>width$}"),
                    _ => format!("{text:<width$}"),
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        all.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_empty_ones_are_not_there() {
        let mut table =
            Table::new(vec![("NAME", Align::Left), ("NONE", Align::Left), ("N", Align::Right)]);
        for (name, number) in [("a", "1"), ("ü-long", "1,000"), ("", "22")] {
            table.push(vec![name.to_owned(), String::new(), number.to_owned()]);
        }
        assert_eq!(
            table.lines().join("\n"),
            "NAME        N\na           1\nü-long  1,000\n           22"
        );
    }
}
