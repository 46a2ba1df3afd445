//! What came of the kernels: as lines for people, as JSON for programs, and as the page `docs/kernels.md`.

use std::fmt::Write;
use std::time::Duration;

use dockfw_lab::Engine;
use serde_json::{Value, json};

use super::findings::{Findings, Found};
use super::policies::NETWORKS;
use super::rows::Row;

/// What came of a row.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It ran for so long.
    Ran(Findings, Duration),
    /// It could not, for this reason.
    Skipped(String),
}

/// All of it.
pub(crate) struct Report {
    pub(crate) rows: Vec<(Row, Outcome)>,
    pub(crate) took: Duration,
}

impl Outcome {
    /// For the progress.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Skipped(reason) => format!("skipped: {reason}"),
            Self::Ran(findings, took) => {
                let word = if findings.faults.is_empty() { "passed" } else { "FAILED" };
                let engines = findings.engines.iter().map(|(engine, found)| words(*engine, found));
                let engines: Vec<_> = engines.collect();
                format!("{word} in {} s: Linux {}; {}", took.as_secs(), findings.version, engines.join("; "))
            }
        }
    }

    fn findings(&self) -> Option<&Findings> {
        match self {
            Self::Ran(findings, _) => Some(findings),
            Self::Skipped(_) => None,
        }
    }
}

fn words(engine: Engine, found: &Found) -> String {
    let name = engine;
    match found {
        Found::Refused(reason) => format!("{name} refused: {reason}"),
        Found::Used { apply, counts, load } => {
            let counts = counts.map_or_else(|| "no figures".to_owned(), |counts| counts.to_string());
            format!("{name}: apply {}, {counts}, load {}", seconds(*apply), seconds(*load))
        }
    }
}

impl Report {
    /// Whether nothing failed, and something ran: if rows were asked for by name, all of them.
    pub(crate) fn is_good(&self, by_name: bool) -> bool {
        let ran = || self.rows.iter().filter_map(|(_, outcome)| outcome.findings());
        let all_ran = ran().count() == self.rows.len();
        ran().count() > 0 && ran().all(|findings| findings.faults.is_empty()) && (all_ran || !by_name)
    }

    /// The rows that could be had anywhere and did not run.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let is_missing =
            |(row, outcome): &&(Row, Outcome)| row.suite.is_some() && outcome.findings().is_none();
        self.rows.iter().filter(is_missing).map(|(row, _)| row.name.as_str()).collect()
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (row, outcome) in &self.rows {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{}: {}", row.name, outcome.line());
            for fault in outcome.findings().into_iter().flat_map(|findings| &findings.faults) {
                let _ = writeln!(text, "{}: FAILED: {fault}", row.name);
            }
        }
        text + &format!("in {} s\n", self.took.as_secs())
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, outcome)| match outcome {
            Outcome::Skipped(reason) => json!({"row": row.name, "skipped": reason}),
            Outcome::Ran(findings, took) => json!({
                "row": row.name, "version": findings.version, "nft_array": findings.has_array, "faults": findings.faults,
                "engines": findings.engines.iter().map(|(engine, found)| engine_json(*engine, found)).collect::<Vec<_>>(),
                "seconds": took.as_secs_f64(),
            }),
        });
        json!({"rows": rows.collect::<Vec<_>>(), "seconds": self.took.as_secs()})
    }

    /// For docs/.
    pub(crate) fn page(&self) -> String {
        let mut page =
            PREFACE.replace("VERSION", env!("CARGO_PKG_VERSION")).replace("NETWORKS", &NETWORKS.to_string());
        for (row, outcome) in &self.rows {
            match outcome {
                Outcome::Skipped(_) => page += &format!("| {} | not run | | | | | | | |\n", row.title),
                Outcome::Ran(findings, _) => page += &lines(row, findings),
            }
        }
        page += "\n## Notes\n\n";
        for (row, outcome) in &self.rows {
            for note in notes(outcome) {
                let _ = writeln!(page, "- {}: {note}.", row.title);
            }
        }
        page
    }
}

/// The lines of a row, one for each engine.
fn lines(row: &Row, findings: &Findings) -> String {
    let array = if findings.has_array { "yes" } else { "no" };
    let head = format!("| {} | {} | {array} |", row.title, findings.version);
    let line = |(engine, found): &(Engine, Found)| format!("{head} {} | {} |\n", engine, cells(found));
    match findings.engines.as_slice() {
        [] => format!("{head} | FAILED | | | | |\n"),
        engines => engines.iter().map(line).collect(),
    }
}

fn cells(found: &Found) -> String {
    match found {
        Found::Refused(_) => "can't be used | | | |".to_owned(),
        Found::Used { apply, counts, load } => {
            let counts = counts.map(|counts| [counts.applies, counts.packets, counts.wrong]);
            let counts = counts.map_or(["FAILED".to_owned(), String::new(), String::new()], |counts| {
                counts.map(|count| count.to_string())
            });
            format!("{} | {} | {}", seconds(*apply), counts.join(" | "), seconds(*load))
        }
    }
}

fn notes(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Skipped(reason) => vec![format!("not run: {reason}")],
        Outcome::Ran(findings, _) => {
            let refused = |(engine, found): &(Engine, Found)| match found {
                Found::Refused(reason) => Some(format!("{} can't be used: {reason}", engine)),
                Found::Used { .. } => None,
            };
            let faults = findings
                .faults
                .iter()
                .map(|fault| format!("FAILED: {}", fault.lines().next().unwrap_or_default()));
            findings.engines.iter().filter_map(refused).chain(faults).collect()
        }
    }
}

fn seconds(took: Option<Duration>) -> String {
    took.map_or_else(|| "FAILED".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()))
}

fn engine_json(engine: Engine, found: &Found) -> Value {
    match found {
        Found::Refused(reason) => json!({"engine": engine.to_string(), "refused": reason}),
        Found::Used { apply, counts, load } => json!({
            "engine": engine.to_string(), "apply": apply.map(|took| took.as_secs_f64()), "load": load.map(|took| took.as_secs_f64()),
            "applies": counts.map(|counts| counts.applies), "packets": counts.map(|counts| counts.packets),
            "wrong": counts.map(|counts| counts.wrong),
        }),
    }
}

const PREFACE: &str = "\
# With which kernels dockfw was tried

Written by the last full run of `./dev vm-test --kernels`, of version VERSION: each kernel by itself in a virtual machine, with the program
and the tools of the machine that ran it. What was not run says why. [vm-tests/README.md](../vm-tests/README.md) tells how to run it, and
how to add a kernel. On which systems dockfw was tried is in [matrix.md](matrix.md).

- **nft_array**: packets look networks up in an array that the kernel publishes when a set is committed (`nft_array` in `/proc/kallsyms`).
- **engine**: *native* filters with nf_tables, *compat* with ipset and iptables-legacy.
- **apply**: how long the first apply of a small policy took.
- **applies**, **packets**, **wrong**: while policies were put in force one after the other, so many packets were held against them (S13); so
  many came out as neither the policy before nor the one after says.
- **load**: how long an apply of a policy with NETWORKS networks took.

Times are those of an emulated machine where there is no KVM, beside another one: they compare kernels, and say nothing about real machines.

| kernel | version | nft_array | engine | apply | applies | packets | wrong | load |
|---|---|---|---|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::oracle::Counts;

    fn report(faults: &[&str]) -> Report {
        let row = |name: &str, suite: Option<&str>| Row {
            name: name.to_owned(),
            title: format!("Row {name}"),
            suite: suite.map(str::to_owned),
            kernel: String::new(),
            engines: vec![Engine::Native],
            iptables: None,
        };
        let took = Some(Duration::from_millis(1250));
        let counts = Some(Counts { applies: 51, packets: 20_000, wrong: 0 });
        let used = Found::Used { apply: took, counts, load: None };
        let findings = Findings {
            version: "6.1.0".to_owned(),
            has_array: true,
            engines: vec![(Engine::Native, used), (Engine::Compat, Found::Refused("no ipset".to_owned()))],
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        };
        let ran = Outcome::Ran(findings, Duration::from_secs(60));
        let skipped = Outcome::Skipped("no kernel".to_owned());
        let rows = vec![(row("a", Some("bookworm")), ran), (row("b", None), skipped)];
        Report { rows, took: Duration::from_secs(61) }
    }

    #[test]
    fn the_page_has_a_line_for_each_engine_and_a_note_for_what_is_not_there() {
        let page = report(&["native load: exit code 3: no\nmore"]).page();
        for line in [
            "| Row a | 6.1.0 | yes | native | 1.2 s | 51 | 20000 | 0 | FAILED |",
            "| Row a | 6.1.0 | yes | compat | can't be used | | | | |",
            "| Row b | not run | | | | | | | |",
            "- Row a: compat can't be used: no ipset.",
            "- Row a: FAILED: native load: exit code 3: no.",
            "- Row b: not run: no kernel.",
        ] {
            assert!(page.lines().any(|found| found == line), "no {line:?} in {page}");
        }
        assert!(!page.contains("NETWORKS") && !page.contains("VERSION"));
    }

    #[test]
    fn rows_that_were_named_must_run() {
        assert!(report(&[]).is_good(false) && !report(&[]).is_good(true));
        assert!(!report(&["fault"]).is_good(false));
        assert_eq!(report(&[]).missing(), Vec::<&str>::new());
    }
}
