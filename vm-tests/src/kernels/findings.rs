//! What a machine's steps mean: which engines its kernel takes, what came of each, and what is wrong.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::oracle::Counts;
use super::rows::{Engine, Row};
use super::steps::{Step, Steps};

/// What is known of a kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// As it says it.
    pub(crate) version: String,
    /// Whether it looks networks up in an array that the set's commit publishes.
    pub(crate) has_array: bool,
    pub(crate) engines: Vec<(Engine, Found)>,
    /// What is not as it must be.
    pub(crate) faults: Vec<String>,
}

/// What is known of an engine.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// It can't be had with this kernel, for this reason.
    Refused(String),
    /// What came of its steps; nothing where one failed.
    Used { apply: Option<Duration>, counts: Option<Counts>, load: Option<Duration> },
}

/// What each engine goes through in `guest/init`, beside the oracle.
const STEPS: [&str; 4] = ["apply", "load", "diff", "remove"];

impl Findings {
    /// Reads the steps of a row's machine.
    pub(super) fn of(row: &Row, steps: &Steps) -> Self {
        let mut findings = Self::default();
        findings.version(row, steps);
        findings.has_array = steps.get("nft-array").is_some_and(|step| step.code() == Some(0));
        let refusals = match steps.get("probe").map(|step| refusals(&step.output)) {
            Some(Ok(refusals)) => refusals,
            Some(Err(error)) => return findings.with_fault(format!("dockfw probe: {error}")),
            None => return findings.with_fault("dockfw probe did not run".to_owned()),
        };
        for (engine, refusal) in Engine::ALL.into_iter().zip(refusals) {
            findings.engine(row, engine, refusal, steps);
        }
        findings
    }

    pub(super) fn with_fault(mut self, fault: String) -> Self {
        self.faults.push(fault);
        self
    }

    fn version(&mut self, row: &Row, steps: &Steps) {
        let said = steps.get("version").map_or("", |step| step.output.trim());
        self.version = said.to_owned();
        if said.is_empty() || !said.starts_with(&row.kernel) {
            self.faults.push(format!("the kernel calls itself {said:?} and not {}", row.kernel));
        }
    }

    fn engine(&mut self, row: &Row, engine: Engine, refusal: Option<String>, steps: &Steps) {
        let (name, is_wanted) = (engine.name(), row.engines.contains(&engine));
        let found = match refusal {
            Some(reason) => {
                if is_wanted {
                    self.faults.push(format!("{name} can't be used: {reason}"));
                }
                Found::Refused(reason)
            }
            None if is_wanted => self.used(engine, steps),
            None => {
                self.faults.push(format!("{name} could be used, where its row says that it can't"));
                return;
            }
        };
        self.engines.push((engine, found));
    }

    fn used(&mut self, engine: Engine, steps: &Steps) -> Found {
        let step = |name: &str| steps.get(&format!("{} {name}", engine.name()));
        for name in STEPS {
            self.must_succeed(&format!("{} {name}", engine.name()), step(name));
        }
        let took = |name| step(name).and_then(Step::success);
        let counts = self.counts(engine, step("oracle"));
        Found::Used { apply: took("apply"), counts, load: took("load") }
    }

    fn counts(&mut self, engine: Engine, step: Option<&Step>) -> Option<Counts> {
        let name = format!("{} oracle", engine.name());
        self.must_succeed(&name, step);
        let counts = Counts::read(&step?.output);
        let fault = match &counts {
            None => Some("it gave no figures".to_owned()),
            Some(counts) => counts.fault(),
        };
        self.faults.extend(fault.map(|fault| format!("{name}: {fault}")));
        counts
    }

    fn must_succeed(&mut self, name: &str, step: Option<&Step>) {
        match step.map(|step| (step.code(), step.output.trim())) {
            None => self.faults.push(format!("{name} did not run")),
            Some((None, output)) => self.faults.push(format!("{name} did not end: {output}")),
            Some((Some(0), _)) => {}
            Some((Some(code), output)) => self.faults.push(format!("{name}: exit code {code}: {output}")),
        }
    }
}

/// What each engine can't do without and the kernel lacks, in the order of [`Engine::ALL`]: as `dockfw probe --json` says it.
fn refusals(probe: &str) -> Result<[Option<String>; 2], serde_json::Error> {
    let said: Value = serde_json::from_str(probe)?;
    let facts = said.get("facts").cloned().unwrap_or_default();
    let of = |engine: Engine| {
        let requirements = facts.get(engine.backend()).cloned().unwrap_or_default();
        Ok(refusal(serde_json::from_value(requirements)?))
    };
    Ok([of(Engine::Native)?, of(Engine::Compat)?])
}

#[derive(Deserialize)]
struct Requirement {
    what: String,
    missing: Option<String>,
    optional: bool,
}

fn refusal(requirements: Vec<Requirement>) -> Option<String> {
    let needed = requirements.into_iter().filter(|requirement| !requirement.optional);
    let missing = needed.filter_map(|needed| Some(format!("{}: {}", needed.what, needed.missing?)));
    let missing: Vec<_> = missing.collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(engines: &[Engine]) -> Row {
        Row {
            name: "row".to_owned(),
            title: "Row".to_owned(),
            suite: None,
            kernel: "6.1".to_owned(),
            engines: engines.to_vec(),
        }
    }
}
