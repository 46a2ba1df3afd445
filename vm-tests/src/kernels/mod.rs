//! Kernels by themselves: each row of `kernels.toml` is a kernel that boots with what it needs in memory, and takes each engine
//! through its steps (`guest/init`). `./dev vm-test --kernels` calls it.

mod fetch;
mod findings;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod oracle;
mod policies;
mod report;
mod rows;
mod steps;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use dockfw_lab::Engine;

use self::findings::Findings;
use self::initramfs::Base;
use self::kernel::Kernel;
use self::report::{Outcome, Report};
use self::rows::Row;
use self::steps::Steps;
use crate::side_by_side::side_by_side;
use crate::{Choice, name_and_file, write_page};

/// How kernels are run.
#[derive(Args)]
pub(crate) struct Kernels {
    #[command(flatten)]
    choice: Choice,
    /// How many at once, which share the processors.
    #[arg(long)]
    jobs: usize,
    /// A program for the machines, as NAME=FILE.
    #[arg(long = "program", value_parser = name_and_file)]
    programs: Vec<(String, PathBuf)>,
    /// Only with the first engine of each row.
    #[arg(long)]
    first_engine: bool,
    /// For how long packets are held against each engine.
    #[arg(long)]
    seconds: u64,
    /// Where logs and the report go.
    #[arg(long)]
    output: PathBuf,
    /// Writes this page from what came of it.
    #[arg(long)]
    page: Option<PathBuf>,
}

impl Kernels {
    /// Runs them, and says what came of it.
    pub(crate) fn go(&self) -> Result<ExitCode> {
        let rows = rows::chosen(&self.choice.rows)?;
        let start = Instant::now();
        let base = Base::pack(&self.programs, &self.settings(), &empty(&self.output.join("base"))?)?;
        let outcomes = side_by_side(self.jobs, &rows, |row| self.row(row, &base));
        let report = Report { rows: rows.into_iter().zip(outcomes).collect(), took: start.elapsed() };
        print!("{}", report.text());
        fs::write(self.output.join("report.json"), serde_json::to_string_pretty(&report.json())?)?;
        if let Some(page) = &self.page {
            write_page(page, &report.page(), &report.missing())?;
        }
        let by_name = !self.choice.rows.is_empty();
        Ok(if report.is_good(by_name) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What `guest/init` exports.
    fn settings(&self) -> String {
        let oracle = oracle::environment(self.seconds);
        oracle.map(|(name, value)| format!("export {name}={value}\n")).concat()
    }

    /// The engines that a row's machine takes through its steps.
    fn tried<'r>(&self, row: &'r Row) -> &'r [Engine] {
        let engines = row.engines.as_slice();
        if self.first_engine { engines.get(..1).unwrap_or(engines) } else { engines }
    }

    fn row(&self, row: &Row, base: &Base) -> Outcome {
        let kernel = match kernel::of(row) {
            Ok(kernel) => kernel,
            Err(reason) => {
                eprintln!("vm-test: {}: skipped: {reason:#}", row.name);
                return Outcome::Skipped(format!("{reason:#}"));
            }
        };
        eprintln!("vm-test: {}: Linux {}", row.name, kernel.version());
        let start = Instant::now();
        let directory = self.output.join(&row.name);
        let findings = run(row, self.tried(row), &kernel, base, &directory)
            .unwrap_or_else(|error| Findings::default().with_fault(format!("{error:#}")));
        let outcome = Outcome::Ran(findings, start.elapsed());
        eprintln!("vm-test: {}: {}; logs in {}", row.name, outcome.line(), directory.display());
        outcome
    }
}

fn run(row: &Row, tried: &[Engine], kernel: &Kernel, base: &Base, directory: &Path) -> Result<Findings> {
    let initramfs = base.with_kernel(row, tried, kernel, &empty(directory)?)?;
    let ended = machine::run(kernel, &initramfs, directory)?;
    fs::remove_file(initramfs)?;
    let steps = Steps::read(&ended.results);
    let findings = Findings::of(row, tried, &steps);
    if steps.done {
        return Ok(findings);
    }
    let step = steps.last().map_or("its first step", |step| &step.name);
    let how =
        ended.status.map_or_else(|error| format!("{error:#}"), |status| format!("QEMU ended, {status}"));
    Ok(findings.with_fault(format!(
        "the machine did not get past {step}: {how}; the console's last lines:\n{}",
        ended.console
    )))
}

/// An empty directory of that name.
fn empty(directory: &Path) -> Result<PathBuf> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory.to_owned())
}

/// How much of what was said tells what went wrong.
const LAST_LINES: usize = 30;

fn last_lines(said: &str) -> String {
    let lines: Vec<_> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.split_at(lines.len().saturating_sub(LAST_LINES)).1.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_said_is_told() {
        let console: String = (0..40).map(|line| format!("line {line}\r\n\r\n")).collect();
        let told = last_lines(&console);
        assert_eq!(told.lines().count(), LAST_LINES);
        assert!(told.starts_with("line 10\n") && told.ends_with("line 39"));
    }
}
