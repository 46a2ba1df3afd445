//! `dockfw explain`

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use dockfw_policy::Strictness;
use dockfw_policy::engine::EngineName;
use dockfw_policy::policy::{Backend, Policy};
use dockfw_policy::ruleset::{Hook, Ruleset};
use dockfw_policy::walk::Verdict;
use serde::Serialize;

use super::facts::{Gathered, gather};
use super::load;
use crate::cli::Explain;
use crate::engines::{self, Chosen, goes_by_names_alone};
use crate::exit::{Exit, Stop};
use crate::explain::{
    Asked, Asks, Explanation, HookVerdict, Kind, Objection, Question, Target, Way, explain,
};
use crate::exposure::Rules;
use crate::filters::live;
use crate::host::capabilities;
use crate::host::routes::{self, Route};
use crate::message::Message;
use crate::output::{note, result};

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    /// The engine whose rules are walked.
    engine: EngineName,
    /// Whether the policy is in force; nothing if that can't be read.
    in_force: Option<bool>,
    /// What could not be read.
    unknown: Vec<String>,
    #[serde(flatten)]
    explanation: Explanation,
}

/// Prints what becomes of a connection.
pub(crate) fn run(config: &Path, options: &Explain) -> anyhow::Result<Exit> {
    // A policy that is only explained shuts nobody out.
    let policy = load(config, Strictness::Confirmed)?;
    let (engine, ruleset, in_force) = compiled(options.backend, &policy)?;
    let rules = Rules { ruleset: &ruleset, by_name_alone: goes_by_names_alone(engine) };
    let question = Question {
        from: options.from,
        service: options.port,
        incoming: options.incoming.clone(),
        to: options.to,
    };
    let Gathered { facts, unknown } = gather().context("can't read the host's interfaces")?;
    let explanation = explain(rules, &facts, &Live, &question)
        .map_err(|unclear| Stop::new(Exit::Usage, unclear.message()))?;
    let report = Report { engine, in_force, unknown, explanation };
    report_limits(&report);
    if options.json {
        result(serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(Exit::Done)
}

/// Returns the policy as its engine has it, and whether it is in force. Without rights, the engine is the requested
/// one, or else the native one.
fn compiled(asked: Option<Backend>, policy: &Policy) -> anyhow::Result<(EngineName, Ruleset, Option<bool>)> {
    let backend = asked.unwrap_or(policy.engine.backend);
    if !capabilities::has_net_admin() {
        let engine = match backend {
            Backend::Named(engine) => engine,
            Backend::Auto => EngineName::Nftables,
        };
        return Ok((engine, engines::compile_for(engine, policy), None));
    }
    let chosen = Chosen::by(backend, false)?;
    let engine = chosen.engine.name();
    let ruleset = engines::compile_for(engine, policy);
    let in_force = chosen.compare(&ruleset)?.is_same();
    Ok((engine, ruleset, Some(in_force)))
}

/// This host.
struct Live;

impl Asks for Live {
    fn route(&self, to: IpAddr, by: Option<u32>) -> Option<Route> {
        let route = by.map_or_else(|| routes::towards(to, None), |by| routes::out_by(to, by));
        route.inspect_err(|error| log::warn!("no way to {to} can be asked for: {error}")).ok()?
    }

    fn set_has(&self, set: &str, address: IpAddr) -> Option<bool> {
        live::set_has(set, address)
    }
}

/// Reports what the explanation could not include.
fn report_limits(report: &Report) {
    match report.in_force {
        Some(true) => {}
        Some(false) => note(
            Message::new("this explains the policy of the file, which is not what is in force")
                .help("to see the differences: dockfw diff"),
        ),
        None => note("unknown whether this policy is in force: that needs root's rights"),
    }
    report.unknown.iter().for_each(|what| note(format_args!("unknown: {what}")));
}

fn print(report: &Report) {
    let Explanation { packet, target, hooks, ways, others, verdict, is_certain } = &report.explanation;
    let Asked { from, to, port, incoming, outgoing, .. } = packet;
    result(format_args!("{port} at {to} from {from}, in {incoming}{}", way_out(outgoing.as_deref())));
    result(format_args!("target: {}", there(target)));
    if let [only] = ways.as_slice() {
        report_way(only);
    }
    result("");
    hooks.iter().for_each(print_hook);
    others.iter().for_each(print_objection);
    result(format_args!("verdict    {}{}", name(*verdict), if *is_certain { "" } else { "?" }));
    if ways.len() > 1 {
        result("\nunknown which of these happens:");
        ways.iter().for_each(|way| result(format_args!("  {}  {}", name(way.verdict), led(way))));
    }
}

fn report_way(way: &Way) {
    match way.to {
        Some(to) => result(format_args!("translated to {to} by: {}", by(way))),
        None if way.is_tracked => {}
        None => result(format_args!("excluded from connection tracking by: {}", by(way))),
    }
}

/// Returns the rule of others that leads a packet, with its table.
fn by(way: &Way) -> String {
    let rule = way.rule.as_deref().unwrap_or("Docker's list of its ports");
    way.table.as_ref().map_or_else(|| rule.to_owned(), |table| format!("{rule} [{table}]"))
}

/// Returns where a way leads, in words.
fn led(way: &Way) -> String {
    match way.to {
        Some(to) => format!("translated to {to} by: {}", by(way)),
        None if way.is_tracked => "not translated".into(),
        None => format!("excluded from connection tracking by: {}", by(way)),
    }
}

fn way_out(outgoing: Option<&str>) -> String {
    outgoing.map_or_else(|| ", to this host itself".into(), |name| format!(", out {name}"))
}

/// Returns what is there, in words.
fn there(target: &Target) -> String {
    let container = target.container.as_deref().unwrap_or("unknown");
    let process =
        target.process.as_ref().zip(target.pid).map(|(name, pid)| format!("{name} (process {pid})"));
    let port = target.container_port.map(|port| format!(", its port {port}")).unwrap_or_default();
    let address = target.address.map(|address| format!(" at {address}")).unwrap_or_default();
    match target.kind {
        Kind::Process => {
            let of = target.container.as_ref().map(|name| format!(", of container {name}"));
            format!("{}{}", process.unwrap_or("a process".into()), of.unwrap_or_default())
        }
        Kind::Published => {
            let by = process.map(|name| format!("; {name} answers for it")).unwrap_or_default();
            format!("a port that container {container} publishes{port}{address}{by}")
        }
        Kind::Mesh => format!("a port that service {container} publishes by Swarm's routing mesh{port}"),
        Kind::Translated => {
            let own = target.container.as_ref().map(|name| format!(", of container {name}"));
            let port = target.container_port.map(|port| format!(", port {port}")).unwrap_or_default();
            format!("the destination of a translation{address}{port}{}", own.unwrap_or_default())
        }
        Kind::Container => format!("container {container}, by its own address"),
        Kind::Elsewhere => "another machine, or an unknown container".into(),
        Kind::Nothing => "nothing known that answers".into(),
    }
}

fn print_hook(decided: &HookVerdict) {
    let hook = match decided.hook {
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
    };
    let verdict = name(decided.verdict);
    let Some(rule) = &decided.rule else {
        result(format_args!("{hook:<10} {verdict}  no rule matches"));
        return;
    };
    let place = rule.origin.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    result(format_args!("{hook:<10} {verdict}  {}{place}", rule.origin.what));
    let reasons =
        if rule.because.is_empty() { "no earlier rule matches".into() } else { rule.because.join("; ") };
    result(format_args!("{:<16} because {reasons}", ""));
}

fn print_objection(objection: &Objection) {
    let verdict = if objection.is_certain { "drop" } else { "drop?" };
    result(format_args!("{:<10} {verdict}  {} [{}]", "others", objection.why, objection.source));
}

fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Drop => "drop",
    }
}
