//! `dockfw diff`

use std::path::Path;

use anyhow::Context;
use dockfw_policy::Strictness;
use dockfw_policy::difference::Difference;
use dockfw_policy::engine::{EngineError, EngineName};
use serde::Serialize;

use super::{differences, gains, last, load};
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
pub(crate) fn run(config: &Path, options: &Diff, verbose: u8) -> anyhow::Result<Exit> {
    // A policy that is only compared shuts nobody out.
    let loaded = load(config, Strictness::Confirmed).context("not compared");
    if !capabilities::has_net_admin() {
        return Err(loaded.err().unwrap_or_else(|| EngineError::NotPermitted.into()));
    }
    let policy = loaded.map_err(last::beside)?;
    let chosen = Chosen::by(options.backend.unwrap_or(policy.engine.backend), options.verify)?;
    let engine = chosen.engine.name();
    let ruleset = engines::compile_for(engine, &policy);
    let mut compared = chosen.compare(&ruleset)?;
    compared.differences.extend(Takeover::find().differences());
    let differs = !compared.is_same();
    let Compared { differences, unfit } = compared;
    let report = Report { engine, differs, differences, unfit };
    if options.json {
        result(serde_json::to_string_pretty(&report)?);
    } else if report.differs {
        gains::lines(engine, &ruleset, options.verify)?.iter().for_each(result);
        result(text(&report, verbose));
    } else {
        result(format_args!("no differences ({engine})"));
    }
    Ok(if report.differs { Exit::NotInForce } else { Exit::Done })
}

fn text(report: &Report, verbose: u8) -> String {
    let unfit = report.unfit.iter().map(|reason| format!("packets bypass the rules: {reason}"));
    let differences = Some(&report.differences).filter(|found| !found.is_empty());
    let differences = differences.map(|found| differences::shown(found, verbose));
    unfit.chain(differences).collect::<Vec<_>>().join("\n")
}
