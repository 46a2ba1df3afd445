//! `dockfw status`

mod text;
mod watch;

use std::path::Path;

use anyhow::Context;
use dockfw_policy::Strictness;
use dockfw_policy::engine::{Count, Engine, EngineError, EngineName, SetState, State};
use dockfw_policy::policy::{Backend, Policy};
use dockfw_policy::ruleset::Ruleset;
use serde::Serialize;

use super::facts::{Gathered, gather};
use super::load_recorded;
use crate::cli::Status;
use crate::engines::{self, goes_by_names_alone};
use crate::exit::{Exit, Stop};
use crate::exposure::{Exposed, Facts, Rules, Uncovered, exposed, uncovered};
use crate::host::capabilities;
use crate::message::Message;
use crate::output::{stdout_is_terminal, warning, write};
use crate::records::{Now, Sources, Store, Summary};
use crate::safety;

/// What `--json` writes: docs/json.md describes it.
#[derive(Default, Serialize)]
struct Report {
    /// The engine that is there, if any.
    engine: Option<EngineName>,
    /// Whether the policy of the file is in force, to the letter.
    in_force: bool,
    /// Since when, in seconds since 1970; nothing if there is no record of that.
    since: Option<u64>,
    /// How what is there differs from the policy.
    differences: Vec<String>,
    /// What answers on this host, and who may reach it: under the policy if any of it is there, and otherwise under no
    /// rules at all.
    exposed: Vec<Exposed>,
    /// What others can reach and no rule covers.
    uncovered: Vec<Uncovered>,
    /// What could not be read.
    unknown: Vec<String>,
    counters: Vec<Count>,
    sets: Vec<SetState>,
    /// The policy that waits to be confirmed, or was rolled back.
    records: Summary,
}

/// Prints whether the policy is in force, and what this host exposes.
pub(crate) fn run(config: &Path, options: &Status) -> anyhow::Result<Exit> {
    let (policy, sources) = load_recorded(config, Strictness::Confirmed)?;
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    if options.watch {
        if !stdout_is_terminal() {
            return Err(Stop::new(Exit::Usage, Message::new("--watch needs a terminal to write to")).into());
        }
        return watch::run(|| report(&policy, &sources, options.verify), options.strict);
    }
    let report = report(&policy, &sources, options.verify)?;
    let text = if options.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        text::report(&report)
    };
    write(text);
    Ok(report.exit(options.strict))
}

impl Report {
    fn exit(&self, strict: bool) -> Exit {
        let is_covered = self.uncovered.is_empty() && self.unknown.is_empty();
        if self.in_force && (is_covered || !strict) { Exit::Done } else { Exit::NotInForce }
    }
}

fn report(policy: &Policy, sources: &Sources, verify: bool) -> anyhow::Result<Report> {
    let Gathered { facts, unknown } = gather().context("can't read the host's interfaces")?;
    let mut report = read_live(policy, verify)?;
    let false_bridges = safety::interfaces::false_bridges(policy, &facts.links);
    report.in_force &= false_bridges.is_empty();
    report.differences.extend(false_bridges.iter().map(|one| one.what().to_owned()));
    let (exposed, open_questions) = exposed_by(report.engine, policy, &facts);
    report.exposed = exposed;
    report.uncovered = uncovered(policy, &facts);
    report.unknown.extend(unknown.into_iter().chain(open_questions));
    remember(&mut report, sources);
    Ok(report)
}

/// Reads the report of the engines.
fn read_live(policy: &Policy, verify: bool) -> Result<Report, EngineError> {
    let mut present = Vec::new();
    let mut untold = Vec::new();
    for engine in engines::all(verify) {
        match engines::has_rules(engine.as_ref()) {
            Ok(true) => present.push(engine),
            Ok(false) => {}
            Err(error) => untold.push((engine, error)),
        }
    }
    let unknown = untold.iter().map(|(engine, error)| engines::untold(engine.as_ref(), error)).collect();
    let Some(engine) = present.first() else {
        // Then it is also unknown whether anything is in force.
        let error = untold.into_iter().next().map(|(_, error)| error);
        return error.map_or_else(|| Ok(Report::default()), Err);
    };
    let state = engine.read(Some(&engines::compile_for(engine.name(), policy)))?;
    let is_in_force = state.is_in_force();
    let State { differences, unfit, counters, sets, .. } = state;
    let others = present.iter().skip(1);
    let others = others.map(|other| format!("rules of the {} engine are there too", other.name()));
    let wrong = wrong_engine(engine.as_ref(), policy.engine.backend);
    let odd: Vec<_> = unfit.into_iter().chain(wrong).chain(others).collect();
    Ok(Report {
        engine: Some(engine.name()),
        in_force: is_in_force && odd.is_empty(),
        differences: differences.iter().map(ToString::to_string).chain(odd).collect(),
        counters,
        sets,
        unknown,
        ..Report::default()
    })
}

/// Adds the contents of the records. Damaged records say nothing about what is in force: they are only reported.
fn remember(report: &mut Report, sources: &Sources) {
    let read = || anyhow::Ok((Store::of_host().read()?, Now::read()?, sources.seal()?));
    match read() {
        Ok((state, now, sealed)) => {
            let engine = report.engine.filter(|_| report.in_force);
            report.since =
                engine.and_then(|engine| state.in_force_since(engine, sealed.digest(), now.booted()));
            report.records = Summary::of(&state, &now);
        }
        Err(error) => warning(format_args!("{error:#}")),
    }
}

fn wrong_engine(engine: &dyn Engine, backend: Backend) -> Option<String> {
    let is_wrong = match backend {
        Backend::Auto => false,
        Backend::Named(name) => name != engine.name(),
    };
    is_wrong.then(|| format!("the policy asks for the {backend} engine"))
}

/// Returns what is exposed. If nothing of dockfw is there, no rule objects to anything.
fn exposed_by(engine: Option<EngineName>, policy: &Policy, facts: &Facts) -> (Vec<Exposed>, Vec<String>) {
    let ruleset = match engine {
        Some(engine) => engines::compile_for(engine, policy),
        None => Ruleset { addresses: vec![], interfaces: vec![], hooks: vec![] },
    };
    exposed(Rules { ruleset: &ruleset, by_name_alone: engine.is_some_and(goes_by_names_alone) }, facts)
}
