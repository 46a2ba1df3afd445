//! `dockfw probe`

use dockfw_policy::engine::{Engine, Requirement};
use serde::Serialize;

use crate::cli::Probe;
use crate::engines;
use crate::exit::Exit;
use crate::nftables::Nftables;

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    /// The engine that `auto` would choose, if any.
    engine: Option<&'static str>,
    requirements: &'a [Requirement],
}

/// Prints what the native engine needs and finds.
pub(crate) fn run(options: &Probe) -> anyhow::Result<Exit> {
    let native = Nftables::default();
    let requirements = native.probe()?;
    let is_usable = engines::missing(&requirements).is_empty();
    let report = Report { engine: is_usable.then(|| native.name()), requirements: &requirements };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if is_usable { Exit::Done } else { Exit::Unsupported })
}

fn print(report: &Report<'_>) {
    for Requirement { what, source, missing, optional } in report.requirements {
        let found = match (missing, optional) {
            (None, _) => "yes".into(),
            (Some(reason), true) => format!("no, not needed ({reason})"),
            (Some(reason), false) => format!("NO: {reason}"),
        };
        println!("{what}: {found} [{source}]");
    }
    match report.engine {
        Some(engine) => println!("engine: {engine}"),
        None => println!("engine: none; this host lacks what dockfw needs"),
    }
}
