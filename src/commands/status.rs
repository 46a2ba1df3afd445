//! `dockfw status`

use std::path::Path;

use dockfw_policy::engine::{Count, Engine, EngineError, SetState, State};
use dockfw_policy::policy::{Backend, Policy};
use serde::Serialize;

use super::{fit_to_host, load};
use crate::cli::Status;
use crate::engines;
use crate::exit::Exit;
use crate::host::capabilities;
use crate::records::{Now, Store, Summary};
use crate::talk::say;

/// What `--json` writes.
#[derive(Default, Serialize)]
struct Report {
    /// The engine that is there, if any.
    engine: Option<&'static str>,
    /// Whether the policy of the file is in force, to the letter.
    in_force: bool,
    /// How what is there differs from it.
    differences: Vec<String>,
    counters: Vec<Count>,
    sets: Vec<SetState>,
    /// Which policy waits to be confirmed, or was rolled back.
    records: Summary,
}

/// Tells whether the policy is in force.
pub(crate) fn run(config: &Path, options: &Status) -> anyhow::Result<Exit> {
    let policy = fit_to_host(load(config, true)?);
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let report = Report { records: records(), ..report(&policy, options.verify)? };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.in_force { Exit::Done } else { Exit::NotInForce })
}

fn report(policy: &Policy, verify: bool) -> Result<Report, EngineError> {
    let mut present = Vec::new();
    for engine in engines::all(verify) {
        if engines::is_present(engine.as_ref())? {
            present.push(engine);
        }
    }
    let Some(engine) = present.first() else { return Ok(Report::default()) };
    let state = engine.read(Some(&engines::compile_for(engine.name(), policy)))?;
    let is_in_force = state.is_in_force();
    let State { differences, counters, sets, .. } = state;
    let others =
        present.iter().skip(1).map(|other| format!("rules of the {} engine are there too", other.name()));
    let odd: Vec<_> =
        wrong_engine(engine.as_ref(), policy.engine.backend).into_iter().chain(others).collect();
    let in_force = is_in_force && odd.is_empty();
    let differences = differences.iter().map(ToString::to_string).chain(odd).collect();
    Ok(Report { engine: Some(engine.name()), in_force, differences, counters, sets, ..Report::default() })
}

/// Damaged records say nothing of what is in force: they are only complained of.
fn records() -> Summary {
    let read = || anyhow::Ok(Summary::of(&Store::of_host().read()?, &Now::read()?));
    read().unwrap_or_else(|error| {
        say(format_args!("{error:#}"));
        Summary::default()
    })
}

fn wrong_engine(engine: &dyn Engine, backend: Backend) -> Option<String> {
    let is_right = backend == Backend::Auto || backend.name() == engine.name();
    (!is_right).then(|| format!("the policy asks for the {backend} engine"))
}

fn print(report: &Report) {
    for line in report.records.lines() {
        println!("{line}");
    }
    match (report.engine, report.in_force) {
        (None, _) => println!("not in force: nothing of dockfw is there"),
        (Some(engine), true) => println!("in force ({engine})"),
        (Some(engine), false) => println!("NOT as the policy says ({engine}):"),
    }
    for difference in report.differences.iter().filter(|_| report.engine.is_some()) {
        println!("  {difference}");
    }
    for Count { name, packets, bytes } in &report.counters {
        println!("{name:<24} {packets:>12} packets {bytes:>16} bytes");
    }
    for SetState { name, elements } in &report.sets {
        let elements = elements.map_or("?".into(), |count| count.to_string());
        println!("{name:<24} {elements:>12} elements");
    }
}
