//! What came of the rows: as a table for people, as JSON for programs, and as the page `docs/matrix.md`.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fixture::Verdict;
use crate::matrix::Row;
use crate::scenarios::{SCENARIOS, Scenario};

/// What came of a scenario on a row.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) scenario: &'static str,
    pub(crate) took: Duration,
    /// An error is a failure.
    pub(crate) verdict: Result<Verdict, String>,
}

/// What came of a row.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It ran.
    Ran(Vec<Entry>),
    /// It could not, for this reason.
    Skipped(String),
}

/// All of it.
pub(crate) struct Report {
    pub(crate) rows: Vec<(Row, Outcome)>,
    pub(crate) took: Duration,
}

impl Entry {
    /// For the progress.
    pub(crate) fn line(&self) -> String {
        format!("{} {} in {} s {}", self.scenario, self.word(), self.took.as_secs(), self.note())
    }

    fn word(&self) -> &'static str {
        match self.verdict {
            Ok(Verdict::Passed(_)) => "passed",
            Ok(Verdict::Skipped(_)) => "skipped",
            Err(_) => "FAILED",
        }
    }

    fn note(&self) -> &str {
        match &self.verdict {
            Ok(Verdict::Passed(note)) | Ok(Verdict::Skipped(note)) | Err(note) => note,
        }
    }
}

impl Report {
    /// Whether nothing failed, and something ran: if rows were asked for by name, all of them.
    pub(crate) fn is_good(&self, by_name: bool) -> bool {
        let entries = || self.rows.iter().flat_map(|(_, outcome)| outcome.entries());
        let all_ran = self.rows.iter().all(|(_, outcome)| matches!(outcome, Outcome::Ran(_)));
        entries().count() > 0 && entries().all(|entry| entry.verdict.is_ok()) && (all_ran || !by_name)
    }

    /// The rows that could be built anywhere and did not run.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let is_missing =
            |(row, outcome): &&(Row, Outcome)| row.suite.is_some() && matches!(outcome, Outcome::Skipped(_));
        self.rows.iter().filter(is_missing).map(|(row, _)| row.name.as_str()).collect()
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let columns = self.columns();
        let width = self.rows.iter().map(|(row, _)| row.name.len()).max().unwrap_or_default();
        let mut text = format!("{:width$}", "");
        columns.iter().for_each(|column| text += &format!("  {:13}", column.name));
        for (row, outcome) in &self.rows {
            text += &format!("\n{:width$}", row.name);
            match outcome {
                Outcome::Skipped(reason) => text += &format!("  skipped: {reason}"),
                Outcome::Ran(entries) => {
                    columns.iter().for_each(|column| text += &format!("  {:13}", cell(entries, column)))
                }
            }
        }
        text += "\n\n";
        for (row, entry) in self.noted() {
            text += &format!("{}: {}\n", row.name, entry.line());
        }
        text + &format!("in {} s\n", self.took.as_secs())
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, outcome)| match outcome {
            Outcome::Skipped(reason) => json!({"row": row.name, "skipped": reason}),
            Outcome::Ran(entries) => {
                json!({"row": row.name, "scenarios": entries.iter().map(entry_json).collect::<Vec<_>>()})
            }
        });
        json!({"rows": rows.collect::<Vec<_>>(), "seconds": self.took.as_secs()})
    }

    /// For docs/.
    pub(crate) fn page(&self) -> String {
        let mut page = PREFACE.replace("VERSION", env!("CARGO_PKG_VERSION"));
        let columns = self.columns();
        let names: Vec<_> = columns.iter().map(|column| column.name).collect();
        let _ = writeln!(
            page,
            "| system | engine | {} |\n|---|---|{}",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for (row, outcome) in &self.rows {
            let cells: Vec<_> = match outcome {
                Outcome::Skipped(_) => columns.iter().map(|_| "not run".to_owned()).collect(),
                Outcome::Ran(entries) => columns.iter().map(|column| cell(entries, column)).collect(),
            };
            let _ = writeln!(page, "| {} | {} | {} |", row.title, row.engine, cells.join(" | "));
        }
        page += "\n## Scenarios\n\n";
        for column in columns {
            let statements = if column.statements.is_empty() {
                String::new()
            } else {
                format!(" ({})", column.statements)
            };
            let _ = writeln!(page, "- **{}**{statements}: {}.", column.name, column.about);
        }
        page += "\n## Notes\n\n";
        for (row, outcome) in &self.rows {
            if let Outcome::Skipped(reason) = outcome {
                let _ = writeln!(page, "- {}: not run: {reason}.", row.title);
            }
        }
        for (row, entry) in self.noted() {
            let _ =
                writeln!(page, "- {}, {}: {}: {}.", row.title, entry.scenario, entry.word(), entry.note());
        }
        page
    }

    /// The scenarios that any row went through.
    fn columns(&self) -> Vec<&'static Scenario> {
        let ran = |scenario: &&Scenario| {
            let mut entries = self.rows.iter().flat_map(|(_, outcome)| outcome.entries());
            entries.any(|entry| entry.scenario == scenario.name)
        };
        SCENARIOS.iter().filter(ran).collect()
    }

    fn noted(&self) -> impl Iterator<Item = (&Row, &Entry)> {
        let entries = self
            .rows
            .iter()
            .flat_map(|(row, outcome)| outcome.entries().iter().map(move |entry| (row, entry)));
        entries.filter(|(_, entry)| !entry.note().is_empty())
    }
}

impl Outcome {
    fn entries(&self) -> &[Entry] {
        match self {
            Self::Ran(entries) => entries,
            Self::Skipped(_) => &[],
        }
    }
}

const PREFACE: &str = "\
# On which systems dockfw was tried

Written by the last full run of `./dev vm-test`, of version VERSION: each system in a virtual machine, through real boots, with its
own kernel, Docker and iptables. What was not run says why. [vm-tests/README.md](../vm-tests/README.md) tells how to run it, and how to add a system.

";

fn cell(entries: &[Entry], column: &Scenario) -> String {
    let entry = entries.iter().find(|entry| entry.scenario == column.name);
    entry.map_or_else(String::new, |entry| format!("{} {} s", entry.word(), entry.took.as_secs()))
}

fn entry_json(entry: &Entry) -> Value {
    json!({"scenario": entry.scenario, "verdict": entry.word().to_lowercase(), "note": entry.note(), "seconds": entry.took.as_secs_f64()})
}
