//! The meaning of a host's old layout, from everything that was read of it.

use std::collections::{BTreeSet, HashSet};

use dockfw_policy::address::AddressRange;
use dockfw_policy::interface::IfPattern;
use dockfw_policy::service::Service;
use dockfw_xtables::old::SET;
use ipnetwork::Ipv4Network;

use super::Read;
use super::findings::{Fault, Findings, Place, Placed, quoted};
use super::rules::{Gate, Rules};
use super::sets::Sets;

mod role;
mod runs;

/// What a policy treats as Docker's bridges by default (docs/policy.md).
pub(crate) const BRIDGES: [&str; 3] = ["docker0", "docker_gwbridge", "br-*"];

/// The old layout.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Who is let in everywhere.
    pub(crate) trusted: Vec<Placed<AddressRange>>,
    /// Who is dropped.
    pub(crate) blocked: Vec<Placed<AddressRange>>,
    /// What is open to everyone on the host.
    pub(crate) host: Vec<Placed<Service>>,
    /// What is open to everyone in containers, by their own ports.
    pub(crate) containers: Vec<Placed<Service>>,
    /// The interfaces that are filtered; empty: all of them.
    pub(crate) filtered: Vec<Placed<IfPattern>>,
    /// Docker's bridges, besides those that dockfw knows.
    pub(crate) bridges: Vec<Placed<IfPattern>>,
    /// The place of the rule that lets containers reach everything on the host, if there is one.
    pub(crate) open_to_containers: Option<Place>,
    /// Whether only the trusted may ping.
    pub(crate) echo_trusted: bool,
    /// What will be different.
    pub(crate) changes: Vec<String>,
}

/// The parts as they were read, from which a [`Layout`] is made.
#[derive(Debug, Default)]
struct Parts {
    layout: Layout,
    /// The interfaces of FILTERS and of DOCKER-USER; nothing stands for all.
    gates: [Vec<Placed<Option<String>>>; 2],
    interfaces: Vec<Placed<String>>,
    networks: Vec<Placed<Ipv4Network>>,
}

impl Layout {
    /// Combines what was read.
    pub(crate) fn of(read: Read, findings: &mut Findings) -> Self {
        let Read { sets, rules, variables } = read;
        let has_rules = !rules.is_empty();
        let has_variables = !variables.is_empty();
        let mut parts = Parts::default();
        let set = gate_set(&rules, findings);
        let named = set.map(|set| set.value).or_else(|| only_set(&sets, has_variables, findings));
        parts.take_sets(sets, named.as_deref(), has_rules, findings);
        let icmp = rules.is_empty() || rules.iter().any(|rules| rules.host.icmp);
        parts.layout.echo_trusted = !icmp;
        rules.into_iter().for_each(|rules| parts.take_rules(rules));
        if has_variables {
            parts.take_variables(variables, !has_rules, findings);
        }
        if !has_rules && !has_variables {
            findings.note(
                "no rules were read: no port is open to everyone; import the rules file as well".into(),
            );
        }
        parts.finish(has_rules || has_variables, findings)
    }
}

/// Returns the set that all rules ask.
fn gate_set(rules: &[Rules], findings: &mut Findings) -> Option<Placed<String>> {
    let gates = rules.iter().flat_map(|rules| rules.host.gates.iter().chain(&rules.docker.gates));
    let mut sets = gates.map(|Placed { value: Gate { set, .. }, place }| Placed::new(set.clone(), place));
    let first = sets.next()?;
    if let Some(other) = sets.find(|set| set.value != first.value) {
        let what = format!(
            "the rules ask the set {}, and at {} the set {}",
            quoted(&other.value),
            first.place,
            quoted(&first.value)
        );
        findings.refuse(Fault::new(
            &other.place,
            what,
            "a policy has one list that is let in everywhere: import one of them",
        ));
    }
    Some(first)
}

/// Returns the set that is meant if no rules were read.
fn only_set(sets: &[Sets], has_variables: bool, findings: &mut Findings) -> Option<String> {
    let names: BTreeSet<&String> = sets.iter().flat_map(|sets| sets.0.keys()).collect();
    let only = names.iter().find(|name| name.as_str() == SET).or(names.first().filter(|_| names.len() == 1));
    if only.is_none() && !names.is_empty() && !has_variables {
        let first = sets.iter().flat_map(|sets| sets.0.values()).next();
        if let Some(set) = first {
            let help = "import the rules as well: they say which set is let in";
            findings.refuse(Fault::new(
                &set.place,
                "there are several sets, and none of them is ip_allow",
                help,
            ));
        }
    }
    only.map(|name| (*name).clone())
}

impl Parts {
    fn take_sets(&mut self, sets: Vec<Sets>, wanted: Option<&str>, has_rules: bool, findings: &mut Findings) {
        let mut is_there = false;
        for (name, set) in sets.into_iter().flat_map(|sets| sets.0) {
            if Some(name.as_str()) == wanted {
                is_there = true;
                self.layout.trusted.extend(set.into_entries(findings));
            } else {
                findings.note(format!(
                    "{}: the set {} is not asked by the old layout",
                    set.place,
                    quoted(&name)
                ));
            }
        }
        if let Some(wanted) = wanted.filter(|_| has_rules && !is_there) {
            findings.note(format!(
                "the set {} was not read: nobody in it is trusted; import its file as well",
                quoted(wanted)
            ));
        }
    }

    fn take_rules(&mut self, rules: Rules) {
        let Rules { host, docker } = rules;
        let gate = |gate: Placed<Gate>| Placed { value: gate.value.interface, place: gate.place };
        let [host_gates, docker_gates] = &mut self.gates;
        host_gates.extend(host.gates.into_iter().map(gate));
        docker_gates.extend(docker.gates.into_iter().map(gate));
        self.interfaces.extend(docker.interfaces);
        self.networks.extend(docker.networks);
        self.layout.host.extend(host.open.into_iter().flat_map(each));
        self.layout.containers.extend(docker.open.into_iter().flat_map(each));
        self.layout.blocked.extend(host.blocked.into_iter().chain(docker.blocked));
    }

    fn finish(mut self, has_layout: bool, findings: &mut Findings) -> Layout {
        self.take_bridges(findings);
        self.take_gates(findings);
        let layout = &mut self.layout;
        only_once(&mut layout.trusted);
        runs::join(&mut layout.trusted);
        only_once(&mut layout.blocked);
        only_once(&mut layout.host);
        only_once(&mut layout.containers);
        for everyone in layout.trusted.iter().filter(|entry| entry.value.prefix() == Some(0)) {
            let help = "open ports to everyone instead, or let the old rules go";
            findings.refuse(Fault::new(&everyone.place, format!("{} is everyone", everyone.value), help));
        }
        if has_layout {
            self.note_changes();
        }
        self.layout
    }

    fn take_bridges(&mut self, findings: &mut Findings) {
        let known = known_bridges();
        for Placed { value, place } in std::mem::take(&mut self.interfaces) {
            match pattern(&value) {
                Some(pattern) if known.iter().any(|known| known.covers(&pattern)) => {}
                Some(pattern) if !pattern.is_any() && (value.starts_with("docker") || value.starts_with("br")) => {
                    self.layout.bridges.push(Placed::new(pattern, &place));
                }
                _ => findings.note(format!(
                    "{place}: what comes in by {} is not let through to containers any more: if it is a bridge of \
                     Docker's, name it in [interfaces] docker, and if it is a VPN, in exempt",
                    quoted(&value)
                )),
            }
        }
        only_once(&mut self.layout.bridges);
    }

    /// Takes the filtered interfaces, for the host and for containers alike: those of both.
    fn take_gates(&mut self, findings: &mut Findings) {
        let [host, docker] = &self.gates;
        if !host.is_empty() && !docker.is_empty() && interfaces(host) != interfaces(docker) {
            self.layout.changes.push(
                "FILTERS and DOCKER-USER filtered different interfaces; now those of both are filtered for both"
                    .into(),
            );
        }
        let first = host.first().map(|gate| gate.place.clone());
        self.layout.open_to_containers = first.filter(|_| !self.asks_containers());
        let gates = host.iter().chain(docker);
        let patterns: Option<Vec<_>> =
            gates.map(|gate| Some(Placed::new(pattern(gate.value.as_ref()?)?, &gate.place))).collect();
        // An unknown interface may be any.
        if let Some(patterns) = patterns.filter(|patterns| patterns.iter().all(|gate| !gate.value.is_any())) {
            self.filter(patterns, findings);
        }
    }

    fn filter(&mut self, patterns: Vec<Placed<IfPattern>>, findings: &mut Findings) {
        let known = known_bridges();
        let own = self.layout.bridges.iter().map(|bridge| &bridge.value);
        let bridges: Vec<&IfPattern> = known.iter().chain(own).collect();
        let is_bridge = |gate: &Placed<IfPattern>| bridges.iter().any(|bridge| bridge.covers(&gate.value));
        let (inside, outside): (Vec<_>, Vec<_>) = patterns.into_iter().partition(is_bridge);
        for Placed { value, place } in inside {
            findings.note(format!("{place}: {value} is Docker's, and not filtered as what is outside is"));
        }
        self.layout.filtered = outside;
        only_once(&mut self.layout.filtered);
    }

    /// Returns whether FILTERS may have dropped packets from containers.
    fn asks_containers(&self) -> bool {
        let [host, _] = &self.gates;
        let bridges = known_bridges();
        let asks = |gate: &Placed<Option<String>>| {
            let pattern = gate.value.as_ref().and_then(|value| pattern(value));
            let overlap =
                |own: &IfPattern| bridges.iter().any(|bridge| bridge.covers(own) || own.covers(bridge));
            pattern.is_none_or(|pattern| overlap(&pattern))
        };
        host.iter().any(asks)
    }

    fn note_changes(&mut self) {
        let [host, docker] = &self.gates;
        let filters_containers =
            docker.iter().any(|gate| gate.value.as_deref().is_none_or(|name| name == "+"));
        let is_open = [(host, "processes of the host", "FILTERS"), (docker, "containers", "DOCKER-USER")];
        let changes = &mut self.layout.changes;
        for (_, who, chain) in is_open.into_iter().filter(|(gates, ..)| gates.is_empty()) {
            changes.push(format!(
                "{who} were open to everyone, because {chain} dropped nobody; now they are closed"
            ));
        }
        changes.push(
            "IPv6 was not filtered; now it is: no IPv6 address is trusted until you add some, and what is open to \
             everyone is open in IPv6 too"
                .into(),
        );
        if !self.networks.is_empty() {
            let networks: BTreeSet<String> =
                self.networks.iter().map(|network| network.value.to_string()).collect();
            let networks: Vec<_> = networks.into_iter().collect();
            changes.push(format!(
                "a packet with a source in {} reached every container, wherever it came from; now only what comes in by \
                 a bridge of Docker's does. If one of these is no network of Docker's, add it to `trusted`",
                networks.join(", ")
            ));
        }
        if filters_containers {
            changes.push(
                "containers on networks of your own (bridges br-*) could not connect to the outside; now they can, as \
                 Docker has it"
                    .into(),
            );
        }
    }
}

/// Returns the interfaces of gates; nothing among them stands for all.
fn interfaces(gates: &[Placed<Option<String>>]) -> BTreeSet<Option<&str>> {
    gates.iter().map(|gate| gate.value.as_deref()).collect()
}

fn known_bridges() -> Vec<IfPattern> {
    BRIDGES.iter().filter_map(|bridge| bridge.parse().ok()).collect()
}

fn each(open: Placed<Vec<Service>>) -> impl Iterator<Item = Placed<Service>> {
    let Placed { value, place } = open;
    value.into_iter().map(move |service| Placed::new(service, &place))
}

/// Keeps the first of each value.
fn only_once<T: Clone + Eq + std::hash::Hash>(values: &mut Vec<Placed<T>>) {
    let mut seen = HashSet::new();
    values.retain(|placed| seen.insert(placed.value.clone()));
}

/// Returns an interface of iptables, in which a `+` at the end stands for anything, as a policy has it.
fn pattern(name: &str) -> Option<IfPattern> {
    let pattern = match name.strip_suffix('+') {
        Some(start) => format!("{start}*"),
        // iptables has no `*` like that of a policy.
        None if name.contains('*') => return None,
        None => name.to_owned(),
    };
    pattern.parse().ok()
}
