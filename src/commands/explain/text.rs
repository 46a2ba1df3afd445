//! `dockfw explain` as a string.

use dockfw_policy::ruleset::Hook;
use dockfw_policy::service::Service;
use dockfw_policy::walk::Verdict;

use super::{Answer, Report};
use crate::explain::{Asked, Explanation, HookVerdict, Kind, Objection, Target, Way};
use crate::exposure::part;
use crate::output::result;

/// Prints the verdicts with their reasons, and then the rules that they took.
pub(super) fn print(report: &Report) {
    report.names.iter().for_each(result);
    let sides = sides(report);
    let width = sides.iter().map(|(when, _)| when.len()).max().unwrap_or(0);
    for (when, answer) in &sides {
        let when = if when.is_empty() { String::new() } else { format!("{when:<width$}  ") };
        print_verdict(&when, answer);
    }
    result("");
    print_packet(&report.answer.explanation);
    for (when, answer) in &sides {
        let hooks = &answer.explanation.hooks;
        if sides.len() == 1 {
            result("");
            print_walk(&answer.explanation);
        } else if hooks.iter().any(|hook| hook.rule.is_some()) {
            result(format_args!("\n{when}:"));
            print_walk(&answer.explanation);
        }
    }
}

/// Returns the answers that differ, with when they hold.
fn sides(report: &Report) -> Vec<(&'static str, &Answer)> {
    match &report.now {
        None if !report.valid => vec![("now", &report.answer)],
        None => vec![("", &report.answer)],
        Some(now) if now.answer.agrees(&report.answer) => vec![("now and after an apply", &report.answer)],
        Some(now) => vec![("now", &now.answer), ("after an apply", &report.answer)],
    }
}

fn print_verdict(when: &str, answer: &Answer) {
    let Explanation { verdict, is_certain, reason, others, .. } = &answer.explanation;
    let doubt = if *is_certain { "" } else { " (uncertain)" };
    result(format_args!("{when}{}{doubt}: {reason}", name(*verdict)));
    let indent = " ".repeat(when.len());
    for Objection { why, source, is_certain } in others {
        let drops = if *is_certain { "drops" } else { "may drop" };
        result(format_args!("{indent}but {source} {drops} it: {why}"));
    }
    for exception in &answer.except {
        result(format_args!(
            "{indent}but from {}, {}: {}",
            exception.from,
            name(exception.verdict),
            exception.reason
        ));
    }
}

fn print_packet(explanation: &Explanation) {
    let Explanation { packet, target, ways, .. } = explanation;
    let Asked { from, to, port, incoming, outgoing, .. } = packet;
    result(format_args!("{port} at {to} from {from}, in {incoming}{}", way_out(outgoing.as_deref())));
    result(format_args!("target: {}", there(target, *port)));
    if let [only] = ways.as_slice() {
        report_way(only);
    }
}

fn print_walk(explanation: &Explanation) {
    let Explanation { hooks, ways, others, verdict, is_certain, .. } = explanation;
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
fn there(target: &Target, asked: Service) -> String {
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
        Kind::Nothing => format!("dockfw knows no program or container that answers on {asked}"),
    }
}

fn print_hook(decided: &HookVerdict) {
    let hook = match decided.hook {
        Hook::Prerouting => "prerouting",
        Hook::Tracked => "tracked",
        Hook::Input => "input",
        Hook::Forward => "forward",
    };
    let verdict = name(decided.verdict);
    let Some(rule) = &decided.rule else {
        result(format_args!("{hook:<10} {verdict}  no rule matches"));
        return;
    };
    let place = rule.origin.place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    result(format_args!("{hook:<10} {verdict}  {}{place}", part(&rule.origin.what)));
    let reasons =
        if rule.because.is_empty() { "no rule above it matches".into() } else { rule.because.join("; ") };
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
