//! `dockfw diff`

use std::path::Path;

use dockfw_policy::Strictness;
use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{EngineError, EngineName};
use serde::Serialize;

use super::{differences, load};
use crate::cli::Diff;
use crate::engines::{self, Chosen, Compared};
use crate::exit::Exit;
use crate::host::capabilities;
use crate::output::result;
use crate::takeover::Takeover;

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    /// The engine whose rules were compared: the one that `apply` would use.
    engine: EngineName,
    /// Whether there is any difference.
    differs: bool,
    differences: Vec<Difference>,
    /// Why packets do not meet what is there, if so.
    unfit: Option<String>,
}

/// Compares the policy with what is live in the kernel. Changes nothing.
pub(crate) fn run(config: &Path, options: &Diff) -> anyhow::Result<Exit> {
    // A policy that is only compared shuts nobody out.
    let policy = load(config, Strictness::Confirmed)?;
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let chosen = Chosen::by(options.backend.unwrap_or(policy.engine.backend), options.verify)?;
    let engine = chosen.engine.name();
    let mut compared = chosen.compare(&engines::compile_for(engine, &policy))?;
    compared.differences.extend(Takeover::find().differences());
    let differs = !compared.is_same();
    let Compared { differences, unfit } = compared;
    let report = Report { engine, differs, differences, unfit };
    result(if options.json { serde_json::to_string_pretty(&report)? } else { text(&report) });
    Ok(if report.differs { Exit::NotInForce } else { Exit::Done })
}

fn text(report: &Report) -> String {
    if !report.differs {
        return format!("no differences ({})", report.engine);
    }
    let unfit = report.unfit.iter().map(|reason| format!("packets bypass the rules: {reason}"));
    let differences =
        Some(&report.differences).filter(|found| !found.is_empty()).map(|found| differences::text(found));
    unfit.chain(differences).collect::<Vec<_>>().join("\n")
}
