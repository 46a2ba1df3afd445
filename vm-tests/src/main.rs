//! dockfw on real kernels and through real boots: each row of `matrix.toml` in a virtual machine, through all scenarios; and each
//! kernel of `kernels.toml` by itself, through the steps of `guest/init`.
//! `./dev vm-test` calls it, and installs what it needs.
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test may fail by panicking"
    )
)]

mod disk;
mod fixture;
mod images;
mod kernels;
mod kit;
mod knocks;
mod machine;
mod matrix;
mod report;
mod roots;
mod rows;
mod scenarios;
mod side_by_side;
mod vmlinuz;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use dockfw_lab::contain;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the disks that the rows need and the cache lacks.
    Build(Choice),
    /// Runs the rows.
    Run(Run),
    /// Runs kernels by themselves.
    Kernels(kernels::Kernels),
}

#[derive(Args)]
struct Choice {
    /// Only this row; may be given several times.
    #[arg(long = "only", value_name = "ROW")]
    rows: Vec<String>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    choice: Choice,
    /// How many rows at once, which share the processors.
    #[arg(long)]
    jobs: usize,
    /// Only this scenario, after those that it needs; may be given several times.
    #[arg(long = "scenario", value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// The scenarios and cases that every change must pass, and no more.
    #[arg(long)]
    short: bool,
    /// Where packaging/build left the packages.
    #[arg(long)]
    packages: PathBuf,
    /// A program for the machines, as NAME=FILE.
    #[arg(long = "program", value_parser = name_and_file)]
    programs: Vec<(String, PathBuf)>,
    /// Where logs and the report go.
    #[arg(long)]
    output: PathBuf,
    /// Writes this page from what came of it.
    #[arg(long)]
    page: Option<PathBuf>,
}

fn name_and_file(text: &str) -> Result<(String, PathBuf)> {
    let (name, file) = text.split_once('=').context("not NAME=FILE")?;
    Ok((name.to_owned(), file.into()))
}

/// An error, with what there is, where a name is none of these.
fn must_be_among<'a>(what: &str, names: &[String], known: impl Iterator<Item = &'a str>) -> Result<()> {
    let known: Vec<_> = known.collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => bail!("no {what} {unknown:?}; there are: {}", known.join(", ")),
        None => Ok(()),
    }
}

/// Those of the names, or all without any.
fn those_named<T>(what: &str, all: Vec<T>, names: &[String], name: impl Fn(&T) -> &String) -> Result<Vec<T>> {
    must_be_among(what, names, all.iter().map(|one| name(one).as_str()))?;
    let is_wanted = |one: &T| names.is_empty() || names.contains(name(one));
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// Locks, also where a thread panicked that held the lock: what it leaves is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Build(choice) => build(&choice),
        Command::Run(run) => go(&run),
        Command::Kernels(kernels) => kernels.go(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("vm-test: {error:#}");
        ExitCode::FAILURE
    })
}

/// What can't be built has said why, and its rows are skipped.
fn build(choice: &Choice) -> Result<ExitCode> {
    let rows = matrix::chosen(&choice.rows)?;
    let suites: BTreeSet<String> = rows.into_iter().filter_map(|row| row.suite).collect();
    for suite in suites {
        if let Err(error) = roots::build(&suite) {
            eprintln!("vm-test: no disk of {suite}: {error:#}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Not in place of a page of more rows.
fn write_page(page: &Path, text: &str, missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return fs::write(page, text).with_context(|| format!("cannot write {}", page.display()));
    }
    eprintln!("vm-test: {} stays as it is, for these did not run: {}", page.display(), missing.join(", "));
    Ok(())
}

fn go(run: &Run) -> Result<ExitCode> {
    contain().map_err(|error| anyhow!("virtual machines need a network of their own: {error:#}"))?;
    let parts = kit::Parts { packages: run.packages.clone(), programs: run.programs.clone() };
    fs::create_dir_all(&run.output)?;
    let rows = matrix::chosen(&run.choice.rows)?;
    let runner = rows::Runner {
        parts,
        output: run.output.clone(),
        short: run.short,
        scenarios: scenarios::chosen(&run.scenarios, run.short)?,
        jobs: run.jobs.min(rows.len()).max(1),
    };
    let report = runner.run(rows);
    print!("{}", report.text());
    fs::write(run.output.join("report.json"), serde_json::to_string_pretty(&report.json())?)?;
    if let Some(page) = &run.page {
        write_page(page, &report.page(), &report.missing())?;
    }
    let by_name = !run.choice.rows.is_empty();
    Ok(if report.is_good(by_name) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
