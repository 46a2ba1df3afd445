//! What is decided about packets as they arrive, after connection tracking and before translation and routing: the rules
//! of the first two hooks, in the order in which table mangle asks them. Pure code, on the common form.
//!
//! Packets of live connections meet only what the first hook drops. Whatever else the first two hooks drop, a later one
//! drops as well ([`ruleset`](dockfw_policy::ruleset)). So other packets are asked first for what lets most of them go on
//! to there, and else are dropped: to look up an address in a list, or among the host's, costs as much as five questions
//! for a port.

use std::collections::{BTreeMap, BTreeSet};

use dockfw_policy::ruleset::{Action, AddressList, Hook, Match, Origin, PortField, Rule, Ruleset, SetName};
use dockfw_policy::service::{PortRange, Transport};

/// The name of the list of those whom rules name. No rule's own list has it: their names have a common beginning.
const NAMED: &str = "named";
/// The longest list that becomes part of that one. Longer ones are asked by themselves, so that memory holds few addresses
/// twice.
const MAX_JOINED: usize = 4096;

/// What is asked of arriving packets.
pub(super) struct Arrival {
    /// The rules for packets of live connections, in order.
    pub(super) live: Vec<Rule>,
    /// The rules for all other packets, in order.
    pub(super) others: Vec<Rule>,
    /// A list that these rules name and the ruleset does not have.
    pub(super) named: Option<AddressList>,
}

impl Arrival {
    /// Returns what is asked under a ruleset.
    pub(super) fn of(ruleset: &Ruleset) -> Self {
        let first = || ruleset.rules(Hook::Prerouting);
        let (repeated, mut others): (Vec<_>, Vec<_>) = first().cloned().partition(is_repeated);
        let passes = |rule: &&Rule| rule.action == Action::Pass;
        let passing = ruleset.rules(Hook::Tracked).take_while(passes);
        let wide = Wide::of(passing.filter(|rule| !is_settled(rule, &others)));
        let (sources, named) = wide.sources(ruleset);
        others.extend(wide.open_ports().into_iter().chain(sources).chain(wide.others));
        others.extend(repeated);
        others.extend(ruleset.rules(Hook::Tracked).skip_while(passes).cloned());
        Self { live: without_last_passing(first().cloned().collect()), others, named }
    }
}

/// Returns whether a later hook does the same to all packets but those of live connections. What is in a packet's header
/// is not repeated there: the later hooks ask connection tracking for the dialled address, and it may not know the packet.
fn is_repeated(rule: &Rule) -> bool {
    let of_header =
        |condition: &Match| matches!(condition, Match::SourceNetwork(_) | Match::DestinationNetwork(_));
    rule.action != Action::Pass && !rule.matches.iter().any(of_header)
}

/// Returns whether no packet gets as far as to a rule that passes, behind these and beside the live connections.
fn is_settled(rule: &Rule, before: &[Rule]) -> bool {
    let same = |other: &Rule| other.action == Action::Pass && other.matches == rule.matches;
    rule.matches == [Match::Established] || before.iter().any(same)
}

/// Returns rules without those at the end that pass: what no rule decides about passes as well.
fn without_last_passing(mut rules: Vec<Rule>) -> Vec<Rule> {
    let used = rules.iter().rposition(|rule| rule.action != Action::Pass).map_or(0, |last| last + 1);
    rules.truncate(used);
    rules
}

/// What passes, and maybe more: the ports that are open to everyone, everybody whom a rule names, for whatever, and other
/// rules.
#[derive(Default)]
struct Wide {
    ports: BTreeMap<Transport, BTreeSet<PortRange>>,
    names: BTreeSet<SetName>,
    others: Vec<Rule>,
}

impl Wide {
    fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut wide = Self::default();
        for rule in rules {
            match rule.matches.as_slice() {
                [Match::Ports { transport, port: PortField::Dialled, ranges }] => {
                    wide.ports.entry(*transport).or_default().extend(ranges);
                }
                matches => match matches.iter().find_map(source) {
                    Some(name) => wide.names.extend([name.clone()]),
                    None => wide.others.push(rule.clone()),
                },
            }
        }
        wide
    }

    /// Returns rules for the ports. They are still as they were dialled, and the header has them.
    fn open_ports(&self) -> Vec<Rule> {
        let open = |(transport, ranges): (&Transport, &BTreeSet<PortRange>)| {
            let ranges = ranges.iter().copied().collect();
            let ports = Match::Ports { transport: *transport, port: PortField::Destination, ranges };
            pass(ports, "open to everyone")
        };
        self.ports.iter().map(open).collect()
    }

    /// Returns rules for the sources, and the list that some of them are joined in.
    fn sources(&self, ruleset: &Ruleset) -> (Vec<Rule>, Option<AddressList>) {
        let lists = self.names.iter().filter_map(|name| ruleset.address_list(name));
        let (short, long): (Vec<_>, Vec<_>) = lists.partition(|list| list.addresses.len() <= MAX_JOINED);
        let (alone, named) = match short.as_slice() {
            [] | [_] => (short, None),
            several => (vec![], joined(several)),
        };
        let names = alone.into_iter().chain(named.as_ref()).chain(long).map(|list| list.name.clone());
        let rules = names.map(|name| pass(Match::Source(name), "named by a rule")).collect();
        (rules, named)
    }
}

fn source(condition: &Match) -> Option<&SetName> {
    match condition {
        Match::Source(name) => Some(name),
        _ => None,
    }
}

fn joined(lists: &[&AddressList]) -> Option<AddressList> {
    let addresses = lists.iter().flat_map(|list| list.addresses.ranges()).collect();
    let comment = "everybody whom a rule names".into();
    SetName::new(NAMED).map(|name| AddressList { name, comment, addresses })
}

fn pass(condition: Match, what: &str) -> Rule {
    let origin = Origin { what: what.into(), place: None };
    Rule { matches: vec![condition], action: Action::Pass, counter: None, origin }
}
