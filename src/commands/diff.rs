//! `dockfw diff`

use std::path::Path;

use dockfw_policy::difference::Difference;
use dockfw_policy::engine::EngineError;
use serde::Serialize;

use super::{differences, fit_to_host, load};
use crate::cli::Diff;
use crate::engines;
use crate::exit::Exit;
use crate::host::capabilities;

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    /// The engine whose rules were compared: the one that `apply` would use.
    engine: &'static str,
    /// Whether there is any difference.
    differs: bool,
    differences: Vec<Difference>,
}

/// Compares the policy with what is live in the kernel. Changes nothing.
pub(crate) fn run(config: &Path, options: &Diff) -> anyhow::Result<Exit> {
    // What is only compared shuts nobody out.
    let policy = fit_to_host(load(config, true)?);
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let engine = engines::choose(options.backend.unwrap_or(policy.engine.backend), options.verify)?;
    let mut found = engine.read(Some(&engines::compile_for(engine.name(), &policy)))?.differences;
    let other = engines::other_than(engine.as_ref());
    if engines::is_present(other.as_ref())? {
        found.push(differences::of_other_engine(other.name()));
    }
    let report = Report { engine: engine.name(), differs: !found.is_empty(), differences: found };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.differs { Exit::NotInForce } else { Exit::Done })
}

fn print(report: &Report) {
    if report.differs {
        differences::print(&report.differences);
    } else {
        println!("no differences ({})", report.engine);
    }
}
