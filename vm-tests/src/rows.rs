//! Runs the rows, several at once if so told, and says what goes on.

use std::fs;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::disk::{self, Disk};
use crate::fixture::{RowFixture, Verdict};
use crate::kit::Parts;
use crate::machine::Plan;
use crate::matrix::Row;
use crate::report::{Entry, Outcome, Report};
use crate::scenarios::Scenario;
use crate::side_by_side::side_by_side;
use crate::wire::Wire;

/// How rows are run.
pub(crate) struct Runner {
    pub(crate) parts: Parts,
    /// Where logs go, a directory for each row.
    pub(crate) output: PathBuf,
    pub(crate) short: bool,
    pub(crate) scenarios: Vec<&'static Scenario>,
    pub(crate) jobs: usize,
}

impl Runner {
    /// Runs the rows, and tells what came of them, in their order.
    pub(crate) fn run(&self, rows: Vec<Row>) -> Report {
        let start = Instant::now();
        let outcomes = side_by_side(self.jobs, &rows, |row| self.row(row));
        let rows = rows.into_iter().zip(outcomes).collect();
        Report { rows, took: start.elapsed() }
    }

    fn row(&self, row: &Row) -> Outcome {
        let disk = match disk::of(row) {
            Ok(disk) => disk,
            Err(reason) => {
                eprintln!("vm-test: {}: skipped: {reason:#}", row.name);
                return Outcome::Skipped(format!("{reason:#}"));
            }
        };
        let start = Instant::now();
        let mut entries = Vec::new();
        match self.raise(row, disk) {
            Ok(mut fixture) => {
                eprintln!("vm-test: {}: a Docker host after {} s", row.name, start.elapsed().as_secs());
                entries.extend(self.scenarios.iter().map(|scenario| self.scenario(&mut fixture, scenario)));
            }
            Err(error) => entries.push(self.entry(row, "system", start, Err(error))),
        }
        Outcome::Ran(entries)
    }

    fn raise(&self, row: &Row, disk: Disk) -> Result<RowFixture> {
        let directory = self.output.join(&row.name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        let wire = Wire::raise(&row.name)?;
        let plan = Plan {
            disk,
            kit: self.parts.pack(row.package, row.format, &directory)?,
            denied: row.denied.clone(),
            directory,
            wire: wire.switch.clone(),
            processors: (available_parallelism()?.get() / self.jobs).max(1),
        };
        RowFixture::raise(row, wire, plan, self.short)
    }

    fn scenario(&self, fixture: &mut RowFixture, scenario: &Scenario) -> Entry {
        let start = Instant::now();
        let result = (scenario.run)(fixture);
        if result.is_err() {
            let rules = fixture.rules().unwrap_or_else(|error| format!("{error:#}"));
            let _ = fs::write(
                self.output.join(&fixture.row.name).join(format!("{}.rules", scenario.name)),
                rules,
            );
        }
        self.entry(&fixture.row, scenario.name, start, result)
    }

    fn entry(&self, row: &Row, scenario: &'static str, start: Instant, result: Result<Verdict>) -> Entry {
        let entry =
            Entry { scenario, took: start.elapsed(), verdict: result.map_err(|error| format!("{error:#}")) };
        eprintln!("vm-test: {}: {}", row.name, entry.line());
        if entry.verdict.is_err() {
            eprintln!("vm-test: {}: logs and rules in {}", row.name, self.output.join(&row.name).display());
        }
        entry
    }
}
