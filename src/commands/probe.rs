//! `dockfw probe`

use dockfw_policy::engine::{EngineName, Requirement};
use dockfw_xtables::tools::Variant;
use dockfw_xtables::variants::with_docker;
use serde::Serialize;

use crate::cli::Probe;
use crate::engines::decide::{Decision, decide};
use crate::engines::facts::{Program, Survey};
use crate::engines::survey;
use crate::exit::Exit;
use crate::filters::{self, firewalls};
use crate::host::docker;
use crate::output::result;

/// What `--json` writes.
#[derive(Serialize)]
struct Report<'a> {
    /// The engine that `auto` chooses, if any.
    engine: Option<EngineName>,
    /// Why; or what is missing.
    reason: String,
    facts: &'a Survey,
    docker: Docker,
    /// Other firewalls that are running.
    firewalls: Vec<&'static str>,
}

/// Where Docker filters.
#[derive(Serialize)]
struct Docker {
    /// The variants of iptables that have chains of Docker's; nothing if no rules could be read.
    chains: Option<Vec<&'static str>>,
    /// The tables of Docker's nftables backend that are there.
    tables: Vec<String>,
    /// What Docker reports that it filters with; nothing if it reports none.
    backend: Option<String>,
}

/// Prints each fact, where it was read, and the decision that follows from them.
pub(crate) fn run(options: &Probe) -> anyhow::Result<Exit> {
    let facts = survey()?;
    let (engine, reason) = match decide(&facts) {
        Ok(Decision { engine, reason }) => (Some(engine), reason),
        Err(missing) => (None, missing.join("; ")),
    };
    let docker = Docker {
        chains: with_docker().ok().map(|variants| variants.into_iter().map(Variant::name).collect()),
        tables: filters::docker::tables(),
        backend: docker::firewall_backend(),
    };
    let report = Report { engine, reason, facts: &facts, docker, firewalls: firewalls::running() };
    if options.json {
        result(serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if engine.is_some() { Exit::Done } else { Exit::Unsupported })
}

fn print(report: &Report<'_>) {
    match report.engine {
        Some(engine) => result(format_args!("engine: {engine}, for {}", report.reason)),
        None => result(format_args!("engine: none. Missing: {}", report.reason)),
    }
    let facts = report.facts;
    print_requirements(EngineName::Nftables, &facts.nftables);
    print_requirements(EngineName::Iptables, &facts.iptables);
    match &facts.program {
        Some(Program { version, variant }) => {
            result(format_args!("iptables: {version}, {variant} [iptables --version]"))
        }
        None => result(format_args!("iptables: none that says its version [iptables --version]")),
    }
    print_docker(&report.docker);
    let in_force = if facts.unknown.is_empty() { "nothing" } else { "not known" };
    result(format_args!("in force: {} [the kernel]", facts.in_force.map_or(in_force, EngineName::as_str)));
    facts.unknown.iter().for_each(|what| result(format_args!("unknown: {what}")));
    let firewalls = if report.firewalls.is_empty() { "none".into() } else { report.firewalls.join(", ") };
    result(format_args!("other firewalls running: {firewalls} [systemctl is-active]"));
}

fn print_docker(docker: &Docker) {
    let chains = match &docker.chains {
        None => "not known".into(),
        Some(chains) if chains.is_empty() => "in neither variant of iptables".into(),
        Some(chains) => format!("in iptables-{}", chains.join(" and iptables-")),
    };
    result(format_args!("Docker's chains: {chains} [iptables-save, ip6tables-save]"));
    let tables = if docker.tables.is_empty() { "none".into() } else { docker.tables.join(", ") };
    result(format_args!("Docker's tables in nf_tables: {tables} [the kernel]"));
    let backend = docker.backend.as_deref().unwrap_or("not said");
    result(format_args!("Docker's firewall backend: {backend} [Docker's socket, /info]"));
}

fn print_requirements(engine: EngineName, requirements: &[Requirement]) {
    for Requirement { what, source, missing, optional } in requirements {
        let found = match (missing, optional) {
            (None, _) => "yes".into(),
            (Some(reason), true) => format!("no, not needed ({reason})"),
            (Some(reason), false) => format!("NO: {reason}"),
        };
        result(format_args!("{engine}: {what}: {found} [{source}]"));
    }
}
