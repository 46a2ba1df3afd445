//! What dockfw costs, beside what others cost: `./dev bench`.
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail by panicking")
)]

mod connections;
mod cost;
mod effort;
mod field;
mod files;
mod firewall;
mod floods;
mod grid;
mod limits;
mod live;
mod load;
mod machine;
mod page;
mod plot;
mod policy;
mod rates;
mod statistics;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use dockfw_lab::{Variant, contain};

use effort::Effort;
use field::Field;
use firewall::Programs;
use floods::Sender;
use grid::Grid;
use load::Loads;
use page::Page;
use rates::Rates;

#[derive(Parser)]
struct Arguments {
    /// What is measured.
    #[arg(long, value_enum, default_value = "all")]
    bench: Bench,
    /// Less of it, within five minutes.
    #[arg(long)]
    quick: bool,
    /// The program that is measured.
    #[arg(long)]
    dockfw: PathBuf,
    /// That of an earlier version, to compare with.
    #[arg(long)]
    earlier: Option<PathBuf>,
    /// Where a whole run writes its page, with pictures in `pictures`.
    #[arg(long)]
    docs: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    Load,
    Packets,
    Scale,
    Live,
    All,
}

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((role, command)) if role == cost::ROLE => cost::measure(command),
        _ => bench(&Arguments::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dockfw-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Tells how far it is.
fn say(what: &str) {
    eprintln!("bench: {what}");
}

fn bench(arguments: &Arguments) -> Result<()> {
    contain().context("cannot measure here")?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::WHOLE };
    let program =
        |path: &PathBuf| fs::canonicalize(path).with_context(|| format!("no program {}", path.display()));
    let programs = Programs {
        dockfw: program(&arguments.dockfw)?,
        earlier: arguments.earlier.as_ref().map(program).transpose()?,
    };
    let machine = machine::describe(&programs.dockfw)?;
    let grids = Benches { which: arguments.bench, programs, effort }.run()?;
    let page = page::page(&grids, &effort, &machine)?;
    let is_whole = arguments.bench == Bench::All && !arguments.quick;
    match arguments.docs.as_deref().filter(|_| is_whole) {
        Some(docs) => write(&page, docs)?,
        None => println!("{}", page.results),
    }
    Ok(())
}

fn write(page: &Page, docs: &Path) -> Result<()> {
    let put = |name: &str, text: &str| {
        let file = docs.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    put("benchmarks.md", &format!("{}{}", page.head, page.results))?;
    page.pictures.iter().try_for_each(|(name, picture)| put(&format!("pictures/{name}"), picture))
}

/// What is to be measured.
struct Benches {
    which: Bench,
    programs: Programs,
    effort: Effort,
}

impl Benches {
    fn has(&self, bench: Bench) -> bool {
        [bench, Bench::All].contains(&self.which)
    }

    fn run(&self) -> Result<Vec<Grid>> {
        let mut grids = self.without_packets()?;
        if self.which != Bench::Load {
            grids.extend(field::with(|field| self.on(field))?);
        }
        Ok(grids)
    }

    fn without_packets(&self) -> Result<Vec<Grid>> {
        let directory = tempfile::tempdir()?;
        let loads = Loads {
            programs: &self.programs,
            effort: self.effort,
            directory: directory.path(),
            path: Variant::Legacy.search_path()?,
        };
        let mut grids = Vec::new();
        if self.has(Bench::Load) {
            grids.extend(loads.load()?);
        }
        if self.has(Bench::Live) {
            grids.push(loads.changes()?);
        }
        Ok(grids)
    }

    fn on(&self, field: &Field<'_>) -> Result<Vec<Grid>> {
        let program = env::current_exe()?.with_file_name("dockfw-flood");
        let sender = Sender { program, period: self.effort.period };
        let rates = Rates { field, programs: &self.programs, sender: &sender, effort: self.effort };
        let mut grids = Vec::new();
        if self.has(Bench::Packets) {
            grids.extend(rates.packets()?);
        }
        if self.has(Bench::Scale) {
            grids.extend(rates.scale()?);
        }
        if self.has(Bench::Live) {
            grids.extend(live::verbs(field, &self.programs, self.effort)?);
        }
        Ok(grids)
    }
}
