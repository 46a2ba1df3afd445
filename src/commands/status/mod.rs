//! `dockfw status`

mod text;
mod watch;

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;

use anyhow::Context;
use dockfw_policy::Strictness;
use dockfw_policy::compile::names;
use dockfw_policy::engine::{Count, Engine, EngineError, EngineName, SetState, State};
use dockfw_policy::policy::{Backend, Policy};
use dockfw_policy::ruleset::{Ruleset, SetName};
use serde::Serialize;

use super::facts::{Gathered, gather};
use super::last::{self, Last};
use super::load_recorded;
use crate::cli::Status;
use crate::engines::{self, goes_by_names_alone};
use crate::exit::{self, Exit, Stop};
use crate::exposure::{Exposed, Facts, Rules, Uncovered, exposed, exposed_unfiltered, part, uncovered};
use crate::host::capabilities;
use crate::message::Message;
use crate::output::{stdout_has_colours, stdout_is_terminal, warning, write};
use crate::records::{Now, Record, Sources, State as Records, Store, Summary};
use crate::safety;
use crate::unit::{self, Startup, Unit};
use text::View;

/// What the counters of drops count.
static DROPPED: [(SetName, &str); 10] = [
    (names::DROP_IMPOSSIBLE, "impossible addresses"),
    (names::DROP_EARLY, "SYNs to closed ports"),
    (names::DROP_FORGED, "forged sources"),
    (names::DROP_BLOCKED, "blocked sources"),
    (names::DROP_CONTAINERS, "containers to this host"),
    (names::DROP_INSIDE, "inside networks to this host"),
    (names::DROP_INPUT, "others to this host"),
    (names::DROP_VXLAN, "VXLAN of others than nodes"),
    (names::DROP_SWARM, "to other nodes of the Swarm"),
    (names::DROP_FORWARD, "to containers and other networks"),
];

/// What `--json` writes: docs/json.md describes it.
#[derive(Default, Serialize)]
struct Report {
    /// The engine that is there, if any.
    engine: Option<EngineName>,
    /// Whether the policy file is valid.
    valid: bool,
    /// Whether the policy of the file is in force, to the letter.
    in_force: bool,
    /// If the file is not valid, the policy that was put in force last: all of the report is about that one.
    recorded: Option<Recorded>,
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
    /// dockfw's unit of systemd, if this host has it.
    unit: Option<Unit>,
    /// The names of the policy's rules, by the names of their counters.
    #[serde(skip)]
    rules: BTreeMap<String, String>,
}

/// The policy that was put in force last.
#[derive(Serialize)]
struct Recorded {
    /// When, in seconds since 1970.
    applied_at: u64,
    /// Whether it is in force, to the letter.
    in_force: bool,
}

/// The policy that a report is about.
struct Subject {
    policy: Policy,
    sources: Sources,
    /// Its record, if it is not that of the file.
    record: Option<Record>,
}

/// Prints whether the policy is in force, and what this host exposes. A mistake in the file hides neither: it is reported
/// after that.
pub(crate) fn run(config: &Path, options: &Status, verbose: u8) -> anyhow::Result<Exit> {
    let loaded = load_recorded(config, Strictness::Confirmed);
    if !capabilities::has_net_admin() {
        return Err(loaded.err().unwrap_or_else(|| EngineError::NotPermitted.into()));
    }
    let (subject, mistake) = match loaded {
        Ok((policy, sources)) => (Some(Subject::of_file(policy, sources)), None),
        Err(mistake) => (Subject::of_records(), Some(mistake)),
    };
    let exit = show(subject.as_ref(), options, verbose)?;
    let meaning = "the report is about what is in force, not about the file";
    mistake.map_or(Ok(exit), |mistake| Err(exit::with_meaning(&mistake, meaning).into()))
}

fn show(subject: Option<&Subject>, options: &Status, verbose: u8) -> anyhow::Result<Exit> {
    if options.watch {
        if !stdout_is_terminal() {
            return Err(Stop::new(Exit::Usage, no_terminal()).into());
        }
        let view = View { colours: stdout_has_colours(), sets: false };
        return watch::run(|| report(subject, options.verify), options.strict, view);
    }
    let report = report(subject, options.verify)?;
    let text = if options.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else {
        text::report(&report, View { colours: stdout_has_colours(), sets: verbose > 0 })
    };
    write(text);
    Ok(report.exit(options.strict))
}

fn no_terminal() -> Message {
    Message::new("`--watch` needs a terminal to write to").help("to see the report once: dockfw status")
}

impl Report {
    /// Returns what an operator calls a counter: the rule whose packets it counts, or its own name, with what is dropped.
    fn label(&self, counter: &str) -> String {
        let dropped = DROPPED.iter().find(|(name, _)| name.as_str() == counter);
        let named = |(name, what): &(SetName, &str)| format!("{name} ({what})");
        let rule = || self.rules.get(counter).map(|rule| part(rule));
        dropped.map(named).or_else(rule).unwrap_or_else(|| counter.to_owned())
    }

    fn exit(&self, strict: bool) -> Exit {
        let is_covered = self.uncovered.is_empty() && self.unknown.is_empty();
        let is_lasting = self.unit.as_ref().is_none_or(|unit| unit.startup == Startup::Enabled);
        if self.in_force && (is_covered && is_lasting || !strict) { Exit::Done } else { Exit::NotInForce }
    }
}

impl Subject {
    fn of_file(policy: Policy, sources: Sources) -> Self {
        Self { policy, sources, record: None }
    }

    /// Returns the policy that was put in force last, if its record can be read.
    fn of_records() -> Option<Self> {
        let last =
            Last::of_host().inspect_err(|error| log::warn!("unknown which policy is in force: {error:#}"));
        let Last { record, policy, sources } = last.ok()??;
        Some(Self { policy, sources, record: Some(record) })
    }
}

fn report(subject: Option<&Subject>, verify: bool) -> anyhow::Result<Report> {
    let mut report = match subject {
        Some(subject) => report_on(&subject.policy, verify)?,
        None => {
            let engine = last::engine_with_rules(verify)?.map(|engine| engine.name());
            Report { engine, ..Report::default() }
        }
    };
    remember(&mut report, subject);
    report.valid = subject.is_some_and(|subject| subject.record.is_none());
    if let Some(record) = subject.and_then(|subject| subject.record.as_ref()) {
        let in_force = mem::take(&mut report.in_force);
        report.recorded = Some(Recorded { applied_at: record.applied_at, in_force });
    }
    report.unit = unit::find();
    Ok(report)
}

fn report_on(policy: &Policy, verify: bool) -> anyhow::Result<Report> {
    let Gathered { facts, unknown, .. } = gather().context("can't read the host's interfaces")?;
    let (mut report, ruleset) = read_live(policy, verify)?;
    let false_bridges = safety::interfaces::false_bridges(policy, &facts.links, &facts.networks);
    report.in_force &= false_bridges.is_empty();
    report.differences.extend(false_bridges.iter().map(|one| one.what().to_owned()));
    let (exposed, open_questions) = exposed_by(report.engine.zip(ruleset.as_ref()), &facts);
    report.exposed = exposed;
    report.uncovered = uncovered(policy, &facts);
    report.unknown.extend(unknown.into_iter().chain(open_questions));
    Ok(report)
}

/// Reads the report of the engines. Also returns the policy as the engine has it that is in force, if one is.
fn read_live(policy: &Policy, verify: bool) -> Result<(Report, Option<Ruleset>), EngineError> {
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
        return error.map_or_else(|| Ok((Report::default(), None)), Err);
    };
    let ruleset = engines::compile_for(engine.name(), policy);
    let state = engine.read(Some(&ruleset))?;
    let is_in_force = state.is_in_force();
    let State { differences, unfit, counters, sets, .. } = state;
    let others = present.iter().skip(1);
    let others = others.map(|other| format!("rules of the {} engine are there too", other.name()));
    let wrong = wrong_engine(engine.as_ref(), policy.engine.backend);
    let odd: Vec<_> = unfit.into_iter().chain(wrong).chain(others).collect();
    let report = Report {
        engine: Some(engine.name()),
        in_force: is_in_force && odd.is_empty(),
        differences: differences.iter().map(ToString::to_string).chain(odd).collect(),
        counters,
        sets,
        unknown,
        rules: rule_names(&ruleset),
        ..Report::default()
    };
    Ok((report, Some(ruleset)))
}

/// Returns the names of the rules that are written in the policy, by those of their counters.
fn rule_names(ruleset: &Ruleset) -> BTreeMap<String, String> {
    let rules = ruleset.hooks.iter().flat_map(|hook| &hook.rules);
    let written = rules.filter(|rule| rule.origin.place.is_some());
    written.filter_map(|rule| Some((rule.counter.as_ref()?.to_string(), rule.origin.what.clone()))).collect()
}

/// Adds the contents of the records. Damaged records say nothing about what is in force: they are only reported.
fn remember(report: &mut Report, subject: Option<&Subject>) {
    let read = || anyhow::Ok((Store::of_host().read()?, Now::read()?));
    match read() {
        Ok((state, now)) => {
            report.since =
                subject.filter(|_| report.in_force).and_then(|subject| since(report, subject, &state, &now));
            report.records = Summary::of(&state, &now);
        }
        Err(error) => warning(format_args!("{error:#}")),
    }
}

/// Returns since when the policy is in force, if that is recorded.
fn since(report: &Report, subject: &Subject, state: &Records, now: &Now) -> Option<u64> {
    let sealed = subject.sources.seal().inspect_err(|error| log::info!("{error}")).ok()?;
    state.in_force_since(report.engine?, sealed.digest(), now.booted())
}

fn wrong_engine(engine: &dyn Engine, backend: Backend) -> Option<String> {
    let is_wrong = match backend {
        Backend::Auto => false,
        Backend::Named(name) => name != engine.name(),
    };
    is_wrong.then(|| format!("the policy asks for the {backend} engine"))
}

/// Returns what is exposed. If no policy is in force, no rule objects to anything.
fn exposed_by(in_force: Option<(EngineName, &Ruleset)>, facts: &Facts) -> (Vec<Exposed>, Vec<String>) {
    let Some((engine, ruleset)) = in_force else { return exposed_unfiltered(facts) };
    exposed(Rules { ruleset, by_name_alone: goes_by_names_alone(engine) }, facts)
}
