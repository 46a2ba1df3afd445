//! What a machine's steps mean: which engines its kernel takes, what came of each, and what is wrong.

use std::time::Duration;

use dockfw_lab::Engine;
use serde::Deserialize;
use serde_json::Value;

use super::last_lines;
use super::oracle::{Counts, Floors};
use super::rows::Row;
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
    /// Reads the steps of a row's machine, which were done with these of its engines.
    pub(super) fn of(row: &Row, tried: &[Engine], steps: &Steps) -> Self {
        let mut findings = Self::default();
        findings.version(row, steps);
        findings.iptables(row, steps);
        findings.has_array = steps.get("nft-array").is_some_and(|step| step.code() == Some(0));
        let refusals = match steps.get("probe").map(|step| refusals(&step.output)) {
            Some(Ok(refusals)) => refusals,
            Some(Err(error)) => return findings.with_fault(format!("dockfw probe: {error}")),
            None => return findings.with_fault("dockfw probe did not run".to_owned()),
        };
        for (engine, refusal) in Engine::BOTH.into_iter().zip(refusals) {
            findings.engine(row, tried, engine, refusal, steps);
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

    fn iptables(&mut self, row: &Row, steps: &Steps) {
        let Some(wanted) = &row.iptables else { return };
        let said = steps.get("iptables").map_or("", |step| step.output.trim());
        if !said.starts_with(&format!("iptables v{wanted}")) {
            self.faults.push(format!("the system's iptables calls itself {said:?} and not {wanted}"));
        }
    }

    fn engine(
        &mut self,
        row: &Row,
        tried: &[Engine],
        engine: Engine,
        refusal: Option<String>,
        steps: &Steps,
    ) {
        let (name, is_wanted) = (engine, row.engines.contains(&engine));
        let found = match refusal {
            Some(reason) => {
                if is_wanted {
                    self.faults.push(format!("{name} can't be used: {reason}"));
                }
                Found::Refused(reason)
            }
            None if tried.contains(&engine) => self.used(row, engine, steps),
            None if is_wanted => return,
            None => {
                self.faults.push(format!("{name} could be used, where its row says that it can't"));
                return;
            }
        };
        self.engines.push((engine, found));
    }

    fn used(&mut self, row: &Row, engine: Engine, steps: &Steps) -> Found {
        let step = |name: &str| steps.get(&format!("{} {name}", engine));
        for name in STEPS {
            self.must_succeed(&format!("{} {name}", engine), step(name));
        }
        let took = |name| step(name).and_then(Step::success);
        let counts = self.counts(row, engine, step("oracle"));
        Found::Used { apply: took("apply"), counts, load: took("load") }
    }

    fn counts(&mut self, row: &Row, engine: Engine, step: Option<&Step>) -> Option<Counts> {
        let name = format!("{} oracle", engine);
        self.must_succeed(&name, step);
        let counts = Counts::read(&step?.output);
        let fault = match &counts {
            None => Some("it gave no figures".to_owned()),
            Some(counts) => counts.fault(Floors::of(row, engine)),
        };
        self.faults.extend(fault.map(|fault| format!("{name}: {fault}")));
        counts
    }

    fn must_succeed(&mut self, name: &str, step: Option<&Step>) {
        match step.map(|step| (step.code(), last_lines(&step.output))) {
            None => self.faults.push(format!("{name} did not run")),
            Some((None, output)) => self.faults.push(format!("{name} did not end: {output}")),
            Some((Some(0), _)) => {}
            Some((Some(code), output)) => self.faults.push(format!("{name}: exit code {code}: {output}")),
        }
    }
}

/// What each engine can't do without and the kernel lacks, in the order of [`Engine::BOTH`]: as `dockfw probe --json` says it.
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
            iptables: None,
        }
    }

    /// What a machine writes where the native engine works and the other one does not.
    fn said() -> String {
        let probe = r#"{"facts": {
            "nftables": [{"what": "tables", "source": "", "missing": null, "optional": false},
                         {"what": "kinds", "source": "", "missing": "too old", "optional": true}],
            "iptables": [{"what": "sets of ipset", "source": "", "missing": "no module", "optional": false}]}}"#;
        let oracle = "50 applies, 0 of them killed, in 20 s\n20000 packets sent (1000 a second), 1 arrived, 19999 dropped\n\
                      0 decided by neither policy, 0 by a mixture; the longest burst of wrong verdicts: 0 in 0ns";
        let steps = [("version", "6.1.176"), ("probe", probe), ("nft-array", ""), ("native oracle", oracle)];
        let others = STEPS.map(|step| format!("native {step}"));
        let others = others.iter().map(|name| (name.as_str(), ""));
        let steps = steps.into_iter().chain(others);
        steps.map(|(name, said)| format!("@@begin {name}\n{said}\n@@end {name} 0 1000\n")).collect()
    }

    fn faults(row: &Row, said: &str) -> Vec<String> {
        Findings::of(row, &row.engines, &Steps::read(said)).faults
    }

    #[test]
    fn a_kernel_may_take_one_engine_and_refuse_the_other() {
        let findings = Findings::of(&row(&[Engine::Native]), &[Engine::Native], &Steps::read(&said()));
        assert_eq!(findings.faults, Vec::<String>::new());
        let [(Engine::Native, Found::Used { apply, counts, load }), (Engine::Compat, Found::Refused(reason))] =
            findings.engines.as_slice()
        else {
            panic!("{findings:?}")
        };
        assert_eq!([*apply, *load], [Some(Duration::from_secs(1)); 2]);
        assert_eq!(counts.map(|counts| counts.packets), Some(20_000));
        assert_eq!(reason, "sets of ipset: no module");
    }

    #[test]
    fn what_a_row_says_must_hold() {
        let faults_of = |engines: &[Engine]| faults(&row(engines), &said());
        assert_eq!(faults_of(&Engine::BOTH), ["compat can't be used: sets of ipset: no module"]);
        assert_eq!(faults_of(&[]), ["native could be used, where its row says that it can't"]);
        let other = faults(&row(&[Engine::Native]), &said().replace("6.1.176", "5.10.0"));
        assert_eq!(other, ["the kernel calls itself \"5.10.0\" and not 6.1"]);
    }

    #[test]
    fn an_engine_that_is_left_out_is_asked_for_all_the_same() {
        let other = [Engine::Native];
        let of = |said: &str| Findings::of(&row(&Engine::BOTH), &other, &Steps::read(said));
        assert_eq!(of(&said()).faults, ["compat can't be used: sets of ipset: no module"]);
        let findings = of(&said().replace("\"no module\"", "null"));
        assert_eq!((findings.faults.len(), findings.engines.len()), (0, 1));
    }

    #[test]
    fn a_systems_own_iptables_must_be_the_one_of_its_row() {
        let row = Row { iptables: Some("1.6.1".to_owned()), ..row(&[Engine::Native]) };
        let with = |version: &str| {
            faults(&row, &format!("{}@@begin iptables\n{version}\n@@end iptables 0 9\n", said()))
        };
        assert_eq!(with("iptables v1.6.1"), [""; 0]);
        assert_eq!(with("iptables v1.8.9 (legacy)").len(), 1);
        assert_eq!(faults(&row, &said()).len(), 1);
    }

    #[test]
    fn every_step_must_succeed() {
        let row = row(&[Engine::Native]);
        let failed = said().replace("@@end native load 0", "@@end native load 3");
        assert_eq!(faults(&row, &failed), ["native load: exit code 3: "]);
        let wrong = said().replace("0 decided by neither", "7 decided by neither");
        assert_eq!(
            faults(&row, &wrong),
            ["native oracle: 7 wrong verdicts (50 applies, 20000 packets, 7 wrong verdicts)"]
        );
        let silent = said().replace("packets sent", "");
        assert_eq!(faults(&row, &silent), ["native oracle: it gave no figures"]);
        assert_eq!(faults(&row, "@@begin version\n6.1\n@@end version 0 1\n"), ["dockfw probe did not run"]);
    }
}
