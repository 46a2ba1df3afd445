//! `dockfw status`

use std::path::Path;

use dockfw_policy::compile::compile;
use dockfw_policy::engine::{Count, Engine, EngineError, SetState, State};
use serde::Serialize;

use super::{fit_to_host, load};
use crate::cli::Status;
use crate::exit::Exit;
use crate::host::capabilities;
use crate::nftables::Nftables;

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    /// The engine that is there, if any.
    engine: Option<&'static str>,
    /// Whether the policy of the file is in force, to the letter.
    in_force: bool,
    /// How what is there differs from it.
    differences: Vec<String>,
    counters: Vec<Count>,
    sets: Vec<SetState>,
}

/// Tells whether the policy is in force.
pub(crate) fn run(config: &Path, options: &Status) -> anyhow::Result<Exit> {
    let ruleset = compile(&fit_to_host(load(config, true)?));
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let engine = Nftables::new(options.verify);
    let report = report(&engine, engine.read(Some(&ruleset))?);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.in_force { Exit::Done } else { Exit::NotInForce })
}

fn report(engine: &dyn Engine, state: State) -> Report {
    Report {
        engine: state.present.then(|| engine.name()),
        in_force: state.present && state.differences.is_empty(),
        differences: state.differences,
        counters: state.counters,
        sets: state.sets,
    }
}

fn print(report: &Report) {
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
