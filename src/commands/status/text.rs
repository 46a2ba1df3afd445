//! `dockfw status` as a string.

use std::collections::BTreeSet;
use std::fmt::Write;

use dockfw_policy::address::Family;
use dockfw_policy::engine::{Count, EngineName, SetState};

use super::{Recorded, Report, last};
use crate::exposure::{Admitted, Answers, Exposed, Kind, Reach, Who, part};
use crate::records::wall_time;
use crate::unit::Unit;

/// The separator of columns.
const GAP: &str = "  ";

/// Colours, as `diff` has them too (ECMA-48, SGR).
const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// How a report is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct View {
    /// Whether lines may have colours.
    pub(super) colours: bool,
    /// Whether sets are shown.
    pub(super) sets: bool,
}

impl View {
    /// Returns a line in a colour, if lines may have one.
    fn painted(self, line: &str, colour: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{line}\u{1b}[0m") } else { line.to_owned() }
    }
}

/// Returns the whole report.
pub(super) fn report(report: &Report, view: View) -> String {
    let mut text = String::new();
    head(&mut text, report, view);
    exposure(&mut text, report, view);
    let names: Vec<_> = report.counters.iter().map(|count| report.label(&count.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let counters = report.counters.iter().zip(&names).map(|(count, name)| counted(name, width, count));
    section(&mut text, "counted packets:", &counters.collect::<Vec<_>>());
    if view.sets {
        section(&mut text, "sets:", &report.sets.iter().map(set).collect::<Vec<_>>());
    }
    let fault = report.unit.as_ref().filter(|_| report.engine.is_some()).and_then(Unit::fault);
    let startup = report.unit.as_ref().and_then(|unit| unit.startup.message());
    for message in fault.into_iter().chain(startup) {
        line_to(&mut text, &format!("\n{message}"));
    }
    text
}

/// Returns the report with other lines for its counters, which come first.
pub(super) fn watched(report: &Report, counters: &[String], view: View) -> String {
    let mut text = String::new();
    head(&mut text, report, view);
    counters.iter().for_each(|line| line_to(&mut text, line));
    exposure(&mut text, report, view);
    text
}

fn head(text: &mut String, report: &Report, view: View) {
    report.records.lines().iter().for_each(|line| line_to(text, line));
    let colour = if report.in_force { GREEN } else { RED };
    for (index, line) in verdict(report).iter().enumerate() {
        line_to(text, &if index == 0 { view.painted(line, colour) } else { line.clone() });
    }
}

fn exposure(text: &mut String, report: &Report, view: View) {
    section(text, heading(report), &exposed(&report.exposed, view));
    let uncovered: Vec<_> = report.uncovered.iter().map(|one| format!("{}: {}", one.what, one.why)).collect();
    section(text, "out of reach of every rule:", &uncovered);
    section(text, "unknown:", &report.unknown);
}

fn line_to(text: &mut String, line: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{line}");
}

fn section(text: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    line_to(text, "");
    line_to(text, heading);
    for line in lines {
        line_to(text, &format!("  {line}"));
    }
}

fn verdict(report: &Report) -> Vec<String> {
    let first = match (report.engine, &report.recorded) {
        (None, _) => last::NOTHING.into(),
        (Some(engine), Some(recorded)) => of_record(engine, recorded, report.since),
        (Some(engine), None) if !report.valid => {
            format!("rules of dockfw are in force ({engine}), but it is not recorded of which policy")
        }
        (Some(engine), None) if report.in_force => {
            format!("in force ({engine}) since {}", since(report.since))
        }
        (Some(engine), None) => format!("NOT as the policy says ({engine}):"),
    };
    let differences = report.differences.iter().map(|difference| format!("  {difference}"));
    [first].into_iter().chain(differences.filter(|_| report.engine.is_some())).collect()
}

/// Returns whether the policy that was put in force last is in force. It is not that of the file.
fn of_record(engine: EngineName, recorded: &Recorded, since_then: Option<u64>) -> String {
    if recorded.in_force {
        format!("{}; the policy file is different", last::in_force(engine, since_then, recorded.applied_at))
    } else {
        format!("NOT as the policy applied at {} says ({engine}):", wall_time(recorded.applied_at))
    }
}

fn since(seconds: Option<u64>) -> String {
    seconds.map_or("an unknown time".into(), wall_time)
}

fn heading(report: &Report) -> &'static str {
    let is_in_force = report.in_force || report.recorded.as_ref().is_some_and(|recorded| recorded.in_force);
    match (report.engine, is_in_force) {
        (Some(_), true) => "what this host exposes, as far as dockfw decides:",
        (Some(_), false) => "what this host would expose if the policy were in force:",
        (None, _) => "what this host exposes, as no policy is in force:",
    }
}

/// Returns a counter's line, after a name that is padded to this width.
pub(super) fn counted(name: &str, width: usize, count: &Count) -> String {
    let Count { packets, bytes, .. } = count;
    format!("{name:<width$} {packets:>12} packets {bytes:>16} bytes")
}

fn set(set: &SetState) -> String {
    let elements = set.elements.map_or("?".into(), |count| count.to_string());
    format!("{:<24} {elements:>12} elements", set.name)
}

/// Returns a line for each port, in the order of ports. What differs only in its family or its interfaces shares a line.
fn exposed(all: &[Exposed], view: View) -> Vec<String> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for one in all {
        let row = Row::of(one);
        match rows.iter_mut().find(|other| other.is_like(&row)) {
            Some(other) => other.families.extend(row.families),
            None => rows.push(row),
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let header = ["port", "family", "address", "who may reach it", "what answers"].map(str::to_owned);
    let lines = table(&std::iter::once(header).chain(rows.iter().map(Row::cells)).collect::<Vec<_>>());
    let colours = std::iter::once(Some(BOLD)).chain(rows.iter().map(Row::colour));
    let painted = |(line, colour): (&String, Option<&str>)| match colour {
        Some(colour) => view.painted(line, colour),
        None => line.clone(),
    };
    lines.iter().zip(colours).map(painted).collect()
}

/// A line of the table.
struct Row<'a> {
    one: &'a Exposed,
    families: BTreeSet<Family>,
    address: String,
    who: String,
    what: String,
}

impl<'a> Row<'a> {
    fn of(one: &'a Exposed) -> Self {
        let address = if one.address.is_unspecified() { "all".into() } else { one.address.to_string() };
        Self { one, families: [one.family].into(), address, who: who(one), what: what(one) }
    }
}

impl Row<'_> {
    /// Returns whether the lines are the same except for the family.
    fn is_like(&self, other: &Self) -> bool {
        let key = |row: &Self| (row.one.port, row.address.clone(), row.who.clone(), row.what.clone());
        key(self) == key(other)
    }

    /// Returns the colour of what everyone may reach.
    fn colour(&self) -> Option<&'static str> {
        (self.one.widest() == Some(Who::Everyone)).then_some(YELLOW)
    }

    fn cells(&self) -> [String; 5] {
        let names: Vec<_> = self.families.iter().map(|family| family.name()).collect();
        let [address, who, what] = [&self.address, &self.who, &self.what].map(Clone::clone);
        [self.one.port.to_string(), names.join("+"), address, who, what]
    }
}

/// Returns who may reach a port. Interfaces are named if they differ; those by which the same may reach it, together.
fn who(one: &Exposed) -> String {
    let mut parts: Vec<(String, Vec<&str>)> = Vec::new();
    for reach in &one.reach {
        let (who, interfaces) = (admitted(reach), reach.interfaces.iter().map(String::as_str));
        match parts.iter_mut().find(|(same, _)| *same == who) {
            Some((_, all)) => all.extend(interfaces),
            None => parts.push((who, interfaces.collect())),
        }
    }
    let mut who: Vec<_> = match parts.as_slice() {
        [(only, _)] => vec![only.clone()],
        several => several.iter().map(|(who, by)| format!("by {}: {who}", by.join(", "))).collect(),
    };
    if one.containers {
        who.push("containers".into());
    }
    if who.is_empty() { "nobody".into() } else { who.join("; ") }
}

fn admitted(reach: &Reach) -> String {
    let all: Vec<_> = reach.admitted.iter().map(one_admitted).collect();
    if all.is_empty() { "nobody".into() } else { all.join(", ") }
}

fn one_admitted(admitted: &Admitted) -> String {
    match (admitted.who, &admitted.rule) {
        (Who::Everyone, Some(rule)) => format!("everyone ({})", part(rule)),
        (Who::Everyone, None) => "everyone".into(),
        (Who::Listed, Some(rule)) => format!("sources of {}", part(rule)),
        (Who::Listed, None) => "some".into(),
        (Who::SwarmPeers, _) => "Swarm peers".into(),
        (Who::Trusted, _) => "trusted".into(),
    }
}

fn what(one: &Exposed) -> String {
    let Answers { process, container, container_port, address, .. } = &one.answers;
    let port = container_port.map(|port| format!(":{port}")).unwrap_or_default();
    match (one.kind, process, container) {
        (Kind::Process, Some(process), Some(container)) => format!("{process}, in container {container}"),
        (Kind::Process, Some(process), None) => process.clone(),
        (Kind::Process, None, _) => "the kernel, or a process that can't be read".into(),
        (Kind::Published, _, Some(container)) => format!("container {container}{port}"),
        (Kind::Published, _, None) => format!("a container{port}"),
        (Kind::Translated, _, container) => {
            let to = address.map(|address| address.to_string()).unwrap_or_default();
            let of = container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default();
            format!("{to}{port}{of} (translated by others)")
        }
        (Kind::Mesh, _, Some(service)) => format!("service {service}{port} (Swarm's mesh)"),
        (Kind::Mesh, _, None) => "a service (Swarm's mesh)".into(),
    }
}

/// Returns cells in columns.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::Port;
    use dockfw_policy::service::Transport;

    fn open(number: u16, who: Option<Who>) -> Exposed {
        let admitted = who.map(|who| Admitted { who, rule: Some("allow 'x'".into()), place: None });
        Exposed {
            port: Port { number, transport: Transport::Tcp },
            family: Family::Ipv4,
            address: [0; 4].into(),
            kind: Kind::Process,
            answers: Answers { process: Some("p".into()), ..Answers::default() },
            reach: vec![Reach { interfaces: vec!["eth0".into()], admitted: admitted.into_iter().collect() }],
            containers: false,
        }
    }

    #[test]
    fn ports_are_in_order_and_only_colours_differ() {
        let all = [open(22, Some(Who::Trusted)), open(80, Some(Who::Everyone)), open(443, None)];
        let plain = exposed(&all, View::default());
        let ports: Vec<_> = plain.iter().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(ports, ["port", "22/tcp", "80/tcp", "443/tcp"]);
        let painted = exposed(&all, View { colours: true, sets: false });
        assert_eq!(painted[0], format!("\u{1b}[1m{}\u{1b}[0m", plain[0]));
        assert_eq!(painted[2], format!("\u{1b}[33m{}\u{1b}[0m", plain[2]));
        assert_eq!([&painted[1], &painted[3]], [&plain[1], &plain[3]]);
    }

    /// Returns a port that is reached by these interfaces.
    fn open_by(number: u16, by: &[(&str, Option<Who>)]) -> Exposed {
        let reach = by.iter().map(|(name, who)| {
            let [mut reach] = <[Reach; 1]>::try_from(open(number, *who).reach).unwrap();
            reach.interfaces = vec![(*name).into()];
            reach
        });
        Exposed { reach: reach.collect(), ..open(number, None) }
    }

    #[test]
    fn interfaces_by_which_the_same_may_reach_a_port_are_joined() {
        let everyone = Some(Who::Everyone);
        let all = open_by(22, &[("eth0", everyone), ("virbr0", everyone)]);
        assert_eq!(who(&all), "everyone (rule `x`)");
        let some = open_by(22, &[("eth0", everyone), ("wg0", None), ("virbr0", everyone)]);
        assert_eq!(who(&some), "by eth0, virbr0: everyone (rule `x`); by wg0: nobody");
        let by_each = ["virbr0", "docker0"].map(|name| open_by(67, &[(name, everyone)]));
        let v6 = Exposed { family: Family::Ipv6, address: [0; 16].into(), ..by_each[0].clone() };
        let [one, two] = by_each;
        let lines = exposed(&[v6, one, two], View::default());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("IPv4+IPv6"), "{lines:?}");
    }

    #[test]
    fn sets_are_shown_if_they_are_asked_for_and_rules_by_their_names() {
        let long = "the web site of the office in the north";
        let report_of = Report {
            counters: vec![Count { name: "allow_the_web_site_of_the".into(), packets: 1, bytes: 40 }],
            sets: vec![SetState { name: "trusted_v4".into(), elements: Some(2) }],
            rules: [("allow_the_web_site_of_the".to_owned(), format!("allow '{long}'"))].into(),
            ..Report::default()
        };
        let brief = report(&report_of, View::default());
        assert!(brief.contains(&format!("rule `{long}`")) && !brief.contains("trusted_v4"), "{brief}");
        let whole = report(&report_of, View { colours: false, sets: true });
        assert!(whole.contains("trusted_v4") && whole.contains("2 elements"), "{whole}");
    }
}
