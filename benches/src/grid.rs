//! A table of measures, with several samples in each cell.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::statistics::{Summary, number};

/// Measures of the same kind: what was measured in the rows, with what in the columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    /// The heading.
    pub(crate) title: &'static str,
    /// What the numbers are.
    pub(crate) unit: &'static str,
    /// The columns that the others are compared with.
    pub(crate) peers: Vec<String>,
    rows: Vec<String>,
    columns: Vec<String>,
    samples: BTreeMap<(usize, usize), Vec<f64>>,
}

impl Grid {
    pub(crate) fn new(title: &'static str, unit: &'static str, peers: &[&str]) -> Self {
        let peers = peers.iter().copied().map(String::from).collect();
        Self { title, unit, peers, ..Self::default() }
    }

    /// Adds a sample. Rows and columns stand in the order in which they were first named.
    pub(crate) fn add(&mut self, row: &str, column: &str, sample: f64) {
        let place = (index(&mut self.rows, row), index(&mut self.columns, column));
        self.samples.entry(place).or_default().push(sample);
    }

    pub(crate) fn rows(&self) -> &[String] {
        &self.rows
    }

    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What was measured there, if anything was.
    pub(crate) fn summary(&self, row: &str, column: &str) -> Option<Summary> {
        let place = |names: &[String], name: &str| names.iter().position(|one| one == name);
        let place = (place(&self.rows, row)?, place(&self.columns, column)?);
        Summary::of(self.samples.get(&place)?)
    }

    /// The median there.
    pub(crate) fn median(&self, row: &str, column: &str) -> Option<f64> {
        self.summary(row, column).map(|summary| summary.median)
    }

    /// How many times the second column's median the first one's is.
    pub(crate) fn ratio(&self, row: &str, column: &str, peer: &str) -> Option<f64> {
        Some(self.median(row, column)? / self.median(row, peer)?).filter(|ratio| ratio.is_finite())
    }

    /// The grid as a table of Markdown.
    pub(crate) fn markdown(&self) -> String {
        let heads: String = self.columns.iter().map(|column| format!(" {column} |")).collect();
        let mut text = format!("### {}\n\n{}{}\n\n", self.title, self.unit, self.explanation());
        // Writing to a string can't fail.
        let _ = writeln!(text, "| |{heads}\n|---|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: String =
                self.columns.iter().map(|column| format!(" {} |", self.cell(row, column))).collect();
            let _ = writeln!(text, "| {row} |{cells}");
        }
        text
    }

    fn explanation(&self) -> String {
        if self.peers.is_empty() {
            return ".".to_owned();
        }
        format!("; in brackets, how many times {}.", self.peers.join(", and how many times "))
    }

    fn cell(&self, row: &str, column: &str) -> String {
        let Some(Summary { median, spread }) = self.summary(row, column) else { return "-".to_owned() };
        format!("{} ±{:.0} %{}", number(median), spread * 100.0, self.ratios(row, column))
    }

    /// What stands in brackets; nothing for a peer.
    fn ratios(&self, row: &str, column: &str) -> String {
        let ratio = |peer: &String| self.ratio(row, column, peer).map(|ratio| format!("{ratio:.2}"));
        let ratios: Vec<_> =
            self.peers.iter().map(|peer| ratio(peer).unwrap_or_else(|| "-".to_owned())).collect();
        let is_peer = self.peers.iter().any(|peer| peer == column);
        if is_peer || ratios.is_empty() { String::new() } else { format!(" ({})", ratios.join(", ")) }
    }
}

/// Where a name stands among others, at their end if it is new.
fn index(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|one| one == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new("Floods", "Packets", &["old", "limit"]);
        for (column, samples) in
            [("limit", [1000.0, 1200.0, 1100.0]), ("old", [500.0; 3]), ("new", [600.0; 3])]
        {
            samples.into_iter().for_each(|sample| grid.add("SYN", column, sample));
        }
        grid.add("UDP", "new", 7.0);
        grid
    }

    #[test]
    fn cells_are_compared_with_their_peers() {
        assert_eq!(grid().ratio("SYN", "new", "old"), Some(1.2));
        assert_eq!(grid().ratio("UDP", "new", "old"), None);
    }

    #[test]
    fn a_grid_is_a_table() {
        assert_eq!(
            grid().markdown(),
            "### Floods\n\nPackets; in brackets, how many times old, and how many times limit.\n\n\
             | | limit | old | new |\n|---|---|---|---|\n\
             | SYN | 1,100 ±5 % | 500 ±0 % | 600 ±0 % (1.20, 0.55) |\n\
             | UDP | - | - | 7.00 ±0 % (-, -) |\n"
        );
    }
}
